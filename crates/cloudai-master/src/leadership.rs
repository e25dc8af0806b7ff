//! What only a leader does, started and stopped in one place. Comes in: the narrow leadership watch of Raft. Goes out: the
//! scheduling, liveness, housekeeping, schedules', notes', telemetry's and membership loops, alive exactly while this master leads and has applied its own blank entry. They
//! rebuild everything from replicated state (I9).

use std::sync::Arc;

use cloudai_core::Command;
use cloudai_core::command::{FoundCluster, Kind};
use cloudai_raft::Role;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::state_store::StateStore;
use crate::{housekeeping, liveness, registration, schedules, scheduling, telemetry, wait_notes};

/// Runs as long as the process.
pub async fn run<S: StateStore>(node: Arc<Node<S>>) {
    let mut leadership = node.raft.leadership();
    let mut current: Option<(u64, CancellationToken)> = None;
    loop {
        let (term, is_leading, leader) = {
            let l = leadership.borrow_and_update();
            (l.term, matches!(l.role, Role::Leading { .. }), l.leader.clone())
        };
        if let Some(leader) = &leader {
            node.leaders.note(term, &leader.node.name);
        }
        if current.as_ref().is_some_and(|(t, _)| *t != term || !is_leading)
            && let Some((old_term, token)) = current.take()
        {
            tracing::info!(term = old_term, "this master no longer leads");
            token.cancel();
            node.set_leading(None);
        }
        if is_leading && current.is_none() {
            tracing::info!(term, "this master leads");
            let token = CancellationToken::new();
            begin(&node, &token);
            node.set_leading(Some(token.clone()));
            current = Some((term, token));
            node.metrics.leader_changes.inc();
        }
        tracing::debug!(term, leader = leader.map(|l| l.node.name), "leadership");
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

fn begin<S: StateStore>(node: &Arc<Node<S>>, leading: &CancellationToken) {
    let is_new_cluster = {
        let state = node.shared.read();
        node.liveness.begin(&state.hot);
        node.pulls.begin();
        node.images_held.begin();
        node.conditions.begin();
        node.log_clock.at_least(state.hot.clock_ms);
        state.hot.cluster.is_empty()
    };
    let (n, t) = (node.clone(), leading.clone());
    tokio::spawn(async move {
        if is_new_cluster {
            found(&n).await;
        }
        tokio::join!(
            scheduling::run(&n, &t),
            liveness::run(&n, &t),
            housekeeping::run(&n, &t),
            schedules::run(&n, &t),
            wait_notes::run(&n, &t),
            telemetry::lead(&n, &t),
            registration::align_group(&n, &t)
        );
    });
}

async fn found<S: StateStore>(node: &Node<S>) {
    let founders = node.raft.members().by_id.keys().next_back().copied().unwrap_or(node.me.node);
    let found = FoundCluster { cluster: node.me.cluster.clone(), founders };
    // Refused when an earlier leader did it; without an outcome the next leader does.
    if let Err(error) = node.proposer.propose(Command::new("leader", Kind::FoundCluster(found))).await {
        tracing::debug!(%error, "founding the cluster has no outcome");
    }
}
