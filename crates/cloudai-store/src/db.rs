//! What both databases share: how RocksDB is opened and how its errors read. Comes in: a path and options. Goes out:
//! `io::Error`s that keep RocksDB's words. A swap of the storage library would begin here.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use cloudai_raft::DAMAGED;
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, ErrorKind, Options};

/// RocksDB's error as an `io::Error`; corruption is `InvalidData`.
pub fn io_error(e: rocksdb::Error) -> io::Error {
    let kind = match e.kind() {
        ErrorKind::Corruption => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    match kind {
        io::ErrorKind::InvalidData => io::Error::new(kind, format!("{DAMAGED}: {e}")),
        _ => io::Error::new(kind, e.into_string()),
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
    let is_part = |n: &String| n.starts_with("MANIFEST-") || n.ends_with(".sst") || n.ends_with(".log");
    !names.iter().any(|n| n == "CURRENT") && names.iter().any(is_part)
}

/// What [`lacks_its_head`] found, as an error.
pub fn headless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its file CURRENT is missing")
}

/// Settings that both databases want; three masters may share one small machine.
pub fn base_options() -> Options {
    let mut o = Options::default();
    o.create_if_missing(true);
    o.create_missing_column_families(true);
    o.set_keep_log_file_num(2);
    o.set_max_log_file_size(1 << 20);
    o.set_log_level(rocksdb::LogLevel::Warn);
    o.set_max_open_files(512);
    o.set_max_background_jobs(2);
    // A flush gives its file to the disk bit by bit and not in one burst that the log's fsync would wait behind.
    o.set_bytes_per_sync(1 << 20);
    o
}

/// Bloom filters, and one bounded block cache that holds index and filter blocks too. Both are cut into pieces: the whole filter of a large
/// file is larger than what one shard of the cache may hold, and every look-up would read and check it anew.
pub fn table_options(cache_bytes: usize) -> BlockBasedOptions {
    let mut t = BlockBasedOptions::default();
    t.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    t.set_partition_filters(true);
    t.set_pin_top_level_index_and_filter(true);
    t.set_block_cache(&Cache::new_lru_cache(cache_bytes));
    t.set_bloom_filter(10.0, false);
    t.set_cache_index_and_filter_blocks(true);
    t.set_pin_l0_filter_and_index_blocks_in_cache(true);
    t
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
