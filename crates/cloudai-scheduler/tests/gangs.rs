//! Tasks that start together or not at all: transcripts of the rules, and what holds in any history.

mod cluster;

use std::collections::BTreeSet;

use cloudai_core::invariants;
use cloudai_scheduler::explain;
use cloudai_types::{JobId, JobSpec, Placement, QuotaChange, ReasonKind, ScorePolicy, TaskId, WorkerId};
use cluster::{Cluster, resources, rules, spec};
use proptest::prelude::*;

fn gang(count: u32, cpu_milli: u64) -> JobSpec {
    JobSpec { gang: true, count, ..spec(cpu_milli, 0) }
}

fn array(count: u32, cpu_milli: u64) -> JobSpec {
    JobSpec { count, ..spec(cpu_milli, 0) }
}

fn end(c: &mut Cluster, job: JobId, index: u32, exit_code: i32) {
    c.end(TaskId { job, index }, ReasonKind::ExitCode, exit_code);
}

fn two_workers(policy: ScorePolicy) -> Cluster {
    let mut c = Cluster::with_policy(policy);
    c.worker("a", resources(4_000, 8), "");
    c.worker("b", resources(4_000, 8), "");
    c
}

fn kept(c: &Cluster) -> Vec<(JobId, WorkerId, u32)> {
    c.reserved.iter().map(|r| (r.job, r.worker, r.tasks)).collect()
}

#[test]
fn all_start_or_none_does_with_every_policy() {
    for policy in ScorePolicy::ALL {
        let mut c = two_workers(policy);
        c.submit(array(3, 1_000));
        c.pass();
        let six = c.submit(gang(6, 1_000));
        assert_eq!(c.pass(), "", "{policy:?}: there is room for five");
        let five = c.submit(gang(5, 1_000));
        let plan = c.plan(1_000);
        assert_eq!(plan.placed, 5, "{policy:?}: another size is another shape, and passes");
        c.accept(&plan);
        assert_eq!((c.hot.jobs[&six].counts.queued, c.hot.jobs[&five].counts.active), (6, 5), "{policy:?}");
    }
}

#[test]
fn what_was_taken_on_trial_is_given_back() {
    let mut c = two_workers(ScorePolicy::Binpack);
    c.submit(gang(9, 1_000));
    c.submit(array(9, 1_000));
    assert_eq!(c.pass(), "2:0-3>a 2:4-7>b");
    end(&mut c, JobId(2), 1, 0);
    assert_eq!(c.pass(), "2:8>a");
}

#[test]
fn workers_are_kept_for_all_of_it_once_it_is_passed() {
    let mut c = two_workers(ScorePolicy::Binpack);
    let before = c.submit(array(5, 1_000));
    assert_eq!(c.pass(), "1:0-3>a 1:4>b");
    let eight = c.submit(gang(8, 1_000));
    let flood = c.submit(array(90, 1_000));
    assert_eq!(c.pass(), "3:0-2>b", "three pass it");
    assert_eq!(kept(&c), [(eight, WorkerId(1), 4), (eight, WorkerId(2), 4)]);
    for index in 0..5 {
        end(&mut c, before, index, 0);
        assert_eq!(c.pass(), "");
    }
    end(&mut c, flood, 0, 0);
    end(&mut c, flood, 1, 0);
    assert_eq!(c.pass(), "", "one still runs");
    end(&mut c, flood, 2, 0);
    assert_eq!(c.pass(), "2:0-3>a 2:4-7>b");
    end(&mut c, eight, 1, 0);
    assert_eq!(c.pass(), "3:3>a", "and then the others go on");
}

#[test]
fn workers_are_kept_for_one_gang_at_a_time_and_the_next_comes_then() {
    let mut c = two_workers(ScorePolicy::Binpack);
    c.submit(array(7, 1_000));
    c.pass();
    let (first, second) = (c.submit(gang(4, 1_000)), c.submit(gang(3, 2_000)));
    let flood = c.submit(array(90, 1_000));
    c.pass();
    assert_eq!(kept(&c), [(first, WorkerId(1), 4)]);
    for index in 0..4 {
        assert_eq!(c.pass(), "");
        end(&mut c, JobId(1), index, 0);
    }
    assert_eq!(c.pass(), "2:0-3>a");
    end(&mut c, flood, 0, 0);
    assert_eq!(c.pass(), "4:1>b", "it passes the second, and that has workers now");
    assert_eq!(c.reserved.iter().map(|r| r.job).collect::<BTreeSet<_>>(), BTreeSet::from([second]));
}

