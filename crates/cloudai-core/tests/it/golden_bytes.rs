//! Bytes of every command and every row, as they were first written. They decode for ever. `UPDATE_GOLDEN=1` writes what is
//! missing and never overwrites: a file of `v1` that has to change is a broken promise, not an update.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use cloudai_core::command::*;
use cloudai_core::gangs::Fall;
use cloudai_core::rows::*;
use cloudai_types::spec::Mount;
use cloudai_types::volume::{Volume, VolumeKind};
use cloudai_types::{
    ClusterConfig, Condition, Dependency, EndReason, JobSpec, NearRule, OnDisconnect, Placement, Preference,
    PullPolicy, ReasonKind, Resources, ResultFile, Results, RetryAction, RetryRule, RetryRules, ScorePolicy,
    SecretKind, SecretUse, Usage, WaitCause, WorkflowNode, WorkflowSpec,
};
use cloudai_types::{Missed, Overlap, QueueOrder, Quota, QuotaChange, RunOutcome, ScheduleRun, ScheduleSpec};
use prost::Message;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn resources() -> Resources {
    Resources { cpu_milli: 1500, memory_bytes: 32 << 20, storage_bytes: 1 << 30, gpus: 2 }
}

fn spec() -> JobSpec {
    JobSpec {
        name: "report".into(),
        image: "registry:5000/team/report:1".into(),
        command: vec!["python".into(), "main.py".into(), "".into()],
        env: labels(&[("A", "1"), ("B", "two words")]),
        resources: resources(),
        require: labels(&[("zone", "eu")]),
        priority: -7,
        count: 1000,
        max_attempts: 3,
        timeout_ms: 2_000,
        on_disconnect: OnDisconnect::Stop as i32,
        mounts: vec![Mount { source: "/var/lib/dpkg".into(), target: "/input".into(), write: false }],
        processes_max: 0,
        open_files: 0,
        shm_bytes: 0,
        stop_signal: 0,
        grace_ms: 0,
        user: String::new(),
        network: String::new(),
        retry: None,
        results: false,
        inputs: BTreeMap::new(),
        namespace: String::new(),
        pull: PullPolicy::Missing as i32,
        writable_root: false,
        image_digest: String::new(),
        secrets: vec![],
        queue_timeout_ms: 0,
        volumes: vec![],
        gang: false,
        preemptible: false,
        placement: None,
        labels: BTreeMap::new(),
    }
}

fn placement() -> Placement {
    Placement {
        require: vec!["!old".into(), "zone in (eu,us)".into()],
        prefer: vec![Preference { expression: "cores>8".into(), weight: 100 }],
        tolerate: vec!["gpu=a100".into(), "night".into()],
        apart: "worker".into(),
        spread: "rack".into(),
        max_skew: 2,
        apart_from: vec![],
        together_with: vec![],
    }
}

/// Rules about other jobs.
fn near() -> Placement {
    let rule = |jobs: &str, over: &str| NearRule { jobs: jobs.into(), over: over.into() };
    Placement {
        apart_from: vec![rule("app=db", "worker"), rule("tier in (1,2)", "rack")],
        together_with: vec![rule("app=cache", "rack")],
        ..Placement::default()
    }
}

/// What a spec may say since format 5 about what a task sees beside its own files.
fn with_volumes() -> JobSpec {
    let named =
        Volume { kind: VolumeKind::Named as i32, name: "cache".into(), target: "/c".into(), ..Volume::default() };
    let nfs = Volume {
        kind: VolumeKind::Nfs as i32,
        target: "/n".into(),
        read_only: true,
        server: "nas".into(),
        path: "/export/a".into(),
        options: "vers=4,soft".into(),
        ..Volume::default()
    };
    let tmpfs =
        Volume { kind: VolumeKind::Tmpfs as i32, target: "/t".into(), size_bytes: 1 << 20, ..Volume::default() };
    JobSpec {
        mounts: vec![Mount { source: "/data".into(), target: "/d".into(), write: true }],
        volumes: vec![named, nfs, tmpfs],
        namespace: "default".into(),
        ..spec()
    }
}

fn retry() -> RetryRules {
    RetryRules {
        rules: vec![
            RetryRule { reason: ReasonKind::ExitCode as i32, action: RetryAction::Retry as i32 },
            RetryRule { reason: ReasonKind::Signal as i32, action: RetryAction::Elsewhere as i32 },
        ],
        delay_ms: 5_000,
        delay_factor_percent: 150,
        delay_max_ms: 600_000,
        jitter_percent: 20,
        memory_factor_percent: 150,
        memory_max_bytes: 1 << 30,
    }
}

