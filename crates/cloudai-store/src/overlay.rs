//! Point reads over the database plus the changes that are not written yet. Comes in: the changes of the entries
//! applied since the last commit. Goes out: what `apply` must see, and at the commit one batch. Lives between two
//! commits, on the applying thread only.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::generation::Generation;
use crate::keys::{Keys, row_key};
use crate::row_batch::RowBatch;
use crate::state::RocksState;

/// Pending writes over the database. After an install, make a new one.
pub struct RowsOverlay {
    state: RocksState,
    generation: Arc<Generation>,
    /// The newest pending value of each row; `None`: deleted.
    pending: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Deleted ranges. Whatever was put after one of them is in `pending`.
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
    batch: RowBatch,
}

impl RowsOverlay {
    pub fn new(state: &RocksState) -> RowsOverlay {
        RowsOverlay {
            state: state.clone(),
            generation: state.generation(),
            pending: HashMap::new(),
            ranges: vec![],
            batch: RowBatch::default(),
        }
    }

    /// The row as of the last change.
    pub fn get(&self, family: u8, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let k = row_key(family, key);
        if let Some(pending) = self.pending.get(&k) {
            return Ok(pending.clone());
        }
        if self.ranges.iter().any(|(low, high)| *low <= k && k < *high) {
            return Ok(None);
        }
        self.generation.db().get(k).map_err(crate::db::io_error)
    }

    pub fn put(&mut self, family: u8, key: &[u8], value: &[u8]) {
        self.batch.put(family, key, value);
        self.pending.insert(row_key(family, key), Some(value.to_vec()));
    }

    pub fn delete(&mut self, family: u8, key: &[u8]) {
        self.batch.delete(family, key);
        self.pending.insert(row_key(family, key), None);
    }

    pub fn delete_range(&mut self, family: u8, keys: Keys<'_>) {
        self.batch.delete_range(family, keys);
        let (low, high) = keys.bounds(family);
        self.pending.retain(|k, _| !(low <= *k && *k < high));
        self.ranges.push((low, high));
    }

    /// Bytes that wait for the commit.
    pub fn pending_bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Write all pending changes and the mark in one batch, and begin anew.
    pub fn commit(&mut self, mark: &[u8]) -> io::Result<()> {
        self.state.write(std::mem::take(&mut self.batch), mark)?;
        self.pending.clear();
        self.ranges.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_see_pending_changes_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let s = RocksState::open(dir.path()).unwrap();
        let mut o = RowsOverlay::new(&s);
        for k in ["a", "b", "c"] {
            o.put(1, k.as_bytes(), b"1");
        }
        o.commit(b"m1").unwrap();

        o.put(1, b"a", b"2");
        o.delete(1, b"b");
        assert_eq!(o.get(1, b"a").unwrap().unwrap(), b"2");
        assert_eq!(o.get(1, b"b").unwrap(), None);
        assert_eq!(o.get(1, b"c").unwrap().unwrap(), b"1");
        assert_eq!(s.get(1, b"a").unwrap().unwrap(), b"1", "nothing is written before the commit");
        o.delete_range(1, Keys::All);
        assert_eq!(o.get(1, b"a").unwrap(), None);
        assert_eq!(o.get(1, b"c").unwrap(), None);
        o.put(1, b"c", b"3");
        assert_eq!(o.get(1, b"c").unwrap().unwrap(), b"3");
        assert!(o.pending_bytes() > 0);
        o.commit(b"m2").unwrap();

        assert_eq!(s.mark().unwrap().unwrap(), "m2");
        let rows = s.scan(1, Keys::All, false, 9).unwrap();
        assert_eq!(rows, [(b"c".to_vec(), b"3".to_vec())], "the database did what the overlay said");
        assert_eq!(o.get(1, b"c").unwrap().unwrap(), b"3");
    }
}
