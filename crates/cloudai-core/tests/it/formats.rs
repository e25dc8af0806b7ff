//! What masters of an older build would not keep, nobody keeps before a [`RaiseVersion`](cloudai_core::command::RaiseVersion) to the format that
//! has it. `check` loads the rows after each entry.

use cloudai_core::command::{AttemptReport, AttemptState, Kind, PlaceGroup, PlaceTasks, ReportAttempts};
use cloudai_core::rows::Family;
use cloudai_types::{EndReason, JobId};

use crate::histories::prelude;
use crate::world::World;

/// Format 3: a submit marks its job as untouched, and the first placement takes the mark away. `check` loads the rows after each.
#[test]
fn the_first_placement_takes_the_mark_of_an_untouched_job() {
    use cloudai_core::command::{RaiseVersion, SubmitJob, UNTOUCHED_SINCE};
    use cloudai_core::rows::{AliveRow, alive_key};
    for (version, marked) in [(UNTOUCHED_SINCE - 1, false), (UNTOUCHED_SINCE, true)] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let spec = cloudai_types::JobSpec { image: "busybox".into(), count: 2, ..Default::default() };
        let submit = SubmitJob {
            namespace: "default".into(),
            request_id: String::new(),
            request_hash: vec![],
            spec,
            replay_of: None,
        };
        world.one(1_000, Kind::SubmitJob(submit));
        world.check();
        let row = |world: &World| world.row::<AliveRow>(Family::Alive, &alive_key(JobId(1))).expect("it is alive");
        let submitted = row(&world);
        assert_eq!(submitted.untouched, marked, "format {version}");
        let groups = vec![PlaceGroup { job: 1, worker: 1, indexes: vec![0] }];
        world.one(1_000, Kind::PlaceTasks(PlaceTasks { groups }));
        world.check();
        assert_eq!(row(&world), AliveRow { untouched: false, ..submitted }, "and nothing else of it changes");
        assert_eq!(world.hot.jobs[&JobId(1)].counts.active, 1);
    }
}

/// Format 4: what masters of an older build would not keep, nobody keeps before it. `check` loads the rows after each entry.
#[test]
fn usage_reserves_limits_of_processes_and_retry_rules_are_kept_since_format_4() {
    use cloudai_core::command::{
        DEAD_SINCE, PROCESSES_MAX_SINCE, RESERVED_SINCE, RETRY_SINCE, RaiseVersion, RegisterWorker, SubmitJob,
        USAGE_SINCE,
    };
    use cloudai_core::rows::{JobSpecRow, WorkerRow, job_key, worker_key};
    use cloudai_types::{NamespaceId, Resources, TaskId, Usage, WorkerId};
    assert_eq!([USAGE_SINCE, RESERVED_SINCE, PROCESSES_MAX_SINCE], [4; 3], "one raise for all of them");
    assert_eq!([RETRY_SINCE, DEAD_SINCE], [4; 2]);
    let usage = Usage { cpu_micros: Some(7), ..Usage::default() };
    let reserved = Resources { cpu_milli: 1_000, ..Resources::default() };
    // A wrong limit is refused only by who can see it.
    for (version, kept, processes_max) in [(3, false, 1), (4, true, 100)] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let capacity = Resources { cpu_milli: 8_000, ..Resources::default() };
        world.one(
            1_000,
            Kind::RegisterWorker(RegisterWorker {
                worker: 1,
                capacity,
                reserved: Some(reserved),
                ..Default::default()
            }),
        );
        let retry = cloudai_types::RetryRules { jitter_percent: if kept { 20 } else { 200 }, ..Default::default() };
        let spec = cloudai_types::JobSpec {
            image: "busybox".into(),
            count: 1,
            processes_max,
            retry: Some(retry.clone()),
            ..Default::default()
        };
        let submit = SubmitJob {
            namespace: "default".into(),
            request_id: String::new(),
            request_hash: vec![],
            spec,
            replay_of: None,
        };
        world.one(1_000, Kind::SubmitJob(submit));
        let groups = vec![PlaceGroup { job: 1, worker: 1, indexes: vec![0] }];
        world.one(1_000, Kind::PlaceTasks(PlaceTasks { groups }));
        let report = AttemptReport {
            job: 1,
            index: 0,
            number: 1,
            state: AttemptState::Exited as i32,
            reason: Some(EndReason::exit(3).with_usage(Some(usage))),
            started_ms: 1,
            ended_ms: 2,
        };
        let session = world.hot.workers[&WorkerId(1)].session;
        world.one(1_000, Kind::ReportAttempts(ReportAttempts { worker: 1, session, reports: vec![report] }));
        world.check();
        let task = world.task_row(NamespaceId(1), TaskId { job: JobId(1), index: 0 }).expect("it has ended");
        assert_eq!(task.attempts[0].reason, EndReason::exit(3).with_usage(kept.then_some(usage)), "format {version}");
        let worker: WorkerRow = world.row(Family::Worker, &worker_key(WorkerId(1))).expect("it is there");
        assert_eq!(worker.reserved, kept.then_some(reserved), "format {version}");
        let job: JobSpecRow = world.row(Family::JobSpec, &job_key(NamespaceId(1), JobId(1))).expect("it is there");
        assert_eq!(job.spec.processes_max, if kept { 100 } else { 0 }, "format {version}");
        assert_eq!(job.spec.retry, kept.then_some(retry), "format {version}");
    }
}

