//! Where tasks go by their job's rules: transcripts of passes, each accepted by `apply`.

mod cluster;

use cloudai_core::command::{Kind, PlaceGroup, PlaceTasks};
use cloudai_core::hot::Hot;
use cloudai_core::reply::Reply;
use cloudai_types::{JobSpec, ReasonKind, ScorePolicy, TaskId, WorkerId};
use cluster::{Cluster, placed, resources, spec};

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
