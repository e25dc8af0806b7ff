//! What a master needs from the database that holds its rows. RocksDB implements it (feature `rocksdb`); tests and the
//! simulation use memory. An implementation knows bytes and families; it never knows what a row means.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use cloudai_core::rows::{Family, Write};
use cloudai_raft::CheckpointJob;

/// Row changes of one commit, the last one per key.
#[derive(Default, Debug)]
pub struct RowWrites {
    families: BTreeMap<Family, BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
}

impl RowWrites {
    pub fn put(&mut self, write: Write) {
        self.families.entry(write.family).or_default().insert(write.key, write.value);
    }

    /// `None`: not touched. `Some(None)`: deleted.
    pub fn get(&self, family: Family, key: &[u8]) -> Option<Option<&[u8]>> {
        self.families.get(&family)?.get(key).map(Option::as_deref)
    }

    /// In key order; `None` deletes.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &[u8], Option<&[u8]>)> {
        self.families.iter().flat_map(|(family, rows)| rows.iter().map(|(k, v)| (*family, k.as_slice(), v.as_deref())))
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

    /// What the last `write` or `install` stored.
    fn mark(&self) -> io::Result<Option<Bytes>>;

    /// A consistent view now; the returned job writes it out later.
    fn checkpoint(&self) -> io::Result<CheckpointJob>;

    /// Replaces everything by the checkpoint in `dir`, durably.
    fn install(&self, dir: &Path) -> io::Result<()>;
}