/// Format 4: how a task is held to its place. What is wrong there is refused only by who can see it.
#[test]
fn how_a_task_is_isolated_is_kept_since_format_4() {
    use cloudai_core::command::{ISOLATION_SINCE, RaiseVersion, SubmitJob};
    use cloudai_core::rows::{JobSpecRow, job_key};
    use cloudai_types::{JobSpec, NamespaceId, PullPolicy, Resources};
    assert_eq!(ISOLATION_SINCE, 4);
    let plain = || JobSpec {
        name: "j".into(),
        image: "busybox".into(),
        count: 1,
        max_attempts: 1,
        resources: Resources { storage_bytes: 1 << 30, ..Resources::default() },
        ..Default::default()
    };
    let right = || JobSpec {
        open_files: 100,
        shm_bytes: 1 << 20,
        stop_signal: 2,
        grace_ms: 5_000,
        user: "1000".into(),
        network: "none".into(),
        pull: PullPolicy::Never as i32,
        writable_root: true,
        ..plain()
    };
    let wrong = || JobSpec { user: "nobody-knows".into(), open_files: 1, pull: 9, ..right() };
    for (version, given, kept) in
        [(3, right(), Some(plain())), (3, wrong(), Some(plain())), (4, right(), Some(right())), (4, wrong(), None)]
    {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let submit = SubmitJob {
            namespace: "default".into(),
            request_id: String::new(),
            request_hash: vec![],
            spec: given,
            replay_of: None,
        };
        world.one(1_000, Kind::SubmitJob(submit));
        world.check();
        let row: Option<JobSpecRow> = world.row(Family::JobSpec, &job_key(NamespaceId(1), JobId(1)));
        assert_eq!(row.map(|r| r.spec), kept, "format {version}");
    }
}

/// Format 5: what an image's tag meant. What is no digest is refused only by who can see it.
#[test]
fn the_digest_of_an_image_is_kept_since_format_5() {
    use cloudai_core::command::{PINNED_SINCE, RaiseVersion, SubmitJob};
    use cloudai_core::rows::{JobSpecRow, job_key};
    use cloudai_types::{JobSpec, NamespaceId};
    assert_eq!(PINNED_SINCE, 5);
    let digest = format!("sha256:{}", "0f".repeat(32));
    for (version, given, kept) in [
        (4, digest.as_str(), Some("")),
        (4, "sha256:moved", Some("")),
        (5, digest.as_str(), Some(digest.as_str())),
        (5, "", Some("")),
        (5, "sha256:moved", None),
    ] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let spec = JobSpec { image: "reg:5000/x:1".into(), image_digest: given.into(), ..Default::default() };
        let submit = SubmitJob {
            namespace: "default".into(),
            request_id: String::new(),
            request_hash: vec![],
            spec,
            replay_of: None,
        };
        world.one(1_000, Kind::SubmitJob(submit));
        world.check();
        let row: Option<JobSpecRow> = world.row(Family::JobSpec, &job_key(NamespaceId(1), JobId(1)));
        assert_eq!(row.map(|r| r.spec.image_digest), kept.map(str::to_owned), "format {version}");
    }
}

