//! The registers of a history. Comes in: all operations. Goes out: per register its whole history, and one in which it was guessed which of
//! the writes with unknown outcomes took effect.
//!
//! Many open writes make a search long, because each may stand anywhere. Most never took effect. Indices tell which had to: a read at an index
//! whose value is not the one of the last known write before it has seen an unknown one. The guess only ever takes operations away or
//! ends them earlier, so a history that is linearizable with it is linearizable without it; where it is not, the whole one decides.

use std::collections::BTreeMap;

use super::facts::{Asked, Op, Told};
use super::linearizable::{History, What, operation, time};

pub(super) struct Register {
    pub key: String,
    pub whole: History,
    pub resolved: History,
}

impl Register {
    pub fn has_unknown(&self) -> bool {
        self.whole.len() != self.resolved.len() || self.whole.iter().any(|o| o.return_time == i64::MAX)
    }
}

pub(super) fn all(ops: &[Op]) -> Vec<Register> {
    let mut by_key: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        if let (Asked::Write { key, .. }, Told::Written { .. } | Told::Unknown)
        | (Asked::Read { key }, Told::Value { .. }) = (&op.asked, &op.told)
        {
            by_key.entry(key).or_default().push(op);
        }
    }
    by_key.into_iter().map(|(key, ops)| one(key, &ops)).collect()
}

fn what(op: &Op) -> Option<What> {
    match (&op.asked, &op.told) {
        (Asked::Write { value, .. }, _) => Some(What::Write(*value)),
        (Asked::Read { .. }, Told::Value { value, .. }) => Some(What::Read(*value)),
        _ => None,
    }
}

fn one(key: &str, ops: &[&Op]) -> Register {
    let history = |op: &&Op| what(op).map(|what| operation(op, what));
    let whole: History = ops.iter().filter_map(history).collect();
    let (unknown, known): (Vec<&Op>, Vec<&Op>) = ops.iter().partition(|op| op.told == Told::Unknown);
    let mut resolved: History = known.iter().filter_map(history).collect();
    let mut open: Vec<&Op> = unknown;
    open.sort_by_key(|op| op.call);
    // (index, a write before a read of the same index, value, when it was back)
    let mut told: Vec<(u64, bool, u64, u64)> = known
        .iter()
        .filter_map(|op| match (&op.asked, &op.told) {
            (Asked::Write { value, .. }, Told::Written { index }) => Some((*index, false, *value, op.back)),
            (_, Told::Value { value, index }) => Some((*index, true, *value, op.back)),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    let mut now: Option<u64> = None;
    for (_, is_read, value, back) in told {
        if is_read && now.is_some_and(|v| v != value) {
            let fits = |op: &&Op| op.call < back && matches!(op.asked, Asked::Write { value: v, .. } if v == value);
            if let Some(at) = open.iter().position(fits) {
                let mut took_effect = operation(open.remove(at), What::Write(value));
                took_effect.return_time = time(back);
                resolved.push(took_effect);
            }
        }
        now = Some(value);
    }
    Register { key: key.to_owned(), whole, resolved }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(call: u64, value: u64, told: Told) -> Op {
        Op { client: 0, call, back: call + 1, asked: Asked::Write { key: "k".into(), value }, told }
    }
    fn read(call: u64, value: u64, index: u64) -> Op {
        let asked = Asked::Read { key: "k".into() };
        Op { client: 0, call, back: call + 1, asked, told: Told::Value { value, index } }
    }

    #[test]
    fn only_unknown_writes_that_were_seen_are_kept() {
        let known = write(1, 1, Told::Written { index: 10 });
        let ops = [known, write(3, 2, Told::Unknown), write(4, 3, Told::Unknown), read(6, 1, 11), read(8, 3, 12)];
        let register = all(&ops).pop().expect("there is one");
        assert_eq!((register.whole.len(), register.resolved.len()), (5, 4));
        assert!(register.has_unknown());
        assert!(register.resolved.iter().all(|o| o.return_time < 10));
    }

    #[test]
    fn a_value_that_nobody_wrote_stays_unexplained() {
        let ops = [write(1, 1, Told::Written { index: 10 }), read(8, 3, 12)];
        let register = all(&ops).pop().expect("there is one");
        assert_eq!(register.resolved.len(), 2);
        assert!(!register.has_unknown());
    }
}
