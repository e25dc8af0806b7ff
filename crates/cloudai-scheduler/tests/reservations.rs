//! Big tasks among a flood of small ones: transcripts of the rules, and what holds in any history.

mod cluster;

use std::collections::BTreeSet;

use cloudai_types::{JobId, JobSpec, ReasonKind, ScorePolicy, TaskId, WorkerId};
use cluster::{Cluster, resources, spec};
use proptest::prelude::*;

fn limited(cpu_milli: u64, timeout_ms: u64) -> JobSpec {
    JobSpec { timeout_ms, ..spec(cpu_milli, 0) }
}

fn array(count: u32, spec: JobSpec) -> JobSpec {
    JobSpec { count, ..spec }
}

fn end(c: &mut Cluster, job: JobId, index: u32) {
    c.end(TaskId { job, index }, ReasonKind::ExitCode, 0);
}

#[test]
fn a_big_task_waits_only_for_what_ran_before_it_was_passed() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(4_000, 8), "");
    let before = c.submit(array(3, spec(1_000, 0)));
    assert_eq!(c.pass(), "1:0-2>a");
    let big = c.submit(spec(4_000, 0));
    c.submit(array(9, spec(1_000, 0)));
    assert_eq!(c.pass(), "3:0>a", "one passes it, and then it has a worker");
    assert_eq!(c.plan(1).reserved.iter().map(|r| (r.job, r.by_ms)).collect::<Vec<_>>(), [(big, None)]);
    end(&mut c, before, 0);
    end(&mut c, before, 1);
    assert_eq!(c.pass(), "", "two CPUs are free, and kept");
    end(&mut c, JobId(3), 0);
    end(&mut c, before, 2);
    assert_eq!(c.pass(), "2:0>a");
    end(&mut c, big, 0);
    assert_eq!(c.pass(), "3:1-4>a", "and then the others go on");
}

#[test]
fn who_has_ended_in_time_passes() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(4_000, 8), "");
    c.submit(limited(2_000, 60_000));
    assert_eq!(c.pass(), "1:0>a");
    c.submit(spec(4_000, 0));
    c.submit(limited(1_000, 10_000));
    assert_eq!(c.pass(), "3:0>a", "nothing is reserved before somebody passes");
    c.wait_ms(20_000);
    c.submit(limited(1_000, 50_000));
    c.submit(limited(1_000, 40_000));
    c.submit(spec(1_000, 0));
    assert_eq!(c.pass(), "5:0>a", "ten seconds too long; in time; nobody knows");
}

#[test]
fn who_fits_beside_it_passes() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(8_000, 8), "");
    let before = c.submit(array(6, spec(1_000, 0)));
    assert_eq!(c.pass(), "1:0-5>a");
    let big = c.submit(spec(6_000, 0));
    c.submit(array(9, spec(500, 0)));
    assert_eq!(c.pass(), "3:0-3>a");
    for index in 0..6 {
        end(&mut c, before, index);
    }
    assert_eq!(c.pass(), "2:0>a", "two CPUs are beside it, and they are taken");
    end(&mut c, JobId(3), 0);
    assert_eq!(c.pass(), "3:4>a");
    assert_eq!(c.hot.jobs[&big].active.len(), 1);
}

#[test]
fn those_ahead_of_it_are_not_held() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(4_000, 8), "");
    let before = c.submit(array(3, spec(1_000, 0)));
    c.pass();
    c.submit(spec(4_000, 0));
    c.submit(array(2, spec(1_000, 0)));
    assert_eq!(c.pass(), "3:0>a");
    end(&mut c, before, 0);
    c.submit(JobSpec { priority: 5, ..spec(1_000, 0) });
    assert_eq!(c.pass(), "4:0>a", "its priority is higher");
    end(&mut c, before, 1);
    assert_eq!(c.pass(), "");
}

