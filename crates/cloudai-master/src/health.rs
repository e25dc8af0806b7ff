//! What a master tells load balancers and Prometheus. Comes in: the node. Goes out: how its parts are, the metrics page, and where the members of the
//! cluster have theirs. Answers from memory: it is asked often.

use std::sync::Arc;
use std::time::Duration;

use cloudai_api::{Component, Health, Role as TargetRole, Target};
use cloudai_core::hot::Worker;
use cloudai_core::rows::WorkerState;
use cloudai_net::{Connections, ReloadingTls, Role};
use cloudai_scheduler::held_up;
use cloudai_telemetry::Amounts;
use cloudai_types::{Resources, limits};

use crate::machine::State;
use crate::node::Node;
use crate::state_store::StateStore;

pub struct MasterHealth<S: StateStore> {
    pub node: Arc<Node<S>>,
    pub tls: Arc<ReloadingTls>,
    /// Of all ports.
    pub connections: Connections,
}

/// A follower that has heard no leader for so long is of no use to callers.
const SILENT_LEADER_MS: u64 = 3_000;

impl<S: StateStore> Health for MasterHealth<S> {
    fn components(&self) -> Vec<Component> {
        let state_index = self.node.shared.read().index;
        vec![self.leader(), self.state(), self.storage(state_index), self.certificate()]
    }

    fn metrics(&self) -> String {
        let node = &self.node;
        let m = &node.metrics;
        let raft = node.raft.metrics();
        let is_leading = node.leading().is_some();
        m.runtime_tasks.set(signed(tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64));
        m.certificate_end.set(self.tls.not_after().0 as f64 / 1000.0);
        m.is_leader.set(i64::from(is_leading));
        m.has_leader.set(i64::from(self.is_led()));
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
        m.telemetry_bytes.set(signed(node.telemetry.held_bytes() as u64));
        self.count_connections();
        if is_leading {
            self.leader_gauges(raft.slowest_voter_lag, raft.last_quorum_ack_age);
        } else {
            m.leader.clear();
        }
        m.text()
    }

    fn answered(&self, route: &'static str, code: u16, took: Duration) {
        self.node.metrics.http.answered(route, code, took);
    }

    fn targets(&self) -> Option<Vec<Target>> {
        Some(targets(&self.node.shared.read()))
    }
}

/// Everybody who is registered, those that are dead or lost as well: what vanishes when it dies is never seen to be down. Who was removed or revoked is
/// no member any more. A worker that serves no metrics, or runs a build that does not say where, has no place here.
fn targets(state: &State) -> Vec<Target> {
    let masters = state.hot.masters.values().filter(|m| !m.removed && !m.http_addr.is_empty());
    let masters = masters.map(|m| Target::new(TargetRole::Master, &m.name, &m.http_addr));
    let workers = state.hot.workers.values();
    let workers = workers.filter(|w| w.state != WorkerState::Revoked && !w.metrics_addr.is_empty());
    masters.chain(workers.map(|w| Target::new(TargetRole::Worker, &w.name, &w.metrics_addr))).collect()
}

impl<S: StateStore> MasterHealth<S> {
    /// Somebody leads, and was heard of lately. Those whom a majority has left go on to name a leader, or to believe that they are it.
    fn is_led(&self) -> bool {
        self.node.leader().is_some() && self.node.heard_from_leader_ms_ago() <= SILENT_LEADER_MS
    }

    fn leader(&self) -> Component {
        if let Some(leader) = self.node.leader().filter(|l| l.id != self.node.me.node) {
            let ms = self.node.heard_from_leader_ms_ago();
            return match ms > SILENT_LEADER_MS {
                true => Component::bad(
                    "raft",
                    "leader_silent",
                    format!("the leader, {}, was not heard of for {ms} ms", leader.node.name),
                ),
                false => Component::good("raft", format!("{} leads, and was heard of {ms} ms ago", leader.node.name)),
            };
        }
        match self.node.leading() {
            None => Component::bad(
                "raft",
                "no_leader",
                "no leader is known: an election is on, or a majority of masters is missing".to_owned(),
            ),
            // One that its majority has left still believes that it leads.
            Some(_) if self.node.heard_from_leader_ms_ago() > SILENT_LEADER_MS => Component::bad(
                "raft",
                "leader_silent",
                "this master leads, and a majority of masters has not answered it lately".to_owned(),
            ),
            Some(_) => Component::good("raft", "this master leads".to_owned()),
        }
    }

