//! What holds after every entry of any history.

use std::collections::BTreeSet;

use cloudai_core::command::{
    AttemptReport, AttemptState, CancelWorkflow, Kind, PlaceGroup, PlaceTasks, Proposal, ReportAttempts, RetryWorkflow,
    SubmitWorkflow, VERSION,
};
use cloudai_core::rows::{Family, WorkerState, WorkflowRow};
use cloudai_core::transitions::{self, Owner, Transition};
use cloudai_core::{Event, Hot, Reply, apply};
use cloudai_types::quota::{NO_CAP, QuotaChange};
use cloudai_types::{Condition, Dependency, EndReason, JobId, JobSpec, Overlap, WorkflowNode, WorkflowSpec, limits};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

use crate::canonical::canonical;
use crate::histories::{EntrySteps, Miss, Reason, Step, entries, prelude, register, resolve, unlucky};
use crate::watcher::{Seen, Watcher};
use crate::world::World;

/// Runs a history; `each` sees the state before, the commands and their results.
fn run(history: &[EntrySteps], mut each: impl FnMut(&Hot, &[Kind], &cloudai_core::Applied, &World)) -> World {
    let mut world = World::default();
    world.entry(1_000, prelude());
    let mut now = 1_000u64;
    for (advance, steps) in history {
        now = now.saturating_add_signed(*advance);
        let kinds: Vec<Kind> = steps.iter().map(|step| resolve(&world.hot, step)).collect();
        let before = world.hot.clone();
        // Who asks for what goes on beside the steps.
        let actor = ["admin/ada", "admin/bob", "admin/cy"][(world.index % 3) as usize];
        let applied = world.entry_by(actor, now, kinds.clone());
        assert!(world.hot.clock_ms >= before.clock_ms, "replicated time only moves forward");
        world.check();
        each(&before, &kinds, &applied, &world);
    }
    world
}

/// Nobody begins to run more than a user may, and no submit makes more wait than may. A cap may be lowered under what is there.
fn caps_are_kept(before: &Hot, applied: &cloudai_core::Applied, world: &World) {
    let is_submit = matches!(
        applied.replies[0],
        Reply::Submitted { duplicate: false, .. } | Reply::WorkflowSubmitted { duplicate: false, .. }
    );
    for (id, tenant) in world.hot.tenants.iter() {
        let (quota, was) = (tenant.quota, before.tenants.get(id));
        let max = quota.queued_max.filter(|_| is_submit).map(u64::from);
        assert!(max.is_none_or(|max| tenant.waiting <= max || was.is_some_and(|was| was.waiting == tenant.waiting)));
        for user in tenant.users.iter() {
            let was = was.and_then(|was| was.users.named(&user.name)).map(|(_, user)| user);
            let (held, waited) = was.map_or((0, 0), |user| (user.holding, user.waiting));
            assert!(quota.user_tasks_max.is_none_or(|max| user.holding <= max.max(held)), "{user:?} ran {held}");
            let max = quota.user_queued_max.filter(|_| is_submit).map(u64::from);
            assert!(max.is_none_or(|max| user.waiting <= max.max(waited)), "{user:?} had {waited} waiting");
        }
    }
}