#[test]
fn a_reservation_ends_with_its_job_and_moves_with_its_worker() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    let a = c.worker("a", resources(4_000, 8), "");
    c.submit(array(3, spec(1_000, 0)));
    c.pass();
    let big = c.submit(spec(4_000, 0));
    let flood = c.submit(array(5, spec(1_000, 0)));
    c.pass();
    assert_eq!(c.reserved.len(), 1);
    let b = c.worker("b", resources(4_000, 8), "");
    c.drain("a", true);
    assert_eq!(c.pass(), "2:0>b", "it fits now");
    end(&mut c, big, 0);
    assert_eq!(c.pass(), "3:1-4>b");
    c.drain("a", false);
    let big = c.submit(spec(4_000, 0));
    c.submit(array(9, spec(1_000, 0)));
    end(&mut c, flood, 0);
    assert_eq!(c.pass(), "5:0>a");
    assert_eq!(c.reserved.iter().map(|r| (r.job, r.worker)).collect::<Vec<_>>(), [(big, a)], "both are full");
    end(&mut c, JobId(1), 0);
    assert_eq!((c.pass(), c.reserved.len()), (String::new(), 1));
    c.cancel(big);
    assert_eq!((c.pass(), c.reserved.len()), ("5:1>a".to_owned(), 0));
    assert_ne!(a, b);
}

#[test]
fn a_full_cluster_is_looked_at_as_far_as_workers_are_kept() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(4_000, 8), "");
    c.submit(array(3, spec(1_000, 0)));
    c.pass();
    let big = c.submit(spec(4_000, 0));
    let flood = c.submit(array(9, spec(1_000, 0)));
    assert_eq!(c.pass(), "3:0>a");
    for n in 0..300 {
        c.submit(JobSpec { priority: 1, ..spec(2_000 + n, 0) });
    }
    let kept_for = |c: &Cluster| c.reserved.iter().map(|r| r.job).collect::<Vec<_>>();
    assert_eq!(
        (c.pass(), kept_for(&c)),
        (String::new(), vec![big]),
        "302 shapes wait, and nobody passed those before it"
    );
    let plan = c.plan(9);
    assert_eq!((plan.unplaced.len(), plan.more), (301, false), "nothing fits, and the last shape has no worker kept");
    c.cancel(big);
    assert_eq!((c.pass(), kept_for(&c)), (String::new(), vec![]), "looked for everywhere");
    assert_eq!(c.plan(9).unplaced.len(), 256, "no worker is kept: enough is known");
    c.cancel(flood);
    let small = c.submit(spec(0, 1));
    assert_eq!(c.pass(), format!("{}:0>a", small.0), "the least of all, and it fits");
}

#[test]
fn one_worker_in_four_is_reserved_and_for_the_first_in_the_queue() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    for n in 0..8 {
        c.worker(&format!("w{n}"), resources(8_000, 8), "");
    }
    c.submit(array(60, spec(1_000, 0)));
    c.pass();
    let big: Vec<JobId> = (0..4).map(|n| c.submit(spec(5_000 + 1_000 * n, 0))).collect();
    c.submit(array(99, spec(100, 0)));
    for _ in 0..4 {
        let plan = c.plan(3);
        c.accept(&plan);
    }
    let reserved: BTreeSet<JobId> = c.plan(1).reserved.iter().map(|r| r.job).collect();
    assert_eq!(reserved, BTreeSet::from([big[0], big[1]]));
    let first = c.submit(JobSpec { priority: 1, ..spec(8_000, 0) });
    for _ in 0..4 {
        let plan = c.plan(3);
        c.accept(&plan);
    }
    let reserved: BTreeSet<JobId> = c.plan(1).reserved.iter().map(|r| r.job).collect();
    assert_eq!(reserved, BTreeSet::from([first, big[0]]), "the last of them goes");
}

#[test]
fn what_can_never_start_keeps_nobody_from_having_a_worker() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(4_000, 8), "");
    c.submit(array(4, spec(1_000, 0)));
    c.pass();
    for n in 0..6 {
        c.submit(spec(5_000 + n, 0));
        c.submit(JobSpec { gang: true, ..array(5 + n as u32, spec(1_000, 0)) });
    }
    let big = c.submit(spec(4_000, 0));
    let flood = c.submit(array(99, spec(1_000, 0)));
    for index in 0..4 {
        end(&mut c, JobId(1), index);
        c.pass();
    }
    assert_eq!(c.reserved.iter().map(|r| r.job).collect::<Vec<_>>(), [big]);
    for index in 0..4 {
        assert_eq!(c.hot.jobs[&big].active.len(), 0);
        end(&mut c, flood, index);
        c.pass();
    }
    assert_eq!(c.hot.jobs[&big].active.len(), 1);
}

