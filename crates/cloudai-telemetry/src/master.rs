//! The metrics of a master. Comes in: what its loops count, and what it reads from Raft when it is asked for its page. Goes out: the page.
//!
//! Every master knows the replicated state, so a sum over masters would count the cluster thrice: what describes the cluster is
//! exported by the leader only, and goes away with [`LeaderMetrics::clear`].

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use crate::metric::{COUNTS, SECONDS, Sheet, text};
use crate::names;

/// Fields are set and counted by the loop that owns what they describe; cloning shares them.
#[derive(Clone)]
pub struct MasterMetrics {
    registry: Registry,
    pub is_leader: IntGauge,
    pub has_leader: IntGauge,
    pub term: IntGauge,
    pub leader_changes: IntCounter,
    pub last_log_index: IntGauge,
    pub committed_index: IntGauge,
    pub applied_index: IntGauge,
    pub snapshot_index: IntGauge,
    pub purged_index: IntGauge,
    /// Label `result`: `applied`, `not_leader`, `busy`, `unknown`, `failed`.
    pub proposals: IntCounterVec,
    pub proposals_pending: IntGauge,
    /// From a command's arrival to its applied reply.
    pub propose_seconds: Histogram,
    pub commands_per_entry: Histogram,
    pub fsync_seconds: Histogram,
    pub fsyncs: IntCounter,
    storage_memory: IntGaugeVec,
    /// Label `op`: `build`, `send`, `install`.
    pub snapshot_seconds: HistogramVec,
    pub snapshot_bytes: IntGauge,
    /// Label `role`: `master`, `worker`, `admin`, `none`.
    pub connections: IntGaugeVec,
    /// Tasks of the async runtime that have not ended; read when the page is asked for.
    pub runtime_tasks: IntGauge,
    /// Seconds since the Unix epoch.
    pub certificate_end: Gauge,
    pub leader: LeaderMetrics,
}

/// What only the leader exports.
#[derive(Clone)]
pub struct LeaderMetrics {
    tasks: IntGaugeVec,
    workers: IntGaugeVec,
    sessions: IntGaugeVec,
    quorum_ack_age: GaugeVec,
    slowest_voter_lag: IntGaugeVec,
    /// Counters stay when the leadership goes: what this process counted is still true.
    pub pass_seconds: Histogram,
    /// Label `result`: `accepted`, `refused`.
    pub placements: IntCounterVec,
    pub preemptions: IntCounter,
    pub heartbeats: IntCounter,
    pub leases_expired: IntCounter,
    /// Label `outcome`: `ran`, `overlapped`, `missed`, `refused`.
    pub schedule_runs: IntCounterVec,
}

impl MasterMetrics {
    /// `version` is the program's.
    pub fn new(version: &str) -> Self {
        let s = Sheet::new(version);
        MasterMetrics {
            is_leader: s.int_gauge(names::IS_LEADER, "1 while this master is the leader"),
            has_leader: s.int_gauge(names::HAS_LEADER, "1 while this master knows a leader"),
            term: s.int_gauge(names::TERM, "The Raft term that this master knows"),
            leader_changes: s.counter(names::LEADER_CHANGES, "Leaders that this master saw after its first one"),
            last_log_index: s.int_gauge(names::LAST_LOG_INDEX, "Index of the last entry in this master's log"),
            committed_index: s
                .int_gauge(names::COMMITTED_INDEX, "Index up to which this master knows entries committed"),
            applied_index: s.int_gauge(names::APPLIED_INDEX, "Index up to which this master has applied entries"),
            snapshot_index: s.int_gauge(names::SNAPSHOT_INDEX, "Index of the newest checkpoint; 0 without one"),
            purged_index: s.int_gauge(names::PURGED_INDEX, "Index up to which the log was purged"),
            proposals: s.counter_vec(
                names::PROPOSALS,
                "Commands given to the proposer, by how they ended",
                &["result"],
            ),
            proposals_pending: s.int_gauge(names::PROPOSALS_PENDING, "Commands that wait for the proposer"),
            propose_seconds: s.histogram(
                names::PROPOSE_SECONDS,
                "Seconds from a command's arrival at the leader to its applied reply",
                SECONDS,
            ),
            commands_per_entry: s.histogram(names::COMMANDS_PER_ENTRY, "Commands that share one log entry", COUNTS),
            fsync_seconds: s.histogram(names::FSYNC_SECONDS, "Seconds that one fsync of the log takes", SECONDS),
            fsyncs: s.counter(names::FSYNCS, "Fsyncs of the log"),
            storage_memory: s.int_gauge_vec(
                names::STORAGE_MEMORY,
                "What the databases hold in the process's memory, each part up to a bound of its own",
                &["part"],
            ),
            snapshot_seconds: s.histogram_vec(
                names::SNAPSHOT_SECONDS,
                "Seconds to build, send or install a checkpoint",
                SECONDS,
                &["op"],
            ),
            snapshot_bytes: s.int_gauge(names::SNAPSHOT_BYTES, "Size of the newest checkpoint"),
            connections: s.int_gauge_vec(
                names::CONNECTIONS,
                "Open connections on all ports, by the peer's role; none without a certificate",
                &["role"],
            ),
            runtime_tasks: s.int_gauge(names::RUNTIME_TASKS, "Tasks of the async runtime that have not ended"),
            certificate_end: s.gauge(names::CERTIFICATE_END, "When this process's certificate ends, in Unix time"),
            leader: LeaderMetrics::new(&s),
            registry: s.0,
        }
    }