#[test]
fn a_gang_that_falls_starts_again_when_all_of_it_has_stopped() {
    let mut c = two_workers(ScorePolicy::Binpack);
    let job = c.submit(JobSpec { max_attempts: 3, ..gang(6, 1_000) });
    assert_eq!(c.pass(), "1:0-3>a 1:4-5>b");
    end(&mut c, job, 5, 0);
    end(&mut c, job, 0, 3);
    c.wait_ms(60_000);
    assert_eq!(c.pass(), "");
    for index in 1..5 {
        assert_eq!(c.pass(), "", "some of it still stops");
        c.end(TaskId { job, index }, ReasonKind::Preempted, 137);
    }
    assert_eq!(c.pass(), "1:0-3>b 1:4>a", "five, for one has succeeded; the first that failed avoids a");
}

#[test]
fn those_that_ask_for_more_or_may_not_go_everywhere_are_part_of_it() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    for name in ["a", "b", "c"] {
        c.worker(name, resources(2_000, 8), "");
    }
    let retry = Some(rules(&[ReasonKind::OutOfMemory], 7));
    let mut wanted = JobSpec { max_attempts: 3, retry, gang: true, count: 3, ..spec(1_000, 4) };
    wanted.require.clear();
    let job = c.submit(wanted);
    let plan = c.plan(100);
    c.accept(&plan);
    let was_on = c.hot.jobs[&job].active[&0].worker;
    c.end(TaskId { job, index: 0 }, ReasonKind::OutOfMemory, 137);
    for index in 1..3 {
        c.end(TaskId { job, index }, ReasonKind::Preempted, 137);
    }
    c.wait_ms(60_000);
    let filler = c.submit(spec(1_000, 3));
    let plan = c.plan(100);
    c.accept(&plan);
    assert_eq!(plan.placed, 4);
    let again = c.hot.jobs[&job].active[&0];
    assert_ne!(again.worker, was_on);
    assert_eq!((again.memory_mib, c.hot.jobs[&job].active.len()), (6 * 1_024, 3));
    assert_eq!(c.hot.jobs[&filler].active.len(), 1);
}

#[test]
fn a_quota_that_holds_a_gang_back_holds_back_its_namespace_and_not_others() {
    let mut c = two_workers(ScorePolicy::Binpack);
    c.quota("team", QuotaChange { cpu_milli_max: Some(4_000), ..QuotaChange::default() });
    let first = c.submit_in("team", array(2, 1_000));
    c.pass();
    let never = c.submit_in("team", gang(5, 1_000));
    let four = c.submit_in("team", gang(4, 1_000));
    c.submit_in("team", array(9, 500));
    c.submit_in("other", array(1, 1_000));
    assert_eq!(c.pass(), format!("{}:0>a", JobId(5).0), "what is behind the four would take what they wait for");
    end(&mut c, first, 0, 0);
    assert_eq!(c.pass(), "");
    end(&mut c, first, 1, 0);
    let plan = c.plan(100);
    c.accept(&plan);
    assert_eq!((c.hot.jobs[&four].active.len(), c.hot.jobs[&never].active.len()), (4, 0));
}

#[test]
fn a_gangs_tasks_keep_apart_and_are_spread_as_those_of_any_job() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    for (name, rack) in [("a", "rack=1"), ("b", "rack=1"), ("c", "rack=2")] {
        c.worker(name, resources(4_000, 8), rack);
    }
    let rules = |apart: &str, spread: &str, max_skew| {
        Some(Placement { apart: apart.into(), spread: spread.into(), max_skew, ..Placement::default() })
    };
    let four = c.submit(JobSpec { placement: rules("worker", "", 0), ..gang(4, 1_000) });
    c.submit(JobSpec { placement: rules("worker", "", 0), ..gang(3, 1_000) });
    assert_eq!(c.pass(), "2:0>a 2:1>b 2:2>c", "there is no fourth worker, and nobody waits for one");
    c.submit(JobSpec { placement: rules("", "rack", 1), ..gang(5, 1_000) });
    let plan = c.plan(100);
    c.accept(&plan);
    let on =
        |c: &Cluster, worker| c.hot.jobs[&JobId(3)].active.values().filter(|a| a.worker == WorkerId(worker)).count();
    assert_eq!((on(&c, 1) + on(&c, 2), on(&c, 3)), (3, 2));
    c.submit(JobSpec { placement: rules("", "rack", 1), ..gang(4, 1_000) });
    assert_eq!(c.pass(), "", "rack 2 has room for one more, and two would have to go there");
    assert_eq!(c.hot.jobs[&four].counts.queued, 4);
}