/// Some belong to traces, and some say something else in that place.
fn traced(n: usize, kind: Kind) -> cloudai_core::Command {
    let parents = ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "no trace parent"];
    cloudai_core::Command { trace_parent: parents[n % 3].to_owned(), ..cloudai_core::Command::new("leader", kind) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    /// I2, I3, I4, I5, I6, the table of transitions, and that refusals change nothing.
    #[test]
    fn every_command_keeps_to_the_rules(history in prop_oneof![4 => entries(1..60, 1..2), 1 => unlucky(1..60)]) {
        let mut watcher = Watcher::default();
        run(&history, |before, kinds, applied, world| {
            caps_are_kept(before, applied, world);
            watcher.saw(before, &kinds[0], applied, world);
        });
    }

    /// Many commands in one entry see each other; each row is written once; events of a kind come once per job or worker.
    #[test]
    fn entries_of_many_commands_hold_together(history in entries(1..25, 0..12)) {
        run(&history, |_, _, applied, _| {
            let rows: Vec<_> = applied.writes.iter().map(|w| (w.family, &w.key)).collect();
            assert_eq!(without_repetition(rows.clone()).len(), rows.len(), "one write per row");
            let once: Vec<_> = applied.events.iter().filter(|e| comes_once(e)).map(|e| format!("{e:?}")).collect();
            assert_eq!(without_repetition(once.clone()).len(), once.len(), "one event of a kind: {once:?}");
        });
    }

    /// I8: the same log gives the same state, rows, replies and digest; one changed entry gives another digest.
    #[test]
    fn a_replay_is_the_same(history in entries(1..25, 0..6), odd in 0..25usize) {
        let (mut proposals, mut results) = (vec![], vec![]);
        let mut world = World::default();
        for (n, (advance, steps)) in history.iter().enumerate() {
            let commands: Vec<_> = steps.iter().map(|s| resolve(&world.hot, s))
                .chain(if n == 0 { prelude() } else { vec![] })
                .enumerate().map(|(place, kind)| traced(n + place, kind)).collect();
            let at_ms = 1_000u64.saturating_add_signed(*advance);
            let bytes = Proposal { version: 1, at_ms, commands }.encode_to_vec();
            results.push(world.proposal(Proposal::decode(bytes.as_slice()).expect("it was encoded")));
            proposals.push(bytes);
        }
        let replay = |change: Option<usize>| {
            let mut world = World::default();
            let results: Vec<_> = proposals.iter().enumerate().map(|(n, bytes)| {
                let mut proposal = Proposal::decode(bytes.as_slice()).expect("it was encoded");
                if change == Some(n) {
                    proposal.at_ms += 100_000_000_000;
                }
                world.proposal(proposal)
            }).collect();
            (world, results)
        };
        let (again, results_again) = replay(None);
        prop_assert_eq!(results, results_again);
        prop_assert_eq!(&again.rows, &world.rows);
        prop_assert_eq!(canonical(&again.hot), canonical(&world.hot));
        let (other, _) = replay(Some(odd % proposals.len()));
        prop_assert_ne!(other.hot.digest, world.hot.digest);
    }

    /// Bytes that decode at all never panic `apply` (I1).
    #[test]
    fn damaged_bytes_never_panic(
        history in entries(1..10, 1..5),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut world = World::default();
        world.entry(1_000, prelude());
        for (_, steps) in &history {
            let commands = steps.iter().enumerate().map(|(n, s)| traced(n, resolve(&world.hot, s))).collect();
            let mut bytes = Proposal { version: 1, at_ms: 2_000, commands }.encode_to_vec();
            for (at, with) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *with;
            }
            let Ok(proposal) = Proposal::decode(bytes.as_slice()) else { continue };
            let before = canonical(&world.hot);
            world.index += 1;
            match apply(&mut world.hot, &world.rows, world.index, proposal) {
                Ok(applied) => world.rows.write(applied.writes),
                Err(_) => prop_assert_eq!(canonical(&world.hot), before, "an unknown command changes nothing"),
            }
            world.check();
        }
    }

    /// Nothing is stuck: with workers that are there and containers that end well, every job ends, in a bounded number of passes.
    #[test]
    fn whatever_happened_every_job_can_end(history in entries(1..40, 1..4)) {
        let mut world = run(&history, |_, _, _, _| {});
        finish(&mut world);
        prop_assert!(world.hot.jobs.is_empty(), "{:?}", world.hot.jobs);
        prop_assert_eq!(&world.hot.workflows, &Default::default());
        prop_assert!(world.hot.shapes.by_id.is_empty() && world.hot.queue.is_empty() && world.hot.delayed.is_empty());
        prop_assert!(world.hot.workers.values().all(|w| w.used == Default::default() && w.active.is_empty()));
        prop_assert!(world.hot.tenants.iter().all(|(_, t)| t.users.is_empty() && (t.waiting, t.holding) == (0, 0)));
        for family in [Family::Alive, Family::Waiting, Family::Attempt, Family::Gate, Family::Hold] {
            prop_assert_eq!(world.rows.keys(family).count(), 0, "{:?} holds only what lives", family);
        }
    }

    /// Retention leaves nothing of what ended, and takes nothing of what lives.
    #[test]
    fn nothing_of_an_expired_job_stays(history in entries(1..40, 1..4)) {
        let mut world = run(&history, |_, _, _, _| {});
        let live: BTreeSet<JobId> = world.hot.jobs.keys().copied().collect();
        let expire = resolve(&world.hot, &Step::ExpireJobs(0));
        // Garbage may have made arrays larger than one command removes.
        for _step in 0..2_000 {
            world.one(world.hot.clock_ms, expire.clone());
            if world.rows.keys(Family::Expiring).count() == 0 {
                break;
            }
        }
        world.check();
        // What has ended of a workflow stays as long as some of it lives.
        let of_live = |key: &[u8]| {
            let row: WorkflowRow = world.row(Family::Workflow, key).expect("it is there");
            assert_eq!(row.ended_ms, 0, "it would have left");
            let first = job_of(key).0;
            (first..first + u64::from(row.jobs)).map(JobId).collect::<Vec<_>>()
        };
        let live: BTreeSet<JobId> = world.rows.keys(Family::Workflow).flat_map(of_live).chain(live).collect();
        let workflows = |family| world.rows.keys(family).map(job_of).collect::<Vec<_>>();
        prop_assert_eq!(workflows(Family::Workflow), workflows(Family::WorkflowNodes));
        for family in [Family::JobSpec, Family::Job, Family::Task, Family::Expiring, Family::Dead] {
            let jobs: BTreeSet<JobId> = world.rows.keys(family).map(job_of).collect();
            prop_assert!(jobs.is_subset(&live), "{:?} keeps rows of {:?}", family, jobs.difference(&live));
        }
        let specs: BTreeSet<JobId> = world.rows.keys(Family::JobSpec).map(job_of).collect();
        prop_assert_eq!(specs, live, "what lives keeps its rows");
    }
}

