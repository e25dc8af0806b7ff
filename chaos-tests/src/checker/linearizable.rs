//! A5 for registers: the history of each is linearizable. Comes in: operations with both their ends. Goes out: the registers for which no
//! order exists. The search is porcupine's; "it did not end in time" is a violation too. Jobs need no search: `presence` has them.
//!
//! A write with an unknown outcome may take effect at any time from its call on, or never: it returns at the end of all time. A
//! refused write is not among the operations: a read that saw it all the same finds no order.
//!
//! Answers carry log indices. They are part of the model: in any order that explains a history they only grow. That is stricter
//! than linearizability alone, and it keeps the search short where an outage leaves many operations open at a time.

use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, Model, Operation};

use super::facts::{Op, Told};
use super::{Check, Violation, cuts, registers};

/// Violations that are told; one broken register is enough to fail.
const TOLD_MAX: usize = 20;

pub fn check(ops: &[Op], limit: Duration) -> Vec<Violation> {
    let began = Instant::now();
    let mut wrong = vec![];
    let left = || limit.saturating_sub(began.elapsed());
    for register in registers::all(ops) {
        let mut said = search(&register.resolved, left());
        if said == CheckResult::Illegal && register.has_unknown() {
            // The guess which unknown writes took effect may have been wrong: all of them then, wherever they fit.
            said = search(&register.whole, left());
        }
        wrong.extend(judged(&register.key, &register.whole, said, limit));
    }
    wrong.truncate(TOLD_MAX);
    wrong
}

fn search(history: &[Operation<Cell>], left: Duration) -> CheckResult {
    // A search without any time would still win a race now and then.
    if left.is_zero() { CheckResult::Unknown } else { porcupine_rs::check_operations_timeout::<Cell>(history, left) }
}

fn judged(key: &str, history: &[Operation<Cell>], said: CheckResult, limit: Duration) -> Option<Violation> {
    let what = match said {
        CheckResult::Ok => return None,
        CheckResult::Illegal => format!("register {key}: no order explains {}", shown(history)),
        CheckResult::Unknown => format!("register {key}: the search did not end within {} s", limit.as_secs()),
    };
    Some(Violation::new(Check::A5, what))
}

/// A register whose first value nobody knows.
#[derive(Debug, Clone)]
pub(super) struct Cell;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// None: before anybody has read or written it.
    value: Option<u64>,
    /// Of the answers so far, the highest.
    index: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub what: What,
    /// None: no answer told it.
    pub index: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Write(u64),
    Read(u64),
}

impl Model for Cell {
    type State = State;
    type Op = Step;
    type Metadata = ();

    fn init() -> State {
        State { value: None, index: 0 }
    }

    fn step(state: &State, op: &Step) -> (bool, State) {
        let index = op.index.unwrap_or(state.index);
        let (fits, value) = match op.what {
            What::Write(value) => (true, value),
            What::Read(value) => (state.value.is_none_or(|there| there == value), value),
        };
        let fits = fits && index >= state.index;
        (fits, if fits { State { value: Some(value), index } } else { state.clone() })
    }
}

pub(super) type History = Vec<Operation<Cell>>;

pub(super) fn operation(op: &Op, what: What) -> Operation<Cell> {
    let back = if op.told == Told::Unknown { i64::MAX } else { time(op.back) };
    let step = Step { what, index: cuts::index(&op.told) };
    Operation { client_id: Some(op.client), call_time: time(op.call), return_time: back, op: step, metadata: None }
}

pub(super) fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX - 1)
}

/// The operations of a broken register, in the order of their calls; a long history is shown by its length.
fn shown(history: &[Operation<Cell>]) -> String {
    const SHOWN_MAX: usize = 12;
    let mut sorted: Vec<&Operation<Cell>> = history.iter().collect();
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
    use crate::checker::facts::Asked;

    fn op(call: u64, back: u64, asked: Asked, told: Told) -> Op {
        Op { client: 0, call, back, asked, told }
    }
    fn write(call: u64, back: u64, value: u64, told: Told) -> Op {
        op(call, back, Asked::Write { key: "k".into(), value }, told)
    }
    fn read(call: u64, back: u64, value: u64) -> Op {
        op(call, back, Asked::Read { key: "k".into() }, Told::Value { value, index: 1 })
    }
    fn wrong(ops: &[Op]) -> usize {
        check(ops, Duration::from_secs(20)).len()
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
        assert_eq!(check(&[read(1, 2, 1)], Duration::ZERO).len(), 1);
    }
}
