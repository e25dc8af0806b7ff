//! What a master tells load balancers and Prometheus. Comes in: the node. Goes out: reasons for not being ready, and the metrics
//! page. Answers from memory: it is asked often.

use std::sync::Arc;

use cloudai_api::{Health, NotReady};
use cloudai_core::rows::WorkerState;

use crate::node::Node;
use crate::state_store::StateStore;

pub struct MasterHealth<S: StateStore> {
    pub node: Arc<Node<S>>,
}

/// A follower that has heard no leader for so long is of no use to callers.
const SILENT_LEADER_MS: u64 = 3_000;

impl<S: StateStore> Health for MasterHealth<S> {
    fn readiness(&self) -> Vec<NotReady> {
        let mut reasons = vec![];
        if self.node.leading().is_none() && self.node.leader().is_none_or(|l| l.id == self.node.me.node) {
            reasons.push(NotReady {
                code: "no_leader",
                detail: "no leader is known: an election is on, or a majority of masters is missing".into(),
            });
        } else if self.node.heard_from_leader_ms_ago() > SILENT_LEADER_MS {
            reasons.push(NotReady { code: "leader_silent", detail: "the leader was not heard of lately".into() });
        }
        if self.node.shared.read().hot.cluster.is_empty() {
            reasons.push(NotReady { code: "catching_up", detail: "the state of the cluster is not here yet".into() });
        }
        reasons
    }

    fn metrics(&self) -> String {
        let node = &self.node;
        let m = &node.metrics;
        let raft = node.raft.metrics();
        let is_leading = node.leading().is_some();
        m.runtime_tasks.set(signed(tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64));
        m.is_leader.set(i64::from(is_leading));
        m.has_leader.set(i64::from(node.leader().is_some()));
        m.term.set(signed(raft.term));
        m.last_log_index.set(signed(raft.last_log_index));
        m.committed_index.set(signed(raft.committed_index));
        m.applied_index.set(signed(raft.applied_index));
        m.snapshot_index.set(signed(raft.snapshot_index));
        m.purged_index.set(signed(raft.purged_index));
        let (log, state) = (node.raft.log_memory(), node.shared.store().memory());
        m.set_storage_memory(&[
            ("caches", log.caches + state.caches),
            ("write_buffers", log.write_buffers + state.write_buffers),
        ]);
        if is_leading {
            self.leader_gauges(raft.slowest_voter_lag, raft.last_quorum_ack_age);
        } else {
            m.leader.clear();
        }
        m.text()
    }
}

impl<S: StateStore> MasterHealth<S> {
    fn leader_gauges(&self, voter_lag: Option<u64>, ack_age: Option<std::time::Duration>) {
        let leader = &self.node.metrics.leader;
        if let Some(lag) = voter_lag {
            leader.set_slowest_voter_lag(lag);
        }
        if let Some(age) = ack_age {
            leader.set_quorum_ack_age(age);
        }
        leader.set_sessions(self.node.hub.sessions() as u64);
        let state = self.node.shared.read();
        let workers = |s| state.hot.workers.values().filter(|w| w.state == s).count() as u64;
        leader.set_workers(&[
            ("ready", workers(WorkerState::Ready)),
            ("lost", workers(WorkerState::Lost)),
            ("authorized", workers(WorkerState::Authorized)),
            ("revoked", workers(WorkerState::Revoked)),
        ]);
        let backlog = &state.hot.backlog;
        let delayed = state.hot.delayed.len() as u64;
        leader.set_tasks(&[("queued", backlog.queued()), ("active", backlog.active()), ("delayed", delayed)]);
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
