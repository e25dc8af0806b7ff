//! What a master tells load balancers and Prometheus. Comes in: the node. Goes out: reasons for not being ready, and the metrics
//! page. Answers from memory: it is asked often.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

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
        let mut page = String::new();
        let mut line = |kind: &str, name: &str, help: &str, rows: &[(&str, f64)]| {
            let _ = writeln!(page, "# HELP cloudai_{name} {help}\n# TYPE cloudai_{name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(page, "cloudai_{name}{labels} {value}");
            }
        };
        let node = &self.node;
        let leadership = node.raft.leadership().borrow().clone();
        let raft = node.raft.applied_index();
        line("gauge", "master_is_leader", "1 on the leader.", &[("", f64::from(u8::from(node.leading().is_some())))]);
        line("gauge", "raft_term", "Newest term seen.", &[("", leadership.term as f64)]);
        line("gauge", "raft_applied_index", "Last applied log index.", &[("", raft as f64)]);
        let counters = &node.proposer.counters;
        line("counter", "proposer_entries_total", "Log entries proposed here.", &[("", load(&counters.entries))]);
        line("counter", "proposer_commands_total", "Commands in those entries.", &[("", load(&counters.commands))]);
        line("counter", "scheduler_passes_total", "Scheduling passes.", &[("", load(&node.metrics.passes))]);
        line(
            "counter",
            "scheduler_pass_seconds_total",
            "Time spent in passes.",
            &[("", load(&node.metrics.pass_us) / 1e6)],
        );
        line("counter", "scheduler_placements_total", "Placements proposed.", &[("", load(&node.metrics.placements))]);
        line(
            "counter",
            "leaderships_total",
            "Times this master began to lead.",
            &[("", load(&node.metrics.leaderships))],
        );
        line("gauge", "worker_sessions", "Workers with a session here.", &[("", node.hub.sessions() as f64)]);
        let state = node.shared.read();
        let hot = &state.hot;
        let workers = |s| hot.workers.values().filter(|w| w.state == s).count() as f64;
        line(
            "gauge",
            "workers",
            "Workers by state.",
            &[
                ("{state=\"ready\"}", workers(WorkerState::Ready)),
                ("{state=\"lost\"}", workers(WorkerState::Lost)),
                ("{state=\"authorized\"}", workers(WorkerState::Authorized)),
                ("{state=\"revoked\"}", workers(WorkerState::Revoked)),
            ],
        );
        line("gauge", "jobs", "Jobs that have not ended.", &[("", hot.jobs.len() as f64)]);
        line("gauge", "tasks_delayed", "Retries whose time has not come.", &[("", hot.delayed.len() as f64)]);
        page
    }
}

fn load(counter: &std::sync::atomic::AtomicU64) -> f64 {
    counter.load(Relaxed) as f64
}
