//! What people hear of: each thing once, in order, and an array of ten thousand tasks in a few words.

use cloudai_core::Applied;
use cloudai_core::command::*;
use cloudai_core::news::{News, Run};
use cloudai_types::{EndReason, JobId, JobSpec, Resources};

use crate::histories::{prelude, register};
use crate::world::World;

fn started() -> World {
    let mut world = World::default();
    world.one(1_000, Kind::RaiseVersion(RaiseVersion { version: VERSION }));
    world.entry(1_000, prelude());
    world
}

fn submit(count: u32, max_attempts: u32) -> Kind {
    let resources = Resources { cpu_milli: 1, ..Resources::default() };
    let spec = JobSpec { image: "busybox".into(), count, max_attempts, resources, ..JobSpec::default() };
    Kind::SubmitJob(SubmitJob { namespace: "default".into(), spec, ..SubmitJob::default() })
}

fn place(worker: u32, indexes: std::ops::Range<u32>) -> PlaceGroup {
    PlaceGroup { job: 1, worker, indexes: indexes.collect() }
}

fn report(world: &World, worker: u32, state: AttemptState, indexes: std::ops::Range<u32>, code: i32) -> Kind {
    let session = world.hot.workers[&cloudai_types::WorkerId(worker)].session;
    let reason = (state == AttemptState::Exited).then(|| EndReason::exit(code));
    let reports = indexes.map(|index| AttemptReport {
        job: 1,
        index,
        number: world.hot.jobs[&JobId(1)].active[&index].number,
        state: state as i32,
        reason: reason.clone(),
        started_ms: 1,
        ended_ms: 2,
    });
    Kind::ReportAttempts(ReportAttempts { worker, session, reports: reports.collect() })
}

/// `started 0-4 of attempt 1 on w2`.
fn told(applied: &Applied) -> Vec<String> {
    applied.news.iter().map(line).collect()
}

fn line(news: &News) -> String {
    let run = news.run.map_or(String::new(), |Run { first, count, attempt }| {
        format!(" {first}-{} of attempt {attempt}", first + count - 1)
    });
    let worker = news.worker.map_or(String::new(), |worker| format!(" on {worker}"));
    format!("{}{run}{worker}", news.kind().name())
}

#[test]
fn an_array_of_ten_thousand_is_told_in_a_few_words() {
    let mut world = started();
    let submitted = world.one(2_000, submit(10_000, 1));
    assert_eq!(told(&submitted), ["submitted"]);
    let groups = vec![place(1, 0..3_000), place(2, 3_000..6_000)];
    let placed = world.one(2_000, Kind::PlaceTasks(PlaceTasks { groups }));
    assert_eq!(told(&placed), ["placed 0-2999 of attempt 1 on w1", "placed 3000-5999 of attempt 1 on w2"]);
    let running = report(&world, 1, AttemptState::Running, 0..3_000, 0);
    assert_eq!(told(&world.one(3_000, running)), ["started 0-2999 of attempt 1 on w1"]);
    let ended = report(&world, 1, AttemptState::Exited, 0..2_999, 0);
    assert_eq!(told(&world.one(4_000, ended)), ["ended 0-2998 of attempt 1 on w1"]);
    let failed = report(&world, 1, AttemptState::Exited, 2_999..3_000, 3);
    assert_eq!(told(&world.one(4_000, failed)), ["ended 2999-2999 of attempt 1 on w1"], "another reason");
    world.check();
}

#[test]
fn a_lost_worker_takes_its_attempts_along_and_a_cancel_tells_who() {
    let mut world = started();
    world.entry(2_000, vec![submit(4, 2), Kind::PlaceTasks(PlaceTasks { groups: vec![place(1, 0..2)] })]);
    let lost = world.one(3_000, Kind::LoseWorker(LoseWorker { worker: 1, session: 1 }));
    assert_eq!(told(&lost), ["worker_lost on w1", "lost 0-1 of attempt 1 on w1"]);
    let cancelled = world.one(4_000, Kind::CancelJob(CancelJob { job: 1 }));
    assert_eq!(told(&cancelled), ["cancelled", "finished"]);
    assert!(format!("{:?}", cancelled.news[0]).contains("tasks: 4, stopping: 0, actor: \"admin/test\""));
    assert_eq!(told(&world.one(4_000, Kind::CancelJob(CancelJob { job: 1 }))), [""; 0], "again: nothing");
    assert_eq!(told(&world.one(5_000, register(1, 4, true))), ["worker_registered on w1"]);
    world.check();
}

#[test]
fn a_task_that_has_spent_its_budget_is_told_of_as_dead() {
    let mut world = started();
    world.entry(2_000, vec![submit(1, 2), Kind::PlaceTasks(PlaceTasks { groups: vec![place(2, 0..1)] })]);
    let failed = report(&world, 2, AttemptState::Exited, 0..1, 3);
    assert_eq!(told(&world.one(3_000, failed)), ["ended 0-0 of attempt 1 on w2"]);
    world.one(60_000, Kind::PlaceTasks(PlaceTasks { groups: vec![place(3, 0..1)] }));
    let failed = report(&world, 3, AttemptState::Exited, 0..1, 3);
    let dead = ["ended 0-0 of attempt 2 on w3", "dead 0-0 of attempt 2", "finished"];
    assert_eq!(told(&world.one(61_000, failed)), dead);
    let groups = vec![DeadGroup { namespace: 1, job: 1, indexes: vec![0] }];
    let replayed = world.one(62_000, Kind::ReplayDead(ReplayDead { groups }));
    assert_eq!(told(&replayed), ["replayed 0-0 of attempt 0"]);
}

#[test]
fn what_changes_nothing_is_not_told() {
    let mut world = started();
    let drain = |draining| Kind::SetDrain(SetDrain { name: "w1".into(), draining, deadline_ms: 0 });
    assert_eq!(told(&world.one(2_000, drain(true))), ["worker_drained on w2"]);
    assert_eq!(told(&world.one(2_000, drain(true))), [""; 0]);
    assert_eq!(told(&world.one(2_000, drain(false))), ["worker_resumed on w2"]);
    let taint = SetTaint { name: "w1".into(), key: "gpu".into(), value: String::new(), tainted: true };
    assert_eq!(told(&world.one(2_000, Kind::SetTaint(taint.clone()))), ["worker_tainted on w2"]);
    assert_eq!(told(&world.one(2_000, Kind::SetTaint(taint))), [""; 0]);
    let same = Kind::RaiseVersion(RaiseVersion { version: VERSION });
    assert_eq!(told(&world.one(2_000, same)), [""; 0]);
}
