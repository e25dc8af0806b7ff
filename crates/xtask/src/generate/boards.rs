//! What the dashboards show: the one place for each panel's title, meaning, unit and queries. Comes in: nothing. Goes out: boards, for
//! [`super::dashboard`] to write as Grafana reads them.
//!
//! In a query `$of` stands for the matchers that the dashboard's variables make. What only the leader exports is asked with `max`, never with `sum`: for
//! a moment after a change of leader two masters may have it.

pub struct Board {
    /// Of its file, and after `cloudai-` its address in Grafana.
    pub name: &'static str,
    pub title: &'static str,
    /// Whose series the variable `instance` offers: `master` or `worker`.
    pub role: &'static str,
    pub rows: &'static [Row],
}

pub struct Row {
    pub title: &'static str,
    pub panels: &'static [Panel],
}

pub struct Panel {
    pub title: &'static str,
    /// A sentence, with what to do or to look at where it helps.
    pub about: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// Legend and query.
    pub lines: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Lines,
    /// Lines that add up.
    Stack,
    Number,
    /// Lines of a log; the query is Loki's.
    Logs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Plain,
    Seconds,
    Bytes,
    /// 0 to 1.
    Share,
    PerSecond,
    Celsius,
    UnixTime,
}

const fn lines(title: &'static str, unit: Unit, about: &'static str, lines: Lines) -> Panel {
    Panel { title, about, kind: Kind::Lines, unit, lines }
}

const fn stack(title: &'static str, unit: Unit, about: &'static str, lines: Lines) -> Panel {
    Panel { title, about, kind: Kind::Stack, unit, lines }
}

const fn number(title: &'static str, unit: Unit, about: &'static str, lines: Lines) -> Panel {
    Panel { title, about, kind: Kind::Number, unit, lines }
}

const fn logs(title: &'static str, about: &'static str, lines: Lines) -> Panel {
    Panel { title, about, kind: Kind::Logs, unit: Unit::Plain, lines }
}

type Lines = &'static [(&'static str, &'static str)];

use Unit::{Bytes, Celsius, PerSecond, Plain, Seconds, Share, UnixTime};

pub fn all() -> [Board; 6] {
    [OVERVIEW, RAFT, SCHEDULER, WORKERS, API, LOGS]
}

