//! Where tasks go by their job's rules: transcripts of passes, each accepted by `apply`.

mod cluster;

use std::collections::BTreeSet;

use cloudai_core::command::{Kind, PlaceGroup, PlaceTasks};
use cloudai_core::hot::Hot;
use cloudai_core::reply::Reply;
use cloudai_types::{JobSpec, ReasonKind, ScorePolicy, TaskId, WorkerId};
use cluster::{Cluster, labels, placed, resources, spec};

/// Two racks of two workers, and one worker in none.
fn racks() -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    for (name, own) in [("a1", "rack=a disk=ssd"), ("a2", "rack=a"), ("b1", "rack=b"), ("b2", "rack=b"), ("odd", "")] {
        c.worker(name, resources(4_000, 16), own);
    }
    c
}

fn job(count: u32, words: &[&str]) -> JobSpec {
    JobSpec { count, placement: placed(words), ..spec(1_000, 1) }
}

#[test]
fn expressions_are_required() {
    let mut c = racks();
    c.submit(job(3, &["rack in (a,c)", "!disk"]));
    c.submit(job(1, &["!rack"]));
    assert_eq!(c.pass(), "1:0-2>a2 2:0>odd");
    // A worker without any label that comes later is seen by those that ask for that.
    c.submit(job(1, &["rack notin (a,b)", "!late"]));
    c.drain("odd", true);
    assert_eq!(c.pass(), "");
    c.worker("new", resources(4_000, 16), "");
    assert_eq!(c.pass(), "3:0>new");
}

#[test]
fn what_is_preferred_most_comes_first_while_it_has_room() {
    let mut c = racks();
    c.submit(job(10, &["prefer:disk=ssd:10", "prefer:rack=b:20"]));
    assert_eq!(c.pass(), "1:0>b1 1:1>b2 1:2>b1 1:3>b2 1:4>b1 1:5>b2 1:6>b1 1:7>b2 1:8-9>a1");
}

#[test]
fn a_taint_keeps_away_who_does_not_tolerate_it_and_stops_nothing() {
    let mut c = racks();
    for name in ["a2", "b1", "b2", "odd"] {
        c.drain(name, true);
    }
    c.submit(job(1, &[]));
    assert_eq!(c.pass(), "1:0>a1");
    c.taint("a1", "gpu=a100", true);
    c.submit(job(1, &[]));
    c.submit(job(1, &["tolerate:gpu=h100"]));
    c.submit(job(1, &["tolerate:gpu"]));
    assert_eq!(c.pass(), "4:0>a1");
    assert!(c.hot.attempt(TaskId { job: cloudai_types::JobId(1), index: 0 }).is_some(), "what ran there goes on");
    c.taint("a1", "gpu=h100", true);
    assert_eq!(c.pass(), "3:0>a1");
    c.taint("a1", "gpu", false);
    assert_eq!(c.pass(), "2:0>a1");
}