/// What a spec may say since format 4 about how a task is held to its place.
fn isolated() -> JobSpec {
    JobSpec {
        open_files: 1024,
        shm_bytes: 128 << 20,
        stop_signal: 2,
        grace_ms: 30_000,
        user: "1000:1000".into(),
        network: "none".into(),
        pull: PullPolicy::Always as i32,
        writable_root: true,
        ..spec()
    }
}

fn reason() -> EndReason {
    EndReason::new(ReasonKind::OutOfMemory, "killed by the kernel").with_exit_code(137)
}

fn usage() -> Usage {
    Usage {
        cpu_micros: Some(1_500_000),
        memory_peak_bytes: Some(48 << 20),
        read_bytes: Some(0),
        written_bytes: None,
        processes_max: Some(3),
    }
}

fn results() -> Results {
    let file =
        |path: &str, size| ResultFile { path: path.into(), size, sha256: vec![9; 32], media_type: "text/csv".into() };
    Results {
        manifest: "default/0123abcd/5/2/manifest.json".into(),
        files_total: 2,
        bytes_total: 1_000,
        files: vec![file("a.csv", 1_000), file("b/c.csv", 0)],
        left_out: 1,
    }
}

fn submit(spec: JobSpec, replay_of: Option<TaskKey>) -> Kind {
    Kind::SubmitJob(SubmitJob {
        namespace: "default".into(),
        request_id: "req-1".into(),
        request_hash: vec![7; 16],
        spec,
        replay_of,
    })
}

