//! What a master needs from the database that holds its rows. RocksDB implements it (feature `rocksdb`); tests and the
//! simulation use memory. An implementation knows bytes and families; it never knows what a row means.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use cloudai_core::rows::{Family, Write};
use cloudai_raft::{CheckpointJob, StoreMemory};

/// How many entries' writes are looked through one after the other before they are merged.
const LAYERS_MAX: usize = 8;

/// Row changes of one commit. Usually those of one log entry or a few, which stay as `apply` made them, in order of their keys; a
/// long catch-up merges them as it goes.
#[derive(Default, Debug)]
pub struct RowWrites {
    /// Older than every layer.
    merged: BTreeMap<(Family, Vec<u8>), Option<Vec<u8>>>,
    /// The writes of one entry each, sorted by family and key, every row once; the oldest entry first.
    layers: Vec<Vec<Write>>,
}

impl RowWrites {
    /// One entry's writes: every row once, in any order.
    pub fn add_entry(&mut self, mut writes: Vec<Write>) {
        if self.layers.len() == LAYERS_MAX {
            for write in self.layers.drain(..).flatten() {
                self.merged.insert((write.family, write.key), write.value);
            }
        }
        // `apply` writes the cluster's own row last, and all others in order: nearly sorted is cheap.
        writes.sort_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        self.layers.push(writes);
    }

    /// `None`: not touched. `Some(None)`: deleted.
    pub fn get(&self, family: Family, key: &[u8]) -> Option<Option<&[u8]>> {
        let find =
            |layer: &'_ Vec<Write>| layer.binary_search_by(|w| (w.family, w.key.as_slice()).cmp(&(family, key))).ok();
        for layer in self.layers.iter().rev() {
            if let Some(at) = find(layer) {
                return Some(layer[at].value.as_deref());
            }
        }
        if self.merged.is_empty() {
            return None;
        }
        self.merged.get(&(family, key.to_vec())).map(Option::as_deref)
    }

    /// From the oldest to the newest: a later change of the same row replaces an earlier one. `None` deletes.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &[u8], Option<&[u8]>)> {
        let merged = self.merged.iter().map(|((family, key), value)| (*family, key.as_slice(), value.as_deref()));
        let layers = self.layers.iter().flatten().map(|w| (w.family, w.key.as_slice(), w.value.as_deref()));
        merged.chain(layers)
    }

    /// Keys and values together, about.
    pub fn bytes(&self) -> usize {
        self.iter().map(|(_, key, value)| key.len() + value.map_or(0, <[u8]>::len)).sum()
    }
}

/// Rows by (family, key), with the mark of the last applied index in the same atomic writes. Cheap to clone.
pub trait StateStore: Clone + Send + Sync + 'static {
    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Rows of `family` with `from <= key < to` (`to: None`: to the family's end) in key order, or backwards from the end when
    /// `reverse`; stops when `each` returns false.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()>;

    /// All writes and the mark in one atomic batch; need not reach the disk, the log can replay it.
    fn write(&self, writes: &RowWrites, mark: Bytes) -> io::Result<()>;

    /// What it holds in memory; nothing when it has no memory of its own.
    fn memory(&self) -> StoreMemory {
        StoreMemory::default()
    }

    /// What the last `write` or `install` stored.
    fn mark(&self) -> io::Result<Option<Bytes>>;

    /// A consistent view now; the returned job writes it out later.
    fn checkpoint(&self) -> io::Result<CheckpointJob>;

    /// Replaces everything by the checkpoint in `dir`, durably.
    fn install(&self, dir: &Path) -> io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, value: Option<&str>) -> Write {
        Write { family: Family::Job, key: key.into(), value: value.map(Into::into) }
    }

    #[test]
    fn the_newest_change_of_a_row_counts_however_many_entries_there_are() {
        let mut writes = RowWrites::default();
        for n in 0..3 * LAYERS_MAX {
            let value = n.to_string();
            writes.add_entry(vec![
                write("z", Some("same")),
                write("row", Some(&value)),
                write(&format!("only-{n}"), (n % 2 == 0).then_some("x")),
            ]);
            assert_eq!(writes.get(Family::Job, b"row"), Some(Some(value.as_bytes())));
            assert_eq!(writes.get(Family::Job, b"only-0"), Some(Some(&b"x"[..])));
            assert_eq!(writes.get(Family::Task, b"row"), None, "another family");
            let mut rows = BTreeMap::new();
            for (_, key, value) in writes.iter() {
                rows.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            }
            assert_eq!(rows.len(), n + 3);
            assert_eq!(rows[&b"row"[..]].as_deref(), Some(value.as_bytes()), "and comes last");
        }
        assert_eq!(writes.get(Family::Job, b"only-1"), Some(None), "deleted");
        assert_eq!(writes.get(Family::Job, b"never"), None);
    }
}