/// Format 4: a spec's results and inputs are kept, its namespace is filled in, an attempt that stores holds nothing, and its ending keeps
/// what it stored. `check` loads the rows after each entry and compares what is reserved.
#[test]
fn results_are_kept_since_format_4_and_storing_them_holds_nothing() {
    use cloudai_core::command::{RESULTS_SINCE, RaiseVersion, RegisterWorker, SubmitJob};
    use cloudai_core::rows::{JobSpecRow, job_key};
    use cloudai_types::{NamespaceId, Resources, Results, TaskId, WorkerId};
    assert_eq!(RESULTS_SINCE, 4);
    for (version, kept) in [(3, false), (4, true)] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let capacity = Resources { cpu_milli: 8_000, ..Resources::default() };
        world.one(1_000, Kind::RegisterWorker(RegisterWorker { worker: 1, capacity, ..Default::default() }));
        let resources = Resources { cpu_milli: 1_000, ..Resources::default() };
        let spec = cloudai_types::JobSpec {
            image: "busybox".into(),
            count: 1,
            resources,
            results: true,
            inputs: [("raw".to_owned(), JobId(1).to_string())].into(),
            namespace: "somebody-elses".into(),
            ..Default::default()
        };
        let submit = SubmitJob {
            namespace: "default".into(),
            request_id: String::new(),
            request_hash: vec![],
            spec,
            replay_of: None,
        };
        world.one(1_000, Kind::SubmitJob(submit));
        let job: JobSpecRow = world.row(Family::JobSpec, &job_key(NamespaceId(1), JobId(1))).expect("it is there");
        let wanted = if kept { (true, 1, "default") } else { (false, 0, "") };
        assert_eq!((job.spec.results, job.spec.inputs.len(), job.spec.namespace.as_str()), wanted, "format {version}");
        let groups = vec![PlaceGroup { job: 1, worker: 1, indexes: vec![0] }];
        world.one(1_000, Kind::PlaceTasks(PlaceTasks { groups }));
        let used = |world: &World| world.hot.workers[&WorkerId(1)].used;
        assert_eq!(used(&world), resources);
        let session = world.hot.workers[&WorkerId(1)].session;
        let report = |world: &mut World, state: AttemptState, reason: Option<EndReason>| {
            let report =
                AttemptReport { job: 1, index: 0, number: 1, state: state as i32, reason, started_ms: 1, ended_ms: 2 };
            world.one(1_000, Kind::ReportAttempts(ReportAttempts { worker: 1, session, reports: vec![report] }));
            world.check();
        };
        report(&mut world, AttemptState::Running, None);
        assert_eq!(used(&world), resources);
        for _ in 0..2 {
            report(&mut world, AttemptState::Storing, None);
            assert_eq!(used(&world), if kept { Resources::default() } else { resources }, "format {version}");
        }
        let results = Results { manifest: "k".into(), files_total: 1, ..Results::default() };
        report(&mut world, AttemptState::Exited, Some(EndReason::exit(0).with_results(Some(results.clone()))));
        assert_eq!(used(&world), Resources::default(), "and it is given back once");
        let task = world.task_row(NamespaceId(1), TaskId { job: JobId(1), index: 0 }).expect("it has ended");
        assert_eq!(task.attempts[0].reason.results.as_deref(), kept.then_some(&results), "format {version}");
    }
}

/// Format 5: a spec's secrets are kept, and must be there. Before it nobody sees them, also not to refuse a bad one.
#[test]
fn secrets_are_kept_since_format_5() {
    use cloudai_core::command::{RaiseVersion, SECRETS_SINCE, SetSecret, SubmitJob};
    use cloudai_core::rows::{JobSpecRow, job_key};
    use cloudai_core::{Command, Refusal, Reply};
    use cloudai_types::{JobSpec, NamespaceId, SecretUse};
    assert_eq!(SECRETS_SINCE, 5);
    let set =
        || SetSecret { namespace: "default".into(), name: "token".into(), sealed: vec![1; 40], ..Default::default() };
    assert_eq!(Command::new("x", Kind::SetSecret(set())).since(), SECRETS_SINCE, "an older build stops there");
    let used = |name: &str| SecretUse { name: name.into(), env: "TOKEN".into(), file: String::new() };
    for (version, name, kept) in [
        (4, "token", Some(vec![])),
        (4, "gone", Some(vec![])),
        (5, "token", Some(vec![used("token")])),
        (5, "gone", None),
    ] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        world.one(1_000, Kind::SetSecret(set()));
        world.check();
        let spec = JobSpec { image: "busybox".into(), count: 1, secrets: vec![used(name)], ..Default::default() };
        let submit = SubmitJob { namespace: "default".into(), spec, ..Default::default() };
        let applied = world.one(1_000, Kind::SubmitJob(submit));
        world.check();
        let row: Option<JobSpecRow> = world.row(Family::JobSpec, &job_key(NamespaceId(1), JobId(1)));
        assert_eq!(row.map(|r| r.spec.secrets), kept, "format {version}");
        let is_refused = applied.replies[0] == Reply::Refused(Refusal::NoSuchSecret("gone".into()));
        assert_eq!(is_refused, kept.is_none(), "format {version}");
    }
}

