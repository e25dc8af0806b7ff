//! Namespaces that share a cluster: who gets which part of it, by weights, quotas and what was used before.

mod cluster;

use cloudai_core::hot::ActiveAttempt;
use cloudai_scheduler::explain;
use cloudai_types::{JobId, JobSpec, QueueOrder, QuotaChange, ReasonKind, Resources, ScorePolicy, TaskId, limits};
use cluster::{Cluster, GIB, resources, spec};
use proptest::prelude::*;

fn array(count: u32, spec: JobSpec) -> JobSpec {
    JobSpec { count, ..spec }
}

fn weight(weight: u32) -> QuotaChange {
    QuotaChange { weight: Some(weight), ..QuotaChange::default() }
}

/// CPUs that each namespace holds.
fn held<const N: usize>(c: &Cluster, of: [&str; N]) -> [u64; N] {
    of.map(|name| c.hot.tenants.get(c.hot.namespaces[name]).expect("a tenant").used.cpu_milli / 1_000)
}

fn live(c: &Cluster) -> Vec<(TaskId, ActiveAttempt)> {
    let of = c.hot.jobs.iter();
    of.flat_map(|(job, j)| j.active.iter().map(|(index, a)| (TaskId { job: *job, index: *index }, *a))).collect()
}

/// What has run for long enough ends.
fn end_after(c: &mut Cluster, run_ms: impl Fn(TaskId) -> u64) {
    for (task, attempt) in live(c) {
        if attempt.assigned_ms + run_ms(task) <= c.now_ms {
            c.end(task, ReasonKind::ExitCode, 0);
        }
    }
}

#[test]
fn weights_are_parts_of_a_full_cluster() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    for (name, w) in [("a", 3), ("b", 2), ("c", 1)] {
        c.quota(name, weight(w));
    }
    for n in 0..6 {
        c.worker(&format!("w{n}"), resources(10_000, 64), "");
    }
    c.submit_in("c", array(500, spec(1_000, 0)));
    c.submit_in("b", array(500, spec(1_000, 0)));
    c.submit_in("a", array(500, spec(1_000, 0)));
    c.pass();
    assert_eq!(held(&c, ["a", "b", "c"]), [30, 20, 10], "and not who came first");
}

#[test]
fn alone_a_namespace_has_everything() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.quota("a", weight(1));
    c.quota("b", weight(9));
    c.worker("w", resources(10_000, 64), "");
    c.submit_in("a", array(50, spec(1_000, 0)));
    assert_eq!(c.pass(), "1:0-9>w");
}

#[test]
fn the_dominant_resource_counts() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("w", resources(90_000, 180), "");
    c.submit_in("a", array(99, spec(1_000, 4)));
    c.submit_in("b", array(99, spec(3_000, 1)));
    c.pass();
    // Ghodsi et al., with ten machines of their example in one: both hold two thirds of what they need most.
    assert_eq!(held(&c, ["a", "b"]), [30, 60]);
}

#[test]
fn who_used_little_before_catches_up_and_no_more_than_twice() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("w", resources(12_000, 64), "");
    c.submit_in("a", array(12, spec(1_000, 0)));
    c.pass();
    c.wait_ms(20 * limits::USAGE_HALF_LIFE.0);
    end_after(&mut c, |_| 0);
    c.submit_in("a", array(99, spec(1_000, 0)));
    c.submit_in("b", array(99, spec(1_000, 0)));
    c.pass();
    assert_eq!(held(&c, ["a", "b"]), [0, 12], "a is remembered for twelve");
    end_after(&mut c, |_| 0);
    c.wait_ms(limits::USAGE_HALF_LIFE.0 * 20);
    c.pass();
    assert_eq!(held(&c, ["a", "b"]), [6, 6], "and after a day for nothing");
}

