//! The leader's scheduling loop. Comes in: wake-ups from the hub. Goes out: placements to the proposer, and who is to make room. A pass reads the state
//! under its lock, decides with the pure [`plan`], proposes, and waits for `apply` to accept before the next pass, so no
//! pass ever plans with room that is already promised.

use std::sync::atomic::Ordering::Relaxed;

use cloudai_core::command::{Kind, PlaceTasks, PreemptTasks};
use cloudai_core::{Command, Reply};
use cloudai_scheduler::{PlanState, Policy, pace, plan};
use cloudai_types::limits;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::state_store::StateStore;

/// Runs while this master leads.
pub async fn run<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    let mut memory = PlanState::default();
    node.watch_pace();
    loop {
        let began = Instant::now();
        node.traces.pass_begins();
        if node.hub.workers_changed.swap(false, Relaxed) {
            memory.on_worker_changed();
        }
        for (worker, images) in node.images_held.take() {
            memory.on_images(worker, images);
        }
        let (pass, started) = {
            let state = node.shared.read();
            let pass = plan(&state.hot, &Policy::of(&state.hot), &mut memory);
            let started = pace::started(&state.hot, &pass.groups);
            (pass, started)
        };
        node.metrics.leader.pass_seconds.observe(began.elapsed().as_secs_f64());
        let more = pass.more;
        node.set_reserved(pass.reserved);
        if !pass.groups.is_empty() {
            let place = PlaceTasks { groups: pass.groups };
            match node.proposer.propose(Command::new("leader", Kind::PlaceTasks(place))).await {
                Ok((_, Reply::Placed { accepted, refused })) => {
                    // Hardly any is ever refused, and estimates are round.
                    node.note_started(&started);
                    let placements = &node.metrics.leader.placements;
                    placements.with_label_values(&["accepted"]).inc_by(u64::from(accepted));
                    placements.with_label_values(&["refused"]).inc_by(u64::from(refused));
                }
                Ok((_, other)) => tracing::error!(?other, "placements got an unexpected reply"),
                Err(error) => {
                    // The state is looked at again; what was placed after all is seen there.
                    tracing::debug!(%error, "placements have no outcome");
                    tokio::time::sleep(limits::SCHEDULE_RETRY.as_duration()).await;
                    node.hub.schedule.notify_one();
                }
            }
        }
        make_room(node, pass.preempt).await;
        if more {
            if leading.is_cancelled() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = leading.cancelled() => return,
            () = node.hub.schedule.notified() => {}
        }
    }
}

/// All at once, so that they go into one entry.
async fn make_room<S: StateStore>(node: &Node<S>, preempt: Vec<PreemptTasks>) {
    let proposals =
        preempt.into_iter().map(|preempt| node.proposer.propose(Command::new("leader", Kind::PreemptTasks(preempt))));
    for outcome in futures::future::join_all(proposals).await {
        match outcome {
            Ok((_, Reply::Preempted { stopped, refused })) => {
                tracing::info!(stopped, refused, "tasks make room for one of a higher priority");
                node.metrics.leader.preemptions.inc_by(u64::from(stopped));
            }
            Ok((_, other)) => tracing::error!(?other, "a preemption got an unexpected reply"),
            // Whoever has to wait is met again by the next pass.
            Err(error) => tracing::debug!(%error, "a preemption has no outcome"),
        }
    }
}
