//! The metrics of a master. Comes in: what its loops count, and what it reads from Raft when it is asked for its page. Goes out: the page.
//!
//! Every master knows the replicated state, so a sum over masters would count the cluster thrice: what describes the cluster is
//! exported by the leader only, and goes away with [`LeaderMetrics::clear`].

use std::time::Duration;

use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::http::HttpMetrics;
use crate::leader::LeaderMetrics;
use crate::metric::{MaybeGauge, Sheet, text};
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
    /// Label `result`: one of [`PROPOSAL_RESULTS`].
    pub proposals: IntCounterVec,
    pub proposals_pending: IntGauge,
    /// From a command's arrival to its applied reply.
    pub propose_seconds: Histogram,
    pub commands_per_entry: Histogram,
    /// One entry, in memory.
    pub apply_seconds: Histogram,
    pub fsync_seconds: Histogram,
    pub fsyncs: IntCounter,
    /// One batch of rows.
    pub commit_seconds: Histogram,
    storage_memory: IntGaugeVec,
    /// Absent where the system does not say.
    pub disk_free_bytes: MaybeGauge,
    snapshots: IntCounterVec,
    snapshot_seconds: HistogramVec,
    pub snapshot_bytes: IntGauge,
    /// Label `role`: `master`, `worker`, `admin`, `observer`, `none`.
    connections: IntGaugeVec,
    pub rpc: RpcMetrics,
    pub http: HttpMetrics,
    pub ws: WsMetrics,
    pub telemetry_samples: IntCounter,
    pub telemetry_bytes: IntGauge,
    /// Counted by the tracer.
    pub spans_dropped: IntCounter,
    /// Tasks of the async runtime that have not ended; read when the page is asked for.
    pub runtime_tasks: IntGauge,
    /// Seconds since the Unix epoch.
    pub certificate_end: Gauge,
    pub leader: LeaderMetrics,
}

/// Calls on port 7601. Whoever counts sees to it that `method` and `code` come from closed lists.
#[derive(Clone)]
pub struct RpcMetrics {
    answered: IntCounterVec,
    seconds: HistogramVec,
    pub running: IntGauge,
}

impl RpcMetrics {
    fn new(s: &Sheet) -> Self {
        RpcMetrics {
            answered: s.counter_vec(names::RPCS),
            seconds: s.histogram_vec(names::RPC_SECONDS),
            running: s.int_gauge(names::RPCS_RUNNING),
        }
    }

    pub fn answered(&self, method: &str, code: &str, took: Duration) {
        self.answered.with_label_values(&[method, code]).inc();
        self.seconds.with_label_values(&[method]).observe(took.as_secs_f64());
    }
}

const PROPOSAL_RESULTS: [&str; 5] = ["applied", "not_leader", "busy", "unknown", "failed"];
/// `op` and `result`.
const SNAPSHOT_ENDS: [[&str; 2]; 6] =
    [["build", "ok"], ["build", "error"], ["send", "ok"], ["send", "error"], ["install", "ok"], ["install", "error"]];
/// Why a WebSocket ends.
const WS_CLOSED_REASONS: [[&str; 1]; 5] = [["client"], ["stalled"], ["silent"], ["behind"], ["stopping"]];

/// WebSockets on port 7600. Whoever counts sees to it that `reason` comes from a closed list.
#[derive(Clone)]
pub struct WsMetrics {
    pub clients: IntGauge,
    pub dropped: IntCounter,
    closed: IntCounterVec,
}

impl WsMetrics {
    fn new(s: &Sheet) -> Self {
        WsMetrics {
            clients: s.int_gauge(names::WS_CLIENTS),
            dropped: s.counter(names::WS_DROPPED),
            closed: s.counters(names::WS_CLOSED, &WS_CLOSED_REASONS),
        }
    }

    pub fn closed(&self, reason: &'static str) {
        self.closed.with_label_values(&[reason]).inc();
    }
}

/// What is done with a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotOp {
    Build,
    Send,
    Install,
}

impl SnapshotOp {
    fn name(self) -> &'static str {
        match self {
            SnapshotOp::Build => "build",
            SnapshotOp::Send => "send",
            SnapshotOp::Install => "install",
        }
    }
}