const OVERVIEW: Board = Board {
    name: "overview",
    title: "CloudAI / Overview",
    role: "master",
    rows: &[
        Row {
            title: "Is it well?",
            panels: &[
                number(
                    "Leader",
                    Plain,
                    "1 while some master knows a leader; without one nothing is accepted.",
                    &[("", r#"max(cloudai_raft_has_leader{$of})"#)],
                ),
                number(
                    "Masters up",
                    Plain,
                    "Masters that Prometheus reaches; a majority of them must be.",
                    &[("", r#"sum(up{job=~"$job"})"#)],
                ),
                number(
                    "Workers ready",
                    Plain,
                    "Workers that take new tasks.",
                    &[("", r#"max(cloudai_workers{$of,state="ready"})"#)],
                ),
                number(
                    "Oldest waiting",
                    Seconds,
                    "Age of the oldest job that has a task ready to start.",
                    &[("", r#"max(cloudai_scheduler_oldest_waiting_task_seconds{$of})"#)],
                ),
            ],
        },
        Row {
            title: "Tasks",
            panels: &[
                stack(
                    "Tasks by state",
                    Plain,
                    "Tasks that have not ended. Blocked ones wait for other jobs of their workflow, delayed ones for their next try.",
                    &[("{{state}}", r#"max by (state) (cloudai_tasks{$of})"#)],
                ),
                lines(
                    "Queue wait",
                    Seconds,
                    "From submit to start, the number that users feel. Long with workers idle: see the scheduler's dashboard.",
                    &[
                        (
                            "p50",
                            r#"histogram_quantile(0.5, sum by (le) (rate(cloudai_task_queue_wait_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                        (
                            "p95",
                            r#"histogram_quantile(0.95, sum by (le) (rate(cloudai_task_queue_wait_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                        (
                            "p99",
                            r#"histogram_quantile(0.99, sum by (le) (rate(cloudai_task_queue_wait_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                    ],
                ),
                stack(
                    "Attempts ended",
                    PerSecond,
                    "By reason. Everything but success is somebody's trouble.",
                    &[("{{reason}}", r#"sum by (reason) (rate(cloudai_attempts_ended_total{$of}[$__rate_interval]))"#)],
                ),
            ],
        },
        Row {
            title: "Room",
            panels: &[
                lines(
                    "CPU",
                    Plain,
                    "Cores that attempts hold, and those of the workers that are ready.",
                    &[
                        ("held", r#"max(cloudai_cluster_cpu_allocated_cores{$of})"#),
                        ("capacity", r#"max(cloudai_cluster_cpu_capacity_cores{$of})"#),
                    ],
                ),
                lines(
                    "Memory",
                    Bytes,
                    "Memory that attempts hold, and that of the workers that are ready.",
                    &[
                        ("held", r#"max(cloudai_cluster_memory_allocated_bytes{$of})"#),
                        ("capacity", r#"max(cloudai_cluster_memory_capacity_bytes{$of})"#),
                    ],
                ),
                lines(
                    "GPUs",
                    Plain,
                    "GPUs that attempts hold, and those of the workers that are ready.",
                    &[
                        ("held", r#"max(cloudai_cluster_gpu_allocated{$of})"#),
                        ("capacity", r#"max(cloudai_cluster_gpu_capacity{$of})"#),
                    ],
                ),
                lines(
                    "Disk",
                    Bytes,
                    "Disk that attempts hold, and that of the workers that are ready.",
                    &[
                        ("held", r#"max(cloudai_cluster_disk_allocated_bytes{$of})"#),
                        ("capacity", r#"max(cloudai_cluster_disk_capacity_bytes{$of})"#),
                    ],
                ),
                lines(
                    "Workers by state",
                    Plain,
                    "Lost ones did not renew their lease; their tasks run elsewhere.",
                    &[("{{state}}", r#"max by (state) (cloudai_workers{$of})"#)],
                ),
                lines(
                    "Versions",
                    Plain,
                    "Processes by the version that they run; more than one for long is an upgrade that did not end.",
                    &[("{{version}}", r#"count by (version) (cloudai_build_info)"#)],
                ),
            ],
        },
    ],
};

const RAFT: Board = Board {
    name: "raft",
    title: "CloudAI / Raft and storage",
    role: "master",
    rows: &[
        Row {
            title: "Leadership",
            panels: &[
                lines(
                    "Who leads",
                    Plain,
                    "1 for the leader. Two at once for longer than a moment is a fault of the clocks of this page, not of Raft.",
                    &[("{{instance}}", r#"cloudai_raft_is_leader{$of}"#)],
                ),
                lines(
                    "Changes of leader",
                    Plain,
                    "In an hour. More than a few mean slow disks, a slow network, or a master that starts again and again.",
                    &[("changes", r#"sum(increase(cloudai_raft_leader_changes_total{$of}[1h]))"#)],
                ),
                lines(
                    "Term",
                    Plain,
                    "Grows with each election, won or not.",
                    &[("{{instance}}", r#"cloudai_raft_term{$of}"#)],
                ),
                lines(
                    "Age of the last majority",
                    Seconds,
                    "How long ago a majority last answered the leader; above a second it renews no leases.",
                    &[("{{instance}}", r#"cloudai_raft_quorum_ack_age_seconds{$of}"#)],
                ),
            ],
        },
        Row {
            title: "Writes",
            panels: &[
                stack(
                    "Commands",
                    PerSecond,
                    "Given to the proposer, by how they ended.",
                    &[("{{result}}", r#"sum by (result) (rate(cloudai_raft_proposals_total{$of}[$__rate_interval]))"#)],
                ),
                lines(
                    "Commands waiting",
                    Plain,
                    "For the proposer; it refuses more than its queue holds.",
                    &[("{{instance}}", r#"cloudai_raft_proposals_pending{$of}"#)],
                ),
                lines(
                    "From arrival to reply",
                    Seconds,
                    "What one write takes at the leader, its fsyncs and its majority included.",
                    &[
                        (
                            "p50",
                            r#"histogram_quantile(0.5, sum by (le) (rate(cloudai_raft_propose_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                        (
                            "p99",
                            r#"histogram_quantile(0.99, sum by (le) (rate(cloudai_raft_propose_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                    ],
                ),
                lines(
                    "Commands per entry",
                    Plain,
                    "The mean; commands that come together share an entry and its fsync.",
                    &[(
                        "{{instance}}",
                        r#"rate(cloudai_raft_entry_commands_sum{$of}[$__rate_interval]) / rate(cloudai_raft_entry_commands_count{$of}[$__rate_interval])"#,
                    )],
                ),
                lines(
                    "Fsync",
                    Seconds,
                    "The p99 of one fsync of the log. Above 10 ms the disk is slow, and with it every write.",
                    &[(
                        "{{instance}}",
                        r#"histogram_quantile(0.99, sum by (le, instance) (rate(cloudai_storage_fsync_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
                lines(
                    "Fsyncs",
                    PerSecond,
                    "Fsyncs of the log, by master.",
                    &[("{{instance}}", r#"rate(cloudai_storage_fsyncs_total{$of}[$__rate_interval])"#)],
                ),
                lines(
                    "Apply",
                    Seconds,
                    "The p99 of applying one entry, in memory.",
                    &[(
                        "{{instance}}",
                        r#"histogram_quantile(0.99, sum by (le, instance) (rate(cloudai_raft_apply_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
                lines(
                    "Rows written",
                    Seconds,
                    "The p99 of one batch of rows into the state database.",
                    &[(
                        "{{instance}}",
                        r#"histogram_quantile(0.99, sum by (le, instance) (rate(cloudai_storage_commit_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
            ],
        },
        Row {
            title: "Followers",
            panels: &[
                lines(
                    "Lag",
                    Plain,
                    "Entries that a master is behind the leader. One that grows without end will need a checkpoint.",
                    &[("{{peer}}", r#"max by (peer) (cloudai_raft_peer_lag_entries{$of})"#)],
                ),
                lines(
                    "Slowest voter",
                    Plain,
                    "Entries that the slowest voter is behind the leader.",
                    &[("lag", r#"max(cloudai_raft_slowest_voter_lag_entries{$of})"#)],
                ),
                lines(
                    "Committed, not applied",
                    Plain,
                    "Entries that a master knows committed and has not applied.",
                    &[(
                        "{{instance}}",
                        r#"clamp_min(cloudai_raft_committed_index{$of} - cloudai_raft_applied_index{$of}, 0)"#,
                    )],
                ),
                lines(
                    "Log kept",
                    Plain,
                    "Entries between what was purged and the last one.",
                    &[("{{instance}}", r#"cloudai_raft_last_log_index{$of} - cloudai_raft_purged_index{$of}"#)],
                ),
            ],
        },
        Row {
            title: "Checkpoints and memory",
            panels: &[
                lines(
                    "Checkpoints",
                    Plain,
                    "In an hour, by what was done with them and how that ended.",
                    &[(
                        "{{op}} {{result}}",
                        r#"sum by (op, result) (increase(cloudai_raft_snapshots_total{$of}[1h]))"#,
                    )],
                ),
                lines(
                    "What a checkpoint takes",
                    Seconds,
                    "The p99 of building, sending and installing one.",
                    &[(
                        "{{op}}",
                        r#"histogram_quantile(0.99, sum by (le, op) (rate(cloudai_raft_snapshot_duration_seconds_bucket{$of}[1h])))"#,
                    )],
                ),
                lines(
                    "Size",
                    Bytes,
                    "Of the checkpoint that was built last.",
                    &[("{{instance}}", r#"cloudai_raft_snapshot_size_bytes{$of}"#)],
                ),
                lines(
                    "Entries since the last",
                    Plain,
                    "Entries applied since the newest checkpoint.",
                    &[("{{instance}}", r#"cloudai_raft_applied_index{$of} - cloudai_raft_snapshot_index{$of}"#)],
                ),
                stack(
                    "Memory of the databases",
                    Bytes,
                    "Each part has a bound of its own.",
                    &[("{{instance}} {{part}}", r#"cloudai_storage_memory_bytes{$of}"#)],
                ),
                lines(
                    "Disk free",
                    Bytes,
                    "On the disk that has the master's data; a full one ends the master.",
                    &[("{{instance}}", r#"cloudai_storage_disk_free_bytes{$of}"#)],
                ),
                lines(
                    "Memory of the process",
                    Bytes,
                    "What the system says that it has in memory.",
                    &[("{{instance}}", r#"process_resident_memory_bytes{$of}"#)],
                ),
            ],
        },
    ],
};

const SCHEDULER: Board = Board {
    name: "scheduler",
    title: "CloudAI / Scheduler",
    role: "master",
    rows: &[
        Row {
            title: "Waiting",
            panels: &[
                lines(
                    "Queue wait",
                    Seconds,
                    "From a task's submit to the start of its first attempt.",
                    &[
                        (
                            "p50",
                            r#"histogram_quantile(0.5, sum by (le) (rate(cloudai_task_queue_wait_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                        (
                            "p95",
                            r#"histogram_quantile(0.95, sum by (le) (rate(cloudai_task_queue_wait_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                        (
                            "p99",
                            r#"histogram_quantile(0.99, sum by (le) (rate(cloudai_task_queue_wait_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                    ],
                ),
                stack(
                    "Why tasks wait",
                    Plain,
                    "Busy and turn pass by themselves; too_small, missing_label, unmet_expression and tainted do not: cloudai task explain says what would help.",
                    &[("{{reason}}", r#"max by (reason) (cloudai_scheduler_waiting_tasks{$of})"#)],
                ),
                lines(
                    "Oldest waiting",
                    Seconds,
                    "Age of the oldest job that has a task ready to start.",
                    &[("age", r#"max(cloudai_scheduler_oldest_waiting_task_seconds{$of})"#)],
                ),
                lines(
                    "Workers kept",
                    Plain,
                    "For tasks that fit nowhere and were passed by others.",
                    &[("kept", r#"max(cloudai_scheduler_reserved_workers{$of})"#)],
                ),
            ],
        },
        Row {
            title: "Passes",
            panels: &[
                lines(
                    "One pass",
                    Seconds,
                    "What one look at the queue takes.",
                    &[
                        (
                            "p50",
                            r#"histogram_quantile(0.5, sum by (le) (rate(cloudai_scheduler_pass_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                        (
                            "p99",
                            r#"histogram_quantile(0.99, sum by (le) (rate(cloudai_scheduler_pass_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                        ),
                    ],
                ),
                stack(
                    "Placements",
                    PerSecond,
                    "Refused ones were planned on a state that had changed; they are planned again.",
                    &[(
                        "{{result}}",
                        r#"sum by (result) (rate(cloudai_scheduler_placements_total{$of}[$__rate_interval]))"#,
                    )],
                ),
                lines(
                    "Preemptions",
                    PerSecond,
                    "Attempts that were stopped for a task of a higher priority.",
                    &[("stopped", r#"sum(rate(cloudai_scheduler_preemptions_total{$of}[$__rate_interval]))"#)],
                ),
                stack(
                    "Schedules",
                    PerSecond,
                    "Refused ones have a job that is not accepted any more.",
                    &[(
                        "{{outcome}}",
                        r#"sum by (outcome) (rate(cloudai_schedule_runs_total{$of}[$__rate_interval]))"#,
                    )],
                ),
            ],
        },
        Row {
            title: "Attempts",
            panels: &[
                stack(
                    "Ended",
                    PerSecond,
                    "Attempts that ended, by the reason of their end.",
                    &[("{{reason}}", r#"sum by (reason) (rate(cloudai_attempts_ended_total{$of}[$__rate_interval]))"#)],
                ),
                stack(
                    "Tried again",
                    PerSecond,
                    "Attempts after which their task waits again, by the reason of their end.",
                    &[("{{reason}}", r#"sum by (reason) (rate(cloudai_task_retries_total{$of}[$__rate_interval]))"#)],
                ),
                lines(
                    "Run time",
                    Seconds,
                    "The median, of successes and failures apart: what fails in a second is seldom the machine's fault.",
                    &[(
                        "{{outcome}}",
                        r#"histogram_quantile(0.5, sum by (le, outcome) (rate(cloudai_task_run_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
            ],
        },
        Row {
            title: "Leases",
            panels: &[
                lines(
                    "Workers lost",
                    Plain,
                    "In an hour: leases that ran out.",
                    &[("lost", r#"sum(increase(cloudai_leases_expired_total{$of}[1h]))"#)],
                ),
                lines(
                    "Heartbeats",
                    PerSecond,
                    "Heartbeats that the leader took, of all workers.",
                    &[("heartbeats", r#"sum(rate(cloudai_heartbeats_total{$of}[$__rate_interval]))"#)],
                ),
                lines(
                    "Sessions",
                    Plain,
                    "Workers with an open session; fewer than are ready means that some are about to be lost.",
                    &[
                        ("sessions", r#"max(cloudai_worker_sessions{$of})"#),
                        ("ready or draining", r#"sum(max by (state) (cloudai_workers{$of,state=~"ready|draining"}))"#),
                    ],
                ),
            ],
        },
    ],
};

const WORKERS: Board = Board {
    name: "workers",
    title: "CloudAI / Workers",
    role: "worker",
    rows: &[
        Row {
            title: "Room",
            panels: &[
                lines(
                    "CPU held",
                    Share,
                    "What attempts hold of what the worker offers.",
                    &[(
                        "{{instance}}",
                        r#"cloudai_worker_cpu_allocated_cores{$of} / cloudai_worker_cpu_capacity_cores{$of}"#,
                    )],
                ),
                lines(
                    "CPU in use",
                    Share,
                    "Of the whole machine, whoever uses it.",
                    &[("{{instance}}", r#"cloudai_worker_cpu_busy_ratio{$of}"#)],
                ),
                lines(
                    "Memory held",
                    Share,
                    "What attempts hold of what the worker offers.",
                    &[(
                        "{{instance}}",
                        r#"cloudai_worker_memory_allocated_bytes{$of} / cloudai_worker_memory_capacity_bytes{$of}"#,
                    )],
                ),
                lines(
                    "Memory in use",
                    Bytes,
                    "Of the whole machine, whoever uses it.",
                    &[("{{instance}}", r#"cloudai_worker_memory_used_bytes{$of}"#)],
                ),
                lines(
                    "Disk held",
                    Bytes,
                    "What attempts hold, beside what the worker offers.",
                    &[
                        ("{{instance}} held", r#"cloudai_worker_disk_allocated_bytes{$of}"#),
                        ("{{instance}} offered", r#"cloudai_worker_disk_capacity_bytes{$of}"#),
                    ],
                ),
                lines(
                    "Disk free",
                    Bytes,
                    "On the disk that has the worker's data.",
                    &[("{{instance}}", r#"cloudai_worker_disk_free_bytes{$of}"#)],
                ),
            ],
        },
        Row {
            title: "Attempts",
            panels: &[
                stack(
                    "By state",
                    Plain,
                    "On all workers chosen above.",
                    &[("{{state}}", r#"sum by (state) (cloudai_worker_tasks{$of})"#)],
                ),
                stack(
                    "Ended",
                    PerSecond,
                    "As workers reported it, by reason.",
                    &[(
                        "{{reason}}",
                        r#"sum by (reason) (rate(cloudai_worker_attempts_ended_total{$of}[$__rate_interval]))"#,
                    )],
                ),
                lines(
                    "Reports on their way",
                    Plain,
                    "News that no leader has acknowledged yet; they grow while the masters are away.",
                    &[("{{instance}}", r#"cloudai_worker_outbox_reports{$of}"#)],
                ),
            ],
        },
        Row {
            title: "Session",
            panels: &[
                lines(
                    "Connected",
                    Plain,
                    "1 while the worker has a session with the leader.",
                    &[("{{instance}}", r#"cloudai_worker_connected{$of}"#)],
                ),
                lines(
                    "Heartbeats answered",
                    Seconds,
                    "The p99, from a heartbeat to its acknowledgement.",
                    &[(
                        "{{instance}}",
                        r#"histogram_quantile(0.99, sum by (le, instance) (rate(cloudai_worker_heartbeat_rtt_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
                lines(
                    "Reconnects",
                    Plain,
                    "Sessions that workers began anew in an hour.",
                    &[("{{instance}}", r#"increase(cloudai_worker_master_reconnects_total{$of}[1h])"#)],
                ),
            ],
        },
        Row {
            title: "Engine",
            panels: &[
                lines(
                    "Engine up",
                    Plain,
                    "1 while the container engine answers.",
                    &[("{{instance}}", r#"cloudai_worker_engine_up{$of}"#)],
                ),
                lines(
                    "Failed calls",
                    PerSecond,
                    "To the engine, by what was asked of it.",
                    &[(
                        "{{op}}",
                        r#"sum by (op) (rate(cloudai_worker_container_ops_total{$of,result="error"}[$__rate_interval])) or 0 * sum by (op) (rate(cloudai_worker_container_ops_total{$of}[$__rate_interval]))"#,
                    )],
                ),
                lines(
                    "What calls take",
                    Seconds,
                    "The p99, by what was asked.",
                    &[(
                        "{{op}}",
                        r#"histogram_quantile(0.99, sum by (le, op) (rate(cloudai_worker_container_op_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
                stack(
                    "Pulls",
                    PerSecond,
                    "Images fetched, by how that ended.",
                    &[(
                        "{{result}}",
                        r#"sum by (result) (rate(cloudai_worker_image_pulls_total{$of}[$__rate_interval]))"#,
                    )],
                ),
                lines(
                    "Pulls running",
                    Plain,
                    "Images that come now, by worker.",
                    &[("{{instance}}", r#"cloudai_worker_image_pulls_running{$of}"#)],
                ),
                lines(
                    "Fetched",
                    Bytes,
                    "Each second, as it comes from registries.",
                    &[("{{instance}}", r#"rate(cloudai_worker_image_pull_bytes_total{$of}[$__rate_interval])"#)],
                ),
                lines(
                    "Images removed",
                    Plain,
                    "In an hour, to make room.",
                    &[("{{instance}}", r#"increase(cloudai_worker_images_removed_total{$of}[1h])"#)],
                ),
                lines(
                    "Logs owed",
                    Plain,
                    "Logs of ended attempts that the store has not got yet.",
                    &[("{{instance}}", r#"cloudai_worker_logs_to_store{$of}"#)],
                ),
                lines(
                    "Logs stored and lost",
                    Plain,
                    "In an hour; lost ones went before the store had them.",
                    &[
                        ("{{result}}", r#"sum by (result) (increase(cloudai_worker_logs_stored_total{$of}[1h]))"#),
                        ("lost", r#"sum(increase(cloudai_worker_logs_lost_total{$of}[1h]))"#),
                    ],
                ),
            ],
        },
        Row {
            title: "GPUs",
            panels: &[
                lines(
                    "Held",
                    Plain,
                    "GPUs that attempts hold, and that the worker offers.",
                    &[
                        ("{{instance}} held", r#"cloudai_worker_gpu_allocated{$of}"#),
                        ("{{instance}} offered", r#"cloudai_worker_gpu_capacity{$of}"#),
                    ],
                ),
                lines(
                    "Busy",
                    Share,
                    "Share of the last sample period in which something ran. A GPU that is held and not busy is paid for and not used.",
                    &[("{{instance}} {{gpu}}", r#"cloudai_worker_gpu_busy_ratio{$of}"#)],
                ),
                lines(
                    "Memory in use",
                    Share,
                    "Of the GPU's own memory.",
                    &[(
                        "{{instance}} {{gpu}}",
                        r#"cloudai_worker_gpu_memory_used_bytes{$of} / cloudai_worker_gpu_memory_bytes{$of}"#,
                    )],
                ),
                lines(
                    "Temperature",
                    Celsius,
                    "Of the chip; above 85 °C most slow down.",
                    &[("{{instance}} {{gpu}}", r#"cloudai_worker_gpu_temperature_celsius{$of}"#)],
                ),
            ],
        },
    ],
};

const API: Board = Board {
    name: "api",
    title: "CloudAI / API",
    role: "master",
    rows: &[
        Row {
            title: "gRPC",
            panels: &[
                stack(
                    "Calls",
                    PerSecond,
                    "By method, on all masters; a call that a follower passes on counts on both.",
                    &[("{{method}}", r#"sum by (method) (rate(cloudai_rpc_requests_total{$of}[$__rate_interval]))"#)],
                ),
                lines(
                    "Errors",
                    Share,
                    "Of all calls, those that failed through no fault of the caller.",
                    &[(
                        "{{instance}}",
                        r#"(sum by (instance) (rate(cloudai_rpc_requests_total{$of,code=~"unavailable|internal|unknown|deadline_exceeded|data_loss"}[$__rate_interval])) or 0 * sum by (instance) (rate(cloudai_rpc_requests_total{$of}[$__rate_interval]))) / sum by (instance) (rate(cloudai_rpc_requests_total{$of}[$__rate_interval]))"#,
                    )],
                ),
                lines(
                    "Errors by code",
                    PerSecond,
                    "Everything but ok, the callers' own mistakes included.",
                    &[(
                        "{{code}}",
                        r#"sum by (code) (rate(cloudai_rpc_requests_total{$of,code!="ok"}[$__rate_interval]))"#,
                    )],
                ),
                lines(
                    "What calls take",
                    Seconds,
                    "The p99 by method; of a stream, until its answer begins. WaitJob waits on purpose.",
                    &[(
                        "{{method}}",
                        r#"histogram_quantile(0.99, sum by (le, method) (rate(cloudai_rpc_request_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
                lines(
                    "Calls under way",
                    Plain,
                    "Calls that are not answered yet.",
                    &[("{{instance}}", r#"cloudai_rpc_requests_running{$of}"#)],
                ),
                lines(
                    "Refused",
                    PerSecond,
                    "Callers without the right certificate or role.",
                    &[(
                        "{{code}}",
                        r#"sum by (code) (rate(cloudai_rpc_requests_total{$of,code=~"permission_denied|unauthenticated"}[$__rate_interval]))"#,
                    )],
                ),
            ],
        },
        Row {
            title: "HTTP and connections",
            panels: &[
                stack(
                    "Requests",
                    PerSecond,
                    "By route and status code.",
                    &[(
                        "{{route}} {{code}}",
                        r#"sum by (route, code) (rate(cloudai_http_requests_total{$of}[$__rate_interval]))"#,
                    )],
                ),
                lines(
                    "What requests take",
                    Seconds,
                    "The p99 of answers, by route.",
                    &[(
                        "{{route}}",
                        r#"histogram_quantile(0.99, sum by (le, route) (rate(cloudai_http_request_duration_seconds_bucket{$of}[$__rate_interval])))"#,
                    )],
                ),
                lines(
                    "WebSockets",
                    Plain,
                    "Open WebSockets, which show live telemetry.",
                    &[("{{instance}}", r#"cloudai_ws_clients{$of}"#)],
                ),
                lines(
                    "Live telemetry",
                    PerSecond,
                    "Samples that workers send while somebody watches, and those that slow WebSockets have missed.",
                    &[
                        ("received by {{instance}}", r#"rate(cloudai_telemetry_samples_total{$of}[$__rate_interval])"#),
                        ("missed at {{instance}}", r#"rate(cloudai_ws_samples_dropped_total{$of}[$__rate_interval])"#),
                    ],
                ),
                stack(
                    "Connections",
                    Plain,
                    "Open on all ports, by the peer's role.",
                    &[("{{role}}", r#"sum by (role) (cloudai_connections{$of})"#)],
                ),
            ],
        },
        Row {
            title: "Process",
            panels: &[
                lines(
                    "CPU",
                    Plain,
                    "Cores that the process uses.",
                    &[("{{instance}}", r#"rate(process_cpu_seconds_total{$of}[$__rate_interval])"#)],
                ),
                lines(
                    "Open files",
                    Share,
                    "Of those that it may have.",
                    &[("{{instance}}", r#"process_open_fds{$of} / process_max_fds{$of}"#)],
                ),
                lines(
                    "Tasks of the runtime",
                    Plain,
                    "A number that only grows is a leak.",
                    &[("{{instance}}", r#"cloudai_runtime_tasks{$of}"#)],
                ),
                number(
                    "Certificate ends",
                    UnixTime,
                    "The first one to end; certificates renew themselves long before that.",
                    &[("", r#"min(cloudai_tls_cert_not_after_timestamp_seconds{$of}) * 1000"#)],
                ),
            ],
        },
    ],
};

const LOGS: Board = Board {
    name: "logs",
    title: "CloudAI / Logs",
    role: "master",
    rows: &[Row {
        title: "Needs a Loki that is filled as docs/log-shipping.md says",
        panels: &[
            logs("Errors", "Lines that a human must look at.", &[("", r#"{role=~"master|worker",level="ERROR"}"#)]),
            logs(
                "Everything",
                "Lines of the masters and workers, newest first; narrow it by node, as in `| node=\"master-1\"`.",
                &[("", r#"{role=~"master|worker"}"#)],
            ),
        ],
    }],
};