#[test]
fn a_quota_holds_only_its_own_back() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("w", Resources { gpus: 8, ..resources(32_000, 64) }, "");
    c.quota("a", QuotaChange { cpu_milli_max: Some(4_500), tasks_max: Some(9), ..QuotaChange::default() });
    c.submit_in("a", array(9, spec(2_000, 0)));
    c.submit_in("a", array(9, spec(500, 0)));
    c.submit_in("b", array(9, spec(2_000, 0)));
    c.pass();
    let of = |n| c.hot.jobs[&cloudai_types::JobId(n)].active.len();
    assert_eq!((of(1), of(2), of(3)), (2, 1, 9));
    let plan = c.plan(9);
    assert!(plan.unplaced.is_empty() && plan.reserved.is_empty(), "nobody waits for a worker");
}

#[test]
fn three_namespaces_under_load_get_their_shares() {
    for seed in 1..=3u64 {
        let mut c = Cluster::with_policy(ScorePolicy::Balanced);
        for (name, w) in [("a", 3), ("b", 2), ("c", 1)] {
            c.quota(name, weight(w));
        }
        for n in 0..10 {
            c.worker(&format!("w{n}"), resources(32_000, 64), "");
        }
        // Each asks for other sizes and other times; all always have something that waits.
        let size = |name: &str, n: u64| match name {
            "a" => 1_000 + 1_000 * (n * seed % 2),
            "b" => 500,
            _ => 3_000,
        };
        let mut sums = [0; 3];
        for step in 0..600 {
            for name in ["a", "b", "c"] {
                c.submit_in(name, array(160, spec(size(name, step), 0)));
            }
            c.pass();
            if step >= 100 {
                let now = held(&c, ["a", "b", "c"]);
                sums.iter_mut().zip(now).for_each(|(sum, n)| *sum += n);
            }
            c.wait_ms(1_000);
            end_after(&mut c, |task| 2_000 + (task.job.0 * 7_919 * seed + u64::from(task.index) * 977) % 9_000);
        }
        let all: u64 = sums.iter().sum();
        for (sum, part) in sums.iter().zip([3.0, 2.0, 1.0]) {
            let share = *sum as f64 / all as f64;
            let wanted = part / 6.0;
            assert!((share / wanted - 1.0).abs() < 0.05, "seed {seed}: {share:.4} instead of {wanted:.4} of {sums:?}");
        }
    }
}

/// A submit of a namespace with a priority, or time that passes.
#[derive(Clone, Debug)]
enum Step {
    Submit { namespace: usize, priority: i32, cpu: u64, count: u32 },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..3, -2i32..3, 1u64..9, 1u32..20)
            .prop_map(|(namespace, priority, cpu, count)| Step::Submit { namespace, priority, cpu, count }),
        2 => (1u64..6).prop_map(Step::Wait),
    ]
}

#[test]
fn in_a_namespace_of_that_order_priorities_do_not_count() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(3_000, 8), "");
    c.quota("default", QuotaChange { order: Some(QueueOrder::Fifo as i32), ..QuotaChange::default() });
    c.submit(spec(1_000, 0));
    c.submit(JobSpec { priority: 9, ..spec(1_000, 0) });
    c.submit(JobSpec { priority: -9, ..spec(1_000, 0) });
    c.submit(JobSpec { priority: 5, ..spec(1_000, 0) });
    assert_eq!(c.pass(), "1:0>a 2:0>a 3:0>a");
}