/// A namespace holds so many secrets and logins together, and room that is made is room.
#[test]
fn a_namespace_has_room_for_so_many_secrets() {
    use cloudai_core::command::{RaiseVersion, RemoveSecret, SECRETS_SINCE, SetSecret};
    use cloudai_core::{Refusal, Reply};
    use cloudai_types::{SecretKind, limits};
    let most = limits::SECRETS_OF_NAMESPACE_MAX;
    let mut world = World::default();
    world.one(1_000, Kind::RaiseVersion(RaiseVersion { version: SECRETS_SINCE }));
    let set = |n: u32| {
        let kind = if n.is_multiple_of(2) { SecretKind::Value } else { SecretKind::RegistryLogin } as i32;
        Kind::SetSecret(SetSecret { namespace: "default".into(), kind, name: format!("s{n}.x"), sealed: vec![1] })
    };
    let applied = world.entry(1_000, (0..=most).map(set).collect());
    assert!(applied.replies[..most as usize].iter().all(|reply| *reply == Reply::SecretSet { version: 1 }));
    assert_eq!(applied.replies[most as usize], Reply::Refused(Refusal::TooMany(most as usize)));
    let again = world.one(1_000, set(0));
    assert_eq!(again.replies, [Reply::SecretSet { version: 2 }], "one that is there needs no room");
    let remove = RemoveSecret { namespace: "default".into(), kind: SecretKind::Value as i32, name: "s2.x".into() };
    let applied = world.entry(1_000, vec![Kind::RemoveSecret(remove), set(most)]);
    assert_eq!(applied.replies, [Reply::Done, Reply::SecretSet { version: 1 }]);
    world.check();
}

/// A retry may have been given more memory than its spec says: while it stores its results, all of that is free.
#[test]
fn an_attempt_with_more_memory_gives_all_of_it_back_while_it_stores() {
    use cloudai_core::command::{RESULTS_SINCE, RaiseVersion, RegisterWorker, SubmitJob};
    use cloudai_types::{JobSpec, ReasonKind, Resources, RetryRules, WorkerId};
    let mut world = World::default();
    world.entry(1_000, prelude());
    world.one(1_000, Kind::RaiseVersion(RaiseVersion { version: RESULTS_SINCE }));
    let capacity = Resources { memory_bytes: 100 << 20, ..Resources::default() };
    world.one(1_000, Kind::RegisterWorker(RegisterWorker { worker: 1, capacity, ..Default::default() }));
    let retry = RetryRules { memory_factor_percent: 150, memory_max_bytes: 1 << 30, ..Default::default() };
    let spec = JobSpec {
        image: "busybox".into(),
        count: 1,
        max_attempts: 2,
        resources: Resources { memory_bytes: 32 << 20, ..Resources::default() },
        retry: Some(retry),
        results: true,
        ..Default::default()
    };
    world.one(1_000, Kind::SubmitJob(SubmitJob { namespace: "default".into(), spec, ..Default::default() }));
    let place = |world: &mut World, at_ms| {
        let groups = vec![PlaceGroup { job: 1, worker: 1, indexes: vec![0] }];
        world.one(at_ms, Kind::PlaceTasks(PlaceTasks { groups }));
        world.check();
    };
    let report = |world: &mut World, number, state: AttemptState, reason: Option<EndReason>| {
        let session = world.hot.workers[&WorkerId(1)].session;
        let report = AttemptReport { job: 1, number, state: state as i32, reason, ..Default::default() };
        world.one(1_000, Kind::ReportAttempts(ReportAttempts { worker: 1, session, reports: vec![report] }));
        world.check();
    };
    let used_mib = |world: &World| world.hot.workers[&WorkerId(1)].used.memory_bytes >> 20;
    place(&mut world, 1_000);
    assert_eq!(used_mib(&world), 32);
    report(&mut world, 1, AttemptState::Exited, Some(EndReason::new(ReasonKind::OutOfMemory, "")));
    place(&mut world, 10_000);
    assert_eq!(used_mib(&world), 48);
    report(&mut world, 2, AttemptState::Storing, None);
    assert_eq!(used_mib(&world), 0);
    report(&mut world, 2, AttemptState::Exited, Some(EndReason::exit(0)));
    assert_eq!((used_mib(&world), world.hot.jobs.len()), (0, 0), "it is given back once");
}

