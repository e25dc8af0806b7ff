//! What a job would meet that was not submitted: the whole text, and that the job meets it when it is submitted then.

mod cluster;

use cloudai_scheduler::{Reservation, outlook};
use cloudai_types::{JobSpec, QuotaChange, ScorePolicy};
use cluster::{Cluster, labels, placed, resources, spec};
use proptest::prelude::*;

fn told(c: &Cluster, spec: &JobSpec) -> String {
    outlook(&c.hot, &c.reserved, "default", "test", spec).to_string()
}

fn two_workers() -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("worker-1", resources(4_000, 16), "zone=us");
    c.worker("worker-2", resources(4_000, 16), "");
    c
}

#[test]
fn a_namespace_that_nobody_has_named_yet() {
    let c = two_workers();
    let wanted = JobSpec { count: 100, ..spec(1_500, 1) };
    assert_eq!(
        told(&c, &wanted),
        "room now: for 4 of 100 tasks\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 2 in all, 2 would take it now\n\
         change: nothing to change: a worker has room, and the next pass places it"
    );
    assert!(c.hot.namespaces.is_empty() && c.hot.jobs.is_empty(), "and it is still not there");
}

#[test]
fn a_full_cluster_and_a_queue() {
    let mut c = two_workers();
    c.submit(JobSpec { count: 20, ..spec(1_000, 1) });
    c.pass();
    assert_eq!(
        told(&c, &JobSpec { priority: -1, ..spec(500, 1) }),
        "room now: for 0 of 1 tasks\n\
         ahead: 1 jobs, 12 tasks\n\
         workers: 2 in all, 0 would take it now\n  \
         2: less than 0.5 cpu free now (worker-1 has 0 of 4 cpu free)\n\
         change: 0.5 cpu more free on worker-1: it starts when tasks end there, or when a worker is added"
    );
    let urgent = told(&c, &JobSpec { priority: 1, ..spec(500, 1) });
    assert!(urgent.contains("ahead: 0 jobs, 0 tasks"), "{urgent}");
}

#[test]
fn what_no_worker_has() {
    let c = two_workers();
    let moon = told(&c, &JobSpec { require: labels("zone=moon"), ..spec(500, 1) });
    assert!(moon.ends_with("change: add the label zone=moon to worker-1"), "{moon}");
    let large = told(&c, &spec(500, 64));
    assert!(large.contains("ask for at most --memory 16.0GiB"), "{large}");
}

#[test]
fn quotas_and_kept_workers_count() {
    let mut c = two_workers();
    c.quota("default", QuotaChange { cpu_milli_max: Some(3_000), ..QuotaChange::default() });
    let wanted = JobSpec { count: 9, ..spec(1_000, 1) };
    assert!(told(&c, &wanted).starts_with("room now: for 3 of 9 tasks"));
    let kept = [Reservation {
        shape: cloudai_core::hot::ShapeId(0),
        job: c.submit(spec(4_000, 1)),
        worker: cloudai_types::WorkerId(2),
        tasks: 1,
        is_for_gang: false,
        since_ms: 1,
        by_ms: None,
    }];
    let seen = outlook(&c.hot, &kept, "default", "test", &wanted);
    assert_eq!((seen.fitting, seen.room_now), (1, 3));
    assert_eq!(outlook(&c.hot, &kept, "other", "test", &JobSpec { count: 9, ..spec(1_000, 1) }).room_now, 4);
}

