//! Every metric there is, in one table: its name, kind, labels, and what it says. Registries, dashboards, alerts and docs/metrics.md read it.
//! Base units, `_total` on counters, and nothing that grows without bound as a label: no task, user, image or text of an error.

/// One metric, as the pages show it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// A sentence without its full stop.
    pub help: &'static str,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Gauge,
    Counter,
    /// Upper bounds of the buckets, in the metric's unit.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word on the page.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// From 50 µs (an fsync of a good disk) to 10 s (a hung one).
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// What containers, images and checkpoints take.
const LONG_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// What a call takes. Few, because each method has its own.
const CALL_SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];
/// What tasks wait and run: from a tenth of a second to a day.
const TASK_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0];
/// Commands that share one log entry.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// A section of the table: a list of all, and a constant for each.
macro_rules! section {
    ($list:ident: $($id:ident = $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(pub const $id: Metric = Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)+
        pub const $list: &[Metric] = &[$($id),+];
    };
}

use Kind::{Counter, Gauge, Histogram};

section! { PROCESS:
    BUILD_INFO = Gauge, "cloudai_build_info", ["version"], "The version that runs, as a label; always 1";
    RUNTIME_TASKS = Gauge, "cloudai_runtime_tasks", [], "Tasks of the async runtime that have not ended";
    CERTIFICATE_END = Gauge, "cloudai_tls_cert_not_after_timestamp_seconds", [], "When this process's certificate ends, in Unix time";
    SPANS_DROPPED = Counter, "cloudai_tracing_spans_dropped_total", [], "Spans of traces that found the queue full, or that the collector did not take";
    HTTP_REQUESTS = Counter, "cloudai_http_requests_total", ["route", "code"], "Requests answered over HTTP, by route and status code";
    HTTP_SECONDS = Histogram(CALL_SECONDS), "cloudai_http_request_duration_seconds", ["route"], "Seconds that a request over HTTP takes";
}

section! { MASTER:
    IS_LEADER = Gauge, "cloudai_raft_is_leader", [], "1 while this master is the leader";
    HAS_LEADER = Gauge, "cloudai_raft_has_leader", [], "1 while this master knows a leader that was heard of in the last 3 s, or leads with a majority that has answered in them";
    TERM = Gauge, "cloudai_raft_term", [], "The Raft term that this master knows";
    LEADER_CHANGES = Counter, "cloudai_raft_leader_changes_total", [], "Times that this master became the leader";
    LAST_LOG_INDEX = Gauge, "cloudai_raft_last_log_index", [], "Index of the last entry in this master's log";
    COMMITTED_INDEX = Gauge, "cloudai_raft_committed_index", [], "Index up to which this master knows entries committed";
    APPLIED_INDEX = Gauge, "cloudai_raft_applied_index", [], "Index up to which this master has applied entries";
    SNAPSHOT_INDEX = Gauge, "cloudai_raft_snapshot_index", [], "Index of the newest checkpoint; 0 without one";
    PURGED_INDEX = Gauge, "cloudai_raft_purged_index", [], "Index up to which the log was purged";
    PROPOSALS = Counter, "cloudai_raft_proposals_total", ["result"], "Commands given to the proposer, by how they ended";
    PROPOSALS_PENDING = Gauge, "cloudai_raft_proposals_pending", [], "Commands that wait for the proposer";
    PROPOSE_SECONDS = Histogram(SECONDS), "cloudai_raft_propose_duration_seconds", [], "Seconds from a command's arrival at the leader to its applied reply";
    COMMANDS_PER_ENTRY = Histogram(COUNTS), "cloudai_raft_entry_commands", [], "Commands that share one log entry";
    APPLY_SECONDS = Histogram(SECONDS), "cloudai_raft_apply_duration_seconds", [], "Seconds that applying one log entry takes, without writing it down";
    SNAPSHOTS = Counter, "cloudai_raft_snapshots_total", ["op", "result"], "Checkpoints that were built, sent or installed, by how that ended";
    SNAPSHOT_SECONDS = Histogram(LONG_SECONDS), "cloudai_raft_snapshot_duration_seconds", ["op"], "Seconds to build, send or install a checkpoint";
    SNAPSHOT_BYTES = Gauge, "cloudai_raft_snapshot_size_bytes", [], "Size of the checkpoint that was built last; 0 before the first";
    FSYNC_SECONDS = Histogram(SECONDS), "cloudai_storage_fsync_duration_seconds", [], "Seconds that one fsync of the log takes";
    FSYNCS = Counter, "cloudai_storage_fsyncs_total", [], "Fsyncs of the log";
    COMMIT_SECONDS = Histogram(SECONDS), "cloudai_storage_commit_duration_seconds", [], "Seconds that one batch of rows takes into the state database";
    STORAGE_MEMORY = Gauge, "cloudai_storage_memory_bytes", ["part"], "What the databases hold in the process's memory, each part up to a bound of its own";
    STORAGE_DISK_FREE = Gauge, "cloudai_storage_disk_free_bytes", [], "Free space of the disk that has the master's data";
    CONNECTIONS = Gauge, "cloudai_connections", ["role"], "Open connections on all ports, by the peer's role; none without a certificate";
    RPCS = Counter, "cloudai_rpc_requests_total", ["method", "code"], "Calls answered over gRPC, by method and by the code that the answer began with";
    RPC_SECONDS = Histogram(CALL_SECONDS), "cloudai_rpc_request_duration_seconds", ["method"], "Seconds until a call over gRPC is answered; of a stream, until its answer begins";
    RPCS_RUNNING = Gauge, "cloudai_rpc_requests_running", [], "Calls over gRPC that are not answered yet";
    WS_CLIENTS = Gauge, "cloudai_ws_clients", [], "WebSockets that are open";
    WS_DROPPED = Counter, "cloudai_ws_samples_dropped_total", [], "Samples of workers that clients of WebSockets have missed because they were slow; each is told";
    WS_CLOSED = Counter, "cloudai_ws_closed_total", ["reason"], "WebSockets that were closed, by why";
    TELEMETRY_SAMPLES = Counter, "cloudai_telemetry_samples_total", [], "Samples that workers sent to this master as leader";
    TELEMETRY_BYTES = Gauge, "cloudai_telemetry_held_bytes", [], "Samples and frames of live telemetry in this process's memory, those that slow clients hold included";
}

section! { LEADER:
    TASKS = Gauge, "cloudai_tasks", ["state"], "Tasks that have not ended, by state; from the leader only";
    QUEUE_WAIT = Histogram(TASK_SECONDS), "cloudai_task_queue_wait_seconds", [], "Seconds from a task's submit (or its release from a workflow) to the start of its first attempt";
    RUN_SECONDS = Histogram(TASK_SECONDS), "cloudai_task_run_duration_seconds", ["outcome"], "Seconds that an attempt's program ran, by success and failure";
    ATTEMPTS_ENDED = Counter, "cloudai_attempts_ended_total", ["reason"], "Attempts that ended, by reason; success for exit code 0";
    RETRIES = Counter, "cloudai_task_retries_total", ["reason"], "Attempts after which their task waits again, by the reason of their end";
    WAITING = Gauge, "cloudai_scheduler_waiting_tasks", ["reason"], "Tasks that wait for a worker, by what keeps them; from the leader only";
    OLDEST_WAITING = Gauge, "cloudai_scheduler_oldest_waiting_task_seconds", [], "Age of the oldest job that has a task ready to start; 0 without one; from the leader only";
    RESERVED_WORKERS = Gauge, "cloudai_scheduler_reserved_workers", [], "Workers that are kept for tasks which fit nowhere; from the leader only";
    PASS_SECONDS = Histogram(SECONDS), "cloudai_scheduler_pass_duration_seconds", [], "Seconds that one scheduling pass takes";
    PLACEMENTS = Counter, "cloudai_scheduler_placements_total", ["result"], "Placements proposed, by what apply said";
    PREEMPTIONS = Counter, "cloudai_scheduler_preemptions_total", [], "Attempts that were stopped for a task of a higher priority";
    SCHEDULE_RUNS = Counter, "cloudai_schedule_runs_total", ["outcome"], "Times of schedules that this master carried out as leader, by what came of them";
    WORKERS = Gauge, "cloudai_workers", ["state"], "Registered workers, by state; from the leader only";
    SESSIONS = Gauge, "cloudai_worker_sessions", [], "Workers with an open session; from the leader only";
    HEARTBEATS = Counter, "cloudai_heartbeats_total", [], "Heartbeats of workers that this master received as leader";
    LEASES_EXPIRED = Counter, "cloudai_leases_expired_total", [], "Workers that this master declared lost as leader";
    CPU_CAPACITY = Gauge, "cloudai_cluster_cpu_capacity_cores", [], "CPU of the workers that are ready; from the leader only";
    CPU_ALLOCATED = Gauge, "cloudai_cluster_cpu_allocated_cores", [], "CPU that attempts hold; from the leader only";
    MEMORY_CAPACITY = Gauge, "cloudai_cluster_memory_capacity_bytes", [], "Memory of the workers that are ready; from the leader only";
    MEMORY_ALLOCATED = Gauge, "cloudai_cluster_memory_allocated_bytes", [], "Memory that attempts hold; from the leader only";
    DISK_CAPACITY = Gauge, "cloudai_cluster_disk_capacity_bytes", [], "Disk of the workers that are ready; from the leader only";
    DISK_ALLOCATED = Gauge, "cloudai_cluster_disk_allocated_bytes", [], "Disk that attempts hold; from the leader only";
    GPU_CAPACITY = Gauge, "cloudai_cluster_gpu_capacity", [], "GPUs of the workers that are ready; from the leader only";
    GPU_ALLOCATED = Gauge, "cloudai_cluster_gpu_allocated", [], "GPUs that attempts hold; from the leader only";
    QUORUM_ACK_AGE = Gauge, "cloudai_raft_quorum_ack_age_seconds", [], "Seconds since a majority last acknowledged this leader; from the leader only";
    PEER_LAG = Gauge, "cloudai_raft_peer_lag_entries", ["peer"], "Entries that a master is behind the leader, by its name; from the leader only";
    SLOWEST_VOTER_LAG = Gauge, "cloudai_raft_slowest_voter_lag_entries", [], "Entries that the slowest voter is behind; from the leader only";
}

section! { WORKER:
    WORKER_CONNECTED = Gauge, "cloudai_worker_connected", [], "1 while this worker has a session with the leader";
    WORKER_RECONNECTS = Counter, "cloudai_worker_master_reconnects_total", [], "Sessions that were opened after the first one";
    WORKER_HEARTBEAT_SECONDS = Histogram(SECONDS), "cloudai_worker_heartbeat_rtt_seconds", [], "Seconds from a heartbeat to its acknowledgement";
    WORKER_TASKS = Gauge, "cloudai_worker_tasks", ["state"], "Attempts on this worker, by state";
    WORKER_ENDED = Counter, "cloudai_worker_attempts_ended_total", ["reason"], "Endings that were reported, by reason; one that is sent again counts again";
    WORKER_OUTBOX = Gauge, "cloudai_worker_outbox_reports", [], "Reports that no leader has acknowledged yet";
    WORKER_CPU_CAPACITY = Gauge, "cloudai_worker_cpu_capacity_cores", [], "CPU that this worker offers";
    WORKER_CPU_ALLOCATED = Gauge, "cloudai_worker_cpu_allocated_cores", [], "CPU that attempts hold";
    WORKER_CPU_BUSY = Gauge, "cloudai_worker_cpu_busy_ratio", [], "Share of the machine's CPUs in use, whoever uses them";
    WORKER_MEMORY_CAPACITY = Gauge, "cloudai_worker_memory_capacity_bytes", [], "Memory that this worker offers";
    WORKER_MEMORY_ALLOCATED = Gauge, "cloudai_worker_memory_allocated_bytes", [], "Memory that attempts hold";
    WORKER_MEMORY_USED = Gauge, "cloudai_worker_memory_used_bytes", [], "Memory of the machine in use, whoever uses it";
    WORKER_DISK_CAPACITY = Gauge, "cloudai_worker_disk_capacity_bytes", [], "Disk that this worker offers";
    WORKER_DISK_ALLOCATED = Gauge, "cloudai_worker_disk_allocated_bytes", [], "Disk that attempts hold";
    WORKER_DISK_FREE = Gauge, "cloudai_worker_disk_free_bytes", [], "Free space of the disk that has the worker's data";
    WORKER_GPU_CAPACITY = Gauge, "cloudai_worker_gpu_capacity", [], "GPUs that this worker offers";
    WORKER_GPU_ALLOCATED = Gauge, "cloudai_worker_gpu_allocated", [], "GPUs that attempts hold";
    WORKER_GPU_MEMORY = Gauge, "cloudai_worker_gpu_memory_bytes", ["gpu"], "Memory that a GPU has";
    WORKER_GPU_MEMORY_USED = Gauge, "cloudai_worker_gpu_memory_used_bytes", ["gpu"], "Memory of a GPU that is in use, whoever uses it";
    WORKER_GPU_BUSY = Gauge, "cloudai_worker_gpu_busy_ratio", ["gpu"], "Share of the GPU's last sample period in which something ran on it";
    WORKER_GPU_CELSIUS = Gauge, "cloudai_worker_gpu_temperature_celsius", ["gpu"], "Temperature of a GPU's chip";
    WORKER_ENGINE_UP = Gauge, "cloudai_worker_engine_up", [], "1 while the container engine answers; absent on a worker without one";
    WORKER_OPS = Counter, "cloudai_worker_container_ops_total", ["op", "result"], "Calls to the container engine, by how they ended";
    WORKER_OP_SECONDS = Histogram(LONG_SECONDS), "cloudai_worker_container_op_duration_seconds", ["op"], "Seconds that a call to the container engine takes";
    WORKER_LOGS_OWED = Gauge, "cloudai_worker_logs_to_store", [], "Logs of ended attempts that the store has not got yet";
    WORKER_LOGS_STORED = Counter, "cloudai_worker_logs_stored_total", ["result"], "Logs sent to the store, by how that ended";
    WORKER_LOGS_LOST = Counter, "cloudai_worker_logs_lost_total", [], "Logs that went before the store had them";
    WORKER_LOG_MIRROR_DROPPED = Counter, "cloudai_worker_log_mirror_lines_dropped_total", [], "Lines of task output that the mirror for log shippers left out, because its disk was full or slow";
    WORKER_PULLS = Counter, "cloudai_worker_image_pulls_total", ["result"], "Image pulls, by how they ended";
    WORKER_PULLS_RUNNING = Gauge, "cloudai_worker_image_pulls_running", [], "Image pulls that have not ended";
    WORKER_PULL_BYTES = Counter, "cloudai_worker_image_pull_bytes_total", [], "Bytes of layers that came from registries";
    WORKER_IMAGES_REMOVED = Counter, "cloudai_worker_images_removed_total", [], "Images that were removed to make room";
}

/// The whole table, with whose page each section is on.
pub const ALL: [(&str, &[Metric]); 4] =
    [("Every master and worker", PROCESS), ("Every master", MASTER), ("The leader", LEADER), ("Every worker", WORKER)];

/// The metric of which a page shows a series of this name: a histogram has three, with suffixes.
pub fn of_series(name: &str) -> Option<&'static Metric> {
    let all = || ALL.into_iter().flat_map(|(_, section)| section);
    let of = |suffix: &str| {
        let base = name.strip_suffix(suffix)?;
        all().find(|m| m.name == base && matches!(m.kind, Kind::Histogram(_)))
    };
    let plain = all().find(|m| m.name == name && !matches!(m.kind, Kind::Histogram(_)));
    plain.or_else(|| of("_bucket")).or_else(|| of("_sum")).or_else(|| of("_count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_kind_and_unit() {
        let mut names = std::collections::BTreeSet::new();
        for metric in ALL.into_iter().flat_map(|(_, section)| section) {
            let Metric { name, kind, labels, help } = metric;
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with("cloudai_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(
                !["_ms", "_millis", "_us", "_kb", "_mb"].iter().any(|unit| name.ends_with(unit)),
                "{name}: base units"
            );
            assert!(
                !labels.iter().any(|label| ["le", "job", "instance"].contains(label)),
                "{name}: Prometheus's own labels"
            );
            assert!(help.len() > 10 && !help.ends_with('.'), "{name}: {help}");
            if let Kind::Histogram(bounds) = kind {
                assert!(bounds.is_sorted() && bounds.len() < 20, "{name}");
            }
        }
    }

    #[test]
    fn a_series_is_of_its_metric() {
        assert_eq!(of_series("cloudai_tasks"), Some(&TASKS));
        assert_eq!(of_series("cloudai_task_queue_wait_seconds_bucket"), Some(&QUEUE_WAIT));
        assert_eq!(of_series("cloudai_task_queue_wait_seconds"), None, "a histogram has no series of its own name");
        assert_eq!(of_series("cloudai_tasks_count"), None);
    }
}
