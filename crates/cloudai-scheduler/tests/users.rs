//! What each user of a namespace may have at a time: who is at the cap is passed over, whatever waits of theirs, and keeps nobody else back.

mod cluster;

use std::collections::BTreeMap;

use cloudai_scheduler::{explain, outlook};
use cloudai_types::{JobId, JobSpec, QuotaChange, ReasonKind, ScorePolicy, TaskId};
use cluster::{Cluster, resources, spec};
use proptest::prelude::*;

fn own_tasks(max: u64) -> QuotaChange {
    QuotaChange { user_tasks_max: Some(max), ..QuotaChange::default() }
}

fn array(count: u32, spec: JobSpec) -> JobSpec {
    JobSpec { count, ..spec }
}

fn cluster(cpus: u64, own: u64) -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    c.quota("default", own_tasks(own));
    c.worker("w", resources(cpus * 1_000, 64), "");
    c
}

fn by(c: &mut Cluster, user: &str, spec: JobSpec) -> JobId {
    c.submit_by(user, "default", spec)
}

/// Tasks that each user runs.
fn holding(c: &Cluster) -> BTreeMap<String, u32> {
    let tenants = c.hot.tenants.iter().flat_map(|(_, tenant)| tenant.users.iter());
    tenants.map(|user| (user.name.to_string(), user.holding)).collect()
}

#[test]
fn the_cap_is_each_users_own_and_order_is_kept_among_the_others() {
    let mut c = cluster(100, 3);
    by(&mut c, "ada", array(2, spec(1_000, 0)));
    by(&mut c, "ada", array(5, spec(1_000, 0)));
    by(&mut c, "bob", spec(1_000, 0));
    by(&mut c, "ada", spec(500, 0));
    by(&mut c, "bob", array(9, spec(500, 0)));
    assert_eq!(c.pass(), "1:0-1>w 2:0>w 3:0>w 5:0-1>w");
    c.end(TaskId { job: JobId(1), index: 1 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), "2:1>w", "the place is ada's own");
    c.quota("default", own_tasks(u64::MAX));
    assert_eq!(c.pass(), "2:2-4>w 4:0>w 5:2-8>w");
}

#[test]
fn however_much_of_one_user_is_ahead_the_next_one_starts() {
    let mut c = cluster(100, 2);
    for n in 0..3_000 {
        by(&mut c, "ada", spec(1_000 + n % 3, 0));
    }
    let last = by(&mut c, "bob", spec(1_000, 0));
    assert_eq!(c.pass(), format!("1:0>w 2:0>w {}:0>w", last.0));
    let urgent = by(&mut c, "ada", JobSpec { priority: 9, ..spec(1_000, 0) });
    assert_eq!(c.pass(), "", "a priority is no way round the cap");
    c.end(TaskId { job: JobId(1), index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), format!("{}:0>w", urgent.0));
}

#[test]
fn who_has_waited_for_too_long_waits_for_its_own_place_all_the_same() {
    let mut c = cluster(100, 1);
    c.quota("default", QuotaChange { wait_max_ms: Some(60_000), ..QuotaChange::default() });
    for _ in 0..3 {
        by(&mut c, "ada", spec(1_000, 0));
    }
    let bob = by(&mut c, "bob", spec(1_000, 0));
    c.wait_ms(90_000);
    let new = by(&mut c, "cy", JobSpec { priority: 9, ..spec(1_000, 0) });
    assert_eq!(c.pass(), format!("1:0>w {}:0>w {}:0>w", bob.0, new.0), "overdue, and one of each");
}

#[test]
fn nothing_is_kept_for_one_who_is_at_the_cap() {
    let mut c = cluster(4, 2);
    by(&mut c, "ada", array(2, spec(1_000, 0)));
    by(&mut c, "bob", array(2, spec(1_000, 0)));
    c.pass();
    let big = by(&mut c, "ada", spec(4_000, 0));
    let small = by(&mut c, "cy", array(2, spec(1_000, 0)));
    let last = by(&mut c, "dee", spec(1_000, 0));
    c.end(TaskId { job: JobId(2), index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), format!("{}:0>w", small.0));
    c.wait_ms(1_000);
    c.end(TaskId { job: JobId(2), index: 1 }, ReasonKind::ExitCode, 0);
    assert_eq!((c.pass(), c.state_reserved(big)), (format!("{}:1>w", small.0), None));
    // With a place of its own it is passed once more, and then the worker is kept for it.
    c.end(TaskId { job: JobId(1), index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), format!("{}:0>w", last.0));
    assert!(c.state_reserved(big).is_some());
}

#[test]
fn a_gang_that_waits_for_its_users_own_tasks_holds_back_only_these() {
    let mut c = cluster(100, 4);
    by(&mut c, "ada", array(2, spec(1_000, 0)));
    c.pass();
    let gang = by(&mut c, "ada", JobSpec { gang: true, ..array(3, spec(1_000, 0)) });
    let behind = by(&mut c, "ada", array(2, spec(1_000, 0)));
    let other = by(&mut c, "bob", array(2, spec(1_000, 0)));
    let never = by(&mut c, "bob", JobSpec { gang: true, ..array(5, spec(1_000, 0)) });
    let last = by(&mut c, "bob", spec(1_000, 0));
    assert_eq!(c.pass(), format!("{}:0-1>w {}:0>w", other.0, last.0));
    c.end(TaskId { job: JobId(1), index: 0 }, ReasonKind::ExitCode, 0);
    assert_eq!(c.pass(), format!("{}:0-2>w", gang.0));
    assert_eq!(c.hot.jobs[&behind].counts.queued, 2);
    let fix = explain(&c.hot, &c.reserved, TaskId { job: never, index: 0 }).fix;
    assert_eq!(
        fix,
        "its tasks start together, and are more than one user may ever run: raise the cap on each user (cloudai quota set default \
         --user-max-tasks 5), or ask for fewer tasks"
    );
}

