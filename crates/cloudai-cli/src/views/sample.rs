//! Fixed wire messages for the golden tests.

use std::collections::BTreeMap;

use cloudai_proto::v1::*;
use cloudai_types::spec::Mount;
use cloudai_types::volume::Volume;
use cloudai_types::{
    ClusterConfig, EndReason, JobSpec, NearRule, Placement, Preference, PullPolicy, ReasonKind, Resources, ScorePolicy,
    Usage,
};

/// 2026-09-21T14:13:20Z
pub const T0: u64 = 1_790_000_000_000;

pub fn array_job() -> JobSummary {
    JobSummary {
        id: 5,
        name: "sweep".into(),
        namespace: "default".into(),
        state: JobState::Running as i32,
        counts: Some(TaskCounts { queued: 4, active: 2, succeeded: 2, failed: 1, cancelled: 0, dead: 1, blocked: 0 }),
        count: 10,
        priority: 3,
        submitted_ms: T0,
        started_ms: T0 + 1500,
        ended_ms: 0,
        cancel_requested: false,
        image: "busybox".into(),
        index: 40,
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        ..JobSummary::default()
    }
}

pub fn job_reply() -> GetJobReply {
    GetJobReply {
        read: Some(ReadInfo::default()),
        job: Some(array_job()),
        spec: Some(JobSpec {
            name: "sweep".into(),
            image: "busybox".into(),
            command: ["sh", "-c", "exit 3"].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            resources: Resources { cpu_milli: 500, memory_bytes: 32 << 20, ..Default::default() },
            require: BTreeMap::from([("zone".to_owned(), "eu".to_owned())]),
            priority: 3,
            count: 10,
            max_attempts: 2,
            timeout_ms: 2000,
            on_disconnect: 0,
            mounts: vec![Mount { source: "/data".into(), target: "/input".into(), write: false }],
            processes_max: 100,
            open_files: 1024,
            shm_bytes: 0,
            stop_signal: 2,
            grace_ms: 30_000,
            user: "1000:1000".into(),
            network: "none".into(),
            pull: PullPolicy::Always as i32,
            writable_root: false,
            image_digest: String::new(),
            retry: None,
            results: true,
            inputs: BTreeMap::from([("raw".to_owned(), "3gk7q2zx/0".to_owned())]),
            namespace: "default".into(),
            secrets: vec!["token=env:TOKEN".parse().expect("a secret")],
            queue_timeout_ms: 600_000,
            gang: true,
            preemptible: false,
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            volumes: vec![Volume {
                name: "cache".into(),
                target: "/cache".into(),
                read_only: true,
                ..Volume::default()
            }],
            placement: Some(Placement {
                require: vec!["!old".into()],
                prefer: vec![Preference { expression: "disk=ssd".into(), weight: 10 }],
                tolerate: vec!["gpu".into()],
                apart: "worker".into(),
                spread: "rack".into(),
                max_skew: 1,
                apart_from: vec![NearRule { jobs: "app=db".into(), over: "worker".into() }],
                together_with: vec![NearRule { jobs: "app=cache".into(), over: "rack".into() }],
            }),
        }),
        actor: "admin/ann".into(),
        request_id: "key-1".into(),
        tasks: vec![],
        next_index: 0,
        replay_of: None,
        waits_for: vec![],
        trace_id: String::new(),
        trace_link: String::new(),
    }
}

pub fn failed_task() -> TaskInfo {
    TaskInfo {
        job_id: 5,
        index: 3,
        state: TaskState::Failed as i32,
        attempts: vec![
            AttemptInfo {
                number: 1,
                worker_id: 1,
                worker: "w1".into(),
                phase: AttemptPhase::Lost as i32,
                reason: Some(EndReason::new(ReasonKind::WorkerLost, "no heartbeat")),
                assigned_ms: T0 + 1000,
                started_ms: 0,
                ended_ms: T0 + 5000,
            },
            AttemptInfo {
                number: 2,
                worker_id: 2,
                worker: "w2".into(),
                phase: AttemptPhase::Exited as i32,
                reason: Some(EndReason::exit(3).with_usage(Some(usage()))),
                assigned_ms: T0 + 6000,
                started_ms: T0 + 7000,
                ended_ms: T0 + 10_000,
            },
        ],
        attempts_used: 1,
        losses: 1,
        not_before_ms: 0,
        ended_ms: T0 + 10_000,
        memory_bytes: 0,
        reason: None,
    }
}

/// As a worker on a cgroup v1 machine tells it.
fn usage() -> Usage {
    Usage {
        cpu_micros: Some(1_500_000),
        memory_peak_bytes: Some(48 << 20),
        read_bytes: Some(0),
        written_bytes: None,
        processes_max: Some(3),
    }
}

pub fn worker() -> WorkerInfo {
    WorkerInfo {
        id: 1,
        name: "w1".into(),
        state: WorkerState::Ready as i32,
        draining: true,
        capacity: Some(Resources { cpu_milli: 4000, memory_bytes: 2 << 30, storage_bytes: 0, gpus: 1 }),
        allocated: Some(Resources { cpu_milli: 500, memory_bytes: 32 << 20, storage_bytes: 0, gpus: 0 }),
        attempts: 3,
        attempts_running: 1,
        labels: BTreeMap::from([("zone".to_owned(), "eu".to_owned())]),
        taints: BTreeMap::from([("gpu".to_owned(), "a100".to_owned()), ("night".to_owned(), String::new())]),
        registered_ms: T0,
        software: "0.1.0".into(),
        connected: true,
        heard_ms_ago: 250,
        drain_deadline_ms: 0,
        evicting: false,
        leaving: false,
        price_micros_per_hour: 0,
        reserved: Some(Resources { cpu_milli: 1000, memory_bytes: 1 << 30, storage_bytes: 0, gpus: 0 }),
    }
}

pub fn status() -> ClusterStatusReply {
    let member = |node_id, name: &str, host: &str| Member {
        node_id,
        name: name.into(),
        role: MemberRole::Voter as i32,
        leader: false,
        grpc: format!("{host}:7601"),
        raft: format!("{host}:7602"),
        http: format!("{host}:7600"),
        lag_entries: None,
        heard_ms_ago: None,
    };
    ClusterStatusReply {
        read: Some(ReadInfo {
            index: 99,
            master: "m1".into(),
            leader: false,
            age_ms: 0,
            known_leader: "m2".into(),
            stale: false,
        }),
        cluster_id: "00ff00ff00ff00ff".into(),
        leader_id: 2,
        leader: "m2".into(),
        term: 4,
        applied_index: 99,
        incarnation: 1,
        version: 1,
        config: Some(ClusterConfig { score_policy: ScorePolicy::Binpack as i32 }),
        members: vec![
            Member { lag_entries: Some(3), heard_ms_ago: Some(40), ..member(1, "m1", "a") },
            Member { leader: true, ..member(2, "m2", "b") },
        ],
        tolerates: 0,
        workers_ready: 1,
        workers_lost: 1,
        workers_total: 2,
        tasks_queued: 7,
        tasks_active: 2,
        jobs: 3,
        digest: 0xbeef,
        software: "0.1.0".into(),
    }
}
