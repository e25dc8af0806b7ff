//! Passes as transcripts: what waits → who gets it, and nothing else.

mod cluster;

use cloudai_core::command::{AdvanceClock, Kind};
use cloudai_types::image::fingerprint;
use cloudai_types::{JobId, JobSpec, ReasonKind, ScorePolicy, TaskId, WorkerId};
use cluster::{Cluster, labels, resources, rules, spec};

fn array(count: u32, one: JobSpec) -> JobSpec {
    JobSpec { count, ..one }
}

/// Two small workers and a large one, all empty.
fn three(score: ScorePolicy) -> Cluster {
    let mut c = Cluster::with_policy(score);
    c.worker("a", resources(2_000, 4), "");
    c.worker("b", resources(2_000, 4), "");
    c.worker("c", resources(8_000, 16), "");
    c
}

#[test]
fn balanced_levels_the_dominant_share() {
    let mut c = three(ScorePolicy::Balanced);
    c.submit(array(6, spec(1_000, 1)));
    // Empty all: by id. Then a and b are half full and c is filled to the same share.
    assert_eq!(c.pass(), "1:0>a 1:1>b 1:2-5>c");
    c.submit(array(7, spec(1_000, 1)));
    assert_eq!(c.pass(), "2:0>a 2:1>b 2:2-5>c", "and the seventh waits");
    assert_eq!(c.pass(), "");
}

#[test]
fn round_robin_takes_each_in_turn_and_goes_on_where_it_stopped() {
    let mut c = three(ScorePolicy::RoundRobin);
    c.submit(array(4, spec(500, 1)));
    assert_eq!(c.pass(), "1:0-1>a 1:2>b 1:3>c");
    c.submit(spec(500, 1));
    c.submit(spec(500, 1));
    assert_eq!(c.pass(), "2:0>b 3:0>c");
    // a and b are full in memory after this; c takes the rest alone.
    c.submit(array(7, spec(500, 2)));
    assert_eq!(c.pass(), "4:0>a 4:1>b 4:2-6>c");
}

#[test]
fn binpack_fills_the_fullest_and_keeps_the_rest_free() {
    let mut c = three(ScorePolicy::Binpack);
    c.submit(array(3, spec(1_000, 1)));
    assert_eq!(c.pass(), "1:0-1>a 1:2>b");
    c.submit(array(2, spec(1_000, 1)));
    assert_eq!(c.pass(), "2:0>b 2:1>c");
}

#[test]
fn greedy_takes_the_least_room_that_is_enough() {
    let mut c = Cluster::with_policy(ScorePolicy::Greedy);
    c.worker("large", resources(8_000, 16), "");
    c.worker("small", resources(2_000, 4), "");
    c.submit(array(3, spec(1_000, 1)));
    assert_eq!(c.pass(), "1:0-1>small 1:2>large");
}

#[test]
fn a_worker_that_has_the_image_goes_first_until_it_is_a_quarter_fuller() {
    let held = vec![fingerprint("busybox"), fingerprint("debian:12")];
    let mut c = three(ScorePolicy::Balanced);
    c.state.on_images(WorkerId(3), held.clone());
    c.submit(array(6, spec(1_000, 1)));
    // Three eighths of c are taken before a and b, which idle, get one each; then c is the emptiest.
    assert_eq!(c.pass(), "1:0-3>c 1:4>a 1:5>b");
    c.submit(array(2, JobSpec { image: "debian:12".into(), ..spec(1_000, 1) }));
    c.submit(array(2, JobSpec { image: "other".into(), ..spec(1_000, 1) }));
    assert_eq!(c.pass(), "2:0-1>c 3:0>a 3:1>b", "and what nobody has goes where it went before");
    // No more room there, and the others are not kept from it.
    c.submit(array(2, spec(3_000, 1)));
    assert_eq!(c.pass(), "");
    c.worker("d", resources(8_000, 16), "");
    assert_eq!(c.pass(), "4:0-1>d");

    let mut c = three(ScorePolicy::RoundRobin);
    c.state.on_images(WorkerId(3), held.clone());
    c.submit(array(3, spec(500, 1)));
    assert_eq!(c.pass(), "1:0>a 1:1>b 1:2>c", "each in turn is each in turn");

    let mut c = three(ScorePolicy::Binpack);
    c.state.on_images(WorkerId(2), held.clone());
    c.submit(array(3, spec(1_000, 1)));
    assert_eq!(c.pass(), "1:0-1>b 1:2>a");
}