fn kinds() -> Vec<Kind> {
    vec![
        submit(spec(), None),
        Kind::CancelJob(CancelJob { job: 9 }),
        Kind::SubmitWorkflow(SubmitWorkflow {
            namespace: "default".into(),
            request_id: "req-1".into(),
            request_hash: vec![7; 16],
            workflow: WorkflowSpec {
                name: "nightly".into(),
                nodes: vec![
                    WorkflowNode { name: "a".into(), spec: spec(), depends_on: vec![] },
                    WorkflowNode {
                        name: "b".into(),
                        spec: spec(),
                        depends_on: vec![Dependency { node: "a".into(), on: Condition::Failure as i32, each: true }],
                    },
                ],
            },
        }),
        Kind::CancelWorkflow(CancelWorkflow { namespace: 1, workflow: 9 }),
        Kind::RetryWorkflow(RetryWorkflow { namespace: 1, workflow: 9, from: "b".into() }),
        Kind::PlaceTasks(PlaceTasks { groups: vec![PlaceGroup { job: 9, worker: 2, indexes: vec![0, 1, 999_999] }] }),
        Kind::ReportAttempts(ReportAttempts {
            worker: 2,
            session: 11,
            reports: vec![AttemptReport {
                job: 9,
                index: 5,
                number: 2,
                state: AttemptState::Exited as i32,
                reason: Some(reason()),
                started_ms: 1_700_000_000_000,
                ended_ms: 1_700_000_001_000,
            }],
        }),
        Kind::RegisterWorker(RegisterWorker {
            worker: 2,
            capacity: resources(),
            labels: labels(&[("disk", "nvme")]),
            software: "0.1.0".into(),
            reserved: None,
            leaving: false,
            price_micros: 0,
            metrics_addr: String::new(),
        }),
        Kind::LoseWorker(LoseWorker { worker: 2, session: 11 }),
        Kind::Authorize(Authorize {
            role: MemberRole::Master as i32,
            name: "m4".into(),
            secret_hash: vec![1; 32],
            labels: labels(&[("zone", "eu")]),
        }),
        Kind::RedeemToken(RedeemToken {
            role: MemberRole::Master as i32,
            name: "m4".into(),
            secret_hash: vec![1; 32],
            key_hash: vec![2; 32],
        }),
        Kind::Revoke(Revoke { role: MemberRole::Master as i32, name: "m4".into() }),
        Kind::SetDrain(SetDrain { name: "w1".into(), draining: true, deadline_ms: 0 }),
        Kind::RegisterMaster(RegisterMaster {
            node: 4,
            name: "m4".into(),
            disk: "0123456789abcdef".into(),
            raft_addr: "10.0.0.4:7602".into(),
            grpc_addr: "10.0.0.4:7601".into(),
            http_addr: "10.0.0.4:7600".into(),
            version: 1,
        }),
        Kind::ForgetMaster(ForgetMaster { node: 3 }),
        Kind::SetConfig(SetConfig { config: ClusterConfig { score_policy: ScorePolicy::Greedy as i32 } }),
        Kind::ExpireRequests(ExpireRequests { keys: vec![b"req-1".to_vec(), b"req-2".to_vec()] }),
        Kind::AdvanceClock(AdvanceClock {}),
        Kind::RaiseVersion(RaiseVersion { version: 1 }),
        Kind::StartIncarnation(StartIncarnation {}),
        Kind::FoundCluster(FoundCluster { cluster: "00112233445566ff".into(), founders: 3 }),
        Kind::ExpireJobs(ExpireJobs {
            jobs: vec![ExpiringJob { namespace: 1, job: 9 }, ExpiringJob { namespace: 2, job: 10 }],
            ended_until_ms: 1_700_000_000_000,
        }),
        Kind::ReplayDead(ReplayDead { groups: dead_groups() }),
        Kind::DropDead(DropDead { groups: dead_groups() }),
        Kind::SetSecret(SetSecret {
            namespace: "default".into(),
            kind: SecretKind::RegistryLogin as i32,
            name: "registry:5000".into(),
            sealed: vec![1, 2, 3],
        }),
        Kind::RemoveSecret(RemoveSecret {
            namespace: "default".into(),
            kind: SecretKind::RegistryLogin as i32,
            name: "registry:5000".into(),
        }),
        Kind::ExpireQueued(ExpireQueued {}),
        Kind::EvictWorkers(EvictWorkers {}),
        Kind::WorkerLeaves(WorkerLeaves { worker: 2, session: 11 }),
        Kind::PreemptTasks(PreemptTasks {
            job: 7,
            victims: vec![AttemptKey { job: 3, index: 0, number: 2 }, AttemptKey { job: 3, index: 1, number: 1 }],
        }),
        Kind::SetQuota(SetQuota {
            namespace: "team-a".into(),
            change: QuotaChange {
                weight: Some(3),
                tasks_max: Some(7),
                cpu_milli_max: Some(cloudai_types::quota::NO_CAP),
                memory_bytes_max: Some(1 << 40),
                storage_bytes_max: Some(0),
                gpus_max: Some(8),
                wait_max_ms: None,
                order: None,
                preempt: None,
                score_policy: None,
                queued_max: None,
                user_tasks_max: None,
                user_queued_max: None,
            },
        }),
        Kind::SetTaint(SetTaint { name: "w1".into(), key: "gpu".into(), value: "a100".into(), tainted: true }),
        Kind::CreateSchedule(CreateSchedule {
            namespace: "team-a".into(),
            name: "nightly".into(),
            spec: schedule(),
            next_due_ms: 1_700_000_100_000,
            replace: true,
        }),
        Kind::DeleteSchedule(DeleteSchedule { namespace: "team-a".into(), name: "nightly".into() }),
        Kind::RunSchedule(RunSchedule {
            namespace: 2,
            name: "nightly".into(),
            spec_hash: 17,
            due_ms: 1_700_000_100_000,
            next_due_ms: 1_700_086_500_000,
            missed: 3,
            missed_last_ms: 1_700_000_000_000,
            is_missed: true,
            image_digest: format!("sha256:{}", "0f".repeat(32)),
            refused: "the job's image does not exist".into(),
        }),
        Kind::PauseSchedule(PauseSchedule { namespace: "team-a".into(), name: "nightly".into(), paused: true }),
        Kind::TriggerSchedule(TriggerSchedule {
            namespace: "team-a".into(),
            name: "nightly".into(),
            request_id: "key-1".into(),
            request_hash: vec![7; 16],
            spec_hash: 17,
            image_digest: format!("sha256:{}", "0f".repeat(32)),
        }),
        Kind::CreateTemplate(CreateTemplate {
            namespace: "team-a".into(),
            name: "sweep".into(),
            document: "image: busybox\n".into(),
        }),
        Kind::DeleteTemplate(DeleteTemplate { namespace: "team-a".into(), name: "sweep".into(), version: 2 }),
        Kind::NoteReasons(NoteReasons {
            notes: vec![ReasonNote { job: 9, cause: WaitCause::Busy as i32, workers: 2, of: 3, memory_mib: 48 }],
        }),
    ]
}

fn schedule() -> ScheduleSpec {
    ScheduleSpec {
        cron: "30 2 * * *".into(),
        zone: "Europe/Paris".into(),
        overlap: Overlap::CancelPrevious as i32,
        missed: Missed::All as i32,
        job: JobSpec { image: "busybox".into(), count: 3, ..JobSpec::default() },
        template: "sweep@2".into(),
    }
}

fn dead_groups() -> Vec<DeadGroup> {
    vec![
        DeadGroup { namespace: 1, job: 9, indexes: vec![0, 7, 999_999] },
        DeadGroup { namespace: 2, job: 10, indexes: vec![] },
    ]
}

