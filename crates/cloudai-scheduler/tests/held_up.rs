//! What keeps waiting tasks, in figures, by the real `apply`.

mod cluster;

use cloudai_scheduler::{HeldBy, WaitKind, held_up};
use cloudai_types::{JobSpec, QuotaChange, ScorePolicy};
use cluster::{Cluster, placed, resources, spec};

const MANY: usize = 1_000;

fn array(count: u32, spec: JobSpec) -> JobSpec {
    JobSpec { count, ..spec }
}

fn kept(c: &Cluster, looks: usize) -> Vec<(&'static str, u64)> {
    held_up(&c.hot, &c.reserved, looks).tasks.into_iter().map(|(by, tasks)| (by.name(), tasks)).collect()
}

#[test]
fn each_task_has_one_reason_the_nearest_to_a_yes() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.submit(array(3, spec(1_000, 1)));
    assert_eq!(kept(&c, MANY), [("no_worker", 3)], "nobody is there");

    c.worker("worker-1", resources(2_000, 4), "zone=eu");
    c.worker("worker-2", resources(8_000, 4), "");
    c.drain("worker-2", true);
    assert_eq!(kept(&c, MANY), [("turn", 3)], "two of them start with the next pass");
    c.pass();
    assert_eq!(kept(&c, MANY), [("busy", 1)], "the draining one is further away from taking it than the full one");

    c.submit(array(5, spec(4_000, 1)));
    let mut elsewhere = spec(100, 1);
    elsewhere.placement = placed(&["zone in (us)"]);
    c.submit(elsewhere);
    c.quota("team-a", QuotaChange { tasks_max: Some(0), ..QuotaChange::default() });
    c.submit_in("team-a", array(7, spec(200, 1)));
    let mut all = kept(&c, MANY);
    all.sort_unstable();
    assert_eq!(all, [("busy", 1), ("quota", 7), ("too_small", 5), ("unmet_expression", 1)]);
}

#[test]
fn a_look_costs_no_more_than_it_may() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    for n in 0..4 {
        c.worker(&format!("worker-{n}"), resources(1_000, 1), "");
    }
    c.submit(spec(2_000, 1));
    c.submit(array(2, spec(3_000, 1)));
    assert_eq!(kept(&c, 4), [("too_small", 1), ("not_looked_at", 2)]);
    assert_eq!(kept(&c, 8), [("too_small", 3)]);
    assert_eq!(held_up(&c.hot, &c.reserved, 0).tasks.keys().collect::<Vec<_>>(), [&HeldBy::NotLookedAt]);
}

#[test]
fn the_oldest_is_the_one_that_was_submitted_first_and_can_start() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    assert_eq!(held_up(&c.hot, &c.reserved, MANY).oldest_since_ms, None);
    let at = c.hot.clock_ms;
    c.submit(spec(2_000, 1));
    c.wait_ms(60_000);
    c.submit(spec(1_000, 1));
    assert_eq!(held_up(&c.hot, &c.reserved, MANY).oldest_since_ms, Some(at));
    assert_eq!(HeldBy::Workers(WaitKind::Busy).name(), "busy");
}
