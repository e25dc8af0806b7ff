//! What both databases share: how RocksDB's errors read, and how directories become durable. Comes in: errors and paths. Goes out:
//! `io::Error`s that keep RocksDB's words. A swap of the storage library would begin here.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use cloudai_raft::{DAMAGED, StoreMemory};
use rocksdb::{ColumnFamily, DB, ErrorKind};

/// RocksDB's error as an `io::Error`; damage is `InvalidData`.
pub fn io_error(e: rocksdb::Error) -> io::Error {
    match is_damage(&e) {
        true => io::Error::new(io::ErrorKind::InvalidData, format!("{DAMAGED}: {e}")),
        false => io::Error::other(e.into_string()),
    }
}

/// Whether what was read is wrong, or a file that the database names is gone.
pub fn is_damage(e: &rocksdb::Error) -> bool {
    e.kind() == ErrorKind::Corruption || e.as_ref().contains("No such file or directory")
}

/// Whether another process (or this one) has the database open.
pub fn is_locked(e: &rocksdb::Error) -> bool {
    e.kind() == ErrorKind::IOError && e.as_ref().contains("lock")
}

/// Whether a directory holds parts of a database but not the file that names them: opened as it is, RocksDB would begin a new one.
pub fn lacks_its_head(dir: &Path) -> bool {
    let Ok(items) = fs::read_dir(dir) else { return false };
    let names: Vec<String> = items.flatten().map(|i| i.file_name().to_string_lossy().into_owned()).collect();
    let is_part =
        |n: &String| n.starts_with("MANIFEST-") || n.ends_with(".sst") || n.ends_with(".blob") || n.ends_with(".log");
    !names.iter().any(|n| n == "CURRENT") && names.iter().any(is_part)
}

/// What [`lacks_its_head`] found, as an error.
pub fn headless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its file CURRENT is missing")
}

/// What a database holds in memory: its default family, and `others` with caches and buffers of their own.
pub fn memory(db: &DB, others: &[&ColumnFamily]) -> StoreMemory {
    StoreMemory {
        caches: property(db, others, "rocksdb.block-cache-usage"),
        write_buffers: property(db, others, "rocksdb.size-all-mem-tables"),
    }
}

/// What is in no file of its own yet.
pub fn unflushed_bytes(db: &DB, others: &[&ColumnFamily]) -> u64 {
    property(db, others, "rocksdb.cur-size-all-mem-tables")
}

/// Summed up over the families.
fn property(db: &DB, others: &[&ColumnFamily], name: &str) -> u64 {
    // A property that cannot be read is one that this build of RocksDB does not know.
    let known = |read: Result<Option<u64>, rocksdb::Error>| read.ok().flatten().unwrap_or(0);
    let others = others.iter().map(|family| known(db.property_int_value_cf(*family, name)));
    known(db.property_int_value(name)) + others.sum::<u64>()
}

/// Make the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Make every file of a flat directory durable, and then their names.
pub fn sync_files(dir: &Path) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        File::open(item?.path())?.sync_all()?;
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use cloudai_raft::{LogEntry, LogStore as _};

    use crate::{RocksLog, RocksState, RowBatch};

    #[test]
    fn what_was_written_shows_in_the_write_buffers() {
        const BYTES: usize = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let state = RocksState::open(&dir.path().join("state")).unwrap();
        let mut batch = RowBatch::default();
        batch.put(1, b"row", &vec![7; BYTES]);
        let empty = state.memory().write_buffers;
        state.write(batch, b"mark").unwrap();
        assert!(state.memory().write_buffers >= empty + BYTES as u64);

        let log = RocksLog::open(&dir.path().join("log")).unwrap();
        let empty = log.memory().write_buffers;
        log.append(vec![LogEntry { term: 1, index: 1, body: vec![7; BYTES].into() }], Box::new(drop)).unwrap();
        assert!(log.memory().write_buffers >= empty + BYTES as u64);
    }
}