/// Commands that got fields since they were first written, with these fields.
fn grown() -> [(&'static str, Kind); 22] {
    let report = AttemptReport {
        job: 9,
        index: 5,
        number: 2,
        state: AttemptState::Exited as i32,
        reason: Some(reason().with_usage(Some(usage()))),
        started_ms: 1_700_000_000_000,
        ended_ms: 1_700_000_001_000,
    };
    [
        ("command_submit_job_processes_max", submit(JobSpec { processes_max: 100, ..spec() }, None)),
        (
            "command_submit_job_retry",
            submit(JobSpec { retry: Some(retry()), ..spec() }, Some(TaskKey { job: 8, index: 5 })),
        ),
        (
            "command_submit_job_secrets",
            submit(
                JobSpec {
                    secrets: vec![
                        SecretUse { name: "token".into(), env: "TOKEN".into(), file: String::new() },
                        SecretUse { name: "token".into(), env: String::new(), file: "token.txt".into() },
                    ],
                    ..spec()
                },
                None,
            ),
        ),
        ("command_submit_job_isolated", submit(isolated(), None)),
        (
            "command_submit_job_pinned",
            submit(JobSpec { image_digest: format!("sha256:{}", "0f".repeat(32)), ..spec() }, None),
        ),
        (
            "command_submit_job_results",
            submit(
                JobSpec {
                    results: true,
                    inputs: labels(&[("raw", "0123abcd/5")]),
                    namespace: "default".into(),
                    ..spec()
                },
                None,
            ),
        ),
        (
            "command_report_attempts_results",
            Kind::ReportAttempts(ReportAttempts {
                worker: 2,
                session: 11,
                reports: vec![AttemptReport {
                    reason: Some(EndReason::exit(0).with_results(Some(results()))),
                    ..report.clone()
                }],
            }),
        ),
        (
            "command_report_attempts_usage",
            Kind::ReportAttempts(ReportAttempts { worker: 2, session: 11, reports: vec![report] }),
        ),
        (
            "command_register_worker_reserved",
            Kind::RegisterWorker(RegisterWorker {
                worker: 2,
                capacity: resources(),
                labels: labels(&[("disk", "nvme")]),
                software: "0.1.0".into(),
                reserved: Some(resources()),
                leaving: false,
                price_micros: 0,
                metrics_addr: String::new(),
            }),
        ),
        (
            "command_register_worker_leaving",
            Kind::RegisterWorker(RegisterWorker {
                worker: 2,
                capacity: resources(),
                leaving: true,
                ..Default::default()
            }),
        ),
        (
            "command_register_worker_metrics",
            Kind::RegisterWorker(RegisterWorker {
                worker: 2,
                capacity: resources(),
                metrics_addr: "10.0.0.9:7610".into(),
                ..Default::default()
            }),
        ),
        (
            "command_set_drain_deadline",
            Kind::SetDrain(SetDrain { name: "w1".into(), draining: true, deadline_ms: 1_700_000_000_000 }),
        ),
        ("command_submit_job_queue_timeout", submit(JobSpec { queue_timeout_ms: 60_000, ..spec() }, None)),
        ("command_submit_job_volumes", submit(with_volumes(), None)),
        (
            "command_set_quota_order",
            Kind::SetQuota(SetQuota {
                namespace: "team-a".into(),
                change: QuotaChange {
                    wait_max_ms: Some(7_200_000),
                    order: Some(QueueOrder::Fifo as i32),
                    preempt: Some(true),
                    ..QuotaChange::default()
                },
            }),
        ),
        (
            "command_register_worker_price",
            Kind::RegisterWorker(RegisterWorker {
                worker: 2,
                capacity: resources(),
                price_micros: 350_000,
                ..Default::default()
            }),
        ),
        (
            "command_set_quota_policy",
            Kind::SetQuota(SetQuota {
                namespace: "team-a".into(),
                change: QuotaChange { score_policy: Some(ScorePolicy::Alignment as u64), ..QuotaChange::default() },
            }),
        ),
        (
            "command_set_config_cost",
            Kind::SetConfig(SetConfig { config: ClusterConfig { score_policy: ScorePolicy::Cost as i32 } }),
        ),
        (
            "command_set_quota_users",
            Kind::SetQuota(SetQuota {
                namespace: "team-a".into(),
                change: QuotaChange {
                    queued_max: Some(100_000),
                    user_tasks_max: Some(0),
                    user_queued_max: Some(cloudai_types::quota::NO_CAP),
                    ..QuotaChange::default()
                },
            }),
        ),
        ("command_submit_job_gang", submit(JobSpec { gang: true, ..spec() }, None)),
        (
            "command_submit_job_labels",
            submit(JobSpec { placement: Some(near()), labels: labels(&[("app", "web")]), ..spec() }, None),
        ),
        ("command_submit_job_placement", submit(JobSpec { placement: Some(placement()), ..spec() }, None)),
    ]
}

fn fall() -> Fall {
    Fall {
        by: 3,
        reason: ReasonKind::ExitCode as i32,
        exit_code: Some(7),
        state: TaskState::Queued as i32,
        not_before_ms: 1_700_000_000_000,
        attempts_used: 2,
        losses: 1,
    }
}

fn quota() -> Quota {
    Quota {
        weight: 3,
        tasks_max: Some(7),
        cpu_milli_max: Some(16_000),
        memory_bytes_max: Some(1 << 40),
        storage_bytes_max: Some(0),
        gpus_max: Some(8),
        wait_max_ms: None,
        order: 0,
        preempt: false,
        score_policy: None,
        queued_max: None,
        user_tasks_max: None,
        user_queued_max: None,
    }
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::SubmitJob(_) => "submit_job",
        Kind::CancelJob(_) => "cancel_job",
        Kind::PlaceTasks(_) => "place_tasks",
        Kind::ReportAttempts(_) => "report_attempts",
        Kind::RegisterWorker(_) => "register_worker",
        Kind::LoseWorker(_) => "lose_worker",
        Kind::Authorize(_) => "authorize",
        Kind::RedeemToken(_) => "redeem_token",
        Kind::Revoke(_) => "revoke",
        Kind::SetDrain(_) => "set_drain",
        Kind::RegisterMaster(_) => "register_master",
        Kind::ForgetMaster(_) => "forget_master",
        Kind::SetConfig(_) => "set_config",
        Kind::ExpireRequests(_) => "expire_requests",
        Kind::AdvanceClock(_) => "advance_clock",
        Kind::RaiseVersion(_) => "raise_version",
        Kind::StartIncarnation(_) => "start_incarnation",
        Kind::FoundCluster(_) => "found_cluster",
        Kind::ExpireJobs(_) => "expire_jobs",
        Kind::ReplayDead(_) => "replay_dead",
        Kind::DropDead(_) => "drop_dead",
        Kind::SetSecret(_) => "set_secret",
        Kind::RemoveSecret(_) => "remove_secret",
        Kind::ExpireQueued(_) => "expire_queued",
        Kind::EvictWorkers(_) => "evict_workers",
        Kind::WorkerLeaves(_) => "worker_leaves",
        Kind::SetQuota(_) => "set_quota",
        Kind::PreemptTasks(_) => "preempt_tasks",
        Kind::SetTaint(_) => "set_taint",
        Kind::SubmitWorkflow(_) => "submit_workflow",
        Kind::CancelWorkflow(_) => "cancel_workflow",
        Kind::RetryWorkflow(_) => "retry_workflow",
        Kind::CreateSchedule(_) => "create_schedule",
        Kind::DeleteSchedule(_) => "delete_schedule",
        Kind::RunSchedule(_) => "run_schedule",
        Kind::PauseSchedule(_) => "pause_schedule",
        Kind::TriggerSchedule(_) => "trigger_schedule",
        Kind::CreateTemplate(_) => "create_template",
        Kind::DeleteTemplate(_) => "delete_template",
        Kind::NoteReasons(_) => "note_reasons",
    }
}

