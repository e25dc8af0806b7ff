//! Schedules: each of their times has one job at most, whatever leaders propose, how often and in which order.

use std::collections::BTreeMap;

use cloudai_core::command::{
    CancelJob, CreateSchedule, DeleteSchedule, Kind, PauseSchedule, RaiseVersion, RunSchedule, SCHEDULES_SINCE,
    SetQuota, TriggerSchedule, VERSION,
};
use cloudai_core::rows::{Family, JobSpecRow, ScheduleRow, job_key, named_key};
use cloudai_core::{Command, Refusal, Reply};
use cloudai_types::{JobId, JobSpec, NamespaceId, Overlap, QuotaChange, RunOutcome, ScheduleRun, ScheduleSpec, limits};
use proptest::prelude::*;

use crate::world::World;

const NS: NamespaceId = NamespaceId(1);
/// Its times are the whole minutes.
const MINUTE: u64 = 60_000;

fn create(overlap: Overlap) -> CreateSchedule {
    let job = JobSpec { image: "busybox".into(), ..JobSpec::default() };
    let cron = "* * * * *".to_owned();
    let spec = ScheduleSpec { cron, zone: "UTC".into(), overlap: overlap as i32, job, ..ScheduleSpec::default() };
    CreateSchedule { namespace: "default".into(), name: "s".into(), spec, next_due_ms: MINUTE, replace: false }
}

/// What a leader proposes that found this state.
fn run(world: &World, due_ms: u64) -> RunSchedule {
    let spec_hash = row(world).spec_hash;
    let next_due_ms = due_ms + MINUTE;
    RunSchedule { namespace: NS.0, name: "s".into(), spec_hash, due_ms, next_due_ms, ..RunSchedule::default() }
}

fn row(world: &World) -> ScheduleRow {
    world.row(Family::Schedule, &named_key(NS, "s")).expect("the schedule is there")
}

fn begun(overlap: Overlap) -> World {
    let mut world = World::default();
    world.one(1_000, Kind::RaiseVersion(RaiseVersion { version: VERSION }));
    assert_eq!(
        world.one(1_000, Kind::CreateSchedule(create(overlap))).replies,
        [Reply::ScheduleCreated { is_new: true }]
    );
    world
}