/// The job in a key that begins with namespace and job.
fn job_of(key: &[u8]) -> JobId {
    JobId(u64::from_be_bytes(key[4..12].try_into().expect("eight bytes")))
}

/// The table lists nothing that cannot happen, and the histories above are rich enough to make everything happen.
#[test]
fn histories_make_every_move_of_the_tables() {
    fn all<S: Copy + Ord>(table: &[Transition<S>]) -> BTreeSet<(Option<S>, S, Owner)> {
        let moves = |t: &Transition<S>| {
            let (from, owners) = (t.from, t.owners);
            t.to.iter().flat_map(move |to| owners.iter().map(move |o| (from, *to, *o))).collect::<Vec<_>>()
        };
        table.iter().flat_map(moves).collect()
    }
    let mut runner = TestRunner::deterministic();
    let mut seen = Seen::default();
    for _history in 0..150 {
        let history = entries(80..81, 1..2).new_tree(&mut runner).expect("a history").current();
        watch(&history, &mut seen);
        let history = unlucky(80..81).new_tree(&mut runner).expect("a history").current();
        watch(&history, &mut seen);
    }
    // Moves that are too rare to wait for.
    let (lose, revoke) = (Step::Lose { worker: 0, miss: false }, Step::Revoke { master: false, name: 0 });
    watch(&a_task_with_four_losses_and(vec![lose.clone()]), &mut seen);
    watch(&a_task_with_four_losses_and(vec![revoke.clone()]), &mut seen);
    watch(&a_task_with_four_losses_and(vec![Step::Cancel(0), revoke.clone()]), &mut seen);
    watch(&a_task_with_four_losses_and(vec![lose.clone(), Step::ReplayDead]), &mut seen);
    for last in [lose, revoke] {
        watch(&a_task_that_no_loss_may_repeat_and(last), &mut seen);
    }
    watch(&a_task_that_waits_for_too_long(), &mut seen);
    for history in workflows() {
        watch(&history, &mut seen);
    }
    watch(&a_schedule_that_cancels_its_last_job(), &mut seen);
    watch(&one_that_goes_where_another_is(), &mut seen);
    // Births that the histories' fixed beginning makes.
    seen.workers.insert((None, WorkerState::Authorized, Owner::Authorize));
    assert_eq!(all(transitions::TASK).difference(&seen.tasks).collect::<Vec<_>>(), [].as_slice() as &[&_]);
    assert_eq!(all(transitions::ATTEMPT).difference(&seen.attempts).collect::<Vec<_>>(), [].as_slice() as &[&_]);
    assert_eq!(all(transitions::WORKER).difference(&seen.workers).collect::<Vec<_>>(), [].as_slice() as &[&_]);
    assert_eq!(seen.near.into_iter().collect::<Vec<_>>(), ["apart_from", "together_with"]);
}