// The environment asks a test to write its files; no decision reads it.
#[allow(clippy::disallowed_methods)]
fn golden<M: Message + Default + PartialEq + Debug>(file: &str, value: &M) {
    let path = Path::new("tests/golden/v1").join(format!("{file}.bin"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, value.encode_to_vec()).expect("the golden file is written");
    }
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; UPDATE_GOLDEN=1 makes it", path.display()));
    assert_eq!(&M::decode(bytes.as_slice()).expect("old bytes decode"), value, "{file} has another meaning now");
    assert_eq!(bytes, value.encode_to_vec(), "{file} is written in other bytes now");
}

#[test]
fn every_command_decodes_for_ever() {
    let kinds = kinds();
    let names: BTreeSet<&str> = kinds.iter().map(name).collect();
    assert_eq!(names.len(), 40, "one example of every kind that `name` lists");
    let write = |file: &str, kind| {
        let command = Command { actor: "admin/ada".into(), trace_parent: "00-11-22-01".into(), kind: Some(kind) };
        golden(file, &Proposal { version: 1, at_ms: 1_700_000_000_000, commands: vec![command] });
    };
    for kind in kinds {
        write(&format!("command_{}", name(&kind)), kind);
    }
    for (file, kind) in grown() {
        write(file, kind);
    }
}