#[test]
fn explain_tells_a_gang_from_its_tasks() {
    let mut c = two_workers(ScorePolicy::Binpack);
    c.submit(array(3, 1_000));
    c.pass();
    let six = c.submit(gang(6, 1_000));
    let told = |c: &Cluster, job| explain(&c.hot, &c.reserved, TaskId { job, index: 2 }).to_string();
    assert_eq!(
        told(&c, six).replace(&six.to_string(), "JOB"),
        "JOB/2: waiting\n\
         ahead: 0 jobs, 2 tasks\n\
         gang: 6 tasks start together, and there is room for 5 of them now\n\
         workers: 2 in all, 2 would take it now\n\
         change: room for 1 more of its tasks: it starts when others have ended, or when a worker is added"
    );
    let nine = c.submit(gang(9, 1_000));
    assert!(
        told(&c, nine).ends_with(
            "change: even with nothing else on them, the workers that may take them have room for 8 of the 9: add workers, \
             or ask for fewer tasks (--array 8) or for less"
        ),
        "{}",
        told(&c, nine)
    );
    c.cancel(nine);
    c.submit(array(90, 1_000));
    c.pass();
    assert!(
        told(&c, six).ends_with(
            "gang: 6 tasks start together, and there is room for 0 of them now\n\
             workers: 2 in all, 0 would take it now\n  \
             2: less than 1 cpu free now (a has 0 of 4 cpu free)\n\
             change: nothing to change: a and 1 other worker are kept for it, and it starts when the tasks that ran there \
             first have ended; they have no time limit"
        ),
        "{}",
        told(&c, six)
    );
}

/// Two gangs and a flood that never ends.
#[derive(Clone, Debug)]
struct History {
    workers: Vec<u64>,
    /// Tasks in eighths of what there is room for, CPUs of each, and whether it is of another namespace.
    gangs: [(u32, u64, bool); 2],
    flood: Vec<(u64, u64)>,
    ends: Vec<(prop::sample::Index, bool)>,
}

fn history() -> impl Strategy<Value = History> {
    let gang = (1u32..9, 1u64..4, any::<bool>());
    (
        prop::collection::vec(4u64..17, 2..6),
        [gang.clone(), gang],
        prop::collection::vec((1u64..4, prop_oneof![Just(0u64), 1_000u64..60_000]), 10..60),
        prop::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.05)), 100),
    )
        .prop_map(|(workers, gangs, flood, ends)| History { workers, gangs, flood, ends })
}

impl History {
    fn cluster(&self) -> Cluster {
        let mut c = Cluster::with_policy(ScorePolicy::Balanced);
        for (n, cpus) in self.workers.iter().enumerate() {
            c.worker(&format!("w{n}"), resources(cpus * 1_000, 64), "");
        }
        c
    }

    fn submit_gangs(&self, c: &mut Cluster) -> Vec<JobId> {
        let of = self.gangs.iter().map(|(eighths, cpus, elsewhere)| {
            let room = self.workers.iter().map(|has| has / cpus).sum::<u64>() as u32;
            let wanted = JobSpec { max_attempts: 9, ..gang((room * eighths / 8).max(1), cpus * 1_000) };
            c.submit_in(if *elsewhere { "other" } else { "default" }, wanted)
        });
        of.collect()
    }
}

fn feed<'a>(c: &mut Cluster, flood: &mut impl Iterator<Item = &'a (u64, u64)>) {
    while c.hot.jobs.values().filter(|job| job.counts.queued > 0).count() < 20 {
        let (cpus, timeout_ms) = *flood.next().expect("a cycle");
        c.submit(JobSpec { timeout_ms, ..spec(cpus * 1_000, 0) });
    }
}

fn live(c: &Cluster) -> Vec<(TaskId, WorkerId, u64)> {
    let of = c.hot.jobs.iter().flat_map(|(job, j)| {
        j.active.iter().map(|(index, a)| (TaskId { job: *job, index: *index }, a.worker, a.assigned_ms))
    });
    of.collect()
}

/// Those whose limit is over, one of the others, and the one that has run for longest: everything ends some day.
fn ended(c: &Cluster, running: &[(TaskId, WorkerId, u64)], which: &prop::sample::Index) -> BTreeSet<TaskId> {
    let is_over = |task: TaskId, assigned_ms: u64| {
        let limit_ms = c.hot.time_limit_ms(task.job);
        limit_ms > 0 && assigned_ms + limit_ms <= c.now_ms
    };
    let mut ended: BTreeSet<TaskId> =
        running.iter().filter(|(task, _, assigned_ms)| is_over(*task, *assigned_ms)).map(|(task, ..)| *task).collect();
    ended.extend(running.iter().min_by_key(|(task, _, assigned_ms)| (*assigned_ms, *task)).map(|(task, ..)| *task));
    ended.extend((!running.is_empty()).then(|| running[which.index(running.len())].0));
    ended
}