/// Format 5: how long a task may wait, what it sees, how a worker is drained, and that it leaves. What is wrong there is refused only by who
/// can see it.
#[test]
fn queue_time_outs_volumes_and_drains_are_kept_since_format_5() {
    use cloudai_core::command::{
        DRAIN_DEADLINE_SINCE, IMAGE_SINCE, LEAVING_SINCE, QUEUE_TIMEOUT_SINCE, RaiseVersion, RegisterWorker, SetDrain,
        SubmitJob, VOLUMES_SINCE,
    };
    use cloudai_core::rows::{AliveRow, JobSpecRow, WorkerRow, alive_key, job_key, worker_key};
    use cloudai_types::image::fingerprint;
    use cloudai_types::spec::Mount;
    use cloudai_types::{JobSpec, NamespaceId, Volume, WorkerId};
    assert_eq!([QUEUE_TIMEOUT_SINCE, VOLUMES_SINCE, DRAIN_DEADLINE_SINCE, LEAVING_SINCE, IMAGE_SINCE], [5; 5]);
    let asks = |target: &str| JobSpec {
        image: "busybox".into(),
        queue_timeout_ms: 60_000,
        volumes: vec![Volume { name: "cache".into(), target: target.into(), ..Volume::default() }],
        mounts: vec![Mount { source: "/data".into(), target: "/d".into(), write: true }],
        ..Default::default()
    };
    for (version, kept) in [(4, false), (5, true)] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let submit = |spec| Kind::SubmitJob(SubmitJob { namespace: "default".into(), spec, ..Default::default() });
        // Two things at one place are wrong.
        world.entry(1_000, vec![submit(asks("/c")), submit(asks("/d"))]);
        world.check();
        assert_eq!(world.hot.jobs.len(), if kept { 1 } else { 2 }, "format {version}");
        let row: JobSpecRow = world.row(Family::JobSpec, &job_key(NamespaceId(1), JobId(1))).expect("it is there");
        let told = (row.spec.queue_timeout_ms, row.spec.volumes.len(), row.spec.mounts[0].write);
        assert_eq!(told, if kept { (60_000, 1, true) } else { (0, 0, false) }, "format {version}");
        assert_eq!(row.spec.namespace, if kept { "default" } else { "" }, "whose volume it is");
        let alive: AliveRow = world.row(Family::Alive, &alive_key(JobId(1))).expect("it is alive");
        assert_eq!(alive.queue_timeout_ms, told.0);
        assert_eq!(alive.image, if kept { u32::from(fingerprint("busybox")) } else { 0 }, "format {version}");
        assert_eq!(world.hot.queue_limits.first_due_ms(), kept.then_some(61_000));
        let drain = SetDrain { name: "w0".into(), draining: true, deadline_ms: 5_000 };
        world.one(1_000, Kind::SetDrain(drain));
        world.one(1_000, Kind::RegisterWorker(RegisterWorker { worker: 1, leaving: true, ..Default::default() }));
        world.check();
        let worker: WorkerRow = world.row(Family::Worker, &worker_key(WorkerId(1))).expect("it is there");
        assert_eq!(
            (worker.draining, worker.drain_deadline_ms, worker.leaving),
            (true, if kept { 5_000 } else { 0 }, kept)
        );
    }
}