#[test]
fn every_row_decodes_for_ever() {
    for family in Family::ALL {
        match family {
            Family::Cluster => golden(
                "row_cluster",
                &ClusterRow {
                    cluster: "00112233445566ff".into(),
                    incarnation: 1,
                    clock_ms: 1_700_000_000_000,
                    next_job: 10,
                    next_worker: 3,
                    next_node: 5,
                    next_namespace: 2,
                    version: 1,
                    config: ClusterConfig { score_policy: ScorePolicy::Binpack as i32 },
                    digest: 0x0123_4567_89ab_cdef,
                    next_session: 12,
                },
            ),
            Family::Namespace => {
                let plain = NamespaceRow { name: "default".into(), ..NamespaceRow::default() };
                golden("row_namespace", &plain);
                let average_held = vec![4_096_000, 1 << 42, 0, 8_192];
                let quota = Some(quota());
                let users = Quota {
                    queued_max: Some(9),
                    user_tasks_max: Some(0),
                    user_queued_max: Some(3),
                    ..Quota::default()
                };
                golden("row_namespace_users", &NamespaceRow { quota: Some(users), ..plain.clone() });
                golden("row_namespace_quota", &NamespaceRow { quota, average_held, average_at_ms: 9, ..plain });
            }
            Family::JobSpec => {
                let row = JobSpecRow {
                    spec: spec(),
                    submitted_ms: 1_700_000_000_000,
                    actor: "admin/ada".into(),
                    request_id: "req-1".into(),
                    replay_of: None,
                    workflow: 0,
                    node: String::new(),
                    trace_parent: String::new(),
                };
                golden("row_job_spec", &row);
                let trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
                golden("row_job_spec_trace", &JobSpecRow { trace_parent, ..row.clone() });
                let of_workflow = JobSpecRow { workflow: 7, node: "train".into(), ..row.clone() };
                golden("row_job_spec_workflow", &of_workflow);
                golden("row_job_spec_replay", &JobSpecRow { replay_of: Some(TaskKey { job: 8, index: 5 }), ..row });
            }
            Family::Job => {
                let row = JobRow {
                    state: JobState::Failed as i32,
                    counts: Counts { queued: 1, active: 2, succeeded: 3, failed: 4, cancelled: 5, dead: 6 },
                    next_fresh: 7,
                    cancel_requested: true,
                    started_ms: 8,
                    ended_ms: 9,
                    queue_expired_ms: 0,
                    workflow: 0,
                    released_ms: 0,
                    unmet: None,
                    blocked: 0,
                    fall: None,
                };
                golden("row_job", &row);
                let unmet = Some(Unmet { job: 6, on: Condition::Success as i32, skipped: true });
                golden("row_job_workflow", &JobRow { workflow: 5, released_ms: 11, unmet, blocked: 7, ..row.clone() });
                golden("row_job_fall", &JobRow { fall: Some(fall()), ..row.clone() });
                golden("row_job_queue_expired", &JobRow { queue_expired_ms: 10, ..row });
            }
            Family::Alive => {
                let touched = AliveRow {
                    namespace: 1,
                    resources: resources(),
                    require: labels(&[("zone", "eu")]),
                    priority: -7,
                    count: 1000,
                    max_attempts: 3,
                    submitted_ms: 1_700_000_000_000,
                    untouched: false,
                    retry: None,
                    only_index: None,
                    queue_timeout_ms: 0,
                    image: 0,
                    workflow: 0,
                    timeout_ms: 0,
                    gang: false,
                    preemptible: false,
                    placement: None,
                    actor: String::new(),
                    labels: BTreeMap::new(),
                };
                golden("row_alive", &touched);
                golden("row_alive_actor", &AliveRow { actor: "admin/ada".into(), ..touched.clone() });
                golden("row_alive_placement", &AliveRow { placement: Some(placement()), ..touched.clone() });
                let labels = labels(&[("app", "web"), ("run", "7")]);
                golden("row_alive_labels", &AliveRow { placement: Some(near()), labels, ..touched.clone() });
                golden("row_alive_workflow", &AliveRow { workflow: 5, ..touched.clone() });
                let replay = AliveRow { retry: Some(retry()), only_index: Some(7), ..touched.clone() };
                golden("row_alive_retry", &replay);
                golden("row_alive_queue_timeout", &AliveRow { queue_timeout_ms: 60_000, ..touched.clone() });
                golden("row_alive_image", &AliveRow { image: 0xc0de, ..touched.clone() });
                golden("row_alive_time_limit", &AliveRow { timeout_ms: 30_000, ..touched.clone() });
                golden("row_alive_preemptible", &AliveRow { preemptible: true, ..touched.clone() });
                golden("row_alive_gang", &AliveRow { gang: true, ..touched.clone() });
                golden("row_alive_untouched", &AliveRow { untouched: true, ..touched });
            }
            Family::Task => {
                let task = |reason| TaskRow {
                    state: TaskState::Dead as i32,
                    attempts: vec![EndedAttempt {
                        number: 1,
                        worker: 2,
                        state: AttemptState::Exited as i32,
                        reason,
                        assigned_ms: 3,
                        started_ms: 4,
                        ended_ms: 5,
                    }],
                    ended_ms: 6,
                    budget_from: 0,
                    unmet: None,
                };
                let unmet = Some(Unmet { job: 6, on: Condition::Completion as i32, skipped: false });
                golden("row_task_unmet", &TaskRow { unmet, ..task(reason()) });
                golden("row_task", &task(reason()));
                golden("row_task_replayed", &TaskRow { budget_from: 2, ..task(reason()) });
                golden("row_task_usage", &task(reason().with_usage(Some(usage()))));
                golden("row_task_results", &task(EndReason::exit(0).with_results(Some(results()))));
            }
            Family::Waiting => {
                let alike = WaitingRow {
                    next_number: 2,
                    attempts_used: 1,
                    losses: 3,
                    not_before_ms: 4,
                    avoid_worker: 5,
                    memory_mib: 0,
                    never_workers: vec![],
                };
                golden("row_waiting", &alike);
                golden("row_waiting_apart", &WaitingRow { memory_mib: 48, never_workers: vec![6, 7], ..alike });
            }
            Family::Attempt => {
                let attempt = AttemptRow {
                    number: 1,
                    worker: 2,
                    state: AttemptState::Running as i32,
                    assigned_index: 3,
                    assigned_ms: 4,
                    started_ms: 5,
                    attempts_used: 6,
                    losses: 7,
                    memory_mib: 0,
                    released: false,
                    preempted: false,
                };
                golden("row_attempt", &attempt);
                golden("row_attempt_raised", &AttemptRow { memory_mib: 48, ..attempt });
                golden(
                    "row_attempt_released",
                    &AttemptRow { state: AttemptState::Storing as i32, released: true, ..attempt },
                );
                golden("row_attempt_preempted", &AttemptRow { preempted: true, ..attempt });
            }
            Family::Worker => {
                let worker = WorkerRow {
                    name: "w1".into(),
                    state: WorkerState::Lost as i32,
                    draining: true,
                    capacity: resources(),
                    labels: labels(&[("disk", "nvme"), ("zone", "eu")]),
                    session: 11,
                    registered_ms: 12,
                    software: "0.1.0".into(),
                    assigned_labels: labels(&[("zone", "eu")]),
                    reserved: None,
                    drain_deadline_ms: 0,
                    evicting: false,
                    leaving: false,
                    taints: BTreeMap::new(),
                    price_micros: 0,
                    metrics_addr: String::new(),
                };
                golden("row_worker", &worker);
                let taints = labels(&[("gpu", "a100"), ("night", "")]);
                golden("row_worker_tainted", &WorkerRow { taints, ..worker.clone() });
                golden("row_worker_price", &WorkerRow { price_micros: 350_000, ..worker.clone() });
                let metrics_addr = "10.0.0.9:7610".to_owned();
                golden("row_worker_metrics", &WorkerRow { metrics_addr, ..worker.clone() });
                golden("row_worker_reserved", &WorkerRow { reserved: Some(resources()), ..worker.clone() });
                golden(
                    "row_worker_evicting",
                    &WorkerRow { drain_deadline_ms: 1_700_000_000_000, evicting: true, leaving: true, ..worker },
                );
            }
            Family::Request => {
                let row = RequestRow { hash: vec![7; 16], job: 9, expires_ms: 10, is_workflow: false };
                golden("row_request", &row);
                golden("row_request_workflow", &RequestRow { is_workflow: true, ..row });
            }
            Family::Member => golden(
                "row_member",
                &MemberRow { secret_hash: vec![1; 32], key_hash: vec![2; 32], revoked: true, worker: 3, node: 4 },
            ),
            Family::Master => golden(
                "row_master",
                &MasterRow {
                    name: "m4".into(),
                    disk: "0123456789abcdef".into(),
                    raft_addr: "10.0.0.4:7602".into(),
                    grpc_addr: "10.0.0.4:7601".into(),
                    http_addr: "10.0.0.4:7600".into(),
                    version: 1,
                    removed: true,
                },
            ),
            Family::Expiring => {
                let row = ExpiringRow { next: 10_000, end: 25_000, some_dead: false };
                golden("row_expiring", &row);
                golden("row_expiring_dead", &ExpiringRow { some_dead: true, ..row });
            }
            Family::Dead => {
                let kind = ReasonKind::OutOfMemory as i32;
                golden("row_dead", &DeadRow { reason: kind, exit_code: Some(137), attempts: 3, dead_ms: 4 });
            }
            Family::Secret => golden(
                "row_secret",
                &SecretRow {
                    sealed: vec![1, 2, 3],
                    created_ms: 4,
                    updated_ms: 5,
                    actor: "admin/ada".into(),
                    version: 6,
                },
            ),
            Family::Workflow => golden(
                "row_workflow",
                &WorkflowRow {
                    name: "nightly".into(),
                    submitted_ms: 1_700_000_000_000,
                    actor: "admin/ada".into(),
                    request_id: "req-1".into(),
                    jobs: 10,
                    ended: EndedJobs { succeeded: 1, failed: 2, cancelled: 3, skipped: 4 },
                    ended_ms: 1_700_000_001_000,
                },
            ),
            Family::WorkflowNodes => {
                let edge = WaitsForRow { node: 0, on: Condition::Completion as i32, each: true };
                let node = |name: &str, waits_for| WorkflowNodeRow { name: name.into(), waits_for };
                let nodes = vec![node("a", vec![]), node("b", vec![edge])];
                golden("row_workflow_nodes", &WorkflowNodesRow { nodes });
            }
            Family::Gate => golden("row_gate", &GateRow { count: 11, settled: vec![0b101, 0b100] }),
            Family::Hold => {
                let on = Condition::Failure as i32;
                golden("row_hold", &HoldRow { on, each: 0, met: vec![] });
                golden("row_hold_each", &HoldRow { on, each: 11, met: vec![0b101, 0b100] });
            }
            Family::Schedule => golden(
                "row_schedule",
                &ScheduleRow {
                    spec_hash: 17,
                    created_ms: 1_700_000_000_000,
                    updated_ms: 1_700_000_000_001,
                    actor: "admin/ada".into(),
                    paused: true,
                    last_due_ms: 1_700_000_000_002,
                    next_due_ms: 1_700_000_000_003,
                    last_job: 9,
                    ran: 1,
                    overlapped: 2,
                    missed: 3,
                    refused: 4,
                    runs: vec![
                        ScheduleRun { due_ms: 5, decided_ms: 6, job: 9, by_hand: true, ..ScheduleRun::default() },
                        ScheduleRun {
                            due_ms: 7,
                            decided_ms: 8,
                            outcome: RunOutcome::Refused as i32,
                            why: "no".into(),
                            times: 2,
                            ..ScheduleRun::default()
                        },
                    ],
                },
            ),
            Family::ScheduleSpec => golden("row_schedule_spec", &schedule()),
            Family::Template => golden(
                "row_template",
                &TemplateRow {
                    versions: vec![VersionInfo {
                        version: 2,
                        created_ms: 1_700_000_000_000,
                        actor: "admin/ada".into(),
                    }],
                    next_version: 3,
                },
            ),
            Family::TemplateVersion => {
                golden("row_template_version", &TemplateVersionRow { document: "image: busybox\n".into() });
            }
            Family::JobNotes => {
                let cause = WaitCause::Busy as i32;
                let note = WaitNote { at_ms: 1_700_000_000_000, cause, workers: 2, of: 3, memory_mib: 48 };
                let notes = vec![note, WaitNote { memory_mib: 0, ..note }];
                golden(
                    "row_job_notes",
                    &JobNotesRow { notes, cancelled_by: "admin/ada".into(), cancelled_ms: 1_700_000_000_001 },
                );
            }
        }
    }
}