/// Its fifth attempt is live when `last` comes.
fn a_task_with_four_losses_and(last: Vec<Step>) -> Vec<EntrySteps> {
    let count = 1;
    let submit = Step::Submit {
        namespace: 0,
        request: 0,
        body: 0,
        count,
        cpu: 1,
        attempts: 1,
        priority: 0,
        zone: false,
        retry: 0,
    };
    let register = Step::Register { worker: 0, cpu: 8, zone: true };
    let place = Step::Place { job: 0, worker: 0, many: 0, skip: 0 };
    let mut steps = vec![Step::RaiseVersion(VERSION), submit];
    for _loss in 1..limits::LOSSES_MAX {
        steps.extend([register.clone(), place.clone(), Step::Lose { worker: 0, miss: false }]);
    }
    steps.extend([register, place]);
    steps.extend(last);
    steps.into_iter().map(|step| (20_000, vec![step])).collect()
}

/// Its rules say that a lost attempt is not tried again.
fn a_task_that_no_loss_may_repeat_and(last: Step) -> Vec<EntrySteps> {
    let submit = Step::Submit {
        namespace: 0,
        request: 0,
        body: 0,
        count: 1,
        cpu: 1,
        attempts: 3,
        priority: 0,
        zone: false,
        retry: 3,
    };
    let place = Step::Place { job: 0, worker: 0, many: 0, skip: 0 };
    let steps = [Step::RaiseVersion(VERSION), submit, place, last];
    steps.into_iter().map(|step| (20_000, vec![step])).collect()
}

/// Its queue time-out is a second, and an entry comes every 20.
fn a_task_that_waits_for_too_long() -> Vec<EntrySteps> {
    let submit = Step::Submit {
        namespace: 0,
        request: 0,
        body: 0,
        count: 2,
        cpu: 1,
        attempts: 1,
        priority: 0,
        zone: false,
        retry: 0,
    };
    // One of both runs, so that the job lives on and what has failed can be seen.
    let place = Step::Place { job: 0, worker: 0, many: 0, skip: 0 };
    let steps = [Step::RaiseVersion(VERSION), submit, place, Step::ExpireQueued];
    steps.into_iter().map(|step| (20_000, vec![step])).collect()
}

/// The second goes together, on its worker, with jobs that have the label of the first.
fn one_that_goes_where_another_is() -> Vec<EntrySteps> {
    let submit = |count, priority| Step::Submit {
        namespace: 0,
        request: 0,
        body: 0,
        count,
        cpu: 1,
        attempts: 1,
        priority,
        zone: false,
        retry: 0,
    };
    let place = |job| Step::Place { job, worker: 0, many: 1, skip: 0 };
    let steps = [Step::RaiseVersion(VERSION), submit(2, 0), submit(5, 2), place(0), place(1)];
    steps.into_iter().map(|step| (20_000, vec![step])).collect()
}

