//! The name of every metric, for the registries, dashboards and alerts alike. Base units, `_total` on counters, and nothing that grows without
//! bound as a label.

// ---- Every process ----------------------------------------------------------------------------------------------------

pub const BUILD_INFO: &str = "cloudai_build_info";
pub const RUNTIME_TASKS: &str = "cloudai_runtime_tasks";
pub const CERTIFICATE_END: &str = "cloudai_tls_cert_not_after_timestamp_seconds";

// ---- Raft, on every master --------------------------------------------------------------------------------------------

pub const IS_LEADER: &str = "cloudai_raft_is_leader";
pub const HAS_LEADER: &str = "cloudai_raft_has_leader";
pub const TERM: &str = "cloudai_raft_term";
pub const LEADER_CHANGES: &str = "cloudai_raft_leader_changes_total";
pub const LAST_LOG_INDEX: &str = "cloudai_raft_last_log_index";
pub const COMMITTED_INDEX: &str = "cloudai_raft_committed_index";
pub const APPLIED_INDEX: &str = "cloudai_raft_applied_index";
pub const SNAPSHOT_INDEX: &str = "cloudai_raft_snapshot_index";
pub const PURGED_INDEX: &str = "cloudai_raft_purged_index";
pub const PROPOSALS: &str = "cloudai_raft_proposals_total";
pub const PROPOSALS_PENDING: &str = "cloudai_raft_proposals_pending";
pub const PROPOSE_SECONDS: &str = "cloudai_raft_propose_duration_seconds";
pub const COMMANDS_PER_ENTRY: &str = "cloudai_raft_entry_commands";
pub const FSYNC_SECONDS: &str = "cloudai_storage_fsync_duration_seconds";
pub const FSYNCS: &str = "cloudai_storage_fsyncs_total";
pub const STORAGE_MEMORY: &str = "cloudai_storage_memory_bytes";
pub const SNAPSHOT_SECONDS: &str = "cloudai_raft_snapshot_duration_seconds";
pub const SNAPSHOT_BYTES: &str = "cloudai_raft_snapshot_size_bytes";
pub const CONNECTIONS: &str = "cloudai_connections";

// ---- The cluster, on the leader only ----------------------------------------------------------------------------------

pub const TASKS: &str = "cloudai_tasks";
pub const WORKERS: &str = "cloudai_workers";
pub const SESSIONS: &str = "cloudai_worker_sessions";
pub const QUORUM_ACK_AGE: &str = "cloudai_raft_quorum_ack_age_seconds";
pub const SLOWEST_VOTER_LAG: &str = "cloudai_raft_slowest_voter_lag_entries";
pub const PASS_SECONDS: &str = "cloudai_scheduler_pass_duration_seconds";
pub const PLACEMENTS: &str = "cloudai_scheduler_placements_total";
pub const PREEMPTIONS: &str = "cloudai_scheduler_preemptions_total";
pub const HEARTBEATS: &str = "cloudai_heartbeats_total";
pub const LEASES_EXPIRED: &str = "cloudai_leases_expired_total";
pub const SCHEDULE_RUNS: &str = "cloudai_schedule_runs_total";

// ---- Workers ----------------------------------------------------------------------------------------------------------

pub const WORKER_CONNECTED: &str = "cloudai_worker_connected";
pub const WORKER_RECONNECTS: &str = "cloudai_worker_master_reconnects_total";
pub const WORKER_HEARTBEAT_SECONDS: &str = "cloudai_worker_heartbeat_rtt_seconds";
pub const WORKER_TASKS: &str = "cloudai_worker_tasks";
pub const WORKER_ENDED: &str = "cloudai_worker_attempts_ended_total";
pub const WORKER_OUTBOX: &str = "cloudai_worker_outbox_reports";
pub const WORKER_CPU_CAPACITY: &str = "cloudai_worker_cpu_capacity_cores";
pub const WORKER_CPU_ALLOCATED: &str = "cloudai_worker_cpu_allocated_cores";
pub const WORKER_MEMORY_CAPACITY: &str = "cloudai_worker_memory_capacity_bytes";
pub const WORKER_MEMORY_ALLOCATED: &str = "cloudai_worker_memory_allocated_bytes";
pub const WORKER_GPU_MEMORY: &str = "cloudai_worker_gpu_memory_bytes";
pub const WORKER_GPU_MEMORY_USED: &str = "cloudai_worker_gpu_memory_used_bytes";
pub const WORKER_GPU_BUSY: &str = "cloudai_worker_gpu_busy_ratio";
pub const WORKER_GPU_CELSIUS: &str = "cloudai_worker_gpu_temperature_celsius";
pub const WORKER_OPS: &str = "cloudai_worker_container_ops_total";
pub const WORKER_OP_SECONDS: &str = "cloudai_worker_container_op_duration_seconds";
pub const WORKER_LOGS_OWED: &str = "cloudai_worker_logs_to_store";
pub const WORKER_LOGS_STORED: &str = "cloudai_worker_logs_stored_total";
pub const WORKER_LOGS_LOST: &str = "cloudai_worker_logs_lost_total";
pub const WORKER_PULLS: &str = "cloudai_worker_image_pulls_total";
pub const WORKER_PULLS_RUNNING: &str = "cloudai_worker_image_pulls_running";
pub const WORKER_PULL_BYTES: &str = "cloudai_worker_image_pull_bytes_total";
pub const WORKER_IMAGES_REMOVED: &str = "cloudai_worker_images_removed_total";
