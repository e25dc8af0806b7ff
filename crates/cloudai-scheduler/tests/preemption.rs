//! Tasks of a higher priority that take the room of lower ones: transcripts of the rules, and what holds in any history.

mod cluster;

use cloudai_scheduler::explain;
use cloudai_types::{JobId, JobSpec, QuotaChange, ReasonKind, ScorePolicy, TaskId};
use cluster::{Cluster, labels, placed, resources, spec};
use proptest::prelude::*;

fn cluster() -> Cluster {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    c.quota("default", QuotaChange { preempt: Some(true), ..QuotaChange::default() });
    c.worker("a", resources(4_000, 8), "");
    c.worker("b", resources(4_000, 8), "");
    c
}

fn low(count: u32, cpu_milli: u64, priority: i32) -> JobSpec {
    JobSpec { count, priority, preemptible: true, max_attempts: 1, ..spec(cpu_milli, 0) }
}

fn high(cpu_milli: u64) -> JobSpec {
    JobSpec { priority: 9, ..spec(cpu_milli, 0) }
}

/// `1/3 1/2` and for whom, as the last pass asked.
fn asked(c: &mut Cluster) -> String {
    c.pass();
    let of = c.preempted.iter().map(|preempt| {
        let victims: Vec<String> = preempt.victims.iter().map(|v| format!("{}/{}", v.job, v.index)).collect();
        format!("{} for {}", victims.join(" "), preempt.job)
    });
    of.collect::<Vec<_>>().join(", ")
}

fn stopped(c: &mut Cluster, job: JobId, index: u32) {
    c.end(TaskId { job, index }, ReasonKind::Preempted, 137);
}

#[test]
fn the_lowest_make_room_and_the_task_gets_it() {
    let mut c = cluster();
    let first = c.submit(low(4, 1_000, 0));
    c.submit(low(4, 1_000, 3));
    assert_eq!(c.pass(), "2:0-3>a 1:0-3>b");
    c.submit(high(2_000));
    assert_eq!(asked(&mut c), "1/0 1/1 for 3", "of those that began together the first");
    assert_eq!(asked(&mut c), "", "they stop already");
    stopped(&mut c, first, 0);
    assert_eq!(c.pass(), "", "half of the room is kept");
    stopped(&mut c, first, 1);
    assert_eq!(c.pass(), "3:0>b");
    assert_eq!(asked(&mut c), "");
    let again = c.hot.jobs[&first].waiting.as_ref().expect("two wait")[&0];
    assert_eq!((again.attempts_used, again.losses, again.next_number), (0, 0, 2));
}

#[test]
fn nobody_is_stopped_in_vain() {
    let mut c = cluster();
    c.submit(low(8, 1_000, 0));
    c.pass();
    c.submit(high(5_000));
    assert_eq!(asked(&mut c), "", "it fits on no worker");
    c.submit(JobSpec { priority: 0, ..spec(1_000, 0) });
    assert_eq!(asked(&mut c), "", "of the same priority");
    c.quota("default", QuotaChange { preempt: Some(false), ..QuotaChange::default() });
    c.submit(high(1_000));
    assert_eq!(asked(&mut c), "");
    c.quota("other", QuotaChange { preempt: Some(true), ..QuotaChange::default() });
    let others = c.submit_in("other", high(1_000));
    assert_eq!(asked(&mut c), "", "another namespace's are its own affair");
    c.quota("default", QuotaChange { preempt: Some(true), ..QuotaChange::default() });
    assert_eq!(asked(&mut c), "", "and that one's turn comes first: it would get the room");
    c.cancel(others);
    assert_eq!(asked(&mut c), "1/0 for 4");
}

#[test]
fn nobody_is_stopped_where_other_jobs_keep_the_task_away() {
    let mut c = cluster();
    c.submit(JobSpec { labels: labels("app=db"), ..spec(1_000, 0) });
    assert_eq!(c.pass(), "1:0>a");
    c.submit(low(3, 1_000, 0));
    assert_eq!(c.pass(), "2:0-2>a");
    c.submit(low(4, 1_000, 3));
    assert_eq!(c.pass(), "3:0-3>b");
    c.submit(JobSpec { placement: placed(&["apart_from:app=db@worker"]), ..high(2_000) });
    assert_eq!(asked(&mut c), "3/0 3/1 for 4", "though those on a have a lower priority");
}

#[test]
fn who_does_not_mind_is_asked_and_nobody_else() {
    let mut c = cluster();
    c.submit(JobSpec { preemptible: false, ..low(7, 1_000, 0) });
    c.submit(low(1, 1_000, 0));
    c.pass();
    c.submit(high(2_000));
    assert_eq!(asked(&mut c), "");
    c.submit(high(1_000));
    assert_eq!(asked(&mut c), "2/0 for 4");
    let told = explain(&c.hot, &c.reserved, TaskId { job: JobId(4), index: 0 }).to_string();
    assert!(told.contains("b is kept for it"), "{told}");
}

#[test]
fn one_shape_with_two_priorities_takes_the_room_of_one() {
    let mut c = cluster();
    c.submit(low(8, 1_000, 0));
    c.pass();
    c.submit(JobSpec { priority: 1, ..high(1_000) });
    c.submit(high(1_000));
    assert_eq!(asked(&mut c), "1/0 for 3");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whoever is stopped is of a lower priority, has said that it may be, and pays nothing; and the task for which it stopped starts next.
    #[test]
    fn stopping_helps_and_costs_nothing(
        jobs in prop::collection::vec((1u32..6, 1u64..4, -2i32..3, any::<bool>()), 1..12), wanted in 1u64..5,
    ) {
        let mut c = cluster();
        for (count, cpus, priority, preemptible) in jobs {
            c.submit(JobSpec { preemptible, ..low(count, cpus * 1_000, priority) });
        }
        while !c.pass().is_empty() {}
        let job = c.submit(high(wanted * 1_000));
        c.pass();
        let victims: Vec<TaskId> = c.preempted.iter().flat_map(|p| {
            assert_eq!(p.job, job.0);
            p.victims.iter().map(|v| TaskId { job: JobId(v.job), index: v.index })
        }).collect();
        let could = |worker: &str| {
            let (id, worker) = c.hot.worker_named(worker).expect("it is there");
            let stays = c.hot.jobs.iter().filter(|(id, j)| !c.hot.preemptible.contains(id) || j.priority >= 9);
            let stays = stays.flat_map(|(_, j)| j.active.values().filter(|a| a.worker == id).map(|_| c.hot.needs(j, 0).cpu_milli));
            stays.sum::<u64>() + wanted * 1_000 <= worker.capacity.cpu_milli
        };
        if c.hot.jobs[&job].active.len() == 1 {
            prop_assert!(victims.is_empty());
            return Ok(());
        }
        prop_assert_eq!(!victims.is_empty(), could("a") || could("b"));
        for task in &victims {
            stopped(&mut c, task.job, task.index);
        }
        for task in &victims {
            let again = c.hot.jobs[&task.job].waiting.as_ref().expect("they wait")[&task.index];
            prop_assert_eq!((again.attempts_used, again.losses), (0, 0));
        }
        c.pass();
        prop_assert_eq!(c.hot.jobs[&job].active.len(), usize::from(!victims.is_empty()));
    }
}
