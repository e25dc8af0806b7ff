//! A5: the history of the clients is linearizable, key by key: each submit is a key that once there stays there, each register a key
//! with a value. Comes in: operations with both their ends. Goes out: the keys for which no order exists. The search is
//! porcupine's; "it did not end in time" is a violation too.
//!
//! A write with an unknown outcome may take effect at any time from its call on, or never: it returns at the end of all time. A
//! refused write is not among the operations: a read that saw it all the same finds no order.
//!
//! Answers carry log indices. They are part of the model: in any order that explains a history they only grow. That is stricter
//! than linearizability alone, and it keeps the search short where an outage leaves many operations open at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cloudai_types::JobId;
use porcupine_rs::{CheckResult, Model, Operation};

use super::facts::{Asked, Job, Op, Told};
use super::{Check, Violation, cuts, registers};

/// Violations that are told; one broken key is enough to fail.
const TOLD_MAX: usize = 20;

pub fn check(ops: &[Op], jobs: &[Job], limit: Duration) -> Vec<Violation> {
    let began = Instant::now();
    let mut wrong = vec![];
    let left = || limit.saturating_sub(began.elapsed());
    for (key, history) in presence_histories(ops, jobs) {
        wrong.extend(judged(&key, &history, search(&history, left()), limit));
    }
    for register in registers::all(ops) {
        let mut said = search(&register.resolved, left());
        if said == CheckResult::Illegal && register.has_unknown() {
            // The guess which unknown writes took effect may have been wrong: all of them then, wherever they fit.
            said = search(&register.whole, left());
        }
        wrong.extend(judged(&format!("register {}", register.key), &register.whole, said, limit));
    }
    wrong.truncate(TOLD_MAX);
    wrong
}

fn search(history: &[Operation<Key>], left: Duration) -> CheckResult {
    // A search without any time would still win a race now and then.
    if left.is_zero() { CheckResult::Unknown } else { porcupine_rs::check_operations_timeout::<Key>(history, left) }
}

fn judged(key: &str, history: &[Operation<Key>], said: CheckResult, limit: Duration) -> Option<Violation> {
    let what = match said {
        CheckResult::Ok => return None,
        CheckResult::Illegal => format!("{key}: no order explains {}", shown(history)),
        CheckResult::Unknown => format!("{key}: the search did not end within {} s", limit.as_secs()),
    };
    Some(Violation::new(Check::A5, what))
}

/// One key: a register whose first value nobody knows, or a job that is not there at first.
#[derive(Debug, Clone)]
pub(super) struct Key;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    value: Value,
    /// Of the answers so far, the highest.
    index: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    /// Before anybody has read or written a register.
    Any,
    Absent,
    Is(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub what: What,
    /// None: no answer told it.
    pub index: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Submit(JobId),
    SeenJob(JobId),
    SeenNoJob,
    Write(u64),
    Read(u64),
}

impl Model for Key {
    type State = State;
    type Op = Step;
    type Metadata = ();

    fn init() -> State {
        State { value: Value::Any, index: 0 }
    }

    fn step(state: &State, op: &Step) -> (bool, State) {
        let refused = || (false, state.clone());
        let index = op.index.unwrap_or(state.index);
        if index < state.index {
            return refused();
        }
        let to = |value: Value| (true, State { value, index });
        match (&op.what, &state.value) {
            (What::Submit(job), Value::Any | Value::Absent) => to(Value::Is(job.0)),
            // The same request again: the same job, or it is another one.
            (What::Submit(job), Value::Is(there)) if job.0 == *there => to(state.value.clone()),
            (What::SeenJob(job), Value::Is(there)) if job.0 == *there => to(state.value.clone()),
            (What::SeenNoJob, Value::Any | Value::Absent) => to(Value::Absent),
            (What::Write(value), Value::Any | Value::Absent | Value::Is(_)) => to(Value::Is(*value)),
            (What::Read(value), Value::Any) => to(Value::Is(*value)),
            (What::Read(value), Value::Is(there)) if value == there => to(state.value.clone()),
            (What::Submit(_) | What::SeenJob(_) | What::SeenNoJob | What::Read(_), _) => refused(),
        }
    }
}

pub(super) type History = Vec<Operation<Key>>;

pub(super) fn operation(op: &Op, what: What) -> Operation<Key> {
    let back = if op.told == Told::Unknown { i64::MAX } else { time(op.back) };
    // A duplicate was answered late: its job took effect at an earlier index.
    let is_late = matches!(op.told, Told::Submitted { duplicate: true, .. });
    let step = Step { what, index: cuts::index(&op.told).filter(|_| !is_late) };
    Operation { client_id: Some(op.client), call_time: time(op.call), return_time: back, op: step, metadata: None }
}

pub(super) fn time(ns: u64) -> i64 {
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
            Told::Submitted { job, .. } => What::Submit(*job),
            Told::Unknown => What::Submit(*known),
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
                history.push(operation(op, if seen.is_some() { What::SeenJob(*job) } else { What::SeenNoJob }));
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
                    history.push(operation(op, if there { What::SeenJob(*job) } else { What::SeenNoJob }));
                }
            }
            _ => {}
        }
    }
    histories.into_iter().map(|(job, history)| (format!("job {job}"), history)).collect()
}

/// The operations of a broken key, in the order of their calls; a long history is shown by its length.
fn shown(history: &[Operation<Key>]) -> String {
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
    fn a_repeated_submit_is_answered_late() {
        let late = Told::Submitted { job: JobId(1), index: 20, duplicate: true };
        let seen = op(4, 5, Asked::Get { job: JobId(1) }, Told::Job { index: 15, job: Some(Seen::default()) });
        assert_eq!(wrong(&[submit(3, 9, late), seen]), 0);
    }

    #[test]
    fn a_search_that_does_not_end_is_no_pass() {
        assert_eq!(check(&[read(1, 2, 1)], &[], Duration::ZERO).len(), 1);
    }
}
