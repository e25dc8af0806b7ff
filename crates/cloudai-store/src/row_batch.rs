//! Row changes on their way into the state's database. Comes in: (family, key) and values. Goes out: one RocksDB batch. Knows
//! nothing of marks and generations.

use rocksdb::WriteBatch;

use crate::keys::Keys;

/// Family of the store's own rows, the mark.
pub(crate) const RESERVED_FAMILY: u8 = 255;

/// Changes that will be written together.
#[derive(Default)]
pub struct RowBatch {
    pub(crate) inner: WriteBatch,
    /// The key of the last change: one buffer for all.
    key: Vec<u8>,
}

impl RowBatch {
    /// With room for this many bytes of keys and values.
    pub fn with_capacity(bytes: usize) -> RowBatch {
        RowBatch { inner: WriteBatch::with_capacity_bytes(bytes), key: vec![] }
    }

    pub fn put(&mut self, family: u8, key: &[u8], value: &[u8]) {
        self.set_key(family, key);
        self.inner.put(&self.key, value);
    }

    pub fn delete(&mut self, family: u8, key: &[u8]) {
        self.set_key(family, key);
        self.inner.delete(&self.key);
    }

    fn set_key(&mut self, family: u8, key: &[u8]) {
        assert_ne!(family, RESERVED_FAMILY, "family 255 is reserved");
        self.key.clear();
        self.key.push(family);
        self.key.extend_from_slice(key);
    }

    /// Delete all of `keys`. Cheap to write; reads of the same range get slower until compaction, so not for single
    /// rows.
    pub fn delete_range(&mut self, family: u8, keys: Keys<'_>) {
        assert_ne!(family, RESERVED_FAMILY, "family 255 is reserved");
        let (low, high) = keys.bounds(family);
        self.inner.delete_range(low, high);
    }

    pub fn bytes(&self) -> usize {
        self.inner.size_in_bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}