/// An entry comes every 20 seconds, and a time of the schedule every 30.
fn a_schedule_that_cancels_its_last_job() -> Vec<EntrySteps> {
    let overlap = Overlap::CancelPrevious as i32;
    let create = Step::CreateSchedule { namespace: 0, name: 0, every: 20, overlap, replace: false };
    let run = Step::RunSchedule { schedule: 0, stale: 0, missed: 0, is_missed: false, other_hash: false };
    // One of three tasks runs, so that the first job lives on and what was cancelled of it can be seen.
    let place = Step::Place { job: 0, worker: 0, many: 0, skip: 0 };
    let steps = [Step::RaiseVersion(VERSION), create, run.clone(), place, run.clone(), run];
    steps.into_iter().map(|step| (20_000, vec![step])).collect()
}

/// Somebody who is waited for ends in every way, and is tried again.
fn workflows() -> Vec<Vec<EntrySteps>> {
    let step = |kind| Step::Garbage(Box::new(kind));
    let (place, lose) = (Step::Place { job: 0, worker: 0, many: 0, skip: 0 }, Step::Lose { worker: 0, miss: false });
    let failed = Step::Report { attempts: vec![(0, 5, Some(Reason::Exit(1)))], miss: Miss::Nothing };
    let cancel = || step(Kind::CancelWorkflow(CancelWorkflow { namespace: 1, workflow: 1 }));
    let retry = || step(Kind::RetryWorkflow(RetryWorkflow { namespace: 1, workflow: 1, from: String::new() }));
    // Job 1; job 2 waits for its end, and job 3 for its success.
    let all = |max_attempts: u32, queue_timeout_ms: u64, steps: &[Step]| {
        let node = |name: &str, on: Option<Condition>| WorkflowNode {
            name: name.into(),
            spec: JobSpec { image: "busybox".into(), max_attempts, queue_timeout_ms, ..JobSpec::default() },
            depends_on: on.map(|on| Dependency { node: "a".into(), on: on as i32, each: false }).into_iter().collect(),
        };
        let nodes = vec![node("a", None), node("b", Some(Condition::Completion)), node("c", Some(Condition::Success))];
        let workflow = WorkflowSpec { name: "w".into(), nodes };
        let submit = SubmitWorkflow { namespace: "default".into(), workflow, ..SubmitWorkflow::default() };
        let first = [Step::RaiseVersion(VERSION), step(Kind::SubmitWorkflow(submit))];
        // Nobody waits for too long who is not meant to: an entry comes every two seconds.
        first.into_iter().chain(steps.iter().cloned()).map(|step| (2_000, vec![step])).collect()
    };
    let (a_ends, one_after_the_other) =
        ([place.clone(), failed.clone()], [place.clone(), failed.clone(), place.clone(), failed.clone(), retry()]);
    let twice = [&a_ends[..], &a_ends[..], &a_ends[..], &a_ends[..], &[retry()]].concat();
    vec![
        all(1, 0, &[Step::Cancel(0), retry()]),
        all(1, 1_000, &[Step::ExpireQueued]),
        all(1, 0, &[place.clone(), Step::Cancel(0), lose]),
        all(1, 0, &[place, Step::Cancel(0), Step::Revoke { master: false, name: 0 }]),
        all(1, 0, &[cancel(), retry()]),
        all(1, 0, &one_after_the_other),
        all(2, 0, &twice),
    ]
}

fn watch(history: &[EntrySteps], seen: &mut Seen) {
    let mut watcher = Watcher::default();
    run(history, |before, kinds, applied, world| watcher.saw(before, &kinds[0], applied, world));
    seen.tasks.append(&mut watcher.seen.tasks);
    seen.attempts.append(&mut watcher.seen.attempts);
    seen.workers.append(&mut watcher.seen.workers);
    seen.near.append(&mut watcher.seen.near);
}