impl MasterMetrics {
    /// `version` is the program's.
    pub fn new(version: &str) -> Self {
        MasterMetrics::on(&Sheet::new(version))
    }

    fn on(s: &Sheet) -> Self {
        MasterMetrics {
            is_leader: s.int_gauge(names::IS_LEADER),
            has_leader: s.int_gauge(names::HAS_LEADER),
            term: s.int_gauge(names::TERM),
            leader_changes: s.counter(names::LEADER_CHANGES),
            last_log_index: s.int_gauge(names::LAST_LOG_INDEX),
            committed_index: s.int_gauge(names::COMMITTED_INDEX),
            applied_index: s.int_gauge(names::APPLIED_INDEX),
            snapshot_index: s.int_gauge(names::SNAPSHOT_INDEX),
            purged_index: s.int_gauge(names::PURGED_INDEX),
            proposals: s.counters(names::PROPOSALS, &PROPOSAL_RESULTS.map(|result| [result])),
            proposals_pending: s.int_gauge(names::PROPOSALS_PENDING),
            propose_seconds: s.histogram(names::PROPOSE_SECONDS),
            commands_per_entry: s.histogram(names::COMMANDS_PER_ENTRY),
            apply_seconds: s.histogram(names::APPLY_SECONDS),
            fsync_seconds: s.histogram(names::FSYNC_SECONDS),
            fsyncs: s.counter(names::FSYNCS),
            commit_seconds: s.histogram(names::COMMIT_SECONDS),
            storage_memory: s.int_gauge_vec(names::STORAGE_MEMORY),
            disk_free_bytes: MaybeGauge::new(s, names::STORAGE_DISK_FREE),
            snapshots: s.counters(names::SNAPSHOTS, &SNAPSHOT_ENDS),
            snapshot_seconds: s.histograms(names::SNAPSHOT_SECONDS, &[["build"], ["send"], ["install"]]),
            snapshot_bytes: s.int_gauge(names::SNAPSHOT_BYTES),
            connections: s.int_gauge_vec(names::CONNECTIONS),
            rpc: RpcMetrics::new(s),
            http: HttpMetrics::new(s),
            ws: WsMetrics::new(s),
            telemetry_samples: s.counter(names::TELEMETRY_SAMPLES),
            telemetry_bytes: s.int_gauge(names::TELEMETRY_BYTES),
            spans_dropped: s.counter(names::SPANS_DROPPED),
            runtime_tasks: s.int_gauge(names::RUNTIME_TASKS),
            certificate_end: s.gauge(names::CERTIFICATE_END),
            leader: LeaderMetrics::new(s),
            registry: s.registry.clone(),
        }
    }

    /// Bytes by part: `caches`, `write_buffers`.
    pub fn set_storage_memory(&self, parts: &[(&str, u64)]) {
        for (part, bytes) in parts {
            self.storage_memory.with_label_values(&[part]).set(i64::try_from(*bytes).unwrap_or(i64::MAX));
        }
    }

    /// Open connections by role.
    pub fn set_connections(&self, roles: &[(&str, usize)]) {
        for (role, open) in roles {
            self.connections.with_label_values(&[role]).set(i64::try_from(*open).unwrap_or(i64::MAX));
        }
    }

    pub fn snapshot_ended(&self, op: SnapshotOp, took: Duration, is_good: bool) {
        self.snapshots.with_label_values(&[op.name(), if is_good { "ok" } else { "error" }]).inc();
        self.snapshot_seconds.with_label_values(&[op.name()]).observe(took.as_secs_f64());
    }

