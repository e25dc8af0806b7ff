//! A5, across keys. Each answer carries a log index: the place of a write, or the state that was read. So: no answer is older than
//! what was complete when it was asked for (stale reads aside), and every list and every value is exactly the log up to its index.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::JobId;

use super::facts::{Asked, Job, Op, Told};
use super::{Check, Violation};

const TOLD_MAX: usize = 20;

pub fn check(ops: &[Op], jobs: &[Job]) -> Vec<Violation> {
    let mut wrong = real_time(ops);
    wrong.extend(lists(ops, jobs));
    wrong.extend(values(ops));
    wrong.truncate(TOLD_MAX);
    wrong.into_iter().map(|what| Violation::new(Check::A5, what)).collect()
}

pub(super) fn index(told: &Told) -> Option<u64> {
    match told {
        Told::Submitted { index, .. }
        | Told::Job { index, .. }
        | Told::Jobs { index, .. }
        | Told::Written { index }
        | Told::Value { index, .. } => Some(*index),
        Told::Failed | Told::Unknown => None,
    }
}

/// What is asked for after an answer came stands at the answer's index or later.
fn real_time(ops: &[Op]) -> Vec<String> {
    let fresh = |op: &&Op| !matches!(op.asked, Asked::StaleRead { .. });
    let mut ends: Vec<(u64, u64)> =
        ops.iter().filter(fresh).filter_map(|op| index(&op.told).map(|i| (op.back, i))).collect();
    ends.sort_unstable();
    let mut asked: Vec<&Op> = ops.iter().filter(fresh).filter(|op| index(&op.told).is_some()).collect();
    asked.sort_by_key(|op| op.call);
    let (mut at, mut highest, mut wrong) = (0, 0, vec![]);
    for op in asked {
        while at < ends.len() && ends[at].0 < op.call {
            highest = highest.max(ends[at].1);
            at += 1;
        }
        if let Some(i) = index(&op.told).filter(|i| *i < highest) {
            wrong.push(format!(
                "client {} asked {:?} at {} and was answered at index {i}; index {highest} had been answered before",
                op.client, op.asked, op.call
            ));
        }
    }
    wrong
}

/// A list at an index holds exactly the jobs that were submitted up to it.
fn lists(ops: &[Op], jobs: &[Job]) -> Vec<String> {
    // Highest index at which a job surely was there, and lowest before which it surely was not.
    let mut there_from: BTreeMap<JobId, u64> = BTreeMap::new();
    let mut not_before: BTreeMap<JobId, u64> = BTreeMap::new();
    for op in ops {
        if let Told::Submitted { job, index, duplicate } = op.told {
            let from = there_from.entry(job).or_insert(index);
            *from = (*from).min(index);
            if !duplicate {
                not_before.insert(job, index);
            }
        }
    }
    let known: BTreeSet<JobId> = jobs.iter().map(|j| j.id).collect();
    let mut wrong = vec![];
    for op in ops {
        let Told::Jobs { index, jobs: listed, from } = &op.told else { continue };
        let expected = there_from.range(*from..).filter(|(_, at)| *at <= index).map(|(job, _)| job);
        if let Some(missing) = expected.into_iter().find(|job| !listed.contains(job)) {
            wrong.push(format!("a list at index {index} lacks job {missing}, submitted at {}", there_from[missing]));
        }
        if let Some(early) = listed.iter().find(|job| not_before.get(job).is_some_and(|at| at > index)) {
            wrong.push(format!("a list at index {index} holds job {early}, submitted at {}", not_before[early]));
        }
        if let Some(phantom) = listed.iter().find(|job| !known.contains(job)) {
            wrong.push(format!("a list at index {index} holds job {phantom}, which does not exist in the end"));
        }
    }
    wrong
}