#[test]
fn who_has_waited_for_too_long_comes_before_every_priority() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(2_000, 8), "");
    c.quota("default", QuotaChange { wait_max_ms: Some(60_000), ..QuotaChange::default() });
    let old = c.submit(JobSpec { count: 3, priority: -9, ..spec(1_000, 0) });
    c.wait_ms(30_000);
    c.submit(JobSpec { count: 2, priority: 9, ..spec(1_000, 0) });
    assert_eq!(c.pass(), "2:0-1>a");
    c.submit(JobSpec { count: 9, priority: 9, ..spec(1_000, 0) });
    c.wait_ms(29_999);
    c.end(TaskId { job: JobId(2), index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "3:0>a", "a moment before its time");
    let told = |c: &Cluster, job, index| {
        let told = explain(&c.hot, &c.reserved, TaskId { job, index });
        told.ahead.map(|ahead| ahead.tasks)
    };
    assert_eq!(told(&c, old, 0), Some(8));
    c.wait_ms(1);
    assert_eq!((told(&c, old, 0), told(&c, JobId(3), 1)), (Some(0), Some(3)));
    c.end(TaskId { job: JobId(2), index: 1 }, ReasonKind::ExitCode, 0);
    c.end(TaskId { job: JobId(3), index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "1:0-1>a", "nothing of it is placed twice");
    c.end(TaskId { job: old, index: 0 }, ReasonKind::ExitCode, 0);
    c.end(TaskId { job: old, index: 1 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "1:2>a 3:1>a");
}

proptest! {
    // 1,000 seeded runs are asked for.
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Who is placed has not taken what somebody of its own namespace with a higher priority waits for.
    #[test]
    fn priority_is_never_inverted(steps in prop::collection::vec(step(), 5..60)) {
        let mut c = Cluster::with_policy(ScorePolicy::Balanced);
        for n in 0..3 {
            c.worker(&format!("w{n}"), resources(8_000, 64), "");
        }
        for step in steps {
            match step {
                Step::Submit { namespace, priority, cpu, count } => {
                    let one = JobSpec { priority, ..spec(cpu * 1_000, 0) };
                    c.submit_in(["a", "b", "c"][namespace], array(count, one));
                }
                Step::Wait(seconds) => {
                    c.wait_ms(seconds * 1_000);
                    end_after(&mut c, |task| (1 + (task.job.0 + u64::from(task.index)) % 5) * 1_000);
                }
            }
            let before: Vec<TaskId> = live(&c).into_iter().map(|(task, _)| task).collect();
            let kept: Vec<_> = c.reserved.iter().map(|r| r.worker).collect();
            c.pass();
            for (task, attempt) in live(&c).into_iter().filter(|(task, _)| !before.contains(task)) {
                let placed = &c.hot.jobs[&task.job];
                let worker = &c.hot.workers[&attempt.worker];
                // Where a worker is reserved, small tasks may pass between what waits for it.
                if kept.contains(&attempt.worker) {
                    continue;
                }
                let room = worker.free().plus(&c.hot.needs(placed, 0));
                let ahead = c.hot.jobs.iter().filter(|(id, job)| {
                    job.namespace == placed.namespace
                        && (std::cmp::Reverse(job.priority), **id) < (std::cmp::Reverse(placed.priority), task.job)
                });
                for (id, job) in ahead.filter(|(_, job)| job.has_ready()) {
                    prop_assert!(!c.hot.needs(job, 0).fits(&room), "{id} waits, and {task} has its room");
                }
            }
        }
    }

    /// With any weights and sizes nobody that waits has less than its part, by more than a task of any namespace.
    #[test]
    fn nobody_that_waits_is_far_below_its_part(
        of in prop::collection::vec((1u32..6, 1u64..5, 0u64..5), 2..6),
    ) {
        let mut c = Cluster::with_policy(ScorePolicy::Balanced);
        c.worker("w", resources(200_000, 200), "");
        let names: Vec<String> = (0..of.len()).map(|n| format!("n{n}")).collect();
        for (name, (w, cpu, memory)) in names.iter().zip(&of) {
            c.quota(name, weight(*w));
            c.submit_in(name, array(250, spec(cpu * 1_000, *memory)));
        }
        c.pass();
        let total: u32 = of.iter().map(|(w, ..)| w).sum();
        for (name, (w, cpu, memory)) in names.iter().zip(&of) {
            let tenant = c.hot.tenants.get(c.hot.namespaces[name.as_str()]).expect("a tenant");
            let has = (tenant.used.cpu_milli as f64 / 200_000.0).max(tenant.used.memory_bytes as f64 / (200 * GIB) as f64);
            let one = (*cpu as f64 / 200.0).max(*memory as f64 / 200.0);
            let part = f64::from(*w) / f64::from(total);
            let all = tenant.holding == 250;
            prop_assert!(all || has + one + 0.05 >= part, "{name} of {of:?}: has {has:.3} of {part:.3}");
        }
    }
}