#[test]
fn it_is_told() {
    let mut c = cluster(100, 2);
    by(&mut c, "admin/ada", array(2, spec(1_000, 1)));
    by(&mut c, "admin/bob", array(4, spec(1_000, 1)));
    c.pass();
    let waits = by(&mut c, "admin/ada", spec(1_000, 1));
    let told = explain(&c.hot, &c.reserved, TaskId { job: waits, index: 0 }).to_string();
    assert_eq!(
        told.replace(&waits.to_string(), "JOB"),
        "JOB/0: waiting\n\
         ahead: 0 jobs, 0 tasks\n\
         user quota: admin/ada runs 2 of 2 tasks in default, which is the cap on each user\n\
         workers: 1 in all, 1 would take it now\n\
         change: raise the cap on each user (cloudai quota set default --user-max-tasks 3), or wait until tasks of admin/ada end"
    );
    let planned =
        |user, count| outlook(&c.hot, &c.reserved, "default", user, &array(count, spec(1_000, 1))).to_string();
    assert_eq!(
        planned("admin/ada", 3),
        "room now: for 0 of 3 tasks\n\
         ahead: 1 jobs, 1 tasks\n\
         user quota: admin/ada runs 2 of 2 tasks in default, which is the cap on each user\n\
         workers: 1 in all, 1 would take it now\n\
         change: raise the cap on each user (cloudai quota set default --user-max-tasks 3), or wait until tasks of admin/ada end"
    );
    assert!(planned("admin/cy", 3).starts_with("room now: for 2 of 3 tasks\nahead: 0 jobs, 0 tasks\nworkers:"));
    c.quota("default", QuotaChange { user_queued_max: Some(3), ..QuotaChange::default() });
    let full = outlook(&c.hot, &c.reserved, "default", "admin/ada", &array(3, spec(1_000, 1)));
    assert_eq!(
        full.queue_full.as_deref(),
        Some("1 of at most 3 tasks of admin/ada in default wait, and this would be 3 more")
    );
    assert_eq!(
        full.fix,
        "wait until tasks have started or cancel some, or raise the cap (cloudai quota set default --user-max-queued 4)"
    );
}

/// (user, CPUs in halves, tasks, priority, a gang)
type Submit = (u8, u8, u8, u8, bool);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// `apply` takes all of every plan, nobody has more than the cap, and who is below it waits only where nothing fits.
    #[test]
    fn nobody_has_more_and_nobody_waits_for_others_caps(
        rounds in prop::collection::vec((prop::collection::vec((0..4u8, 1..4u8, 1..5u8, 0..2u8, any::<bool>()), 0..5), any::<u8>()), 1..12),
        own in 0..5u64,
        cpus in 1..12u64,
    ) {
        let mut c = cluster(cpus, own);
        c.without_reservations = true;
        for (submits, ends) in rounds {
            for (user, halves, count, priority, gang) in submits as Vec<Submit> {
                let gang = gang && count > 1;
                let spec = spec(u64::from(halves) * 500, 0);
                let spec = JobSpec { count: count.into(), priority: priority.into(), gang, ..spec };
                by(&mut c, ["ada", "bob", "cy", "dee"][usize::from(user)], spec);
            }
            // What a transcript cannot name is no matter here.
            let plan = c.plan(10_000);
            c.accept(&plan);
            prop_assert!(holding(&c).values().all(|n| u64::from(*n) <= own), "{:?} with a cap of {own}", holding(&c));
            let free = c.hot.workers.values().map(|w| w.free().cpu_milli).max().unwrap_or(0);
            let tenant = c.hot.tenants.get(c.hot.namespaces["default"]).expect("it has a quota");
            for (id, job) in &c.hot.jobs {
                let asked = c.hot.needs(job, 0).cpu_milli;
                let is_plain = !c.hot.is_gang(*id);
                // Behind a gang of its own that waits for its place, a user's task waits too.
                let waits_for_gang = c.hot.jobs.iter().any(|(gang, other)| {
                    c.hot.is_gang(*gang) && other.user == job.user && other.counts.queued > 0
                });
                prop_assert!(
                    !is_plain || waits_for_gang || job.counts.queued == 0 || asked > free || tenant.room_for_user(job.user, 0) == 0,
                    "{id} waits with {free} free and {:?}", holding(&c)
                );
            }
            let live: Vec<TaskId> = c.hot.workers.values().flat_map(|w| w.active.iter().copied()).collect();
            for task in live.into_iter().skip(usize::from(ends % 3)).step_by(1 + usize::from(ends % 4)) {
                c.end(task, ReasonKind::ExitCode, 0);
            }
        }
    }
}