fn without_repetition<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items.dedup();
    items
}

fn comes_once(event: &Event) -> bool {
    match event {
        Event::JobSubmitted { .. }
        | Event::JobChanged { .. }
        | Event::JobEnded { .. }
        | Event::CapacityChanged
        | Event::TasksReady => true,
        Event::Assigned { .. }
        | Event::Withdrawn { .. }
        | Event::WorkerChanged { .. }
        | Event::WorkerLost { .. }
        | Event::Revoked { .. }
        | Event::MasterChanged { .. }
        | Event::ConfigChanged => false,
    }
}

/// No worker of a kind scheduler is in one of these.
fn is_odd(domain: &cloudai_types::Domain) -> bool {
    !["worker", "zone"].contains(&domain.to_string().as_str())
}

/// A kind scheduler and kind workers.
fn finish(world: &mut World) {
    // Garbage jobs that nothing here fits are cancelled; so is an array that would take long.
    let hopeless = world.hot.jobs.iter().filter(|(_, job)| {
        let shape = world.hot.shapes.get(job.shape).expect("a live job has its shape");
        job.count > 100
            || shape.resources.cpu_milli > 4_000
            || shape.resources.memory_bytes > 8 << 30
            || shape.resources.storage_bytes > 0
            || shape.resources.gpus > 0
            || shape.require.iter().any(|(k, v)| (k.as_str(), v.as_str()) != ("zone", "eu"))
            // Of garbage: labels that no worker has.
            || shape.rules.as_ref().is_some_and(|rules| rules.require.iter().any(|e| e.to_string() != "!gpu"))
            || shape.rules.as_ref().is_some_and(|rules| rules.apart.iter().chain(rules.spread.iter().map(|s| &s.over)).any(is_odd))
            // Those that it goes together with may never come, and who stays apart by a label that no worker has goes nowhere.
            || shape.rules.as_ref().is_some_and(|rules| !rules.together_with.is_empty())
            || shape.rules.as_ref().is_some_and(|rules| rules.apart_from.iter().any(|near| is_odd(&near.over)))
            // Its rules send it away from all three workers.
            || job.waiting.iter().flat_map(|w| w.values()).any(|w| w.never().len() >= 3)
    });
    let cancels: Vec<Kind> =
        hopeless.map(|(id, _)| Kind::CancelJob(cloudai_core::command::CancelJob { job: id.0 })).collect();
    world.entry(world.hot.clock_ms, cancels);
    let uncapped = QuotaChange {
        tasks_max: Some(NO_CAP),
        cpu_milli_max: Some(NO_CAP),
        memory_bytes_max: Some(NO_CAP),
        storage_bytes_max: Some(NO_CAP),
        gpus_max: Some(NO_CAP),
        weight: None,
        wait_max_ms: Some(NO_CAP),
        order: Some(0),
        preempt: Some(true),
        score_policy: Some(NO_CAP),
        queued_max: Some(NO_CAP),
        user_tasks_max: Some(NO_CAP),
        user_queued_max: Some(NO_CAP),
    };
    let namespaces: Vec<String> = world.hot.namespaces.keys().cloned().collect();
    for namespace in namespaces {
        let set = cloudai_core::command::SetQuota { namespace, change: uncapped };
        world.one(world.hot.clock_ms, Kind::SetQuota(set));
    }
    for name in ["w0", "w1", "w2"] {
        let (key, value) = ("kind".to_owned(), String::new());
        let untaint = cloudai_core::command::SetTaint { name: name.into(), key, value, tainted: false };
        world.one(world.hot.clock_ms, Kind::SetTaint(untaint));
        let kind =
            |draining| Kind::SetDrain(cloudai_core::command::SetDrain { name: name.into(), draining, deadline_ms: 0 });
        world.one(world.hot.clock_ms, kind(false));
    }
    let authorize = (0..3).map(|n| prelude()[1 + 2 * n].clone()).collect();
    world.entry(world.hot.clock_ms, authorize);
    world.entry(world.hot.clock_ms, (1..=3).map(|worker| register(worker, 8, true)).collect());
    for _pass in 0..2_000 {
        if world.hot.jobs.is_empty() {
            return;
        }
        let groups = world.hot.jobs.iter().flat_map(|(id, job)| {
            let waiting = job.waiting.iter().flat_map(|w| w.keys().copied());
            let indexes: Vec<u32> = waiting.chain(job.fresh.clone()).collect();
            (1..=3).map(move |worker| PlaceGroup { job: id.0, worker, indexes: indexes.clone() })
        });
        let place = Kind::PlaceTasks(PlaceTasks { groups: groups.collect() });
        let now = world.hot.clock_ms.saturating_add(limits::RETRY_BACKOFF_MAX.0);
        world.one(now, place);
        let reports: Vec<Kind> = world
            .hot
            .workers
            .iter()
            .map(|(id, worker)| {
                let reports = worker.active.iter().map(|task| AttemptReport {
                    job: task.job.0,
                    index: task.index,
                    number: world.hot.attempt(*task).expect("both sides agree").number,
                    state: AttemptState::Exited as i32,
                    reason: Some(EndReason::exit(0)),
                    started_ms: 0,
                    ended_ms: 0,
                });
                Kind::ReportAttempts(ReportAttempts {
                    worker: id.0,
                    session: worker.session,
                    reports: reports.collect(),
                })
            })
            .collect();
        world.entry(now, reports);
        world.check();
    }
}

