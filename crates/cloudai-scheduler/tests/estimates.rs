//! For whom a start can be estimated, and for whom not, in clusters as they are.

mod cluster;

use cloudai_scheduler::estimate::Estimate;
use cloudai_scheduler::pace::{self, Lately, Pace};
use cloudai_scheduler::prospect::Prospect;
use cloudai_scheduler::{explain, outlook};
use cloudai_types::{JobId, JobSpec, QuotaChange, ScorePolicy, TaskId};
use cluster::{Cluster, labels, resources, spec};

/// 20 in the last 10 minutes.
const LATELY: Lately = Lately { started: 20, of_ms: 600_000 };

fn cluster() -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("w1", resources(4_000, 16), "");
    c.worker("w2", resources(4_000, 16), "");
    c
}

fn start(c: &Cluster, job: JobId, index: u32) -> Option<Estimate> {
    let e = explain(&c.hot, &c.reserved, TaskId { job, index });
    e.prospect.start(e.ahead.unwrap_or_default(), e.turn, LATELY)
}

fn told(c: &Cluster, job: JobId, index: u32) -> String {
    start(c, job, index).map_or("-".to_owned(), |start| start.to_string())
}

#[test]
fn who_waits_behind_others_is_told_by_the_pace() {
    let mut c = cluster();
    c.submit(JobSpec { count: 8, ..spec(1_000, 1) });
    c.pass();
    let job = c.submit(JobSpec { count: 60, ..spec(1_000, 1) });
    assert_eq!(
        told(&c, job, 19),
        "in about 10 min: 19 tasks come first, and 2 per minute were started in the last 10 minutes"
    );
    let seen = outlook(&c.hot, &c.reserved, "default", "test", &spec(1_000, 1));
    let start = seen.prospect.start(seen.ahead, seen.turn, LATELY).expect("it can start");
    assert_eq!(
        start.to_string(),
        "in about 31 min: 60 tasks come first, and 2 per minute were started in the last 10 minutes"
    );
}

#[test]
fn the_first_is_told_by_the_time_limits_of_what_runs() {
    let mut c = cluster();
    c.submit(JobSpec { count: 1, timeout_ms: 600_000, ..spec(4_000, 1) });
    c.submit(JobSpec { count: 1, ..spec(4_000, 1) });
    c.pass();
    let job = c.submit(JobSpec { count: 2, ..spec(1_000, 1) });
    let e = explain(&c.hot, &c.reserved, TaskId { job, index: 0 });
    let start = e.prospect.start(e.ahead.unwrap_or_default(), e.turn, Lately::default());
    let first = start.expect("it can start").to_string();
    assert!(
        first.starts_with("in about 10 min: nothing comes first, and by the time limits of what runs on w"),
        "{first}"
    );
    let paced = told(&c, job, 0);
    assert!(paced.starts_with("in less than a minute: nothing comes first, and 2 per minute"), "{paced}");
}

#[test]
fn nothing_is_said_of_what_cannot_start_or_starts_at_once() {
    let mut c = cluster();
    let at_once = c.submit(spec(1_000, 1));
    assert_eq!(told(&c, at_once, 0), "-", "the next pass places it");
    let huge = c.submit(spec(8_000, 1));
    let elsewhere = c.submit(JobSpec { require: labels("zone=eu"), ..spec(1_000, 1) });
    let gang = c.submit(JobSpec { count: 9, gang: true, ..spec(1_000, 1) });
    assert_eq!([huge, elsewhere, gang].map(|job| told(&c, job, 0)), ["-", "-", "-"]);
    c.quota("default", QuotaChange { tasks_max: Some(0), ..QuotaChange::default() });
    assert_eq!(told(&c, at_once, 0), "-");
    c.quota("default", QuotaChange { tasks_max: Some(1), ..QuotaChange::default() });
    c.pass();
    let behind = c.submit(spec(1_000, 1));
    assert!(told(&c, behind, 0).starts_with("in about"), "a quota with tasks that end: {}", told(&c, behind, 0));
    c.quota("default", QuotaChange { tasks_max: Some(u64::MAX), user_tasks_max: Some(1), ..QuotaChange::default() });
    assert_eq!(told(&c, behind, 0), "-", "what others start says nothing of who is at the own cap");
    assert_eq!(explain(&c.hot, &c.reserved, TaskId { job: JobId(99), index: 0 }).prospect, Prospect::Unknown);
}

#[test]
fn a_passs_starts_are_counted_by_namespace() {
    let mut c = cluster();
    c.submit(JobSpec { count: 3, ..spec(500, 1) });
    c.submit_in("other", JobSpec { count: 2, ..spec(500, 1) });
    let plan = c.plan(10_000);
    let started = pace::started(&c.hot, &plan.groups);
    let (ours, others) = (c.hot.namespaces["default"], c.hot.namespaces["other"]);
    assert_eq!((started[&ours], started[&others]), (3, 2));
    let mut pace = Pace::since(0);
    started.iter().for_each(|(namespace, tasks)| pace.note(*namespace, *tasks, 90_000));
    assert_eq!(pace.lately(ours, 120_000), Lately { started: 3, of_ms: 120_000 });
}
