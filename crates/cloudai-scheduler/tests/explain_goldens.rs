//! What people read when they ask why a task waits: the whole text, so that a change of words is seen.

mod cluster;

use cloudai_scheduler::{Standing, WaitKind, explain};
use cloudai_types::{JobId, JobSpec, ReasonKind, ScorePolicy, TaskId};
use cluster::{Cluster, labels, placed, resources, rules, spec};

fn told(c: &Cluster, job: JobId, index: u32) -> String {
    let text = explain(&c.hot, &c.reserved, TaskId { job, index }).to_string();
    text.replace(&job.to_string(), "JOB")
}

fn two_workers() -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("worker-1", resources(4_000, 16), "zone=us");
    c.worker("worker-2", resources(4_000, 16), "");
    c
}

#[test]
fn no_workers_at_all() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    let job = c.submit(spec(1_000, 1));
    assert_eq!(
        told(&c, job, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 0 in all, 0 would take it now\n\
         change: there is no worker: authorise one (cloudai worker authorize NAME) and start it"
    );
}

#[test]
fn a_full_cluster() {
    let mut c = two_workers();
    c.submit(JobSpec { count: 2, ..spec(2_500, 4) });
    c.submit(JobSpec { count: 2, ..spec(500, 12) });
    c.pass();
    let waits = c.submit(JobSpec { count: 3, ..spec(1_500, 1) });
    let big = c.submit(spec(2_000, 4));
    assert_eq!(
        told(&c, big, 0),
        "JOB/0: waiting\n\
         ahead: 1 job, 3 tasks\n\
         workers: 2 in all, 0 would take it now\n  \
         2: less than 2 cpu free now (worker-1 has 1 of 4 cpu free)\n\
         change: 1 cpu and 4.0 GiB memory more free on worker-1: it starts when tasks end there, or when a worker is added"
    );
    assert_eq!(
        told(&c, waits, 2),
        "JOB/2: waiting\n\
         ahead: 0 jobs, 2 tasks\n\
         workers: 2 in all, 0 would take it now\n  \
         2: less than 1.5 cpu free now (worker-1 has 1 of 4 cpu free)\n\
         change: 0.5 cpu and 1.0 GiB memory more free on worker-1: it starts when tasks end there, or when a worker is added"
    );
}