#[test]
fn tasks_stay_apart_by_worker_and_by_rack() {
    let mut c = racks();
    let by_worker = c.submit(job(7, &["apart:worker"]));
    let by_rack = c.submit(job(3, &["apart:rack"]));
    assert_eq!(c.pass(), "1:0>a1 1:1>a2 1:2>b1 1:3>b2 1:4>odd 2:0>a1 2:1>b1");
    assert_eq!(c.pass(), "");
    c.end(TaskId { job: by_worker, index: 2 }, ReasonKind::ExitCode, 0);
    c.end(TaskId { job: by_rack, index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "1:5>b1 2:2>a1");
}

#[test]
fn other_jobs_of_the_same_shape_have_their_siblings_elsewhere() {
    let mut c = racks();
    for _ in 0..2 {
        c.submit(job(6, &["apart:worker"]));
    }
    assert_eq!(c.pass(), "1:0>a1 1:1>a2 1:2>b1 1:3>b2 1:4>odd 2:0>a1 2:1>a2 2:2>b1 2:3>b2 2:4>odd");
}

#[test]
fn tasks_are_spread_where_the_fewest_are_and_wait_for_that_only_with_a_skew() {
    let mut c = racks();
    c.drain("b2", true);
    c.submit(job(8, &["spread:rack"]));
    assert_eq!(c.pass(), "1:0>a1 1:1>b1 1:2>a2 1:3>b1 1:4>a1 1:5>b1 1:6>a2 1:7>b1");
    // b is full: what is soft goes to a, and only then to the one in no rack.
    c.submit(job(5, &["spread:rack"]));
    assert_eq!(c.pass(), "2:0>a1 2:1>a2 2:2>a1 2:3>a2 2:4>odd");
    let mut c = racks();
    c.drain("b2", true);
    c.submit(job(9, &["spread:rack:1"]));
    assert_eq!(c.pass(), "1:0>a1 1:1>b1 1:2>a2 1:3>b1 1:4>a1 1:5>b1 1:6>a2 1:7>b1 1:8>a1");
    c.submit(job(2, &["spread:rack:1"]));
    assert_eq!(c.pass(), "2:0>a2", "b has no room, and a may be one ahead");
}

#[test]
fn a_turn_that_ends_within_a_job_forgets_none_of_its_tasks() {
    let mut c = racks();
    c.submit_in("one", job(5, &["apart:worker"]));
    c.submit_in("two", job(5, &["spread:rack:1", "apart:worker"]));
    let plan = c.plan(10_000);
    c.accept(&plan);
    assert_eq!(plan.placed, 9, "the one in no rack is for one of them");
    assert_eq!(c.pass(), "");
}

#[test]
fn a_task_that_failed_avoids_its_worker_before_it_looks_at_what_is_preferred() {
    let mut c = racks();
    let again = c.submit(JobSpec { max_attempts: 2, ..job(1, &["prefer:disk:100"]) });
    assert_eq!(c.pass(), "1:0>a1");
    c.end(TaskId { job: again, index: 0 }, ReasonKind::ExitCode, 1);
    c.wait_ms(60_000);
    assert_eq!(c.pass(), "1:0>a2");
}

/// Whoever proposes it: an older leader, or one that saw another state.
#[test]
fn apply_refuses_what_the_rules_forbid() {
    let mut c = racks();
    c.taint("a1", "gpu", true);
    let group = |job: u64, worker: u32, indexes: &[u32]| PlaceGroup { job, worker, indexes: indexes.to_vec() };
    let proposed = |c: &mut Cluster, groups: &[PlaceGroup]| {
        let applied = c.apply(vec![Kind::PlaceTasks(PlaceTasks { groups: groups.to_vec() })]);
        match applied.replies.as_slice() {
            [Reply::Placed { accepted, refused }] => (*accepted, *refused),
            other => panic!("{other:?}"),
        }
    };
    c.submit(job(9, &["apart:worker"]));
    assert_eq!(proposed(&mut c, &[group(1, 1, &[0])]), (0, 1), "tainted");
    assert_eq!(proposed(&mut c, &[group(1, 2, &[0, 1]), group(1, 3, &[1])]), (2, 1), "two on one worker");
    assert_eq!(proposed(&mut c, &[group(1, 3, &[2]), group(1, 4, &[2])]), (1, 1), "beside one that was there before");
    c.submit(job(9, &["apart:rack"]));
    assert_eq!(proposed(&mut c, &[group(2, 5, &[0])]), (0, 1), "in no rack");
    assert_eq!(proposed(&mut c, &[group(2, 3, &[0]), group(2, 4, &[1])]), (1, 1), "two in one rack");
    c.submit(job(9, &["spread:rack:1"]));
    assert_eq!(proposed(&mut c, &[group(3, 3, &[0]), group(3, 4, &[1]), group(3, 2, &[1]), group(3, 4, &[2])]), (3, 1));
    c.submit(job(9, &["rack=b"]));
    assert_eq!(proposed(&mut c, &[group(4, 2, &[0]), group(4, 3, &[0])]), (1, 1));
    assert_eq!(cloudai_core::invariants::check(&c.hot), vec![]);
    assert_eq!(tasks_on(&c.hot, 3), 4);
}

fn tasks_on(hot: &Hot, worker: u32) -> usize {
    hot.workers[&WorkerId(worker)].active.len()
}

fn labelled(app: &str, count: u32, words: &[&str]) -> JobSpec {
    JobSpec { labels: labels(&format!("app={app}")), ..job(count, words) }
}

#[test]
fn a_job_stays_apart_from_others_by_worker_and_by_rack() {
    let mut c = racks();
    let db = c.submit(labelled("db", 1, &["disk"]));
    assert_eq!(c.pass(), "1:0>a1");
    c.submit(job(6, &["apart_from:app=db@worker", "spread:worker"]));
    c.submit(job(2, &["apart_from:app=db@rack"]));
    c.submit(job(1, &["apart_from:app=db@rack", "disk"]));
    c.submit(job(1, &["apart_from:app=web@worker", "disk"]));
    assert_eq!(c.pass(), "2:0>a2 2:1>b1 2:2>b2 2:3>odd 2:4>a2 2:5>b1 3:0>b2 3:1>b1 5:0>a1", "in no rack is in doubt");
    c.end(TaskId { job: db, index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "4:0>a1");
}

#[test]
fn who_comes_second_stays_away_as_well() {
    let mut c = racks();
    let db = c.submit(labelled("db", 1, &["apart_from:app in (web,batch)@rack", "disk"]));
    assert_eq!(c.pass(), "1:0>a1");
    // Without rules, without labels, with others: only the first is meant.
    c.submit(labelled("web", 4, &["rack"]));
    c.submit(job(1, &["disk"]));
    c.submit(labelled("cache", 1, &["disk"]));
    c.submit(labelled("batch", 1, &["disk"]));
    assert_eq!(c.pass(), "2:0>b1 2:1>b2 2:2>b1 2:3>b2 3:0>a1 4:0>a1", "one by one, since a rule looks at it");
    // One that is in no rack is in no rack with it.
    c.submit(labelled("web", 1, &["!rack"]));
    assert_eq!(c.pass(), "6:0>odd");
    c.end(TaskId { job: db, index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "5:0>a1");
}

#[test]
fn who_is_placed_in_the_same_pass_counts() {
    let mut c = racks();
    for name in ["a2", "b1", "b2", "odd"] {
        c.drain(name, true);
    }
    c.submit(labelled("db", 1, &[]));
    c.submit(job(1, &["apart_from:app=db@worker"]));
    c.submit(labelled("web", 1, &["together_with:app=db@worker", "apart_from:app=batch@worker"]));
    c.submit(labelled("batch", 1, &[]));
    assert_eq!(c.pass(), "1:0>a1 3:0>a1");
}

#[test]
fn a_job_goes_where_another_one_is_and_waits_until_then() {
    let mut c = racks();
    c.submit(job(2, &["together_with:app=cache@rack"]));
    c.submit(job(1, &["together_with:app=cache@worker"]));
    assert_eq!(c.pass(), "");
    // Submitted later, placed in the same pass: the next one begins at once.
    c.submit(labelled("cache", 1, &["rack=b"]));
    let plan = c.plan(10_000);
    assert_eq!((c.words(&plan).as_str(), plan.more), ("3:0>b1", true));
    c.accept(&plan);
    let plan = c.plan(10_000);
    assert_eq!((c.words(&plan).as_str(), plan.more), ("1:0>b2 1:1>b1 2:0>b1", false));
}

#[test]
fn a_job_of_another_namespace_is_never_meant() {
    let mut c = racks();
    for name in ["a2", "b1", "b2", "odd"] {
        c.drain(name, true);
    }
    c.submit_in("theirs", labelled("db", 1, &["apart_from:app=web@worker"]));
    assert_eq!(c.pass(), "1:0>a1");
    c.submit(labelled("web", 1, &["apart_from:app=db@worker"]));
    c.submit(job(1, &["together_with:app=db@worker"]));
    assert_eq!(c.pass(), "2:0>a1");
}

#[test]
fn to_its_own_rules_a_job_is_no_other_and_one_of_a_kind_has_each_worker() {
    let mut c = racks();
    for _ in 0..7 {
        c.submit(labelled("db", 2, &["apart_from:app=db@worker"]));
    }
    assert_eq!(c.pass(), "1:0>a1 1:1>a2 2:0>b1 2:1>b2 3:0-1>odd");
    let left: Vec<u64> = c.hot.jobs.iter().filter(|(_, job)| job.counts.active == 0).map(|(id, _)| id.0).collect();
    assert_eq!(left, [4, 5, 6, 7]);
}

#[test]
fn a_gang_stays_apart_whole_or_waits_whole() {
    let mut c = racks();
    let db = c.submit(labelled("db", 2, &["apart:worker", "rack=a"]));
    assert_eq!(c.pass(), "1:0>a1 1:1>a2");
    c.submit(JobSpec { gang: true, ..job(13, &["apart_from:app=db@worker"]) });
    c.submit(JobSpec { gang: true, ..job(12, &["apart_from:app=db@worker"]) });
    let plan = c.plan(10_000);
    c.accept(&plan);
    let at: BTreeSet<(u64, &str)> =
        plan.groups.iter().map(|g| (g.job, c.hot.workers[&WorkerId(g.worker)].name.as_str())).collect();
    assert_eq!((plan.placed, at), (12, BTreeSet::from([(3, "b1"), (3, "b2"), (3, "odd")])));
    c.end(TaskId { job: db, index: 1 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "", "a2 has room for four of thirteen");
}

#[test]
fn apply_refuses_what_is_near_by_then() {
    let mut c = racks();
    c.submit(labelled("db", 2, &[]));
    c.submit(job(2, &["apart_from:app=db@rack"]));
    c.submit(job(1, &["together_with:app=db@rack"]));
    let id = |c: &Cluster, name: &str| c.hot.worker_named(name).expect("it is there").0.0;
    let (a1, a2, b1, odd) = (id(&c, "a1"), id(&c, "a2"), id(&c, "b1"), id(&c, "odd"));
    let group = |job: u64, worker: u32, index: u32| PlaceGroup { job, worker, indexes: vec![index] };
    let groups = vec![
        group(3, a1, 0), // nobody is there
        group(1, a1, 0),
        group(2, a2, 0),  // one is in the rack
        group(2, odd, 0), // in none
        group(3, a2, 0),
        group(2, b1, 0),
        group(1, b1, 1), // the other one stays apart from it
    ];
    let applied = c.apply(vec![Kind::PlaceTasks(PlaceTasks { groups })]);
    assert_eq!(applied.replies, [Reply::Placed { accepted: 3, refused: 4 }]);
    let at = |job: u64| c.hot.jobs[&cloudai_types::JobId(job)].active.values().map(|a| a.worker.0).collect::<Vec<_>>();
    assert_eq!((at(1), at(2), at(3)), (vec![a1], vec![b1], vec![a2]));
}