    fn state(&self) -> Component {
        match self.node.shared.read().hot.cluster.is_empty() {
            true => Component::bad("state", "catching_up", "the state of the cluster is not here yet".to_owned()),
            false => Component::good("state", "the state of the cluster is here".to_owned()),
        }
    }

    /// A write that fails ends the process, so one that answers has written.
    fn storage(&self, index: u64) -> Component {
        Component::good("storage", format!("written up to entry {index}"))
    }

    fn certificate(&self) -> Component {
        let left_ms = self.tls.not_after().0.saturating_sub(self.node.now_ms());
        match left_ms {
            0 => Component::bad(
                "certificate",
                "certificate_expired",
                "this master's certificate has expired, and nobody accepts its connections; docs/operations.md says how to renew it".to_owned(),
            ),
            _ => Component::good("certificate", format!("valid for {} more hours", left_ms / 3_600_000)),
        }
    }

    fn count_connections(&self) {
        let peers = self.connections.peers();
        let open = |role: Option<Role>| peers.iter().filter(|p| p.identity.as_ref().map(|i| i.role) == role).count();
        self.node.metrics.set_connections(&[
            ("master", open(Some(Role::Master))),
            ("worker", open(Some(Role::Worker))),
            ("admin", open(Some(Role::Admin))),
            ("observer", open(Some(Role::Observer))),
            ("none", open(None)),
        ]);
    }

    fn leader_gauges(&self, voter_lag: Option<u64>, ack_age: Option<Duration>) {
        let leader = &self.node.metrics.leader;
        let others = self.node.raft.members().by_id.into_values().filter(|m| m.id != self.node.me.node);
        let lags: Vec<(String, u64)> = others.filter_map(|m| Some((m.node.name, m.lag?))).collect();
        leader.set_lags(&lags, voter_lag);
        leader.set_quorum_ack_age(ack_age);
        leader.set_sessions(self.node.hub.sessions());
        leader.set_reserved_workers(self.node.reserved().len());

        let state = self.node.shared.read();
        let hot = &state.hot;
        let workers = |is: fn(&Worker) -> bool| hot.workers.values().filter(|w| is(w)).count() as u64;
        leader.set_workers(&[
            ("ready", workers(|w| w.is_schedulable())),
            ("draining", workers(|w| w.state == WorkerState::Ready && !w.is_schedulable())),
            ("lost", workers(|w| w.state == WorkerState::Lost)),
            ("authorized", workers(|w| w.state == WorkerState::Authorized)),
            ("revoked", workers(|w| w.state == WorkerState::Revoked)),
        ]);
        let ready = hot.workers.values().filter(|w| w.state == WorkerState::Ready);
        let (mut capacity, mut allocated) = (Resources::default(), Resources::default());
        for worker in ready {
            capacity = capacity.plus(&worker.capacity);
            allocated = allocated.plus(&worker.used);
        }
        leader.set_amounts(amounts(&capacity), amounts(&allocated));

        let delayed = hot.delayed.len() as u64;
        let blocked = |(job, gate): (_, &cloudai_core::workflows::Gate)| {
            hot.jobs.get(&job).map_or(0, |job| u64::from(gate.blocked(job.count)))
        };
        leader.set_tasks(&[
            ("queued", hot.backlog.queued().saturating_sub(delayed)),
            ("active", hot.backlog.active()),
            ("delayed", delayed),
            ("blocked", hot.workflows.gates().map(blocked).sum()),
        ]);
        let held = held_up(hot, &self.node.reserved(), limits::HELD_UP_LOOKS_MAX);
        let by_reason: Vec<(&'static str, u64)> =
            held.tasks.into_iter().map(|(by, tasks)| (by.name(), tasks)).collect();
        let now_ms = self.node.log_clock.now_ms();
        let oldest = held.oldest_since_ms.map_or(0, |since| now_ms.saturating_sub(since));
        leader.set_waiting(&by_reason, Duration::from_millis(oldest));
    }
}

fn amounts(r: &Resources) -> Amounts {
    Amounts {
        cpu_cores: r.cpu_milli as f64 / 1000.0,
        memory_bytes: r.memory_bytes,
        disk_bytes: r.storage_bytes,
        gpus: r.gpus.into(),
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