#[test]
fn a_missing_label() {
    let mut c = two_workers();
    let job = c.submit(JobSpec { require: labels("zone=eu"), ..spec(1_000, 1) });
    assert_eq!(
        told(&c, job, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 2 in all, 0 would take it now\n  \
         2: without the label zone=eu (worker-1 has zone=us)\n\
         change: add the label zone=eu to worker-1"
    );
}

#[test]
fn more_memory_than_any_worker_has() {
    let mut c = two_workers();
    c.worker("worker-3", resources(4_000, 24), "");
    let job = c.submit(spec(1_000, 64));
    assert_eq!(
        told(&c, job, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 3 in all, 0 would take it now\n  \
         3: smaller than 64.0 GiB memory (worker-1 has 16.0 GiB memory in all)\n\
         change: no worker has 64.0 GiB memory: the largest that may take it, worker-3, has 24.0 GiB memory; \
         ask for at most --memory 24.0GiB, or add a larger worker"
    );
}

#[test]
fn a_request_that_is_too_large_in_two_ways_names_both() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("worker-1", resources(4_000, 16), "");
    let mut wide = spec(8_000, 1);
    wide.resources.gpus = 2;
    let job = c.submit(wide);
    assert!(
        told(&c, job, 0).ends_with(
            "change: no worker has 8 cpu and 2 gpu: the only worker, worker-1, has 4 cpu and 0 gpu; \
             ask for at most --cpu 4 and --gpu 0, or add a larger worker"
        ),
        "{}",
        told(&c, job, 0)
    );
}

#[test]
fn several_reasons_are_counted_most_frequent_first() {
    let mut c = two_workers();
    c.worker("worker-3", resources(1_000, 16), "zone=eu");
    c.worker("worker-4", resources(4_000, 16), "zone=eu");
    c.drain("worker-4", true);
    c.authorize("worker-5");
    let job = c.submit(JobSpec { require: labels("zone=eu"), ..spec(2_000, 1) });
    assert_eq!(
        told(&c, job, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 5 in all, 0 would take it now\n  \
         2: without the label zone=eu (worker-1 has zone=us)\n  \
         1: authorised, but never connected (worker-5 has not joined yet)\n  \
         1: draining: they take no new work (worker-4 is draining)\n  \
         1: smaller than 2 cpu (worker-3 has 1 cpu in all)\n\
         change: let worker-4 take work again (cloudai worker resume worker-4)"
    );
}

#[test]
fn a_lost_worker_that_would_do_is_asked_back() {
    let mut c = two_workers();
    let eu = c.worker("worker-3", resources(4_000, 16), "zone=eu");
    c.lose(eu);
    let job = c.submit(JobSpec { require: labels("zone=eu"), ..spec(2_000, 1) });
    let e = explain(&c.hot, &c.reserved, TaskId { job, index: 0 });
    assert_eq!(e.fix, "bring worker-3 back: it is lost, and would have the room");
    assert_eq!(
        e.reasons.iter().map(|r| (r.kind, r.workers)).collect::<Vec<_>>(),
        [(WaitKind::MissingLabel, 2), (WaitKind::Lost, 1)]
    );
}

#[test]
fn no_single_change_says_so() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("worker-1", resources(1_000, 16), "");
    let job = c.submit(JobSpec { require: labels("disk=ssd zone=eu"), ..spec(2_000, 1) });
    assert_eq!(
        explain(&c.hot, &c.reserved, TaskId { job, index: 0 }).fix,
        "no single change: even the nearest worker, worker-1, lacks several things; \
         add a worker with cpu 2, memory 1.0 GiB, label disk=ssd, label zone=eu"
    );
}

#[test]
fn a_task_that_fits_is_told_so() {
    let mut c = two_workers();
    let job = c.submit(spec(1_000, 1));
    let e = explain(&c.hot, &c.reserved, TaskId { job, index: 0 });
    assert_eq!((e.fitting, e.fix.as_str()), (2, "nothing to change: a worker has room, and the next pass places it"));
}

#[test]
fn a_delayed_retry_says_when() {
    let mut c = two_workers();
    let job = c.submit(JobSpec { max_attempts: 3, ..spec(1_000, 1) });
    c.pass();
    c.end(TaskId { job, index: 0 }, ReasonKind::ExitCode, 1);
    let e = explain(&c.hot, &c.reserved, TaskId { job, index: 0 });
    let Standing::Delayed { until_ms, in_ms, next_attempt } = e.standing else { panic!("{e:?}") };
    assert_eq!((until_ms, next_attempt), (c.now_ms + in_ms, 2));
    assert_eq!(e.fix, "attempt 2 may start in 1.0 s, after a pause that grows with each failure");
    assert_eq!(e.ahead, None);
    // When it is due and nothing fits, both are said.
    c.drain("worker-1", true);
    c.drain("worker-2", true);
    let e = explain(&c.hot, &c.reserved, TaskId { job, index: 0 });
    assert!(e.fix.ends_with("; then: let worker-1 take work again (cloudai worker resume worker-1)"), "{}", e.fix);
    c.wait_ms(in_ms);
    assert_eq!(explain(&c.hot, &c.reserved, TaskId { job, index: 0 }).standing, Standing::Waiting);
}

#[test]
fn a_task_that_may_not_go_back_is_told_so() {
    let mut c = two_workers();
    let retry = Some(rules(&[ReasonKind::ExitCode], 0));
    let job = c.submit(JobSpec { max_attempts: 4, retry, ..spec(1_000, 1) });
    for _ in 0..2 {
        c.pass();
        c.end(TaskId { job, index: 0 }, ReasonKind::ExitCode, 1);
        c.wait_ms(600_000);
    }
    assert_eq!(
        told(&c, job, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 2 in all, 0 would take it now\n  \
         2: where it failed in a way that its rules send elsewhere (worker-1 is one of them)\n\
         change: there is no worker that it has not failed on: add one, or cancel the job and submit it without the rule \
         that sends it elsewhere"
    );
}

#[test]
fn a_task_that_ran_out_of_memory_is_explained_with_what_it_asks_for_now() {
    let mut c = two_workers();
    let job = c.submit(JobSpec { max_attempts: 4, retry: Some(rules(&[], 64)), ..spec(1_000, 12) });
    c.pass();
    c.end(TaskId { job, index: 0 }, ReasonKind::OutOfMemory, 137);
    c.wait_ms(600_000);
    let e = explain(&c.hot, &c.reserved, TaskId { job, index: 0 });
    assert_eq!(e.reasons[0].message, "smaller than 18.0 GiB memory");
    assert!(e.fix.starts_with("no worker has 18.0 GiB memory"), "{}", e.fix);
}

#[test]
fn what_does_not_wait_is_told_where_it_is() {
    let mut c = two_workers();
    let job = c.submit(JobSpec { count: 2, ..spec(3_000, 1) });
    let other = c.submit(spec(1_000, 1));
    c.pass();
    c.end(TaskId { job, index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(told(&c, job, 0), "JOB/0: ended\nchange: it has ended; its job has other tasks that have not");
    assert_eq!(told(&c, job, 1), "JOB/1: active\nchange: it does not wait: attempt 1 is on worker-2");
    assert_eq!(told(&c, job, 2), "JOB/2: no_such_index\nchange: the job has 2 tasks, numbered from 0");
    c.cancel(other);
    assert_eq!(told(&c, other, 0), "JOB/0: stopping\nchange: it was cancelled, and worker-1 is stopping it");
    c.end(TaskId { job: other, index: 0 }, ReasonKind::Cancelled, 143);
    assert_eq!(
        told(&c, other, 0),
        "JOB/0: not_alive\nchange: its job is neither queued nor running: it has ended, or there is none with this id"
    );
}

#[test]
fn higher_priorities_and_earlier_jobs_are_ahead() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.submit(JobSpec { count: 10, ..spec(1_000, 1) });
    let mine = c.submit(JobSpec { count: 4, ..spec(2_000, 1) });
    c.submit(JobSpec { count: 100, ..spec(1_000, 1) });
    c.submit(JobSpec { count: 7, priority: 1, ..spec(1_000, 1) });
    c.submit(JobSpec { count: 9, priority: -1, ..spec(1_000, 1) });
    let ahead = explain(&c.hot, &c.reserved, TaskId { job: mine, index: 3 }).ahead.expect("it waits");
    assert_eq!((ahead.jobs, ahead.tasks, ahead.at_least), (2, 20, false));
}

#[test]
fn a_quota_is_told_before_everything_else() {
    use cloudai_types::QuotaChange;
    let mut c = two_workers();
    c.quota("default", QuotaChange { cpu_milli_max: Some(3_000), ..QuotaChange::default() });
    let job = c.submit(JobSpec { count: 3, ..spec(1_500, 1) });
    c.pass();
    assert_eq!(
        told(&c, job, 2),
        "JOB/2: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         quota: the namespace default holds 3 of 3 cpu, which is its quota, and this asks for 1.5\n\
         workers: 2 in all, 2 would take it now\n\
         change: raise its quota (cloudai quota set default --cpu 4.5), or wait until tasks of default end"
    );
    let large = c.submit(spec(4_000, 1));
    assert_eq!(
        told(&c, large, 0).lines().last(),
        Some(
            "change: it asks for more than its namespace may ever hold: raise the quota (cloudai quota set default --cpu 4), or ask for less"
        )
    );
    c.quota("default", QuotaChange { tasks_max: Some(2), cpu_milli_max: Some(u64::MAX), ..QuotaChange::default() });
    let quota = explain(&c.hot, &c.reserved, TaskId { job, index: 2 }).quota;
    assert_eq!(quota.as_deref(), Some("the namespace default runs 2 of 2 tasks, which is its quota"));
}

#[test]
fn a_kept_worker_is_told_to_both_sides() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("worker-1", resources(4_000, 16), "");
    c.submit(JobSpec { timeout_ms: 90_000, ..spec(2_000, 1) });
    c.pass();
    let big = c.submit(spec(4_000, 1));
    c.submit(JobSpec { timeout_ms: 60_000, ..spec(1_000, 1) });
    c.pass();
    c.wait_ms(10_000);
    let small = c.submit(spec(1_000, 1));
    c.pass();
    assert_eq!(
        told(&c, big, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 1 in all, 0 would take it now\n  \
         1: less than 4 cpu free now (worker-1 has 1 of 4 cpu free)\n\
         change: nothing to change: worker-1 is kept for it, and it starts when tasks there have ended, by their time limits in 80.0 s at the latest"
    );
    assert_eq!(
        told(&c, small, 0),
        "JOB/0: waiting\n\
         ahead: 1 job, 1 task\n\
         workers: 1 in all, 0 would take it now\n  \
         1: kept for a task that came first and needs more (worker-1 is one of them)\n\
         change: nothing to change: it starts when the task that came first has started, or at once with a timeout that ends before that"
    );
    let alike = c.submit(spec(4_000, 1));
    assert!(
        told(&c, alike, 0).contains(&format!("worker-1 is kept for {big}, which asks for the same and comes first"))
    );
}

#[test]
fn another_namespaces_turn() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("worker-1", resources(4_000, 16), "");
    let mine = c.submit_in("mine", JobSpec { count: 9, ..spec(1_000, 1) });
    c.pass();
    c.submit_in("theirs", JobSpec { count: 9, ..spec(1_000, 1) });
    assert!(
        told(&c, mine, 8).contains("turn: 1 of 2 namespaces that wait have a smaller share by weight, and come first")
    );
}

fn racks() -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    for (name, own) in [("worker-1", "rack=a"), ("worker-2", "rack=a"), ("worker-3", "rack=b"), ("worker-4", "")] {
        c.worker(name, resources(4_000, 16), own);
    }
    c
}

#[test]
fn an_expression_that_no_worker_meets() {
    let mut c = racks();
    c.drain("worker-3", true);
    let job = c.submit(JobSpec { placement: placed(&["rack in (b,c)", "!old"]), ..spec(1_000, 1) });
    assert_eq!(
        told(&c, job, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         3: not meeting rack in (b,c) (worker-1 has rack=a)\n  \
         1: draining: they take no new work (worker-3 is draining)\n\
         change: let worker-3 take work again (cloudai worker resume worker-3)"
    );
    let job = c.submit(JobSpec { placement: placed(&["cores>64"]), ..spec(1_000, 1) });
    assert!(told(&c, job, 0).ends_with("change: change the labels of worker-1 so that they meet cores>64"));
    let job = c.submit(JobSpec { placement: placed(&["cores>64", "gpu"]), ..spec(8_000, 1) });
    assert!(
        told(&c, job, 0).ends_with(
            "worker-1, lacks several things; add a worker with cpu 8, memory 1.0 GiB, labels that meet gpu, \
             labels that meet cores>64"
        ),
        "{}",
        told(&c, job, 0)
    );
}

#[test]
fn taints_that_are_not_tolerated_are_counted_each() {
    let mut c = racks();
    for (worker, taint) in [("worker-1", "gpu=a100"), ("worker-2", "gpu=a100"), ("worker-3", "night")] {
        c.taint(worker, taint, true);
    }
    c.drain("worker-4", true);
    let job = c.submit(JobSpec { placement: placed(&["tolerate:gpu=h100", "rack"]), ..spec(1_000, 1) });
    assert_eq!(
        told(&c, job, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         2: tainted with gpu=a100, which it does not tolerate (worker-1 is one of them)\n  \
         1: draining: they take no new work (worker-4 is draining)\n  \
         1: tainted with night, which it does not tolerate (worker-3 is one of them)\n\
         change: submit it with --tolerate gpu=a100, or take the taint from worker-1 (cloudai worker untaint worker-1 gpu)"
    );
}

#[test]
fn siblings_that_stay_apart() {
    let mut c = racks();
    let by_worker = c.submit(JobSpec { count: 5, placement: placed(&["apart:worker"]), ..spec(1_000, 1) });
    let by_rack = c.submit(JobSpec { count: 3, placement: placed(&["apart:rack"]), ..spec(1_000, 1) });
    c.pass();
    assert_eq!(
        told(&c, by_worker, 4),
        "JOB/4: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         4: with a task of its job, whose tasks stay apart (worker-1 is on worker-1)\n\
         change: add a worker: it starts there, or when the task of its job on worker-1 ends"
    );
    assert_eq!(
        told(&c, by_rack, 2),
        "JOB/2: waiting\n\
         ahead: 1 job, 1 task\n\
         workers: 4 in all, 0 would take it now\n  \
         3: in a rack with a task of its job, whose tasks stay apart (worker-1 is in rack=a)\n  \
         1: without the label rack, by which its tasks stay apart (worker-4 has no label rack)\n\
         change: add a worker in another rack: it starts there, or when a task of its job ends"
    );
}

#[test]
fn siblings_that_are_spread() {
    let mut c = racks();
    let job = c.submit(JobSpec { count: 9, placement: placed(&["spread:rack:1"]), ..spec(2_000, 1) });
    c.pass();
    assert_eq!(
        told(&c, job, 8),
        "JOB/8: waiting\n\
         ahead: 0 jobs, 3 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         2: less than 2 cpu free now (worker-1 has 0 of 4 cpu free)\n  \
         1: in a rack with as many of its job's tasks as max_skew 1 allows \
         (worker-2 is in rack=a with 3; the fewest are 2, in rack=b)\n  \
         1: without the label rack, over which its tasks are spread (worker-4 has no label rack)\n\
         change: 2 cpu more free on worker-3: it starts when tasks end there, or when a worker is added"
    );
    c.drain("worker-3", true);
    assert_eq!(c.pass(), "1:5>worker-2", "a rack that takes no work holds nobody back");
}

fn app(name: &str, words: &[&str]) -> JobSpec {
    JobSpec { labels: labels(&format!("app={name}")), placement: placed(words), ..spec(1_000, 1) }
}

#[test]
fn jobs_that_it_stays_apart_from() {
    let mut c = racks();
    let db = c.submit(JobSpec { count: 4, ..app("db", &["spread:worker"]) });
    c.pass();
    let by_rack = c.submit(app("web", &["apart_from:app in (cache,db)@rack"]));
    let by_worker = c.submit(app("web", &["apart_from:app=db@worker"]));
    let text = |job| told(&c, job, 0).replace(&db.to_string(), "DB");
    assert_eq!(
        text(by_rack),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         3: in a rack with a task of a job that it stays apart from (app in (cache,db)) (worker-1 is in rack=a with one of DB)\n  \
         1: without the label rack, by which it stays apart from app in (cache,db) (worker-4 has no label rack)\n\
         change: add a worker in another rack: it starts there, or when the tasks of DB in rack=a end; \
         or submit it without --apart-from 'app in (cache,db)@rack'"
    );
    assert_eq!(
        text(by_worker),
        "JOB/0: waiting\n\
         ahead: 1 job, 1 task\n\
         workers: 4 in all, 0 would take it now\n  \
         4: with a task of a job that it stays apart from (app=db) (worker-1 is on worker-1 with one of DB)\n\
         change: add a worker: it starts there, or when the tasks of DB on worker-1 end; \
         or submit it without --apart-from 'app=db'"
    );
}

#[test]
fn jobs_that_stay_apart_from_it() {
    let mut c = racks();
    c.drain("worker-3", true);
    c.drain("worker-4", true);
    let db = c.submit(app("db", &["apart_from:app=web@rack"]));
    c.pass();
    let web = c.submit(app("web", &[]));
    assert_eq!(
        told(&c, web, 0).replace(&db.to_string(), "DB"),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         2: draining: they take no new work (worker-3 is draining)\n  \
         2: in a rack with a task of a job that stays apart from jobs like it (app=web) (worker-1 is in rack=a with one of DB)\n\
         change: let worker-3 take work again (cloudai worker resume worker-3)"
    );
    c.lose(c.hot.worker_named("worker-3").expect("it is there").0);
    c.lose(c.hot.worker_named("worker-4").expect("it is there").0);
    c.taint("worker-3", "old", true);
    c.taint("worker-4", "old", true);
    assert!(
        told(&c, web, 0).replace(&db.to_string(), "DB").ends_with(
            "change: add a worker in another rack: it starts there, or when the tasks of DB in rack=a end, \
             which stays apart from app=web"
        ),
        "{}",
        told(&c, web, 0)
    );
}

#[test]
fn jobs_that_it_goes_together_with() {
    let mut c = racks();
    let near_cache = c.submit(app("web", &["together_with:app=cache@rack"]));
    assert_eq!(
        told(&c, near_cache, 0),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         3: in a rack without a task of a job that it goes together with (app=cache) (worker-1 is in rack=a; there is none now)\n  \
         1: without the label rack, by which it goes together with app=cache (worker-4 has no label rack)\n\
         change: start a job whose labels meet app=cache: none of its namespace runs; \
         or submit it without --together-with 'app=cache@rack'"
    );
    let cache = c.submit(JobSpec { resources: resources(4_000, 1), ..app("cache", &["rack=b"]) });
    c.pass();
    assert_eq!(
        told(&c, near_cache, 0).replace(&cache.to_string(), "CACHE"),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         workers: 4 in all, 0 would take it now\n  \
         2: in a rack without a task of a job that it goes together with (app=cache) \
         (worker-1 is in rack=a; one of CACHE is in rack=b)\n  \
         1: less than 1 cpu free now (worker-3 has 0 of 4 cpu free)\n  \
         1: without the label rack, by which it goes together with app=cache (worker-4 has no label rack)\n\
         change: 1 cpu more free on worker-3: it starts when tasks end there, or when a worker is added"
    );
    c.taint("worker-3", "old", true);
    assert!(
        told(&c, near_cache, 0).replace(&cache.to_string(), "CACHE").ends_with(
            "change: a worker that takes it in rack=b, where a task of CACHE is; \
             or submit it without --together-with 'app=cache@rack'"
        ),
        "{}",
        told(&c, near_cache, 0)
    );
}
