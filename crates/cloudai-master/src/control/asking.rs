//! A question to a worker. Comes in: what its session is to bring it. Goes out: whether it is on its way. What comes back dials in by itself.

use std::time::Duration;

use cloudai_core::rows::WorkerState;
use cloudai_proto::v1::leader_message::Kind;
use cloudai_types::WorkerId;
use tokio::time::Instant;

use crate::node::Node;
use crate::state_store::StateStore;

/// How often a session that is about to come is looked for.
const SESSION_LOOK: Duration = Duration::from_millis(50);

/// Right after a change of leader the worker is on its way here: it is waited for, unless it is known to be gone. False: it has no session.
pub async fn ask<S: StateStore>(node: &Node<S>, worker: WorkerId, question: &Kind, deadline: Instant) -> bool {
    while !node.hub.open(worker, question.clone()) {
        let is_ready = node.shared.read().hot.workers.get(&worker).is_some_and(|w| w.state == WorkerState::Ready);
        if !is_ready || Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(SESSION_LOOK).await;
    }
    true
}