#[test]
fn a_time_limit_is_known_to_hot_state_since_format_six() {
    use cloudai_core::command::{CancelJob, RaiseVersion, SubmitJob, TIME_LIMITS_SINCE};
    use cloudai_core::rows::{AliveRow, alive_key};
    use cloudai_types::JobSpec;
    assert_eq!(TIME_LIMITS_SINCE, 6);
    for (version, kept) in [(5, 0), (6, 30_000)] {
        let mut world = World::default();
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let spec = JobSpec { image: "busybox".into(), timeout_ms: 30_000, ..Default::default() };
        world.one(1_000, Kind::SubmitJob(SubmitJob { namespace: "default".into(), spec, ..Default::default() }));
        world.check();
        let alive: AliveRow = world.row(Family::Alive, &alive_key(JobId(1))).expect("it is alive");
        assert_eq!((alive.timeout_ms, world.hot.time_limit_ms(JobId(1))), (kept, kept), "format {version}");
        world.one(1_000, Kind::CancelJob(CancelJob { job: 1 }));
        world.check();
        assert!(world.hot.time_limits.is_empty());
    }
}

#[test]
fn gangs_are_kept_since_format_seven() {
    use cloudai_core::command::{GANGS_SINCE, PREEMPTION_SINCE, RaiseVersion, SubmitJob, SubmitWorkflow};
    use cloudai_core::rows::{AliveRow, JobSpecRow, alive_key, job_key};
    use cloudai_types::{JobSpec, NamespaceId, WorkflowNode, WorkflowSpec};
    assert_eq!([GANGS_SINCE, PREEMPTION_SINCE], [7, 7]);
    for (version, kept) in [(6, false), (7, true)] {
        let mut world = World::default();
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let spec = JobSpec { image: "busybox".into(), count: 3, gang: true, preemptible: true, ..Default::default() };
        let node = WorkflowNode { name: "n".into(), spec: spec.clone(), ..Default::default() };
        let workflow = WorkflowSpec { name: "flow".into(), nodes: vec![node] };
        world.one(1_000, Kind::SubmitJob(SubmitJob { namespace: "default".into(), spec, ..Default::default() }));
        let flow = SubmitWorkflow { namespace: "default".into(), workflow, ..Default::default() };
        world.one(1_000, Kind::SubmitWorkflow(flow));
        world.check();
        for id in [JobId(1), JobId(2)] {
            let alive: AliveRow = world.row(Family::Alive, &alive_key(id)).expect("it is alive");
            let row: JobSpecRow = world.row(Family::JobSpec, &job_key(NamespaceId(1), id)).expect("it is there");
            let told = (alive.gang, row.spec.gang, world.hot.is_gang(id));
            assert_eq!(told, (kept, kept, kept), "{id}, format {version}");
            let told = (alive.preemptible, row.spec.preemptible, world.hot.preemptible.contains(&id));
            assert_eq!(told, (kept, kept, kept), "{id}, format {version}");
        }
    }
}

#[test]
fn placement_rules_and_taints_are_kept_since_format_seven() {
    use cloudai_core::command::{PLACEMENT_SINCE, RaiseVersion, SetTaint, SubmitJob, SubmitWorkflow};
    use cloudai_core::rows::{AliveRow, JobSpecRow, WorkerRow, alive_key, job_key, worker_key};
    use cloudai_types::{JobSpec, NamespaceId, Placement, WorkerId, WorkflowNode, WorkflowSpec};
    assert_eq!(PLACEMENT_SINCE, 7);
    let asks = |require: &str| JobSpec {
        image: "busybox".into(),
        placement: Some(Placement { require: vec![require.into()], ..Placement::default() }),
        ..Default::default()
    };
    for (version, kept) in [(6, false), (7, true)] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let submit = |spec| Kind::SubmitJob(SubmitJob { namespace: "default".into(), spec, ..Default::default() });
        let node = |spec| WorkflowNode { name: "n".into(), spec, ..Default::default() };
        let workflow = WorkflowSpec { name: "flow".into(), nodes: vec![node(asks("zone in (us, eu)"))] };
        let flow = SubmitWorkflow { namespace: "default".into(), workflow, ..Default::default() };
        // The last is no expression, for those who read it.
        world.entry(
            1_000,
            vec![submit(asks("zone in (us, eu)")), Kind::SubmitWorkflow(flow), submit(asks("zone is eu"))],
        );
        world.check();
        assert_eq!(world.hot.jobs.len(), if kept { 2 } else { 3 }, "format {version}");
        for id in [JobId(1), JobId(2)] {
            let row: JobSpecRow = world.row(Family::JobSpec, &job_key(NamespaceId(1), id)).expect("it is there");
            let alive: AliveRow = world.row(Family::Alive, &alive_key(id)).expect("it is alive");
            let required = row.spec.placement.as_ref().map(|placement| placement.require.clone());
            assert_eq!(required, kept.then(|| vec!["zone in (eu,us)".to_owned()]), "format {version}");
            assert_eq!(alive.placement, row.spec.placement, "format {version}");
        }
        if kept {
            let taint = |value: &str, tainted| {
                Kind::SetTaint(SetTaint { name: "w0".into(), key: "gpu".into(), value: value.into(), tainted })
            };
            for (kind, there) in
                [(taint("", true), Some("")), (taint("a100", true), Some("a100")), (taint("", false), None)]
            {
                world.one(1_000, kind);
                world.check();
                let worker: WorkerRow = world.row(Family::Worker, &worker_key(WorkerId(1))).expect("it is there");
                assert_eq!(worker.taints.get("gpu").map(String::as_str), there);
            }
        }
    }
}