#[test]
fn a_leader_with_a_broken_clock_breaks_nothing_else() {
    let mut world = World::default();
    world.entry(u64::MAX, prelude());
    assert_eq!(world.hot.clock_ms, limits::REPLICATED_TIME_MAX.0);
    let submit = Step::Submit {
        namespace: 0,
        request: 5,
        body: 0,
        count: 1,
        cpu: 1,
        attempts: 2,
        priority: 0,
        zone: false,
        retry: 0,
    };
    let place = Step::Place { job: 0, worker: 0, many: 0, skip: 0 };
    let failed = Step::Report { attempts: vec![(0, 5, Some(Reason::Exit(1)))], miss: Miss::Nothing };
    for step in [submit, place, failed] {
        let kind = resolve(&world.hot, &step);
        world.one(0, kind);
        world.check();
    }
    // Time stands still from here on; the retry waits for a moment that does not come, and a cancel ends it.
    assert_eq!((world.hot.clock_ms, world.hot.delayed.len()), (limits::REPLICATED_TIME_MAX.0, 1));
    let cancel = resolve(&world.hot, &Step::Cancel(0));
    world.one(0, cancel);
    world.check();
    assert!(world.hot.jobs.is_empty() && world.hot.delayed.is_empty());
}

#[test]
fn a_command_of_a_newer_build_stops_the_node_and_changes_nothing() {
    let mut world = World::default();
    world.entry(1_000, prelude());
    let before = canonical(&world.hot);
    let known = cloudai_core::Command::new("leader", Kind::AdvanceClock(Default::default()));
    let newer = cloudai_core::Command { actor: "leader".into(), ..Default::default() };
    let raise = Kind::RaiseVersion(cloudai_core::command::RaiseVersion { version: VERSION + 1 });
    for proposal in [
        Proposal { version: 1, at_ms: 9_000, commands: vec![known.clone(), newer] },
        Proposal { version: VERSION + 1, at_ms: 9_000, commands: vec![known.clone()] },
        Proposal { version: 1, at_ms: 9_000, commands: vec![known, cloudai_core::Command::new("leader", raise)] },
    ] {
        let error = apply(&mut world.hot, &world.rows, 7, proposal).expect_err("it is not known");
        assert!(error.to_string().contains("newer build"), "{error}");
        assert_eq!(canonical(&world.hot), before);
    }
}