/// A flood that never ends, of tasks without limits and with: what ends is replaced at once.
#[derive(Clone, Debug)]
struct Flood {
    workers: usize,
    big_cpu: u64,
    tasks: Vec<(u64, u64)>,
    ends: Vec<prop::sample::Index>,
}

fn flood() -> impl Strategy<Value = Flood> {
    let task = (1u64..5, prop_oneof![Just(0u64), 1_000u64..60_000]);
    (
        1usize..6,
        20u64..33,
        prop::collection::vec(task, 20..120),
        prop::collection::vec(any::<prop::sample::Index>(), 400),
    )
        .prop_map(|(workers, big_cpu, tasks, ends)| Flood { workers, big_cpu, tasks, ends })
}

fn live(c: &Cluster) -> Vec<(TaskId, WorkerId, u64)> {
    let of = c.hot.jobs.iter().flat_map(|(job, j)| {
        j.active.iter().map(|(index, a)| (TaskId { job: *job, index: *index }, a.worker, a.assigned_ms))
    });
    of.collect()
}

proptest! {
    // 1,000 seeded runs are asked for.
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Whatever the flood is, the big task starts as soon as those have ended that ran when it was first passed; only its worker's.
    #[test]
    fn a_big_task_starts_within_its_reservation(flood in flood()) {
        let mut c = Cluster::with_policy(ScorePolicy::Balanced);
        for n in 0..flood.workers {
            c.worker(&format!("w{n}"), resources(32_000, 64), "");
        }
        let mut tasks = flood.tasks.iter().cycle();
        let mut feed = |c: &mut Cluster| {
            while c.hot.backlog.queued() < 40 {
                let (cpu, timeout_ms) = tasks.next().expect("a cycle");
                c.submit(limited(cpu * 1_000, *timeout_ms));
            }
        };
        for _ in 0..4 {
            feed(&mut c);
            c.pass();
        }
        let big = c.submit(spec(flood.big_cpu * 1_000, 0));
        let mut reserved = None;
        // After the last ending a pass still has its say.
        for end in flood.ends.iter().map(Some).chain([None]) {
            feed(&mut c);
            c.now_ms += 500;
            c.pass();
            if c.hot.jobs[&big].active.len() == 1 {
                return Ok(());
            }
            let running = live(&c);
            if reserved.is_none() {
                reserved = c.state_reserved(big).filter(|(_, since_ms)| *since_ms > 0);
            }
            if let Some((worker, since_ms)) = reserved {
                prop_assert_eq!(c.state_reserved(big), reserved, "it keeps its worker");
                let before = running.iter().any(|(_, at, assigned_ms)| *at == worker && *assigned_ms <= since_ms);
                let later = running.iter().filter(|(task, at, assigned_ms)| {
                    *at == worker && *assigned_ms > since_ms && c.hot.time_limit_ms(task.job) == 0
                });
                let later: u64 = later.map(|(task, ..)| c.hot.needs(&c.hot.jobs[&task.job], 0).cpu_milli).sum();
                prop_assert!(later + flood.big_cpu * 1_000 <= 32_000, "{} of its way are taken", later);
                let limited = running.iter().any(|(task, at, _)| *at == worker && c.hot.time_limit_ms(task.job) > 0);
                prop_assert!(before || limited, "nobody is in its way, and it waits");
            }
            // One ends somewhere, and those whose limit has passed.
            let over = |task: &TaskId, assigned_ms: u64| {
                let limit_ms = c.hot.time_limit_ms(task.job);
                limit_ms > 0 && assigned_ms + limit_ms <= c.now_ms
            };
            let mut ended: BTreeSet<TaskId> =
                running.iter().filter(|(task, _, assigned_ms)| over(task, *assigned_ms)).map(|(task, ..)| *task).collect();
            if let Some(end) = end.filter(|_| !running.is_empty()) {
                ended.insert(running[end.index(running.len())].0);
            }
            for task in ended {
                c.end(task, ReasonKind::ExitCode, 0);
            }
        }
        // So many endings, one by one, and not all of those before were among them: at each pass somebody was in its way.
        prop_assert!(reserved.is_some(), "it was passed");
    }
}
