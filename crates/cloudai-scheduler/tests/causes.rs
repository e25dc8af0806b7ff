//! The main reason for which a group of tasks waits, and which groups the leader looks at.

mod cluster;

use cloudai_scheduler::cause::{Cause, WaitWatch, WaitingGroup, cause};
use cloudai_scheduler::{HeldBy, WaitKind, explain, held_up};
use cloudai_types::{JobId, JobSpec, QuotaChange, ReasonKind, ScorePolicy, TaskId, WaitCause, limits};
use cluster::{Cluster, labels, placed, resources, rules, spec};

fn two_workers() -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("worker-1", resources(4_000, 16), "");
    c.worker("worker-2", resources(4_000, 16), "zone=eu");
    c
}

/// Everything that waits, as one look would find it.
fn groups(c: &Cluster) -> Vec<WaitingGroup> {
    let mut watch = WaitWatch::default();
    assert_eq!(watch.look(&c.hot), [], "nobody is known to have waited before");
    watch.look(&c.hot)
}

fn causes(c: &Cluster) -> Vec<(u64, WaitCause, u32, u32)> {
    let asked = groups(c).into_iter().filter_map(|group| Some((group.job.0, cause(&c.hot, &c.reserved, &group)?)));
    asked.map(|(job, Cause { cause, workers, of })| (job, cause, workers, of)).collect()
}

/// Notes, metrics and explanations of what waits say the same in one word.
fn assert_same(c: &Cluster) {
    let held = held_up(&c.hot, &c.reserved, usize::MAX).tasks;
    let waiting = groups(c);
    assert!(!waiting.is_empty());
    for group in waiting {
        let noted = cause(&c.hot, &c.reserved, &group).expect("it waits").cause;
        let job = &c.hot.jobs[&group.job];
        let index = job.waiting.as_ref().and_then(|w| w.keys().next().copied()).unwrap_or(job.fresh.start);
        let told = explain(&c.hot, &c.reserved, TaskId { job: group.job, index });
        let by = told.main_reason().expect("it waits");
        assert!(held.contains_key(&by), "{by:?} in {held:?}");
        let same = match by {
            HeldBy::Quota => noted == WaitCause::Quota,
            HeldBy::UserQuota => noted == WaitCause::UserQuota,
            HeldBy::Gang => noted == WaitCause::Gang,
            HeldBy::NoWorker => noted == WaitCause::NoWorker,
            HeldBy::Turn => matches!(noted, WaitCause::Turn | WaitCause::Ahead),
            HeldBy::Workers(WaitKind::Busy) => noted == WaitCause::Busy,
            HeldBy::Workers(WaitKind::TooSmall) => noted == WaitCause::TooSmall,
            HeldBy::Workers(WaitKind::Avoided) => noted == WaitCause::Avoided,
            HeldBy::Workers(WaitKind::MissingLabel | WaitKind::UnmetExpression) => noted == WaitCause::Label,
            HeldBy::Workers(_) | HeldBy::NotLookedAt => false,
        };
        assert!(same, "{by:?} and {noted:?}");
        assert!(told.headline().is_some_and(|line| !line.is_empty()));
    }
}

#[test]
fn a_queue_before_a_full_cluster() {
    let mut c = two_workers();
    c.submit(JobSpec { count: 9, ..spec(1_000, 1) });
    c.submit(JobSpec { require: labels("zone=moon"), ..spec(1_000, 1) });
    c.submit(spec(1_000, 64));
    c.submit(JobSpec { placement: placed(&["zone in (eu)"]), ..spec(1_000, 1) });
    c.pass();
    let sorted = |mut told: Vec<_>| {
        told.sort_unstable();
        told
    };
    assert_eq!(
        sorted(causes(&c)),
        [
            (1, WaitCause::Busy, 2, 2),
            (2, WaitCause::Label, 2, 2),
            (3, WaitCause::TooSmall, 2, 2),
            (4, WaitCause::Busy, 1, 2),
        ],
        "of two workers the one that comes nearest to taking it: it is in the zone, and full"
    );
    c.drain("worker-2", true);
    assert_eq!(sorted(causes(&c))[0], (1, WaitCause::Busy, 1, 2), "the other takes nothing, whoever ends");
    assert_same(&c);
}

#[test]
fn no_worker_at_all_and_a_quota() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.submit(spec(1_000, 1));
    assert_eq!(causes(&c), [(1, WaitCause::NoWorker, 0, 0)]);
    assert_same(&c);
    c.quota("default", QuotaChange { tasks_max: Some(0), ..QuotaChange::default() });
    assert_eq!(causes(&c), [(1, WaitCause::Quota, 0, 0)], "first of all");
    assert_same(&c);
}