/// The numbers behind the names are in rows and logs.
#[test]
fn persisted_numbers_stay() {
    use cloudai_types::{JobId, NamespaceId, TaskId};
    assert_eq!(
        Family::ALL.map(|f| f as u8),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
    );
    assert_eq!(hold_key(JobId(5), JobId(6)), [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6]);
    let workflow = cloudai_types::WorkflowId(7);
    assert_eq!(workflow_key(NamespaceId(4), workflow), job_key(NamespaceId(4), JobId(7)));
    let task = TaskId { job: JobId(0x0102), index: 3 };
    assert_eq!(task_key(NamespaceId(4), task), [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3]);
    assert_eq!(task_of_key(&task_key(NamespaceId(4), task)), Some((NamespaceId(4), task)));
    assert_eq!(job_key(NamespaceId(4), JobId(0x0102)), [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(member_key(MemberRole::Master, "m"), [1, b'm']);
    assert_eq!(worker_key(cloudai_types::WorkerId(5)), [0, 0, 0, 5]);
    assert_eq!(alive_key(JobId(5)), [0, 0, 0, 0, 0, 0, 0, 5]);
    assert_eq!(master_key(5), [0, 0, 0, 0, 0, 0, 0, 5]);
    assert_eq!(namespace_key(NamespaceId(5)), [0, 0, 0, 5]);
    assert_eq!(secret_key(NamespaceId(5), SecretKind::RegistryLogin, "h"), [0, 0, 0, 5, 1, b'h']);
    assert_eq!(named_key(NamespaceId(5), "n"), [0, 0, 0, 5, b'n']);
    assert_eq!(name_of_key(&named_key(NamespaceId(5), "n")), Some((NamespaceId(5), "n")));
    assert_eq!(template_version_key(NamespaceId(5), "n", 0x0102), [0, 0, 0, 5, b'n', 0, 0, 0, 1, 2]);
}