#[test]
fn an_image_opens_no_door_that_a_filter_has_closed() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    let a = c.worker("a", resources(4_000, 8), "zone=eu");
    let b = c.worker("b", resources(4_000, 8), "zone=us");
    let here = |c: &mut Cluster, worker| c.state.on_images(worker, vec![fingerprint("busybox")]);
    here(&mut c, b);
    c.submit(JobSpec { require: labels("zone=eu"), ..spec(1_000, 1) });
    assert_eq!(c.pass(), "1:0>a");
    c.drain("b", true);
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "2:0>a", "it is drained");
    c.drain("b", false);
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "3:0>b");
    // What it said last counts.
    c.state.on_images(b, vec![]);
    here(&mut c, a);
    c.submit(spec(500, 1));
    assert_eq!(c.pass(), "4:0>b", "a is more than a quarter fuller");
    // A task that has just failed there does not go back for its image's sake.
    c.submit(JobSpec { max_attempts: 2, ..spec(500, 1) });
    assert_eq!(c.pass(), "5:0>a");
    c.end(TaskId { job: JobId(5), index: 0 }, ReasonKind::ExitCode, 1);
    c.now_ms += 600_000;
    c.apply(vec![Kind::AdvanceClock(AdvanceClock {})]);
    assert_eq!(c.pass(), "5:0>b");
}

#[test]
fn priority_goes_before_submission_and_submission_before_size() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("a", resources(2_000, 4), "");
    c.submit(spec(1_000, 1));
    c.submit(spec(500, 1));
    c.submit(JobSpec { priority: 5, ..spec(1_000, 2) });
    c.submit(spec(500, 1));
    assert_eq!(c.pass(), "3:0>a 1:0>a");
}

#[test]
fn a_big_task_at_the_head_does_not_block_small_ones() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("a", resources(2_000, 4), "");
    c.submit(JobSpec { priority: 9, ..spec(4_000, 1) });
    c.submit(spec(4_000, 1));
    c.submit(spec(1_000, 1));
    let plan = c.plan(100);
    assert_eq!(c.words(&plan), "3:0>a");
    assert_eq!((plan.unplaced.len(), plan.more), (1, false), "one shape, although it waits in two levels");
}

#[test]
fn labels_and_readiness_are_respected() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    let a = c.worker("a", resources(4_000, 8), "zone=eu disk=ssd");
    c.worker("b", resources(4_000, 8), "zone=us disk=ssd");
    c.authorize("never");
    let eu = || JobSpec { require: labels("zone=eu disk=ssd"), ..spec(1_000, 1) };
    c.submit(eu());
    c.submit(JobSpec { require: labels("zone=asia"), ..spec(1_000, 1) });
    assert_eq!(c.pass(), "1:0>a");
    c.drain("a", true);
    c.submit(eu());
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "4:0>b");
    c.drain("a", false);
    assert_eq!(c.pass(), "3:0>a");
    // The same worker with other labels, and a new one for the first time: what fitted nowhere fits.
    c.register(a, resources(4_000, 8), "zone=asia");
    assert_eq!(c.pass(), "2:0>a");
    c.submit(eu());
    assert_eq!(c.pass(), "");
    c.worker("d", resources(4_000, 8), "zone=eu disk=ssd");
    assert_eq!(c.pass(), "5:0>d");
}

#[test]
fn a_lost_workers_tasks_avoid_it_while_another_fits() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    let a = c.worker("a", resources(2_000, 4), "");
    let b = c.worker("b", resources(2_000, 4), "");
    let job = c.submit(array(2, spec(1_000, 1)));
    assert_eq!(c.pass(), "1:0-1>a");
    c.lose(a);
    c.register(a, resources(2_000, 4), "");
    assert_eq!(c.pass(), "1:0-1>b");
    // Lost again, and the other one is away: better there than nowhere.
    c.lose(a);
    c.lose(b);
    c.register(b, resources(2_000, 4), "");
    c.wait_ms(600_000);
    assert_eq!(c.pass(), "1:0-1>b");
    assert_eq!(c.hot.jobs[&job].active[&0].number, 3);
}