#[test]
fn others_come_first() {
    let mut c = two_workers();
    c.submit(spec(1_000, 1));
    c.submit_in("team-b", spec(1_000, 1));
    // Nothing was placed yet: whoever looks between two passes sees room.
    assert_eq!(causes(&c), [(1, WaitCause::Ahead, 2, 2), (2, WaitCause::Turn, 1, 2)]);
    assert_same(&c);
}

#[test]
fn a_gang_with_room_for_some() {
    let mut c = two_workers();
    c.submit(JobSpec { gang: true, count: 12, ..spec(1_000, 1) });
    c.pass();
    assert_eq!(causes(&c), [(1, WaitCause::Gang, 2, 2)]);
    assert_same(&c);
}

#[test]
fn those_that_ask_for_something_else_wait_for_something_else() {
    let mut c = two_workers();
    let retry = Some(rules(&[ReasonKind::Signal], 12));
    let job = c.submit(JobSpec { retry, max_attempts: 5, count: 2, ..spec(4_000, 11) });
    c.pass();
    c.end(TaskId { job, index: 0 }, ReasonKind::OutOfMemory, 137);
    c.wait_ms(60_000);
    c.submit(JobSpec { priority: 9, ..spec(4_000, 1) });
    c.pass();
    assert_eq!(groups(&c).iter().map(|g| (g.job, g.memory_mib)).collect::<Vec<_>>(), [(job, 12 << 10)]);
    assert_eq!(causes(&c), [(1, WaitCause::Busy, 2, 2)]);
}

#[test]
fn a_task_that_may_not_go_where_it_failed() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.worker("worker-1", resources(4_000, 16), "");
    let job = c.submit(JobSpec { retry: Some(rules(&[ReasonKind::Signal], 0)), max_attempts: 5, ..spec(1_000, 1) });
    c.pass();
    c.end(TaskId { job, index: 0 }, ReasonKind::Signal, 137);
    c.wait_ms(60_000);
    c.pass();
    assert_eq!(causes(&c), [(1, WaitCause::Avoided, 1, 1)]);
    assert_eq!(groups(&c)[0].alike(&c.hot), None, "nobody else failed there");
    assert_same(&c);
    c.worker("worker-2", resources(500, 16), "");
    c.worker("worker-3", resources(500, 16), "");
    assert_eq!(
        causes(&c),
        [(1, WaitCause::TooSmall, 2, 3)],
        "what it failed on is out of the question: larger ones would do"
    );
    assert_same(&c);
}

#[test]
fn a_look_is_bounded_and_fair() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    for n in 0..1_000 {
        c.submit(spec(1_000 + n % 3, 1));
    }
    let late: Vec<JobId> = (0..3).map(|_| c.submit_in("team-b", spec(1_000, 1))).collect();
    let groups = groups(&c);
    let of_default = groups.iter().filter(|group| !late.contains(&group.job)).count();
    assert_eq!((of_default, groups.len()), (limits::NOTES_BATCH_MAX / 2, limits::NOTES_BATCH_MAX / 2 + 3));
    let first: Vec<u64> = groups.iter().take(6).map(|group| group.job.0).collect();
    assert_eq!(first, [1, 2, 3, 4, 5, 6], "the first of each shape, then the second of each");
    let alike: std::collections::BTreeSet<_> = groups.iter().map(|group| group.alike(&c.hot)).collect();
    assert_eq!(alike.len(), 4, "so many answers do for all of them");
}

#[test]
fn more_namespaces_than_one_look_takes_have_their_turn() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    let namespaces = limits::NOTES_BATCH_MAX + 10;
    for n in 0..namespaces {
        c.submit_in(&format!("team-{n}"), spec(1_000, 1));
    }
    let mut watch = WaitWatch::default();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        seen.extend(watch.look(&c.hot).iter().map(|group| group.job));
    }
    assert_eq!(seen.len(), namespaces);
}

#[test]
fn who_was_placed_meanwhile_is_not_looked_at() {
    let mut c = two_workers();
    let mut watch = WaitWatch::default();
    let job = c.submit(JobSpec { count: 10, ..spec(1_000, 1) });
    watch.look(&c.hot);
    c.pass();
    assert_eq!(watch.look(&c.hot).iter().map(|group| group.job).collect::<Vec<_>>(), [job], "two of it wait still");
    c.cancel(job);
    let short = c.submit(spec(1_000, 1));
    assert_eq!(watch.look(&c.hot), [], "it has not waited for long");
    c.cancel(short);
    assert_eq!(watch.look(&c.hot), []);
}