/// A register at an index holds the last value that was written up to it. A write that nobody knows the place of may be the last.
fn values(ops: &[Op]) -> Vec<String> {
    let mut written: BTreeMap<&str, BTreeMap<u64, BTreeSet<u64>>> = BTreeMap::new();
    let mut maybe: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for op in ops {
        match (&op.asked, &op.told) {
            (Asked::Write { key, value }, Told::Written { index }) => {
                written.entry(key).or_default().entry(*index).or_default().insert(*value);
            }
            (Asked::Write { key, value }, Told::Unknown) => {
                maybe.entry(key).or_default().insert(*value);
            }
            _ => {}
        }
    }
    let mut wrong = vec![];
    for op in ops {
        let (Asked::Read { key } | Asked::StaleRead { key }, Told::Value { value, index }) = (&op.asked, &op.told)
        else {
            continue;
        };
        let last = written.get(key.as_str()).and_then(|w| w.range(..=index).next_back());
        let is_unknown = maybe.get(key.as_str()).is_some_and(|values| values.contains(value));
        if let Some((at, values)) = last
            && !values.contains(value)
            && !is_unknown
        {
            wrong.push(format!("{key} was {value} at index {index}, and {values:?} was written at {at}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(call: u64, back: u64, asked: Asked, told: Told) -> Op {
        Op { client: 0, call, back, asked, told }
    }
    fn submit(call: u64, back: u64, job: u64, index: u64, duplicate: bool) -> Op {
        let told = Told::Submitted { job: JobId(job), index, duplicate };
        op(call, back, Asked::Submit { request: job.to_string() }, told)
    }
    fn list(call: u64, back: u64, index: u64, jobs: &[u64], from: u64) -> Op {
        let jobs = jobs.iter().map(|j| JobId(*j)).collect();
        op(call, back, Asked::List, Told::Jobs { index, jobs, from: JobId(from) })
    }
    fn value(asked: Asked, index: u64, value: u64) -> Op {
        op(50, 51, asked, Told::Value { value, index })
    }
    fn key() -> String {
        "k".to_owned()
    }
    fn wrong(ops: &[Op]) -> usize {
        check(ops, &[1, 2, 3].map(|id| Job { id: JobId(id), ..Job::default() })).len()
    }

    #[test]
    fn lists_are_cuts_of_the_log() {
        let (one, two) = (submit(1, 4, 1, 10, false), submit(2, 3, 2, 11, false));
        assert_eq!(wrong(&[one.clone(), two.clone(), list(5, 6, 11, &[1, 2], 0), list(7, 8, 15, &[2], 2)]), 0);
        assert_eq!(wrong(&[one.clone(), two.clone(), list(5, 6, 11, &[2], 0)]), 1, "a hole");
        assert_eq!(wrong(&[one.clone(), two, list(2, 6, 10, &[1, 2], 0)]), 1, "from the future");
        assert_eq!(wrong(&[one, list(5, 6, 11, &[1, 9], 0)]), 1, "a phantom");
        let again = submit(1, 4, 1, 20, true);
        assert_eq!(wrong(&[again, list(2, 6, 15, &[1], 0)]), 0, "a duplicate's job is older");
    }

    #[test]
    fn no_answer_is_older_than_what_was_complete() {
        let one = submit(1, 4, 1, 10, false);
        assert_eq!(wrong(&[one.clone(), list(3, 6, 9, &[], 0)]), 0, "they overlap");
        assert_eq!(wrong(&[one, list(5, 6, 9, &[], 0)]), 1);
        let before = list(1, 2, 12, &[], 0);
        assert_eq!(wrong(&[before, list(5, 6, 11, &[], 0)]), 1, "reads do not go back either");
    }

    #[test]
    fn stale_values_are_old_and_never_invented() {
        let write = |index, value| op(index, index, Asked::Write { key: key(), value }, Told::Written { index });
        let stale = |index, v| value(Asked::StaleRead { key: key() }, index, v);
        let two = [write(10, 1), write(20, 2)];
        let with = |last: Op| wrong(&[two[0].clone(), two[1].clone(), last]);
        assert_eq!((with(stale(15, 1)), with(stale(20, 2)), with(stale(5, 7))), (0, 0, 0));
        assert_eq!((with(stale(15, 2)), with(stale(25, 1)), with(stale(25, 7))), (1, 1, 1));
        let unknown = op(30, 31, Asked::Write { key: key(), value: 7 }, Told::Unknown);
        assert_eq!(wrong(&[two[1].clone(), unknown, stale(25, 7)]), 0);
    }
}
