//! A worker's set follows the state, and deltas lead from one set to the next.

mod cluster;

use std::collections::BTreeSet;

use cloudai_scheduler::assignments::{full_set, still_assigned};
use cloudai_scheduler::{AssignmentSet, Delta};
use cloudai_types::{AttemptId, JobSpec, ReasonKind, ScorePolicy, TaskId, WorkerId};
use cluster::{Cluster, resources, spec};
use proptest::prelude::*;

#[test]
fn a_cancelled_jobs_attempts_leave_the_set_before_they_end() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    let w = c.worker("a", resources(8_000, 16), "");
    let keep = c.submit(spec(1_000, 1));
    let drop = c.submit(JobSpec { count: 2, ..spec(1_000, 1) });
    c.pass();
    let before = AssignmentSet::of(&c.hot, w);
    assert_eq!(before.len(), 3);
    c.cancel(drop);
    let after = AssignmentSet::of(&c.hot, w);
    let gone = vec![AttemptId::new(drop, 0, 1), AttemptId::new(drop, 1, 1)];
    assert_eq!(before.delta_to(&after), Delta { add: vec![], remove: gone.clone() });
    assert_eq!(c.hot.workers[&w].active.len(), 3, "they hold their room until they have ended");
    let index = c.hot.attempt(TaskId { job: keep, index: 0 }).expect("active").assigned_index;
    assert_eq!(full_set(&c.hot, w), vec![(AttemptId::new(keep, 0, 1), index)]);
    assert_eq!(
        still_assigned(&c.hot, w, &[gone[0], AttemptId::new(keep, 0, 1), AttemptId::new(keep, 0, 2)]),
        vec![(AttemptId::new(keep, 0, 1), index)]
    );
    assert_eq!(full_set(&c.hot, WorkerId(99)), vec![]);
}

#[test]
fn a_second_attempt_is_another_entry() {
    let mut c = Cluster::with_policy(ScorePolicy::Binpack);
    let w = c.worker("a", resources(1_000, 16), "");
    let job = c.submit(JobSpec { max_attempts: 2, ..spec(1_000, 1) });
    c.pass();
    let first = AssignmentSet::of(&c.hot, w);
    c.end(TaskId { job, index: 0 }, ReasonKind::ExitCode, 1);
    c.wait_ms(600_000);
    c.pass();
    let second = AssignmentSet::of(&c.hot, w);
    let delta = first.delta_to(&second);
    assert_eq!(delta.remove, vec![AttemptId::new(job, 0, 1)]);
    assert_eq!(delta.add.iter().map(|(a, _)| *a).collect::<Vec<_>>(), vec![AttemptId::new(job, 0, 2)]);
    assert!(delta.add[0].1 > first.iter().next().expect("one").1);
}

fn set() -> impl Strategy<Value = AssignmentSet> {
    let attempt = (0u64..4, 0u32..4, 1u32..3, 1u64..4);
    prop::collection::vec(attempt, 0..20).prop_map(|items| {
        let mut set = AssignmentSet::default();
        let unique: BTreeSet<(u64, u32, u32)> = items.iter().map(|(j, i, n, _)| (*j, *i, *n)).collect();
        let add = unique.into_iter().zip(items.iter().map(|(_, _, _, index)| *index));
        let add = add.map(|((job, index, n), at)| (AttemptId::new(cloudai_types::JobId(job), index, n), at)).collect();
        set.apply(&Delta { add, remove: vec![] });
        set
    })
}

proptest! {
    #[test]
    fn a_delta_leads_from_one_set_to_the_other(a in set(), b in set()) {
        let delta = a.delta_to(&b);
        let mut reached = a.clone();
        reached.apply(&delta);
        prop_assert_eq!(&reached, &b);
        prop_assert_eq!(delta.is_empty(), a == b);
    }
}
