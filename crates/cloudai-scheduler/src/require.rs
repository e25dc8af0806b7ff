//! Which workers have what shapes require of them, beside room. Comes in: each worker's labels and taints, once, and the sets of labels,
//! expressions and tolerations that are asked for. Goes out: a mark bit per set for the index, and an exact answer per seat. It knows neither room
//! nor rank.
//!
//! Sets share 63 marks: with more live sets than that a mark only narrows the search, and the exact answer decides. The last mark is that of
//! workers without taints, and exact: whoever tolerates nothing asks for it, and no taint costs such a task a look.

use std::collections::BTreeMap;

use cloudai_core::hot::{Shape, Worker};
use cloudai_types::{Expression, Taints, Toleration};

const MARKS: usize = 63;

/// The mark of a worker that has no taint.
pub(crate) const UNTAINTED: u64 = 1 << MARKS;

type Labels = BTreeMap<String, String>;

/// What is required of a worker.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Needs {
    labels: Vec<(String, String)>,
    expressions: Vec<Expression>,
    /// Empty: whoever asks has [`UNTAINTED`] among the marks that it asks for.
    tolerate: Vec<Toleration>,
}

impl Needs {
    /// `None`: nothing but, perhaps, a worker without taints.
    pub fn of(shape: &Shape) -> Option<Needs> {
        let rules = shape.rules.as_deref();
        let needs = Needs {
            labels: shape.require.clone(),
            expressions: rules.map(|rules| rules.require.clone()).unwrap_or_default(),
            tolerate: rules.map(|rules| rules.tolerate.clone()).unwrap_or_default(),
        };
        let Needs { labels, expressions, tolerate } = &needs;
        let are_none = labels.is_empty() && expressions.is_empty() && tolerate.is_empty();
        (!are_none).then_some(needs)
    }

    /// Only workers without taints are meant.
    pub fn only_untainted(shape: &Shape) -> bool {
        shape.rules.as_ref().is_none_or(|rules| rules.tolerate.is_empty())
    }

    fn are_met_by(&self, labels: &Labels, taints: &Taints) -> bool {
        self.labels.iter().all(|(k, v)| labels.get(k) == Some(v)) && self.also(labels, taints)
    }

    /// Labels with one exact value apart.
    fn also(&self, labels: &Labels, taints: &Taints) -> bool {
        let covered = |(k, v): (&String, &String)| self.tolerate.iter().any(|t| t.covers(k, v));
        self.expressions.iter().all(|e| e.is_met_by(labels)) && (self.tolerate.is_empty() || taints.iter().all(covered))
    }
}

/// A set of requirements, by number. Void after [`Requirements::forget_sets`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RequireId(u32);

#[derive(Clone, Debug, Default)]
pub(crate) struct Requirements {
    /// Label key → value → seats that carry it, sorted.
    seats: BTreeMap<String, BTreeMap<String, Vec<u32>>>,
    ids: BTreeMap<Needs, RequireId>,
    /// Per set, a bit per seat.
    bits: Vec<Vec<u64>>,
}

impl RequireId {
    pub fn mark(self) -> u64 {
        1 << (self.0 as usize % MARKS)
    }
}

impl Requirements {
    /// `old`: the labels that it had. Returns the marks of the sets that the seat meets now.
    pub fn relabel(&mut self, seat: u32, old: &Labels, worker: &Worker) -> u64 {
        let new = &worker.labels;
        for (k, v) in old {
            if let Some(seats) = self.seats.get_mut(k).and_then(|values| values.get_mut(v))
                && let Ok(at) = seats.binary_search(&seat)
            {
                seats.remove(at);
            }
        }
        for (k, v) in new {
            // Two steps, so that a label that many workers carry is copied once.
            if !self.seats.contains_key(k) {
                self.seats.insert(k.clone(), BTreeMap::new());
            }
            let values = self.seats.get_mut(k).expect("it was just made sure of");
            match values.get_mut(v) {
                Some(seats) => {
                    if let Err(at) = seats.binary_search(&seat) {
                        seats.insert(at, seat);
                    }
                }
                None => {
                    values.insert(v.clone(), vec![seat]);
                }
            }
        }
        let mut marks = if worker.taints.is_empty() { UNTAINTED } else { 0 };
        for (needs, id) in &self.ids {
            let meets = needs.are_met_by(new, &worker.taints);
            set_bit(&mut self.bits[id.0 as usize], seat, meets);
            marks |= if meets { id.mark() } else { 0 };
        }
        marks
    }

    pub fn known(&self, needs: &Needs) -> Option<RequireId> {
        self.ids.get(needs).copied()
    }

    /// Numbers a new set and returns the seats that meet it. `seats`: how many there are; `of`: one's labels and taints.
    pub fn add_set<'a>(
        &mut self,
        needs: Needs,
        seats: u32,
        of: impl Fn(u32) -> (&'a Labels, &'a Taints),
    ) -> (RequireId, Vec<u32>) {
        let id = RequireId(self.bits.len() as u32);
        let mut lists: Vec<&[u32]> = needs.labels.iter().map(|(k, v)| self.carriers(k, v)).collect();
        lists.sort_by_key(|list| list.len());
        let also = |seat: &u32| {
            let (labels, taints) = of(*seat);
            needs.also(labels, taints)
        };
        let meets: Vec<u32> = match lists.split_first() {
            Some((fewest, rest)) => {
                let in_all = |seat: &u32| rest.iter().all(|list| list.binary_search(seat).is_ok());
                fewest.iter().copied().filter(in_all).filter(also).collect()
            }
            None => (0..seats).filter(also).collect(),
        };
        self.ids.insert(needs, id);
        let mut bits = vec![];
        for seat in meets.iter().rev() {
            set_bit(&mut bits, *seat, true);
        }
        self.bits.push(bits);
        (id, meets)
    }

    pub fn met_by(&self, id: RequireId, seat: u32) -> bool {
        self.bits[id.0 as usize].get(seat as usize / 64).is_some_and(|word| word >> (seat % 64) & 1 == 1)
    }

    /// Labels stay known; sets are numbered from the start again.
    pub fn forget_sets(&mut self) {
        self.ids.clear();
        self.bits.clear();
    }

    fn carriers(&self, key: &str, value: &str) -> &[u32] {
        self.seats.get(key).and_then(|values| values.get(value)).map_or(&[], Vec::as_slice)
    }
}

fn set_bit(bits: &mut Vec<u64>, seat: u32, on: bool) {
    let word = seat as usize / 64;
    if word >= bits.len() {
        bits.resize(word + 1, 0);
    }
    let bit = 1u64 << (seat % 64);
    bits[word] = if on { bits[word] | bit } else { bits[word] & !bit };
}