#[test]
fn a_retry_waits_for_its_time_and_then_goes_before_fresh_indexes() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.worker("a", resources(1_000, 4), "");
    let job = c.submit(JobSpec { count: 3, max_attempts: 3, ..spec(1_000, 1) });
    assert_eq!(c.pass(), "1:0>a");
    c.end(TaskId { job, index: 0 }, ReasonKind::ExitCode, 3);
    assert_eq!(c.pass(), "1:1>a", "index 0 is not due");
    c.wait_ms(600_000);
    assert_eq!(c.pass(), "", "and now the worker is full");
    c.end(TaskId { job, index: 1 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "1:0>a");
}

#[test]
fn a_task_that_its_rules_send_elsewhere_waits_rather_than_going_back() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(2_000, 4), "");
    let b = c.worker("b", resources(2_000, 4), "");
    let retry = Some(rules(&[ReasonKind::ExitCode], 0));
    let job = c.submit(JobSpec { count: 2, max_attempts: 4, retry, ..spec(1_000, 1) });
    assert_eq!(c.pass(), "1:0-1>a");
    c.end(TaskId { job, index: 0 }, ReasonKind::ExitCode, 1);
    c.drain("b", true);
    c.wait_ms(600_000);
    assert_eq!(c.pass(), "", "a has room, and is where it failed");
    let other = c.submit(spec(500, 1));
    assert_eq!(c.pass(), "2:0>a", "it blocks nobody");
    c.drain("b", false);
    assert_eq!(c.pass(), "1:0>b");
    c.end(TaskId { job, index: 0 }, ReasonKind::ExitCode, 1);
    c.wait_ms(600_000);
    assert_eq!(c.pass(), "", "it has failed on both");
    // Lost is another reason, and another worker is another worker.
    c.worker("d", resources(2_000, 4), "");
    assert_eq!(c.pass(), "1:0>d");
    c.lose(b);
    c.end(TaskId { job, index: 1 }, ReasonKind::Timeout, 1);
    c.end(TaskId { job: other, index: 0 }, ReasonKind::ExitCode, 0);
    c.wait_ms(600_000);
    assert_eq!(c.pass(), "1:1>d", "after a time-out it only prefers another");
    assert_eq!(cloudai_core::invariants::check(&c.hot), vec![]);
}