proptest! {
    // 1,000 seeded runs are asked for.
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Both succeed, whatever is around them, also where they fail now and then.
    #[test]
    fn two_gangs_never_deadlock(history in history()) {
        let mut c = history.cluster();
        let mut flood = history.flood.iter().cycle();
        feed(&mut c, &mut flood);
        c.pass();
        let gangs = history.submit_gangs(&mut c);
        let mut failures = 3;
        for (end, fails) in history.ends.iter().cycle().take(3_000) {
            feed(&mut c, &mut flood);
            c.wait_ms(500);
            let plan = c.plan(1_000);
            c.accept(&plan);
            prop_assert_eq!(invariants::check(&c.hot), []);
            if gangs.iter().all(|job| !c.hot.jobs.contains_key(job)) {
                return Ok(());
            }
            let running = live(&c);
            for task in ended(&c, &running, end) {
                if c.hot.gangs.fall(task.job).is_some() {
                    c.end(task, ReasonKind::Preempted, 137);
                } else if *fails && failures > 0 && c.hot.is_gang(task.job) {
                    failures -= 1;
                    c.end(task, ReasonKind::ExitCode, 1);
                } else {
                    c.end(task, ReasonKind::ExitCode, 0);
                }
            }
        }
        prop_assert!(false, "a gang has waited for 3,000 endings: {:?}", gangs.iter().filter_map(|job| c.hot.jobs.get(job)).collect::<Vec<_>>());
    }

    /// Whatever the flood is, a gang starts as soon as those have ended that ran on its workers when they were first kept for it.
    #[test]
    fn a_gang_starts_within_its_reservation(history in history()) {
        let mut c = history.cluster();
        let mut flood = history.flood.iter().cycle();
        for _ in 0..4 {
            feed(&mut c, &mut flood);
            c.pass();
        }
        // Nothing is ahead of it.
        let queued: Vec<JobId> = c.hot.jobs.iter().filter(|(_, job)| job.counts.queued > 0).map(|(id, _)| *id).collect();
        queued.into_iter().for_each(|job| c.cancel(job));
        let History { gangs: [(eighths, cpus, _), _], .. } = history;
        let room = history.workers.iter().map(|has| has / cpus).sum::<u64>() as u32;
        let job = c.submit(gang((room * eighths / 8).max(2), cpus * 1_000));
        let mut since: Option<u64> = None;
        for (end, _) in history.ends.iter().cycle().take(2_000) {
            feed(&mut c, &mut flood);
            c.now_ms += 500;
            c.pass();
            if !c.hot.jobs[&job].active.is_empty() {
                prop_assert_eq!(c.hot.jobs[&job].counts.queued, 0, "all of it has started");
                return Ok(());
            }
            let running = live(&c);
            let own: Vec<_> = c.reserved.iter().filter(|r| r.job == job && r.since_ms > 0).copied().collect();
            prop_assert!(since.is_none() || own.iter().all(|r| Some(r.since_ms) == since) && !own.is_empty(), "it keeps its workers");
            since = own.first().map(|r| r.since_ms);
            let mut in_the_way = own.is_empty();
            for r in &own {
                let here = || running.iter().filter(|(_, at, _)| *at == r.worker);
                let later = here().filter(|(task, _, assigned_ms)| *assigned_ms > r.since_ms && c.hot.time_limit_ms(task.job) == 0);
                let later: u64 = later.map(|(task, ..)| c.hot.needs(&c.hot.jobs[&task.job], 0).cpu_milli).sum();
                let has = c.hot.workers[&r.worker].capacity.cpu_milli;
                prop_assert!(later + u64::from(r.tasks) * cpus * 1_000 <= has, "{} of its way are taken", later);
                in_the_way |= here().any(|(task, _, assigned_ms)| *assigned_ms <= r.since_ms || c.hot.time_limit_ms(task.job) > 0);
            }
            prop_assert!(in_the_way, "nobody is in its way, and it waits");
            for task in ended(&c, &running, end) {
                c.end(task, ReasonKind::ExitCode, 0);
            }
        }
        prop_assert!(false, "it has waited for 2,000 endings");
    }
}
