//! The history of a task and of its job, as their rows tell it after the entries of a story.

use cloudai_core::command::*;
use cloudai_core::history::{Dated, JobPast, TaskPast, of_job, of_task};
use cloudai_core::rows::{AttemptRow, Family, JobSpecRow, TaskRow, WaitingRow, job_key, task_key};
use cloudai_types::{
    EndReason, JobId, JobSpec, NamespaceId, ReasonKind, Resources, RetryAction, RetryRule, RetryRules, TaskId,
    WaitCause, WorkerId,
};

use crate::histories::prelude;
use crate::world::World;

const JOB: JobId = JobId(1);
const NS: NamespaceId = NamespaceId(1);

fn started(spec: JobSpec) -> World {
    let mut world = World::default();
    world.one(1_000, Kind::RaiseVersion(RaiseVersion { version: VERSION }));
    world.entry(1_000, prelude());
    let submit = SubmitJob { namespace: "default".into(), spec, ..SubmitJob::default() };
    world.one(2_000, Kind::SubmitJob(submit));
    world
}

fn spec(count: u32) -> JobSpec {
    let resources = Resources { cpu_milli: 100, memory_bytes: 32 << 20, ..Resources::default() };
    JobSpec { image: "busybox".into(), count, max_attempts: 3, resources, ..JobSpec::default() }
}

fn place(worker: u32, index: u32) -> Kind {
    Kind::PlaceTasks(PlaceTasks { groups: vec![PlaceGroup { job: JOB.0, worker, indexes: vec![index] }] })
}

fn report(world: &World, index: u32, state: AttemptState, reason: Option<EndReason>, worker_ms: u64) -> Kind {
    let attempt = &world.hot.jobs[&JOB].active[&index];
    let ended_ms = if reason.is_some() { worker_ms } else { 0 };
    let started_ms = if reason.is_some() { 0 } else { worker_ms };
    let report =
        AttemptReport { job: JOB.0, index, number: attempt.number, state: state as i32, reason, started_ms, ended_ms };
    let session = world.hot.workers[&attempt.worker].session;
    Kind::ReportAttempts(ReportAttempts { worker: attempt.worker.0, session, reports: vec![report] })
}

fn note(cause: WaitCause, memory_mib: u32) -> Kind {
    let note = ReasonNote { job: JOB.0, cause: cause as i32, workers: 2, of: 3, memory_mib };
    Kind::NoteReasons(NoteReasons { notes: vec![note] })
}

fn told(world: &World, index: Option<u32>) -> String {
    let spec: JobSpecRow = world.row(Family::JobSpec, &job_key(NS, JOB)).expect("it was submitted");
    let row = world.job_row(NS, JOB).expect("it was submitted");
    let notes = world.job_notes(NS, JOB).unwrap_or_default();
    let past = JobPast {
        namespace: NS,
        job: JOB,
        spec: &spec,
        row: &row,
        notes: &notes,
        waits_for_others: false,
        one_by_one: false,
    };
    let dated = match index {
        None => of_job(&past),
        Some(index) => {
            let key = task_key(NS, TaskId { job: JOB, index });
            let task: Option<TaskRow> = world.row(Family::Task, &key);
            let waiting: Option<WaitingRow> = world.row(Family::Waiting, &key);
            let attempt: Option<AttemptRow> = world.row(Family::Attempt, &key);
            let own = TaskPast { task: task.as_ref(), waiting: waiting.as_ref(), attempt: attempt.as_ref() };
            of_task(&past, index, &own)
        }
    };
    dated.iter().map(|dated| line(dated) + "\n").collect()
}

/// `2500 started .1 w1`, and what is special about it.
fn line(Dated { at_ms, news }: &Dated) -> String {
    use cloudai_core::news::What;
    let attempt = news.run.filter(|run| run.attempt > 0).map_or(String::new(), |run| format!(" .{}", run.attempt));
    let worker = news.worker.map_or(String::new(), |worker: WorkerId| format!(" {worker}"));
    let more = match &news.what {
        What::Submitted { tasks, actor } => format!(": {tasks} by {actor}"),
        What::Waits(note) => format!(": {}", note.cause().name()),
        What::Ended { ending, state, .. } => format!(": {} {:?}, {state:?}", ending.kind.name(), ending.exit_code),
        What::Retries { until_ms } => format!(": until {until_ms}"),
        What::MemoryRaised { memory_mib } => format!(": {memory_mib}"),
        What::Cancelled { actor, .. } => format!(": by {actor}"),
        What::Finished { state } => format!(": {state:?}"),
        _ => String::new(),
    };
    format!("{at_ms} {}{attempt}{worker}{more}", news.kind().name())
}