    /// The page for Prometheus. Set the gauges first.
    pub fn text(&self) -> String {
        text(&self.registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{check_entered, check_page};

    /// A vector shows nothing before its first label, so each gets all that a busy leader gives it: seven masters, and every method with three
    /// codes.
    fn busy() -> MasterMetrics {
        let m = MasterMetrics::new("1.2.3");
        for result in PROPOSAL_RESULTS {
            m.proposals.with_label_values(&[result]).inc();
        }
        for op in [SnapshotOp::Build, SnapshotOp::Send, SnapshotOp::Install] {
            m.snapshot_ended(op, Duration::from_millis(100), true);
            m.snapshot_ended(op, Duration::from_millis(100), false);
        }
        m.set_storage_memory(&[("caches", 1), ("write_buffers", 2)]);
        m.disk_free_bytes.show(Some(1.0));
        m.set_connections(&[("master", 1), ("worker", 2), ("admin", 3), ("observer", 1), ("none", 0)]);
        for method in (0..80).map(|n| format!("Control/Method{n}")) {
            for code in ["ok", "unavailable", "invalid_argument"] {
                m.rpc.answered(&method, code, Duration::from_millis(3));
            }
        }
        for reason in ["client", "stalled", "silent", "behind", "stopping"] {
            m.ws.closed(reason);
        }
        for route in [
            "/metrics",
            "/livez",
            "/readyz",
            "/service-discovery",
            "/workers",
            "/telemetry",
            "/telemetry/{worker}",
            "/telemetry/stream",
            "/telemetry/{worker}/stream",
            "other",
        ] {
            for code in [200, 401, 503] {
                m.http.answered(route, code, Duration::from_millis(1));
            }
        }
        crate::leader::tests::fill(&m.leader);
        m
    }

    #[test]
    fn the_page_has_the_tables_metrics_and_shows_what_was_counted() {
        let sheet = Sheet::new("1.2.3");
        MasterMetrics::on(&sheet);
        check_entered(&sheet, &[names::PROCESS, names::MASTER, names::LEADER]);
        let page = busy().text();
        check_page(&page);
        for m in [names::PROCESS, names::MASTER, names::LEADER].concat() {
            assert!(page.contains(&format!("# TYPE {} ", m.name)), "{} is on the page", m.name);
        }
        for line in [
            "cloudai_build_info{version=\"1.2.3\"} 1",
            "cloudai_tasks{state=\"queued\"} 7",
            "cloudai_raft_quorum_ack_age_seconds 0.25",
            "cloudai_raft_peer_lag_entries{peer=\"master-2\"} 3",
            "cloudai_scheduler_placements_total{result=\"accepted\"} 5",
            "cloudai_rpc_requests_total{code=\"unavailable\",method=\"Control/Method7\"} 1",
            "cloudai_http_requests_total{code=\"401\",route=\"/service-discovery\"} 1",
            "cloudai_raft_snapshots_total{op=\"install\",result=\"error\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }

    /// An alert about the first failure needs the zero before it: what begins at one has never increased.
    #[test]
    fn counters_with_known_labels_are_there_before_they_count() {
        let page = MasterMetrics::new("1.2.3").text();
        for line in [
            "cloudai_raft_proposals_total{result=\"failed\"} 0",
            "cloudai_raft_snapshots_total{op=\"build\",result=\"error\"} 0",
            "cloudai_raft_snapshot_duration_seconds_count{op=\"build\"} 0",
            "cloudai_scheduler_placements_total{result=\"refused\"} 0",
            "cloudai_schedule_runs_total{outcome=\"refused\"} 0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }

    /// Nothing here depends on how many jobs, tasks or workers there are.
    #[test]
    fn the_busiest_leader_has_at_most_two_thousand_series() {
        let series = check_page(&busy().text());
        assert!((500..2_000).contains(&series), "{series}");
    }

    #[test]
    fn the_clusters_numbers_leave_with_the_leadership() {
        let m = busy();
        m.leader.set_tasks(&[("queued", 1)]);
        assert!(!m.text().contains("state=\"active\""), "a state that is not named any more is gone");
        m.leader.clear();
        let page = m.text();
        for metric in names::LEADER.iter().filter(|m| m.kind == names::Kind::Gauge) {
            let name = metric.name;
            assert!(!page.lines().any(|l| l.split(['{', ' ']).next() == Some(name)), "{name} in\n{page}");
        }
        assert!(page.contains("cloudai_scheduler_placements_total{result=\"accepted\"} 5"), "counters stay");
    }
}
