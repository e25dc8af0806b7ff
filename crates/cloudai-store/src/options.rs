//! How both databases are set up. Comes in: nothing, or a database that was just opened. Goes out: RocksDB's options, with the reason for
//! each that is not its default. Knows no path and no row.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Error, Options};

/// Settings that both databases want; three masters may share one small machine.
fn base() -> Options {
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
fn tables(cache_bytes: usize) -> BlockBasedOptions {
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

/// The log's database.
pub fn log() -> Options {
    let mut o = base();
    // Up to the first record that is not whole; `synced.rs` tells whether it had to be whole. The mode that tolerates a torn tail only
    // knows one kind of it, a file that ends too early. A power cut can also leave a file of full length with pages of zeros in it.
    o.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A write-ahead log lives until both families have flushed what it holds, and a start reads all that is there.
    o.set_max_total_wal_size(64 << 20);
    // Writes stay in RocksDB's own buffer until the sync thread hands all of them to the kernel and the disk at once.
    o.set_manual_wal_flush(true);
    o
}

/// The log's entries.
pub fn log_entries() -> Options {
    let mut o = Options::default();
    o.set_write_buffer_size(32 << 20);
    o.set_max_write_buffer_number(4);
    o.set_compression_type(DBCompressionType::None); // most entries die before a compaction sees them
    o.set_block_based_table_factory(&tables(16 << 20));
    o
}

/// Vote, commit index and purge mark: a new value of one of them with every append, and a memtable keeps them all. With a large one,
/// memory and pinned write-ahead logs would grow for hours.
pub fn log_meta() -> Options {
    let mut o = Options::default();
    o.set_write_buffer_size(4 << 20);
    o.set_block_based_table_factory(&tables(1 << 20));
    o
}

/// 40 to 56 MiB. All masters write the same rows at the same moment: buffers of one size would fill, and be flushed, on all of
/// them at once, and callers would wait for the slowest instead of the majority.
fn write_buffer_bytes() -> usize {
    let dice = RandomState::new().hash_one(()) % 17;
    (40 + dice as usize) << 20
}

/// From this size on a value is kept apart from its key.
const LARGE_VALUE_BYTES: u64 = 192;

/// The state's database.
pub fn state() -> Options {
    let mut o = base();
    o.set_write_buffer_size(write_buffer_bytes());
    o.set_max_write_buffer_number(3);
    // Every submit looks for a request id that is nearly always new: without a filter it walks the whole memtable.
    o.set_memtable_whole_key_filtering(true);
    o.set_memtable_prefix_bloom_ratio(0.05);
    o.set_compression_type(DBCompressionType::Lz4);
    // A flush competes with the callers for the CPU, and what it writes is soon merged into the levels below.
    use DBCompressionType::{Lz4, None};
    o.set_compression_per_level(&[None, None, Lz4, Lz4, Lz4, Lz4, Lz4]);
    o.set_block_based_table_factory(&tables(64 << 20));
    // Large values (specs of jobs: most of what a submit writes, and rarely read) lie in files of their own, and a compaction moves
    // only what points to them.
    o.set_enable_blob_files(true);
    o.set_min_blob_size(LARGE_VALUE_BYTES);
    o.set_blob_file_size(32 << 20);
    o.set_enable_blob_gc(true);
    o.set_blob_gc_force_threshold(0.5);
    o
}

/// For the default family of a database that was just opened; the bindings know this option only by its name. Blocks of a file that
/// compactions have replaced leave the cache with it. They would stay until others need their room: a master's memory would grow for an
/// hour, up to the whole cache, with what nobody can read any more.
pub fn uncache_replaced_files(db: &DB) -> Result<(), Error> {
    // Goes on erasing while one look-up in twenty still finds a block (RocksDB's scale; it says it may make this its default).
    db.set_options(&[("uncache_aggressiveness", "300")])
}

#[cfg(test)]
mod tests {
    use rocksdb::{CompactOptions, IteratorMode};

    use super::*;

    #[test]
    fn a_cache_does_not_keep_what_compactions_have_replaced() {
        const ROWS: u32 = 40_000;
        let dir = tempfile::tempdir().unwrap();
        let cached_after_replacing_them = |name: &str, uncache: bool| {
            let db = DB::open(&state(), dir.path().join(name)).unwrap();
            if uncache {
                uncache_replaced_files(&db).unwrap();
            }
            let caches = || db.property_int_value("rocksdb.block-cache-usage").unwrap().unwrap();
            let row = |n: u32| [n.to_be_bytes(); 25].concat();
            (0..ROWS).for_each(|n| db.put(n.to_be_bytes(), row(n.wrapping_mul(2_654_435_761))).unwrap());
            db.flush().unwrap();
            assert_eq!(db.iterator(IteratorMode::Start).count(), ROWS as usize);
            let all = caches();
            (0..ROWS).for_each(|n| db.delete(n.to_be_bytes()).unwrap());
            db.flush().unwrap();
            db.compact_range_opt::<&[u8], &[u8]>(None, None, &CompactOptions::default());
            (all, caches())
        };
        let (all, kept) = cached_after_replacing_them("usual", false);
        assert!(
            all > 1 << 20 && kept > all / 2,
            "RocksDB's default has changed, this option is not needed: {all}, {kept}"
        );
        let (all, kept) = cached_after_replacing_them("ours", true);
        assert!(all > 1 << 20 && kept < all / 10, "{all} bytes were cached, and {kept} still are");
    }
}