#[test]
fn rules_about_siblings_count() {
    let mut c = two_workers();
    c.worker("worker-3", resources(2_000, 16), "zone=eu");
    let told = |c: &Cluster, words: &[&str]| {
        let told = told(c, &JobSpec { count: 9, placement: placed(words), ..spec(1_000, 1) });
        told.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(told(&c, &[]), "room now: for 9 of 9 tasks");
    assert_eq!(told(&c, &["apart:worker"]), "room now: for 3 of 9 tasks");
    assert_eq!(told(&c, &["apart:zone"]), "room now: for 2 of 9 tasks");
    assert_eq!(told(&c, &["spread:zone:1"]), "room now: for 5 of 9 tasks");
    assert_eq!(told(&c, &["zone!=eu", "zone"]), "room now: for 4 of 9 tasks");
    c.taint("worker-1", "gpu", true);
    assert_eq!(told(&c, &["spread:zone:1"]), "room now: for 2 of 9 tasks");
    assert_eq!(told(&c, &["spread:zone:1", "tolerate:gpu"]), "room now: for 5 of 9 tasks");
}

/// Labels of workers, and rules of one job.
const OWN: [&str; 4] = ["", "zone=eu rack=1", "zone=us rack=2", "zone=us rack=3"];
const RULES: [&[&str]; 8] = [
    &[],
    &["zone"],
    &["apart:worker"],
    &["apart:zone"],
    &["spread:zone"],
    &["spread:zone:1"],
    &["spread:worker:2", "zone!=eu"],
    &["spread:zone:2", "apart:rack", "prefer:zone=us:3"],
];

proptest! {
    /// With nothing ahead, exactly as many start as there was room for.
    #[test]
    fn so_many_start_as_there_is_room_for(
        workers in prop::collection::vec((0u64..9, 0u64..9, 0..OWN.len()), 0..6), running in prop::collection::vec((1u64..9, 0u64..4), 0..6),
        ask in (1u64..9, 0u64..4), count in 1u32..40, cap in prop::option::of(0u64..9),
        rules in 0..RULES.len(),
    ) {
        let mut c = Cluster::with_policy(ScorePolicy::Balanced);
        for (n, (cpu, memory, own)) in workers.into_iter().enumerate() {
            c.worker(&format!("w{n}"), resources(cpu * 1_000, memory), OWN[own]);
        }
        for (cpu, memory) in running {
            let one = c.submit(spec(cpu * 500, memory));
            c.pass();
            if c.hot.jobs[&one].active.is_empty() {
                c.cancel(one);
            }
        }
        if let Some(cap) = cap {
            c.quota("default", QuotaChange { cpu_milli_max: Some(cap * 1_000), ..QuotaChange::default() });
        }
        let wanted = JobSpec { count, placement: placed(RULES[rules]), ..spec(ask.0 * 500, ask.1) };
        let seen = outlook(&c.hot, &c.reserved, "default", "test", &wanted);
        c.submit(wanted);
        let placed = c.plan(10_000).placed;
        prop_assert_eq!(seen.room_now, placed);
    }
}

#[test]
fn other_jobs_are_looked_at_by_both_sides_rules() {
    let mut c = two_workers();
    let app = |name: &str, words: &[&str]| JobSpec {
        labels: labels(&format!("app={name}")),
        placement: placed(words),
        ..spec(1_000, 1)
    };
    let alone = told(&c, &app("web", &["together_with:app=db@worker"]));
    assert!(alone.starts_with("room now: for 0 of 1 tasks") && alone.contains("there is none now"), "{alone}");
    let db = c.submit(app("db", &["apart_from:app=web@worker"]));
    assert_eq!(c.pass(), "1:0>worker-1");
    let many = JobSpec { count: 9, ..app("cache", &["together_with:app=db@worker"]) };
    assert!(told(&c, &many).starts_with("room now: for 3 of 9 tasks"), "{}", told(&c, &many));
    let web = JobSpec { count: 9, ..app("web", &[]) };
    assert_eq!(
        told(&c, &web).replace(&db.to_string(), "DB"),
        "room now: for 4 of 9 tasks\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 2 in all, 1 would take it now\n  \
         1: with a task of a job that stays apart from jobs like it (app=web) (worker-1 is on worker-1 with one of DB)\n\
         change: nothing to change: a worker has room, and the next pass places it"
    );
    let elsewhere = outlook(&c.hot, &c.reserved, "theirs", "", &web);
    assert_eq!(elsewhere.room_now, 7, "another namespace is not meant");
}
