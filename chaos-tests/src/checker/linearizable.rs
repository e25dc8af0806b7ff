//! A5: the history of the clients is linearizable, key by key: each submit is a key that once there stays there, each register a key
//! with a value. Comes in: operations with both their ends. Goes out: the keys for which no order exists. The search is
//! porcupine's; "it did not end in time" is a violation too.
//!
//! A write with an unknown outcome may take effect at any time from its call on, or never: it returns at the end of all time. A
//! refused write is not among the operations: a read that saw it all the same finds no order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cloudai_types::JobId;
use porcupine_rs::{CheckResult, Model, Operation};

use super::facts::{Asked, Job, Op, Told};
use super::{Check, Violation};

/// Violations that are told; one broken key is enough to fail.
const TOLD_MAX: usize = 20;

pub fn check(ops: &[Op], jobs: &[Job], limit: Duration) -> Vec<Violation> {
    let began = Instant::now();
    let mut wrong = vec![];
    for (key, history) in presence_histories(ops, jobs).into_iter().chain(register_histories(ops)) {
        let said = match porcupine_rs::check_operations_timeout::<Key>(&history, limit.saturating_sub(began.elapsed()))
        {
            CheckResult::Ok => continue,
            CheckResult::Illegal => format!("{key}: no order explains {}", shown(&history)),
            CheckResult::Unknown => format!("{key}: the search did not end within {} s", limit.as_secs()),
        };
        wrong.push(Violation::new(Check::A5, said));
        if wrong.len() == TOLD_MAX {
            break;
        }
    }
    wrong
}

/// One key: a register whose first value nobody knows, or a job that is not there at first.
#[derive(Debug, Clone)]
struct Key;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    /// Before anybody has read or written a register.
    Any,
    Absent,
    Is(u64),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Submit(JobId),
    SeenJob(JobId),
    SeenNoJob,
    Write(u64),
    Read(u64),
}

impl Model for Key {
    type State = Value;
    type Op = Step;
    type Metadata = ();

    fn init() -> Value {
        Value::Any
    }

    fn step(state: &Value, op: &Step) -> (bool, Value) {
        match (op, state) {
            (Step::Submit(job), Value::Any | Value::Absent) => (true, Value::Is(job.0)),
            // The same request again: the same job, or it is another one.
            (Step::Submit(job), Value::Is(there)) => (job.0 == *there, state.clone()),
            (Step::SeenJob(job), Value::Is(there)) => (job.0 == *there, state.clone()),
            (Step::SeenJob(_), Value::Any | Value::Absent) => (false, state.clone()),
            (Step::SeenNoJob, Value::Any | Value::Absent) => (true, Value::Absent),
            (Step::SeenNoJob, Value::Is(_)) => (false, state.clone()),
            (Step::Write(value), Value::Any | Value::Absent | Value::Is(_)) => (true, Value::Is(*value)),
            (Step::Read(value), Value::Any) => (true, Value::Is(*value)),
            (Step::Read(value), Value::Is(there)) => (value == there, state.clone()),
            (Step::Read(_), Value::Absent) => (false, state.clone()),
        }
    }
}

type History = Vec<Operation<Key>>;

fn operation(op: &Op, step: Step) -> Operation<Key> {
    let back = if op.told == Told::Unknown { i64::MAX } else { time(op.back) };
    Operation { client_id: Some(op.client), call_time: time(op.call), return_time: back, op: step, metadata: None }
}

fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX - 1)
}