#[test]
fn a_task_that_ran_out_of_memory_asks_for_more_and_its_siblings_do_not() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(4_000, 4), "");
    let retry = Some(rules(&[], 16));
    let job = c.submit(JobSpec { count: 3, max_attempts: 4, retry, ..spec(1_000, 2) });
    assert_eq!(c.pass(), "1:0-1>a");
    c.end(TaskId { job, index: 0 }, ReasonKind::OutOfMemory, 137);
    c.wait_ms(600_000);
    // 3 GiB are not free beside index 1; index 2 asks for 2.
    assert_eq!(c.pass(), "1:2>a");
    c.end(TaskId { job, index: 1 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "", "2 GiB are free");
    c.end(TaskId { job, index: 2 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "1:0>a");
    let (id, worker) = c.hot.workers.iter().next().expect("there is one");
    assert_eq!((id.0, worker.used.memory_bytes), (1, 3 * cluster::GIB), "I4 counts what it was given");
    c.end(TaskId { job, index: 0 }, ReasonKind::OutOfMemory, 137);
    c.wait_ms(600_000);
    assert_eq!(c.pass(), "", "4.5 GiB are more than the worker has");
    c.worker("b", resources(4_000, 8), "");
    assert_eq!(c.pass(), "1:0>b");
    assert_eq!(cloudai_core::invariants::check(&c.hot), vec![]);
}

#[test]
fn many_that_can_go_nowhere_cost_a_bounded_look_and_hide_nobody_behind_them() {
    let many = 2 * cloudai_types::limits::PASS_APART_LOOKS_MAX + 10;
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("a", resources(0, 4), "");
    let retry = Some(rules(&[ReasonKind::ExitCode], 0));
    let job = c.submit(JobSpec { count: many, max_attempts: 4, retry, ..spec(0, 0) });
    assert_eq!(c.plan(10_000).placed, many);
    let plan = c.plan(10_000);
    c.accept(&plan);
    for index in 0..many - 1 {
        c.end(TaskId { job, index }, ReasonKind::ExitCode, 1);
    }
    // The last one may go back, and is behind all of them.
    c.end(TaskId { job, index: many - 1 }, ReasonKind::Timeout, 1);
    c.wait_ms(600_000);
    let passes: Vec<(u32, bool)> = std::iter::from_fn(|| {
        let plan = c.plan(10_000);
        c.accept(&plan);
        Some((plan.placed, plan.more))
    })
    .take(6)
    .collect();
    assert_eq!(passes.iter().map(|(placed, _)| placed).sum::<u32>(), 1, "{passes:?}");
    assert!(passes.iter().any(|(_, more)| !more), "and then it waits for an event: {passes:?}");
}

#[test]
fn a_bounded_pass_says_that_there_is_more() {
    let mut c = three(ScorePolicy::Balanced);
    c.submit(array(5, spec(0, 0)));
    c.submit(JobSpec { priority: -1, ..spec(0, 0) });
    let plan = c.plan(4);
    assert_eq!((plan.placed, plan.more), (4, true));
    c.accept(&plan);
    let plan = c.plan(1);
    assert_eq!((plan.placed, plan.more), (1, true), "the lower level still waits");
    c.accept(&plan);
    let plan = c.plan(1);
    assert_eq!((c.words(&plan).as_str(), plan.more), ("2:0>c", false));
    c.accept(&plan);
    assert_eq!(c.plan(1), Default::default());
}

#[test]
fn tasks_that_ask_for_nothing_are_spread() {
    let mut c = three(ScorePolicy::Balanced);
    c.submit(array(6, spec(0, 0)));
    assert_eq!(c.pass(), "1:0-1>a 1:2-3>b 1:4-5>c");
}

#[test]
fn a_plan_that_was_not_applied_is_planned_again() {
    let mut c = three(ScorePolicy::Binpack);
    c.submit(array(3, spec(2_000, 1)));
    let lost = c.plan(100);
    assert_eq!(c.pass(), c.words(&lost));
}

#[test]
fn a_new_policy_counts_from_the_next_pass_on() {
    let mut c = three(ScorePolicy::Balanced);
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "1:0>a");
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "2:0>b");
    let state = std::mem::take(&mut c.state);
    c.apply(vec![cloudai_core::command::Kind::SetConfig(cloudai_core::command::SetConfig {
        config: cloudai_types::ClusterConfig { score_policy: ScorePolicy::Binpack as i32 },
    })]);
    c.state = state;
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "3:0>a");
}

#[test]
fn labels_that_an_operator_changes_count_at_once() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    let a = c.authorize_with("a", "zone=eu");
    c.register(a, resources(4_000, 8), "");
    let asia = || JobSpec { require: labels("zone=asia"), ..spec(1_000, 1) };
    c.submit(asia());
    assert_eq!(c.pass(), "");
    // The same session, the same number of labels.
    c.authorize_with("a", "zone=asia");
    assert_eq!(c.pass(), "1:0>a");
    c.authorize_with("a", "zone=eu");
    c.submit(asia());
    assert_eq!(c.pass(), "");
}

#[test]
fn changed_labels_are_found_in_a_large_cluster_at_once_when_told_and_soon_when_not() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    for n in 0..700 {
        c.worker(&format!("w{n}"), resources(1_000, 1), "");
    }
    let asia = || JobSpec { require: labels("zone=asia"), ..spec(1_000, 1) };
    c.submit(asia());
    assert_eq!(c.pass(), "");
    c.authorize_with("w690", "zone=asia");
    c.state.on_worker_changed();
    assert_eq!(c.pass(), "1:0>w690");
    c.submit(asia());
    c.authorize_with("w3", "zone=asia");
    let passes: Vec<String> = (0..3).map(|_| c.pass()).collect();
    assert_eq!(passes.concat(), "2:0>w3", "three windows of 256 hold 700 workers");
}