    /// Bytes by part: `caches`, `write_buffers`.
    pub fn set_storage_memory(&self, parts: &[(&str, u64)]) {
        for (part, bytes) in parts {
            self.storage_memory.with_label_values(&[part]).set(i64::try_from(*bytes).unwrap_or(i64::MAX));
        }
    }

    /// The page for Prometheus. Set the gauges first.
    pub fn text(&self) -> String {
        text(&self.registry)
    }
}

impl LeaderMetrics {
    fn new(s: &Sheet) -> Self {
        LeaderMetrics {
            tasks: s.int_gauge_vec(
                names::TASKS,
                "Tasks that have not ended, by state; from the leader only",
                &["state"],
            ),
            workers: s.int_gauge_vec(names::WORKERS, "Registered workers, by state; from the leader only", &["state"]),
            sessions: s.int_gauge_vec(names::SESSIONS, "Workers with an open session; from the leader only", &[]),
            quorum_ack_age: s.gauge_vec(
                names::QUORUM_ACK_AGE,
                "Seconds since a majority last acknowledged this leader; from the leader only",
                &[],
            ),
            slowest_voter_lag: s.int_gauge_vec(
                names::SLOWEST_VOTER_LAG,
                "Entries that the slowest voter is behind; from the leader only",
                &[],
            ),
            pass_seconds: s.histogram(names::PASS_SECONDS, "Seconds that one scheduling pass takes", SECONDS),
            placements: s.counter_vec(names::PLACEMENTS, "Placements proposed, by what apply said", &["result"]),
            preemptions: s.counter(names::PREEMPTIONS, "Attempts that were stopped for a task of a higher priority"),
            heartbeats: s.counter(names::HEARTBEATS, "Heartbeats of workers that this master received as leader"),
            leases_expired: s.counter(names::LEASES_EXPIRED, "Workers that this master declared lost as leader"),
            schedule_runs: s.counter_vec(
                names::SCHEDULE_RUNS,
                "Times of schedules that this master carried out as leader, by what came of them",
                &["outcome"],
            ),
        }
    }

    /// Replaces the counts of all states.
    pub fn set_tasks(&self, by_state: &[(&'static str, u64)]) {
        set_all(&self.tasks, by_state);
    }

    /// Replaces the counts of all states.
    pub fn set_workers(&self, by_state: &[(&'static str, u64)]) {
        set_all(&self.workers, by_state);
    }

    pub fn set_sessions(&self, open: u64) {
        self.sessions.with_label_values::<&str>(&[]).set(signed(open));
    }

    pub fn set_quorum_ack_age(&self, age: std::time::Duration) {
        self.quorum_ack_age.with_label_values::<&str>(&[]).set(age.as_secs_f64());
    }

    pub fn set_slowest_voter_lag(&self, entries: u64) {
        self.slowest_voter_lag.with_label_values::<&str>(&[]).set(signed(entries));
    }

    /// When the leadership is over: the cluster's numbers leave this master's page.
    pub fn clear(&self) {
        self.tasks.reset();
        self.workers.reset();
        self.sessions.reset();
        self.quorum_ack_age.reset();
        self.slowest_voter_lag.reset();
    }
}

fn set_all(gauges: &IntGaugeVec, values: &[(&'static str, u64)]) {
    gauges.reset();
    for (label, value) in values {
        gauges.with_label_values(&[*label]).set(signed(*value));
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector shows nothing before its first label, so each gets one.
    fn filled() -> MasterMetrics {
        let m = MasterMetrics::new("1.2.3");
        m.proposals.with_label_values(&["applied"]).inc();
        m.snapshot_seconds.with_label_values(&["build"]).observe(0.1);
        m.connections.with_label_values(&["worker"]).set(2);
        m.leader.placements.with_label_values(&["accepted"]).inc_by(5);
        m.leader.set_tasks(&[("queued", 7), ("active", 1)]);
        m.leader.set_workers(&[("ready", 2)]);
        m.leader.set_sessions(2);
        m.leader.set_quorum_ack_age(std::time::Duration::from_millis(250));
        m.leader.set_slowest_voter_lag(3);
        m
    }

    #[test]
    fn the_page_keeps_prometheus_rules_and_shows_what_was_counted() {
        let page = filled().text();
        crate::metric::tests::check_rules(&page);
        for line in [
            "cloudai_build_info{version=\"1.2.3\"} 1",
            "cloudai_tasks{state=\"queued\"} 7",
            "cloudai_raft_quorum_ack_age_seconds 0.25",
            "cloudai_scheduler_placements_total{result=\"accepted\"} 5",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }

    #[test]
    fn the_clusters_numbers_leave_with_the_leadership() {
        let m = filled();
        m.leader.set_tasks(&[("queued", 1)]);
        assert!(!m.text().contains("state=\"active\""), "a state that is not named any more is gone");
        m.leader.clear();
        let page = m.text();
        for name in [names::TASKS, names::WORKERS, names::SESSIONS, names::QUORUM_ACK_AGE, names::SLOWEST_VOTER_LAG] {
            assert!(!page.lines().any(|l| l.starts_with(name)), "{name} in\n{page}");
        }
        assert!(page.contains("cloudai_scheduler_placements_total{result=\"accepted\"} 5"), "counters stay");
    }
}