/// A history per request id whose job somebody knows.
fn presence_histories(ops: &[Op], jobs: &[Job]) -> Vec<(String, History)> {
    // Which job a request made: by its acknowledgement, or by what is there in the end.
    let mut job_of: BTreeMap<&str, JobId> =
        jobs.iter().filter(|j| !j.request.is_empty()).map(|j| (j.request.as_str(), j.id)).collect();
    for op in ops {
        if let (Asked::Submit { request }, Told::Submitted { job, .. }) = (&op.asked, &op.told) {
            job_of.entry(request).or_insert(*job);
        }
    }
    let mut histories: BTreeMap<JobId, History> = BTreeMap::new();
    let mut first_call: BTreeMap<JobId, u64> = BTreeMap::new();
    let mut first_back: BTreeMap<JobId, u64> = BTreeMap::new();
    for op in ops {
        let Asked::Submit { request } = &op.asked else { continue };
        let Some(known) = job_of.get(request.as_str()) else { continue };
        let step = match &op.told {
            Told::Submitted { job, .. } => Step::Submit(*job),
            Told::Unknown => Step::Submit(*known),
            Told::Failed | Told::Job { .. } | Told::Jobs { .. } | Told::Written { .. } | Told::Value { .. } => continue,
        };
        let call = first_call.entry(*known).or_insert(op.call);
        *call = (*call).min(op.call);
        if op.told != Told::Unknown {
            let back = first_back.entry(*known).or_insert(op.back);
            *back = (*back).min(op.back);
        }
        histories.entry(*known).or_default().push(operation(op, step));
    }
    // Jobs that were refused or of somebody else: a client that sees them has to be explained as well.
    let refused: BTreeSet<&str> = ops
        .iter()
        .filter_map(|op| match (&op.asked, &op.told) {
            (Asked::Submit { request }, Told::Failed) => Some(request.as_str()),
            _ => None,
        })
        .collect();
    for (request, job) in &job_of {
        if refused.contains(request) {
            histories.entry(*job).or_default();
        }
    }
    for op in ops {
        match (&op.asked, &op.told) {
            (Asked::Get { job }, Told::Job { job: seen, .. }) => {
                let Some(history) = histories.get_mut(job) else { continue };
                history.push(operation(op, if seen.is_some() { Step::SeenJob(*job) } else { Step::SeenNoJob }));
            }
            (Asked::List, Told::Jobs { jobs, from, .. }) => {
                for (job, history) in histories.range_mut(*from..) {
                    let there = jobs.contains(job);
                    // What says nothing new is left out, or thousands of lists times thousands of jobs would be searched: a
                    // list without the job that ended before it was submitted, and a list with it that began after the
                    // acknowledgement. Once there, a job stays there, so both fit any order of the rest.
                    let before = first_call.get(job).is_some_and(|call| op.back < *call);
                    let after = first_back.get(job).is_some_and(|back| op.call > *back);
                    if (before && !there) || (after && there) {
                        continue;
                    }
                    history.push(operation(op, if there { Step::SeenJob(*job) } else { Step::SeenNoJob }));
                }
            }
            _ => {}
        }
    }
    histories.into_iter().map(|(job, history)| (format!("job {job}"), history)).collect()
}

fn register_histories(ops: &[Op]) -> Vec<(String, History)> {
    let mut histories: BTreeMap<&str, History> = BTreeMap::new();
    for op in ops {
        let (key, step) = match (&op.asked, &op.told) {
            (Asked::Write { key, value }, Told::Written { .. } | Told::Unknown) => (key, Step::Write(*value)),
            (Asked::Read { key }, Told::Value { value, .. }) => (key, Step::Read(*value)),
            _ => continue,
        };
        histories.entry(key).or_default().push(operation(op, step));
    }
    histories.into_iter().map(|(key, history)| (format!("register {key}"), history)).collect()
}

