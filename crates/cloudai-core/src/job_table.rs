//! Values by job id, as an ordered map. Comes in: ids, which are given out in ascending order and go in nearly the same. Goes out: look-ups and
//! walks in order. Knows nothing of what a job is.
//!
//! A `BTreeMap` that grows at its end leaves its nodes half empty, and with a million jobs that is a hundred megabytes, touched page by page at each
//! start. Here neighbours share a block, which fills up; a map over the blocks is small enough to stay near the processor.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::{Index, RangeFrom};
use std::slice;

use cloudai_types::JobId;

/// Ids per block. A look-up is a search among so many neighbours; what is removed in the middle moves those behind it.
const BLOCK_IDS: u64 = 64;

/// See the module.
#[derive(Clone)]
pub struct JobTable<V> {
    /// By id / [`BLOCK_IDS`]; each sorted by id, none of them empty.
    blocks: BTreeMap<u64, Vec<(JobId, V)>>,
    len: usize,
}

impl<V> Default for JobTable<V> {
    fn default() -> Self {
        JobTable { blocks: BTreeMap::new(), len: 0 }
    }
}

fn block_of(id: JobId) -> u64 {
    id.0 / BLOCK_IDS
}

fn place<V>(block: &[(JobId, V)], id: JobId) -> Result<usize, usize> {
    match block.last() {
        // The newest: it goes behind all others.
        Some((last, _)) if *last < id => Err(block.len()),
        _ => block.binary_search_by_key(&id, |(id, _)| *id),
    }
}

fn pair<V>((id, value): &(JobId, V)) -> (&JobId, &V) {
    (id, value)
}

impl<V> JobTable<V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains_key(&self, id: &JobId) -> bool {
        self.get(id).is_some()
    }

    pub fn get(&self, id: &JobId) -> Option<&V> {
        let block = self.blocks.get(&block_of(*id))?;
        block.get(place(block, *id).ok()?).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, id: &JobId) -> Option<&mut V> {
        let block = self.blocks.get_mut(&block_of(*id))?;
        let at = place(block, *id).ok()?;
        block.get_mut(at).map(|(_, value)| value)
    }

    /// What was there before, if anything was.
    pub fn insert(&mut self, id: JobId, value: V) -> Option<V> {
        let block = self.blocks.entry(block_of(id)).or_default();
        match place(block, id) {
            Ok(at) => Some(std::mem::replace(&mut block[at].1, value)),
            Err(at) => {
                block.insert(at, (id, value));
                self.len += 1;
                None
            }
        }
    }

    pub fn remove(&mut self, id: &JobId) -> Option<V> {
        let btree_map::Entry::Occupied(mut entry) = self.blocks.entry(block_of(*id)) else { return None };
        let block = entry.get_mut();
        let (_, value) = block.remove(place(block, *id).ok()?);
        self.len -= 1;
        if block.is_empty() {
            entry.remove();
        } else if block.len() <= block.capacity() / 4 {
            // The last of many neighbours does not hold the room of all.
            block.shrink_to(block.len() * 2);
        }
        Some(value)
    }

    /// In the order of the ids.
    pub fn iter(&self) -> Iter<'_, V> {
        self.range(JobId(0)..)
    }

    /// From this id on, in order.
    pub fn range(&self, from: RangeFrom<JobId>) -> Iter<'_, V> {
        let mut blocks = self.blocks.range(block_of(from.start)..);
        let first = match blocks.clone().next() {
            Some((number, block)) if *number == block_of(from.start) => {
                blocks.next();
                &block[block.partition_point(|(id, _)| *id < from.start)..]
            }
            Some(_) | None => &[],
        };
        Iter { block: first.iter(), blocks }
    }

    pub fn keys(&self) -> impl Iterator<Item = &JobId> + Clone {
        self.iter().map(|(id, _)| id)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.blocks.values_mut().flatten().map(|(_, value)| value)
    }

    pub fn first_key_value(&self) -> Option<(&JobId, &V)> {
        self.iter().next()
    }
}

/// Walks over a [`JobTable`] in order.
pub struct Iter<'a, V> {
    block: slice::Iter<'a, (JobId, V)>,
    blocks: btree_map::Range<'a, u64, Vec<(JobId, V)>>,
}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Iter { block: self.block.clone(), blocks: self.blocks.clone() }
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a JobId, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(next) = self.block.next() {
                return Some(pair(next));
            }
            self.block = self.blocks.next()?.1.iter();
        }
    }
}

impl<'a, V> IntoIterator for &'a JobTable<V> {
    type Item = (&'a JobId, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

impl<V> Index<&JobId> for JobTable<V> {
    type Output = V;

    /// Panics where there is none, as a map does.
    fn index(&self, id: &JobId) -> &V {
        self.get(id).expect("no job with this id")
    }
}

impl<V: fmt::Debug> fmt::Debug for JobTable<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u32),
        Remove(u64),
        Change(u64, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Three blocks and their borders.
        let id = 0..3 * BLOCK_IDS;
        prop_oneof![
            4 => (id.clone(), any::<u32>()).prop_map(|(id, value)| Step::Insert(id, value)),
            3 => id.clone().prop_map(Step::Remove),
            1 => (id, any::<u32>()).prop_map(|(id, value)| Step::Change(id, value)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_map(steps in prop::collection::vec(step(), 0..400), from in 0..3 * BLOCK_IDS + 9) {
            let (mut table, mut map) = (JobTable::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Insert(id, value) => prop_assert_eq!(table.insert(JobId(id), value), map.insert(JobId(id), value)),
                    Step::Remove(id) => prop_assert_eq!(table.remove(&JobId(id)), map.remove(&JobId(id))),
                    Step::Change(id, value) => {
                        let (ours, theirs) = (table.get_mut(&JobId(id)), map.get_mut(&JobId(id)));
                        prop_assert_eq!(&ours, &theirs);
                        if let (Some(ours), Some(theirs)) = (ours, theirs) {
                            (*ours, *theirs) = (value, value);
                        }
                    }
                }
                prop_assert_eq!((table.len(), table.is_empty()), (map.len(), map.is_empty()));
            }
            prop_assert!(table.iter().eq(&map));
            prop_assert!(table.range(JobId(from)..).eq(map.range(JobId(from)..)));
            prop_assert!(table.keys().eq(map.keys()) && table.values().eq(map.values()));
            prop_assert_eq!(table.first_key_value(), map.first_key_value());
            prop_assert_eq!(format!("{table:?}"), format!("{map:?}"));
            prop_assert!((0..3 * BLOCK_IDS).all(|id| table.contains_key(&JobId(id)) == map.contains_key(&JobId(id))));
            table.values_mut().zip(map.values_mut()).for_each(|(ours, theirs)| (*ours, *theirs) = (7, 7));
            prop_assert!(table.iter().eq(&map));
            prop_assert!(table.blocks.values().all(|b| !b.is_empty()), "no block outlives its jobs");
        }
    }

    #[test]
    fn a_lone_survivor_does_not_hold_the_room_of_its_neighbours() {
        let mut table = JobTable::default();
        for id in 0..BLOCK_IDS {
            table.insert(JobId(id), [0u8; 100]);
        }
        for id in 1..BLOCK_IDS {
            table.remove(&JobId(id));
        }
        assert!(table.blocks[&0].capacity() <= 4, "{}", table.blocks[&0].capacity());
    }
}