#[test]
fn newer_policies_and_prices_are_kept_since_format_seven() {
    use cloudai_core::command::{POLICIES_SINCE, RaiseVersion, RegisterWorker, SetConfig, SetQuota};
    use cloudai_core::rows::{WorkerRow, worker_key};
    use cloudai_types::{ClusterConfig, HourlyPrice, QuotaChange, ScorePolicy, WorkerId, limits};
    assert_eq!(POLICIES_SINCE, 7);
    let config = |policy| Kind::SetConfig(SetConfig { config: ClusterConfig { score_policy: policy as i32 } });
    let change = QuotaChange { score_policy: Some(ScorePolicy::Fgd as u64), ..QuotaChange::default() };
    let quota = Kind::SetQuota(SetQuota { namespace: "team-a".into(), change });
    for policy in ScorePolicy::ALL {
        let since = cloudai_core::Command::new("test", config(policy)).since();
        assert_eq!(since, if policy.is_old() { 1 } else { 7 }, "{}", policy.name());
    }
    assert_eq!(cloudai_core::Command::new("test", quota.clone()).since(), 7);
    for (version, kept) in [(6, false), (7, true)] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let register = |price_micros| {
            Kind::RegisterWorker(RegisterWorker { worker: 1, price_micros, ..RegisterWorker::default() })
        };
        world.one(1_000, register(350_000));
        world.check();
        let price = if kept { 350_000 } else { 0 };
        let row: WorkerRow = world.row(Family::Worker, &worker_key(WorkerId(1))).expect("it is there");
        assert_eq!((row.price_micros, world.hot.workers[&WorkerId(1)].price), (price, HourlyPrice(price)));
        // A wrong price is refused only by who can see it.
        let session = row.session;
        world.one(1_000, register(limits::PRICE_MICROS_MAX + 1));
        assert_eq!(world.hot.workers[&WorkerId(1)].session == session, kept, "format {version}");
        world.one(1_000, config(ScorePolicy::Cost));
        let policy = world.hot.config.score_policy();
        assert_eq!(policy, if kept { ScorePolicy::Cost } else { ScorePolicy::Balanced }, "format {version}");
        if kept {
            world.one(1_000, quota.clone());
            world.check();
            let id = world.hot.namespaces["team-a"];
            let policy = world.hot.tenants.get(id).map(|tenant| tenant.quota.policy());
            assert_eq!(policy, Some(Some(ScorePolicy::Fgd)));
        }
    }
}