/// The operations of a broken key, in the order of their calls; a long history is shown by its length.
fn shown(history: &History) -> String {
    const SHOWN_MAX: usize = 12;
    let mut sorted: Vec<&Operation<Key>> = history.iter().collect();
    sorted.sort_by_key(|o| o.call_time);
    let mut text: Vec<String> = sorted
        .iter()
        .take(SHOWN_MAX)
        .map(|o| {
            let back = if o.return_time == i64::MAX { "?".to_owned() } else { o.return_time.to_string() };
            format!("[{} .. {back}] client {} {:?}", o.call_time, o.client_id.unwrap_or_default(), o.op)
        })
        .collect();
    if sorted.len() > SHOWN_MAX {
        text.push(format!("and {} more", sorted.len() - SHOWN_MAX));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::facts::Seen;

    fn op(call: u64, back: u64, asked: Asked, told: Told) -> Op {
        Op { client: 0, call, back, asked, told }
    }
    fn submit(call: u64, back: u64, told: Told) -> Op {
        op(call, back, Asked::Submit { request: "r".into() }, told)
    }
    fn made(job: u64) -> Told {
        Told::Submitted { job: JobId(job), index: job, duplicate: false }
    }
    fn get(call: u64, back: u64, there: bool) -> Op {
        let job = there.then(Seen::default);
        op(call, back, Asked::Get { job: JobId(1) }, Told::Job { index: 1, job })
    }
    fn list(call: u64, back: u64, jobs: &[u64]) -> Op {
        let jobs = jobs.iter().map(|j| JobId(*j)).collect();
        op(call, back, Asked::List, Told::Jobs { index: 1, jobs, from: JobId(0) })
    }
    fn write(call: u64, back: u64, value: u64, told: Told) -> Op {
        op(call, back, Asked::Write { key: "k".into(), value }, told)
    }
    fn read(call: u64, back: u64, value: u64) -> Op {
        op(call, back, Asked::Read { key: "k".into() }, Told::Value { value, index: 1 })
    }
    fn wrong(ops: &[Op]) -> usize {
        let there = Job { id: JobId(1), request: "r".into(), ..Job::default() };
        check(ops, &[there], Duration::from_secs(20)).len()
    }

    #[test]
    fn while_it_is_submitted_a_job_may_be_seen_or_not() {
        assert_eq!(
            wrong(&[list(1, 2, &[]), submit(3, 9, made(1)), get(4, 5, false), get(6, 7, true), get(10, 11, true)]),
            0
        );
        assert_eq!(wrong(&[submit(3, 9, made(1)), get(4, 5, true), get(6, 7, false)]), 1, "seen, then gone");
        assert_eq!(wrong(&[submit(3, 9, made(1)), list(10, 11, &[])]), 1, "acknowledged, then not listed");
        assert_eq!(wrong(&[list(1, 2, &[1]), submit(3, 9, made(1))]), 1, "seen before it was submitted");
    }

    #[test]
    fn an_unknown_submit_may_take_effect_late_and_a_refused_one_never() {
        assert_eq!(wrong(&[submit(3, 4, Told::Unknown), get(5, 6, false), get(9, 10, true)]), 0);
        assert_eq!(wrong(&[submit(3, 4, Told::Unknown), get(5, 6, true), get(9, 10, false)]), 1);
        assert_eq!(wrong(&[submit(3, 4, Told::Failed), get(9, 10, true)]), 1);
        assert_eq!(wrong(&[submit(3, 4, Told::Failed), get(9, 10, false)]), 0);
    }

    #[test]
    fn registers_hold_the_last_written_value() {
        let done = Told::Written { index: 1 };
        let history = [read(1, 2, 7), write(3, 6, 1, done.clone()), read(4, 5, 7), read(7, 8, 1)];
        assert_eq!(wrong(&history), 0);
        assert_eq!(wrong(&[write(1, 2, 1, done.clone()), read(3, 4, 0)]), 1);
        assert_eq!(
            wrong(&[write(1, 2, 1, done.clone()), write(3, 4, 0, Told::Unknown), read(5, 6, 1), read(7, 8, 0)]),
            0
        );
        assert_eq!(wrong(&[write(1, 2, 1, done), write(3, 4, 0, Told::Failed), read(5, 6, 0)]), 1);
    }

    #[test]
    fn a_search_that_does_not_end_is_no_pass() {
        assert_eq!(check(&[read(1, 2, 1)], &[], Duration::ZERO).len(), 1);
    }
}
