//! Which workers have the labels that shapes require. Comes in: each worker's labels, once, and the sets of labels that are
//! asked for. Goes out: a mark bit per set for the index, and an exact answer per seat. It knows neither room nor rank.
//!
//! Sets share 64 marks: with more than 64 live sets a mark only narrows the search, and the exact answer decides.

use std::collections::BTreeMap;

const MARKS: usize = 64;

type Labels = BTreeMap<String, String>;

/// A set of required labels, by number. Void after [`Requirements::forget_sets`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RequireId(u32);

#[derive(Clone, Debug, Default)]
pub(crate) struct Requirements {
    /// Label key → value → seats that carry it, sorted.
    seats: BTreeMap<String, BTreeMap<String, Vec<u32>>>,
    ids: BTreeMap<Vec<(String, String)>, RequireId>,
    /// Per set, a bit per seat.
    bits: Vec<Vec<u64>>,
}

impl RequireId {
    pub fn mark(self) -> u64 {
        1 << (self.0 as usize % MARKS)
    }
}

impl Requirements {
    /// Returns the marks of the sets that the seat meets with its new labels.
    pub fn relabel(&mut self, seat: u32, old: &Labels, new: &Labels) -> u64 {
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
        let mut marks = 0;
        for (require, id) in &self.ids {
            let meets = require.iter().all(|(k, v)| new.get(k) == Some(v));
            set_bit(&mut self.bits[id.0 as usize], seat, meets);
            marks |= if meets { id.mark() } else { 0 };
        }
        marks
    }

    pub fn known(&self, require: &[(String, String)]) -> Option<RequireId> {
        self.ids.get(require).copied()
    }

    /// Numbers a new set and returns the seats that meet it.
    pub fn add_set(&mut self, require: &[(String, String)]) -> (RequireId, Vec<u32>) {
        let id = RequireId(self.bits.len() as u32);
        self.ids.insert(require.to_vec(), id);
        let mut lists: Vec<&[u32]> = require.iter().map(|(k, v)| self.carriers(k, v)).collect();
        lists.sort_by_key(|list| list.len());
        let (fewest, rest) = lists.split_first().expect("a set requires at least one label");
        let meets: Vec<u32> =
            fewest.iter().copied().filter(|seat| rest.iter().all(|list| list.binary_search(seat).is_ok())).collect();
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