#[test]
fn labels_of_jobs_and_rules_about_them_are_kept_since_format_seven() {
    use cloudai_core::command::{JOB_LABELS_SINCE, RaiseVersion, SubmitJob};
    use cloudai_core::rows::{AliveRow, JobSpecRow, alive_key, job_key};
    use cloudai_types::{JobSpec, NamespaceId, NearRule, Placement};
    assert_eq!(JOB_LABELS_SINCE, 7);
    for (version, kept) in [(6, false), (7, true)] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let labels: std::collections::BTreeMap<_, _> = [("app".to_owned(), "web".to_owned())].into();
        let apart_from = vec![NearRule { jobs: "app = db".into(), over: String::new() }];
        let spec = JobSpec {
            image: "busybox".into(),
            labels: labels.clone(),
            placement: Some(Placement { apart_from, ..Placement::default() }),
            ..Default::default()
        };
        // Labels that nobody may have, for those who read them.
        let wrong = JobSpec { labels: [(String::new(), "x".to_owned())].into(), ..spec.clone() };
        let submit = |spec| Kind::SubmitJob(SubmitJob { namespace: "default".into(), spec, ..Default::default() });
        world.entry(1_000, vec![submit(spec), submit(wrong)]);
        world.check();
        assert_eq!(world.hot.jobs.len(), if kept { 1 } else { 2 }, "format {version}");
        let row: JobSpecRow = world.row(Family::JobSpec, &job_key(NamespaceId(1), JobId(1))).expect("it is there");
        let alive: AliveRow = world.row(Family::Alive, &alive_key(JobId(1))).expect("it is alive");
        let rule = NearRule { jobs: "app=db".into(), over: "worker".into() };
        let told = alive.placement.map(|placement| placement.apart_from);
        assert_eq!(told, kept.then(|| vec![rule]), "format {version}");
        let wanted = if kept { labels } else { Default::default() };
        assert_eq!((&alive.labels, &row.spec.labels), (&wanted, &wanted), "format {version}");
        assert_eq!(world.hot.job_labels.get(JobId(1)), kept.then_some(&wanted), "format {version}");
    }
}

#[test]
fn where_workers_serve_their_metrics_is_kept_since_format_seven() {
    use cloudai_core::command::{DISCOVERY_SINCE, RaiseVersion, RegisterWorker};
    use cloudai_core::rows::{WorkerRow, worker_key};
    use cloudai_types::{WorkerId, limits};
    assert_eq!(DISCOVERY_SINCE, 7);
    let long = "x".repeat(limits::ADDRESS_BYTES_MAX + 1);
    for (version, said, kept) in [(6, "10.0.0.9:7610", ""), (7, "10.0.0.9:7610", "10.0.0.9:7610"), (7, &long, "")] {
        let mut world = World::default();
        world.entry(1_000, prelude());
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let register = RegisterWorker { worker: 1, metrics_addr: said.to_owned(), ..Default::default() };
        world.one(1_000, Kind::RegisterWorker(register));
        world.check();
        let worker: WorkerRow = world.row(Family::Worker, &worker_key(WorkerId(1))).expect("it is there");
        assert_eq!(worker.metrics_addr, kept, "format {version}");
    }
}

#[test]
fn the_trace_of_a_submit_is_kept_since_format_eight() {
    use cloudai_core::command::{Command, Proposal, RaiseVersion, SubmitJob, SubmitWorkflow, TRACE_SINCE, VERSION};
    use cloudai_core::rows::{JobSpecRow, job_key};
    use cloudai_types::{JobSpec, NamespaceId, WorkflowNode, WorkflowSpec, limits};
    assert_eq!(TRACE_SINCE, 8);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let long = "x".repeat(limits::TRACE_PARENT_BYTES_MAX + 1);
    // What a text means is not asked here: it may be no trace parent at all, and costs nothing.
    for (version, said, kept) in [(7, parent, ""), (8, parent, parent), (8, "garbage", "garbage"), (8, &long, "")] {
        let mut world = World::default();
        world.one(1_000, Kind::RaiseVersion(RaiseVersion { version }));
        let (namespace, spec) = ("default".to_owned(), JobSpec { image: "busybox".into(), ..Default::default() });
        let node = WorkflowNode { name: "n".into(), spec: spec.clone(), ..Default::default() };
        let workflow = WorkflowSpec { name: "flow".into(), nodes: vec![node] };
        let flow = SubmitWorkflow { namespace: namespace.clone(), workflow, ..Default::default() };
        let kinds = [Kind::SubmitJob(SubmitJob { namespace, spec, ..Default::default() }), Kind::SubmitWorkflow(flow)];
        let command = |kind| Command { trace_parent: said.to_owned(), ..Command::new("admin/ann", kind) };
        world.proposal(Proposal { version: VERSION, at_ms: 2_000, commands: kinds.map(command).into() });
        world.check();
        for id in [JobId(1), JobId(2)] {
            let row: JobSpecRow = world.row(Family::JobSpec, &job_key(NamespaceId(1), id)).expect("it is there");
            assert_eq!(row.trace_parent, kept, "format {version}, {id}");
        }
    }
}