fn outcome(world: &mut World, at_ms: u64, command: RunSchedule) -> Result<(RunOutcome, u64), Refusal> {
    let reply = world.one(at_ms, Kind::RunSchedule(command)).replies.remove(0);
    world.check();
    match reply {
        Reply::ScheduleRan { run, duplicate: false } => Ok((run.outcome(), run.job)),
        Reply::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Some leader proposes this time, whose next one it knows.
    Propose(u64),
    /// The proposal of the so-maniest step before arrives once more.
    Repeat(usize),
    CancelJob(u64),
    Pause(bool),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_time_has_two_jobs(
        overlap in prop::sample::select(Overlap::ALL.to_vec()),
        steps in prop::collection::vec((
            0..3u64,
            prop_oneof![
                4 => (1..12u64).prop_map(Step::Propose),
                3 => (0..9usize).prop_map(Step::Repeat),
                2 => (0..9u64).prop_map(Step::CancelJob),
                1 => any::<bool>().prop_map(Step::Pause),
            ],
        ), 1..60),
    ) {
        let mut world = begun(overlap);
        let (mut now, mut proposed, mut last_due) = (1_000, vec![], 0);
        let mut jobs: BTreeMap<u64, u64> = BTreeMap::new();
        for (minutes, step) in steps {
            now += minutes * MINUTE;
            let command = match step {
                Step::Propose(n) => {
                    proposed.push(run(&world, n * MINUTE));
                    proposed.last().cloned()
                }
                Step::Repeat(ago) => proposed.iter().rev().nth(ago).cloned(),
                Step::CancelJob(job) => {
                    world.one(now, Kind::CancelJob(CancelJob { job }));
                    None
                }
                Step::Pause(paused) => {
                    let pause = PauseSchedule { namespace: "default".into(), name: "s".into(), paused };
                    world.one(now, Kind::PauseSchedule(pause));
                    None
                }
            };
            let Some(command) = command else { continue };
            let (due_ms, before) = (command.due_ms, row(&world));
            match outcome(&mut world, now, command) {
                Ok((outcome, job)) => {
                    prop_assert!(due_ms > last_due && due_ms <= now && !before.paused);
                    last_due = due_ms;
                    if outcome == RunOutcome::Ran {
                        prop_assert_eq!(jobs.insert(due_ms, job), None, "{} had a job already", due_ms);
                    }
                }
                Err(refusal) => {
                    prop_assert_eq!(refusal, Refusal::NotDue("s".into()));
                    prop_assert!(due_ms <= last_due || due_ms > now || before.paused);
                    prop_assert_eq!(row(&world), before);
                }
            }
        }
        // As many jobs as times that ran, each under the request id of its time.
        prop_assert_eq!(world.hot.next_job - 1, jobs.len() as u64);
        for (due_ms, job) in jobs {
            let row: JobSpecRow = world.row(Family::JobSpec, &job_key(NS, JobId(job))).expect("the job is there");
            prop_assert_eq!(row.request_id, format!("schedule-1-s-{}", due_ms));
        }
    }
}

#[test]
fn what_overlaps_is_skipped_allowed_or_takes_the_others_place() {
    for (overlap, second, alive) in [
        (Overlap::Skip, (RunOutcome::Overlapped, 1), vec![1]),
        (Overlap::Allow, (RunOutcome::Ran, 2), vec![1, 2]),
        (Overlap::CancelPrevious, (RunOutcome::Ran, 2), vec![2]),
    ] {
        let mut world = begun(overlap);
        let first = run(&world, MINUTE);
        assert_eq!(outcome(&mut world, MINUTE, first), Ok((RunOutcome::Ran, 1)), "{overlap:?}");
        let next = run(&world, 2 * MINUTE);
        assert_eq!(outcome(&mut world, 2 * MINUTE, next), Ok(second), "{overlap:?}");
        assert_eq!(world.hot.jobs.keys().map(|id| id.0).collect::<Vec<_>>(), alive, "{overlap:?}");
        for job in alive {
            world.one(2 * MINUTE, Kind::CancelJob(CancelJob { job }));
        }
        let third = run(&world, 3 * MINUTE);
        let (outcome, _) = outcome(&mut world, 3 * MINUTE, third).expect("it is due");
        assert_eq!(outcome, RunOutcome::Ran, "{overlap:?}: its predecessor has ended");
    }
}

#[test]
fn times_that_are_passed_over_are_counted_and_remembered() {
    let mut world = begun(Overlap::Allow);
    let late = RunSchedule { missed: 2, missed_last_ms: 2 * MINUTE, ..run(&world, 3 * MINUTE) };
    assert_eq!(outcome(&mut world, 4 * MINUTE, late), Ok((RunOutcome::Ran, 1)));
    let none = RunSchedule { missed: 1, is_missed: true, ..run(&world, 5 * MINUTE) };
    assert_eq!(outcome(&mut world, 9 * MINUTE, none), Ok((RunOutcome::Missed, 0)));
    let no_image = RunSchedule { refused: "no such image".into(), ..run(&world, 6 * MINUTE) };
    assert_eq!(outcome(&mut world, 9 * MINUTE, no_image), Ok((RunOutcome::Refused, 0)));
    let row = row(&world);
    assert_eq!((row.ran, row.missed, row.overlapped, row.refused), (1, 4, 0, 1));
    let told: Vec<_> = row.runs.iter().map(|run| (run.outcome(), run.due_ms / MINUTE, run.times)).collect();
    use RunOutcome::{Missed, Ran, Refused};
    assert_eq!(told, [(Missed, 2, 2), (Ran, 3, 0), (Missed, 5, 2), (Refused, 6, 0)]);
    assert_eq!((row.runs[3].why.as_str(), row.last_due_ms, row.next_due_ms), ("no such image", 6 * MINUTE, 7 * MINUTE));
}

#[test]
fn a_time_whose_job_would_be_over_a_quota_is_recorded_with_the_reason() {
    let mut world = begun(Overlap::Allow);
    let change = QuotaChange { user_queued_max: Some(1), ..QuotaChange::default() };
    world.one(2_000, Kind::SetQuota(SetQuota { namespace: "default".into(), change }));
    let first = run(&world, MINUTE);
    assert_eq!(outcome(&mut world, MINUTE, first), Ok((RunOutcome::Ran, 1)));
    let second = run(&world, 2 * MINUTE);
    assert_eq!(outcome(&mut world, 2 * MINUTE, second), Ok((RunOutcome::Refused, 0)));
    let why = "the queue is full: 1 of at most 1 tasks of admin/test in default wait, and this would be 1 more";
    assert_eq!((row(&world).runs[1].why.as_str(), row(&world).next_due_ms), (why, 3 * MINUTE));
}

#[test]
fn a_leader_whose_calendar_differs_moves_the_next_time_and_nothing_else() {
    let mut world = begun(Overlap::Skip);
    let moved = RunSchedule { due_ms: 0, next_due_ms: 5 * MINUTE, ..run(&world, MINUTE) };
    assert_eq!(outcome(&mut world, 2 * MINUTE, moved.clone()), Ok((RunOutcome::Ran, 0)));
    let row = row(&world);
    assert_eq!((row.next_due_ms, row.ran, row.runs.len(), world.hot.jobs.len()), (5 * MINUTE, 0, 0, 0));
    let back = RunSchedule { next_due_ms: 500, ..moved };
    assert_eq!(outcome(&mut world, 2 * MINUTE, back), Err(Refusal::NotDue("s".into())), "it would be due for ever");
}

#[test]
fn by_hand_it_runs_once_per_request_and_keeps_to_the_overlap() {
    let mut world = begun(Overlap::Skip);
    let trigger = |world: &World, request_id: &str| {
        let (spec_hash, request_id) = (row(world).spec_hash, request_id.to_owned());
        let (namespace, name) = ("default".into(), "s".into());
        let image_digest = String::new();
        Kind::TriggerSchedule(TriggerSchedule {
            namespace,
            name,
            request_id,
            request_hash: vec![1],
            spec_hash,
            image_digest,
        })
    };
    let pause = PauseSchedule { namespace: "default".into(), name: "s".into(), paused: true };
    world.one(2_000, Kind::PauseSchedule(pause));
    let ran = |duplicate, at_ms| {
        let run = ScheduleRun { due_ms: at_ms, decided_ms: at_ms, job: 1, by_hand: true, ..ScheduleRun::default() };
        [Reply::ScheduleRan { run, duplicate }]
    };
    let first = trigger(&world, "r1");
    assert_eq!(world.one(3_000, first.clone()).replies, ran(false, 3_000), "also while it is paused");
    assert_eq!(world.one(4_000, first).replies, ran(true, 4_000));
    let second = trigger(&world, "r2");
    assert_eq!(world.one(4_000, second).replies, [Reply::Refused(Refusal::RunOverlaps("s".into(), JobId(1)))]);
    world.check();
    let row = row(&world);
    assert_eq!((row.ran, row.runs.len(), row.last_due_ms, row.next_due_ms), (1, 1, 1_000, MINUTE));
}

#[test]
fn the_same_words_change_nothing_and_others_only_where_they_are_to_replace() {
    let mut world = begun(Overlap::Skip);
    let first = run(&world, MINUTE);
    outcome(&mut world, MINUTE, first.clone()).expect("it is due");
    let again = world.one(2 * MINUTE, Kind::CreateSchedule(create(Overlap::Skip)));
    assert_eq!(again.replies, [Reply::ScheduleCreated { is_new: false }]);
    let mut other = create(Overlap::Allow);
    let refused = world.one(2 * MINUTE, Kind::CreateSchedule(other.clone()));
    assert_eq!(refused.replies, [Reply::Refused(Refusal::ScheduleExists("s".into()))]);
    other.replace = true;
    let stale = world.one(2 * MINUTE, Kind::CreateSchedule(other.clone()));
    assert_eq!(stale.replies, [Reply::Refused(Refusal::ScheduleChanged("s".into()))], "its first time was decided");
    other.next_due_ms = 3 * MINUTE;
    let replaced = world.one(2 * MINUTE, Kind::CreateSchedule(other));
    assert_eq!(replaced.replies, [Reply::ScheduleCreated { is_new: true }]);
    assert_eq!((row(&world).ran, row(&world).created_ms), (1, 1_000), "its runs are remembered");
    let old = RunSchedule { due_ms: 3 * MINUTE, next_due_ms: 4 * MINUTE, ..first };
    assert_eq!(outcome(&mut world, 3 * MINUTE, old), Err(Refusal::NotDue("s".into())), "of what it was before");
    let delete = Kind::DeleteSchedule(DeleteSchedule { namespace: "default".into(), name: "s".into() });
    assert_eq!(world.one(4 * MINUTE, delete.clone()).replies, [Reply::Done]);
    assert_eq!(world.one(4 * MINUTE, delete).replies, [Reply::Refused(Refusal::NoSuchSchedule("s".into()))]);
    world.check();
    assert_eq!((world.hot.schedules.len(), world.hot.jobs.len()), (0, 1), "its job goes on");
}

#[test]
fn a_namespace_has_room_for_so_many_and_an_older_build_stops_there() {
    assert_eq!(Command::new("x", Kind::CreateSchedule(create(Overlap::Skip))).since(), SCHEDULES_SINCE);
    let mut world = World::default();
    let nth = |n: u32| Kind::CreateSchedule(CreateSchedule { name: format!("s{n}"), ..create(Overlap::Skip) });
    let most = limits::SCHEDULES_OF_NAMESPACE_MAX;
    let applied = world.entry(1_000, (0..=most).map(nth).collect());
    assert!(applied.replies[..most as usize].iter().all(|reply| *reply == Reply::ScheduleCreated { is_new: true }));
    assert_eq!(applied.replies[most as usize], Reply::Refused(Refusal::TooMany(most as usize)));
    world.check();
}