#[test]
fn a_task_that_waits_fails_for_want_of_memory_and_is_cancelled() {
    let rules = vec![RetryRule { reason: ReasonKind::OutOfMemory as i32, action: RetryAction::Retry as i32 }];
    let retry = RetryRules {
        rules,
        memory_factor_percent: 200,
        memory_max_bytes: 1 << 30,
        delay_ms: 5_000,
        jitter_percent: 0,
        ..RetryRules::default()
    };
    let mut world = started(JobSpec { retry: Some(retry), ..spec(2) });
    world.one(12_000, note(WaitCause::Busy, 0));
    world.one(22_000, note(WaitCause::Busy, 0));
    world.one(32_000, note(WaitCause::Ahead, 0));
    world.one(33_000, place(1, 0));
    world.one(33_050, note(WaitCause::Label, 0));
    let running = report(&world, 0, AttemptState::Running, None, 33_100);
    world.one(34_000, running);
    // Its worker's clock is behind.
    let oom = Some(EndReason::new(ReasonKind::OutOfMemory, "").with_exit_code(137));
    let ended = report(&world, 0, AttemptState::Exited, oom, 32_900);
    world.one(35_000, ended);
    assert_eq!(
        told(&world, Some(0)),
        "\
2000 submitted: 1 by admin/test
12000 waits: busy
32000 waits: ahead
33000 placed .1 w1
33100 started .1 w1
32900 ended .1 w1: out_of_memory Some(137), Some(Queued)
32900 memory_raised .1: 64
32900 retries .2: until 40000
"
    );
    world.one(52_000, note(WaitCause::TooSmall, 64));
    world.one(60_000, Kind::CancelJob(CancelJob { job: JOB.0 }));
    let last = told(&world, Some(0)).lines().rev().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(last, ["60000 cancelled: by admin/test", "32900 ended .1 w1: out_of_memory Some(137), Some(Cancelled)"]);
    assert_eq!(
        told(&world, Some(1)),
        "\
2000 submitted: 1 by admin/test
12000 waits: busy
32000 waits: ahead
33050 waits: label
60000 cancelled: by admin/test
",
        "its sibling waited for longer"
    );
    assert_eq!(
        told(&world, None),
        "\
2000 submitted: 2 by admin/test
12000 waits: busy
32000 waits: ahead
33000 placed
33050 waits: label
52000 waits: too_small
60000 cancelled: by admin/test
60000 finished: Cancelled
"
    );
    world.check();
}

#[test]
fn a_dead_task_that_was_replayed_and_succeeds() {
    let mut world = started(JobSpec { max_attempts: 2, ..spec(1) });
    for (number, worker) in [(1, 1), (2, 2)] {
        let at_ms = number * 100_000;
        world.one(at_ms, place(worker, 0));
        let failed = report(&world, 0, AttemptState::Exited, Some(EndReason::exit(3)), at_ms + 700);
        world.one(at_ms + 1_000, failed);
    }
    let groups = vec![DeadGroup { namespace: NS.0, job: JOB.0, indexes: vec![0] }];
    world.one(250_000, Kind::ReplayDead(ReplayDead { groups }));
    let before = "\
2000 submitted: 1 by admin/test
100000 placed .1 w1
100700 ended .1 w1: exit_code Some(3), Some(Queued)
200000 placed .2 w2
200700 ended .2 w2: exit_code Some(3), None
0 replayed
";
    assert_eq!(told(&world, Some(0)), before);
    world.one(300_000, place(3, 0));
    let lost = Kind::LoseWorker(LoseWorker { worker: 3, session: 3 });
    world.one(301_000, lost);
    world.one(302_000, place(1, 0));
    let done = report(&world, 0, AttemptState::Exited, Some(EndReason::exit(0)), 303_000);
    world.one(304_000, done);
    let after = "\
300000 placed .3 w3
301000 lost .3 w3: worker_lost None, Some(Queued)
302000 placed .4 w1
303000 ended .4 w1: exit_code Some(0), Some(Succeeded)
";
    assert_eq!(told(&world, Some(0)), format!("{before}{after}"));
    world.check();
}

#[test]
fn a_task_that_expires_in_the_queue_and_one_that_dies() {
    let mut world = started(JobSpec { queue_timeout_ms: 5_000, max_attempts: 1, ..spec(2) });
    world.one(3_000, place(1, 0));
    world.one(9_000, Kind::ExpireQueued(ExpireQueued {}));
    assert_eq!(told(&world, Some(1)), "2000 submitted: 1 by admin/test\n9000 expired\n");
    assert!(told(&world, None).contains("3000 placed\n9000 expired\n"));
}

#[test]
fn notes_go_with_their_job_and_are_refused_where_nothing_waits() {
    let mut world = started(spec(1));
    let noted = |world: &mut World, kind| world.one(12_000, kind).replies[0].clone();
    let reply = |noted, ignored| cloudai_core::Reply::Noted { noted, ignored };
    assert_eq!(noted(&mut world, note(WaitCause::Busy, 0)), reply(1, 0));
    assert_eq!(noted(&mut world, note(WaitCause::Busy, 0)), reply(0, 1), "a second leader says the same");
    assert_eq!(noted(&mut world, note(WaitCause::Unspecified, 0)), reply(0, 1));
    world.one(12_000, place(1, 0));
    assert_eq!(noted(&mut world, note(WaitCause::Label, 0)), reply(0, 1), "nothing of it waits");
    let done = report(&world, 0, AttemptState::Exited, Some(EndReason::exit(0)), 12_500);
    world.one(13_000, done);
    assert!(world.job_notes(NS, JOB).is_some());
    let jobs = vec![ExpiringJob { namespace: NS.0, job: JOB.0 }];
    world.one(20_000, Kind::ExpireJobs(ExpireJobs { jobs, ended_until_ms: 20_000 }));
    assert!(world.job_notes(NS, JOB).is_none());
    world.check();
}
