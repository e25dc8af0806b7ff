//! The Raft log on RocksDB. Comes in: opaque entries and meta values. Goes out: the same bytes, and one callback per
//! write once an fsync covers it. Knows nothing of Raft beyond term and index.
//!
//! * Column family `default`: index (u64, big endian) → version, checksum, term, body (`record.rs`). `meta`: vote, commit
//!   index, purge mark.
//! * Every write goes to the buffer of RocksDB's write-ahead log (entries can be read at once) and queues its callback. ONE
//!   thread drains the queue, calls `flush_wal(true)` once, which writes and syncs, and completes the callbacks first in, first
//!   out (`sync.rs`). Not even the end of the process alone keeps what no callback has confirmed.
//! * The commit index is kept in memory and written with the next append or vote: losing it costs a replay only.
//! * A torn end is normal after a power cut: RocksDB reads up to the first record that is not whole and drops the rest. If a write
//!   that had been synced is among what it dropped (`synced.rs`), if there is a gap or a bad checksum, `open` refuses.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use cloudai_raft::{
    DAMAGED, Failpoint, LogBounds, LogEntry, LogPosition, LogStore, MetaKey, OnDurable, OnFsync, StoreMemory,
};
use cloudai_types::limits::LOG_TAIL_BYTES_MAX;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, ReadOptions, WriteBatch};

use crate::calm::{Look, Looking};
use crate::db::{self, headless, io_error, is_damage, is_locked, lacks_its_head};
use crate::open_log_error::OpenLogError;
use crate::options;
use crate::record::{HEAD_BYTES, decode, decode_position, encode_into, encode_position, index_of, key};
pub use crate::sync::LogStats;
use crate::sync::{Shared, lock, sync_loop};
use crate::synced::SyncedNote;

const META: &str = "meta";
const PURGED: &str = "purged";
/// The last claim of `synced.rs`: of use in the write-ahead log only.
const SYNCED: &str = "synced";
/// What `append` keeps of its buffer: the usual entry fits, a single huge one is given back.
const RECORD_BUFFER_BYTES: usize = 256 << 10;

/// The newest entries, in memory: replication and apply read them from here. Written by append, truncate and purge.
#[derive(Default)]
struct Tail {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    bytes_max: usize,
    bounds: LogBounds,
}

impl Tail {
    fn push(&mut self, e: LogEntry) {
        self.bounds.last = Some(LogPosition { term: e.term, index: e.index });
        self.bytes += e.body.len();
        self.entries.push_back(e);
        while self.bytes > self.bytes_max && self.entries.len() > 1 {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(e) = self.entries.pop_front() {
            self.bytes -= e.body.len();
        }
    }

    fn pop_back(&mut self) {
        if let Some(e) = self.entries.pop_back() {
            self.bytes -= e.body.len();
        }
    }
}

fn meta(db: &DB) -> &ColumnFamily {
    db.cf_handle(META).expect("opened with it")
}

struct Inner {
    db: Arc<DB>,
    tail: Mutex<Tail>,
    /// A commit index that is not written yet (its value may be "none"). Goes with the next append or vote.
    committed: Mutex<Option<Option<Bytes>>>,
    /// Append's buffer.
    record: Mutex<Vec<u8>>,
    note: Arc<SyncedNote>,
    /// `None` only while it is being dropped.
    sync: Option<Sender<OnDurable>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    _looking: Looking,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut last = WriteBatch::default();
        self.add_committed(&mut last);
        if let Err(error) = self.db.write(last) {
            tracing::warn!(%error, "the commit index could not be saved; the next start applies more entries again");
        }
        drop(self.sync.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the log's sync thread panicked");
        }
    }
}

impl Inner {
    fn meta(&self) -> &ColumnFamily {
        meta(&self.db)
    }

    fn add_committed(&self, batch: &mut WriteBatch) {
        match lock(&self.committed).take() {
            None => {}
            Some(Some(value)) => batch.put_cf(self.meta(), MetaKey::Committed.name(), value),
            Some(None) => batch.delete_cf(self.meta(), MetaKey::Committed.name()),
        }
    }

    /// With the first append after each fsync.
    fn add_claim(&self, batch: &mut WriteBatch) {
        if let Some(claim) = self.note.next_claim() {
            batch.put_cf(self.meta(), SYNCED, claim);
        }
    }
}

/// The log of one master. Clones are the same log; the directory is free again when the last one is dropped.
#[derive(Clone)]
pub struct RocksLog(Arc<Inner>);

impl RocksLog {
    /// Open or create the log in `dir`, and check all of it: no gap after the purge mark, every checksum.
    pub fn open(dir: &Path) -> Result<RocksLog, OpenLogError> {
        RocksLog::open_with(dir, LOG_TAIL_BYTES_MAX)
    }

    fn open_with(dir: &Path, tail_bytes_max: usize) -> Result<RocksLog, OpenLogError> {
        let path = || dir.display().to_string();
        if lacks_its_head(dir) {
            return Err(OpenLogError::Damaged { path: path(), source: headless() });
        }
        let io = |source| OpenLogError::Io { path: path(), source };
        let (note, synced) = SyncedNote::open(dir).map_err(io)?;
        let families = [
            ColumnFamilyDescriptor::new("default", options::log_entries()),
            ColumnFamilyDescriptor::new(META, options::log_meta()),
        ];
        let opened = DB::open_cf_descriptors(&options::log(), dir, families);
        let opened = opened.and_then(|db| options::uncache_replaced_files(&db).map(|()| db));
        let db = opened.map_err(|e| match () {
            () if is_damage(&e) => OpenLogError::Damaged { path: path(), source: io_error(e) },
            () if is_locked(&e) => OpenLogError::InUse { path: path(), source: io_error(e) },
            () => OpenLogError::Io { path: path(), source: io_error(e) },
        })?;
        let tail = load(&db, tail_bytes_max, &path)?;
        if let Some(lost) = synced.and_then(|s| s.checked_sub(db.latest_sequence_number())).filter(|lost| *lost > 0) {
            return Err(OpenLogError::Short { path: path(), lost });
        }
        let note = Arc::new(note);

        let db = Arc::new(db);
        let shared = Arc::new(Shared::default());
        let (sync, queue) = mpsc::channel();
        let (synced_db, shared2, note2) = (db.clone(), shared.clone(), note.clone());
        let thread = std::thread::Builder::new()
            .name("raft-sync".into())
            .spawn(move || sync_loop(queue, shared2, || sync_once(&synced_db, &note2)))
            .map_err(io)?;
        let (looked_at, mut look) = (db.clone(), Look::default());
        let looking = move || look.at(&looked_at, &[meta(&looked_at)]);
        let looking = Looking::start("raft-log-calm", looking).map_err(io)?;
        Ok(RocksLog(Arc::new(Inner {
            db,
            tail: Mutex::new(tail),
            committed: Mutex::default(),
            record: Mutex::default(),
            note,
            sync: Some(sync),
            thread: Some(thread),
            shared,
            _looking: looking,
        })))
    }

    pub fn stats(&self) -> LogStats {
        *lock(&self.0.shared.stats)
    }

    fn write(&self, batch: WriteBatch) -> io::Result<()> {
        self.0.db.write(batch).map_err(io_error)
    }

    fn queue(&self, on_durable: OnDurable) -> io::Result<()> {
        let sync = self.0.sync.as_ref().expect("taken by drop only");
        sync.send(on_durable).map_err(|_| io::Error::other("the log's sync thread has ended"))
    }

    /// What the tail holds of `[from, to)`; `None` when it begins later.
    fn read_tail(&self, from: u64, to: u64, bytes_max: usize) -> Option<Vec<LogEntry>> {
        let tail = lock(&self.0.tail);
        let first = tail.entries.front()?.index;
        let skip = usize::try_from(from.checked_sub(first)?).unwrap_or(usize::MAX).min(tail.entries.len());
        let (mut out, mut bytes) = (vec![], 0);
        for e in tail.entries.range(skip..).take_while(|e| e.index < to) {
            bytes += e.body.len();
            if bytes > bytes_max && !out.is_empty() {
                break;
            }
            out.push(e.clone());
        }
        Some(out)
    }
}

/// One fsync, and the note of how far it reached.
fn sync_once(db: &DB, note: &SyncedNote) -> io::Result<()> {
    Failpoint::LogSync.hit()?;
    let sequence = db.latest_sequence_number();
    db.flush_wal(true).map_err(io_error)?;
    Failpoint::LogSyncFlushed.hit()?;
    note.on_synced(sequence)?;
    Failpoint::LogSyncNoted.hit()
}

/// Walk over the whole log once: check it, and keep its end in memory.
fn load(db: &DB, bytes_max: usize, path: &dyn Fn() -> String) -> Result<Tail, OpenLogError> {
    let io = |source: io::Error| OpenLogError::Io { path: path(), source };
    let damaged = |source: io::Error| OpenLogError::Damaged { path: path(), source };
    let meta = meta(db);
    let unreadable = |e: rocksdb::Error| if is_damage(&e) { damaged(io_error(e)) } else { io(io_error(e)) };
    let purged = db.get_cf(meta, PURGED).map_err(unreadable)?;
    let purged = purged.map(|raw| decode_position(&raw)).transpose().map_err(damaged)?;
    let mut tail = Tail { bytes_max, ..Tail::default() };
    tail.bounds.purged = purged;
    let mut expected = purged.map(|p| p.index + 1);
    let from = key(expected.unwrap_or(0));
    for row in db.iterator(IteratorMode::From(&from, Direction::Forward)) {
        let (k, v) = row.map_err(|e| damaged(io_error(e)))?;
        let index = index_of(&k).map_err(damaged)?;
        // A log that was never purged may begin anywhere (openraft's first entry is 0).
        let missing = expected.filter(|e| *e != index);
        if let Some(missing) = missing {
            return Err(OpenLogError::Gap { path: path(), missing });
        }
        let entry = decode(index, Bytes::from(v)).map_err(|why| OpenLogError::BadEntry { path: path(), index, why })?;
        tail.push(entry);
        expected = Some(index + 1);
    }
    Ok(tail)
}

impl LogStore for RocksLog {
    fn bounds(&self) -> io::Result<LogBounds> {
        Ok(lock(&self.0.tail).bounds)
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        if from >= to {
            return Ok(vec![]);
        }
        if let Some(found) = self.read_tail(from, to, bytes_max) {
            return Ok(found);
        }
        let mut upto = ReadOptions::default();
        upto.set_iterate_upper_bound(key(to));
        let (mut out, mut bytes) = (vec![], 0);
        for row in self.0.db.iterator_opt(IteratorMode::From(&key(from), Direction::Forward), upto) {
            let (k, v) = row.map_err(io_error)?;
            let index = index_of(&k)?;
            bytes += v.len().saturating_sub(HEAD_BYTES);
            if bytes > bytes_max && !out.is_empty() {
                break;
            }
            let bad = |why| io::Error::new(io::ErrorKind::InvalidData, format!("{DAMAGED}: log entry {index}: {why}"));
            out.push(decode(index, Bytes::from(v)).map_err(bad)?);
        }
        Ok(out)
    }

    fn append(&self, entries: Vec<LogEntry>, on_durable: OnDurable) -> io::Result<()> {
        Failpoint::LogAppend.hit()?;
        let bounds = lock(&self.0.tail).bounds;
        let mut expected = bounds.last.or(bounds.purged).map(|p| p.index + 1);
        let mut batch = WriteBatch::default();
        let mut record = lock(&self.0.record);
        for e in &entries {
            if expected.is_some_and(|x| x != e.index) {
                let what = format!("entry {} does not follow the log's end {:?}", e.index, bounds.last);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            expected = Some(e.index + 1);
            encode_into(&mut record, e);
            batch.put(key(e.index), &record[..]);
        }
        record.shrink_to(RECORD_BUFFER_BYTES);
        drop(record);
        self.0.add_committed(&mut batch);
        self.0.add_claim(&mut batch);
        let mut stats = lock(&self.0.shared.stats);
        stats.appends += 1;
        stats.entries += entries.len() as u64;
        drop(stats);
        self.write(batch)?;
        Failpoint::LogAppendWritten.hit()?;
        let mut tail = lock(&self.0.tail);
        entries.into_iter().for_each(|e| tail.push(e));
        drop(tail);
        self.queue(on_durable)
    }

    fn truncate_after(&self, last: Option<u64>) -> io::Result<()> {
        let from = last.map_or(0, |i| i + 1);
        if lock(&self.0.tail).bounds.last.is_none_or(|end| end.index < from) {
            return Ok(()); // nothing is after it
        }
        Failpoint::LogTruncate.hit()?;
        let mut batch = WriteBatch::default();
        batch.delete_range(key(from), key(u64::MAX));
        self.write(batch)?; // ordered before the next append by the write-ahead log, and synced with it
        Failpoint::LogTruncateWritten.hit()?;
        // The new end may have left the tail long ago.
        let present = match last {
            Some(index) => self.read(index, index + 1, usize::MAX)?.pop(),
            None => None,
        };
        let mut tail = lock(&self.0.tail);
        while tail.entries.back().is_some_and(|e| e.index >= from) {
            tail.pop_back();
        }
        tail.bounds.last = present.map(|e| LogPosition { term: e.term, index: e.index });
        Ok(())
    }

    fn purge(&self, upto: LogPosition) -> io::Result<()> {
        Failpoint::LogPurge.hit()?;
        let mut batch = WriteBatch::default();
        batch.put_cf(self.0.meta(), PURGED, encode_position(upto));
        batch.delete_range(key(0), key(upto.index + 1));
        self.write(batch)?;
        Failpoint::LogPurgeWritten.hit()?;
        let mut tail = lock(&self.0.tail);
        while tail.entries.front().is_some_and(|e| e.index <= upto.index) {
            tail.pop_front();
        }
        tail.bounds.purged = Some(upto);
        tail.bounds.last = tail.bounds.last.filter(|last| last.index > upto.index);
        Ok(())
    }

    fn save_meta(&self, k: MetaKey, value: Option<Bytes>) -> io::Result<()> {
        let mut batch = WriteBatch::default();
        match (k, value) {
            // Once per commit: a write of its own would cost as much as the entry's.
            (MetaKey::Committed, value) => {
                Failpoint::LogCommitted.hit()?;
                *lock(&self.0.committed) = Some(value);
                return Ok(());
            }
            (MetaKey::Vote, Some(v)) => batch.put_cf(self.0.meta(), k.name(), v),
            (MetaKey::Vote, None) => batch.delete_cf(self.0.meta(), k.name()),
        }
        self.write(batch)
    }

    fn save_meta_synced(&self, k: MetaKey, value: Bytes, on_durable: OnDurable) -> io::Result<()> {
        Failpoint::LogVote.hit()?;
        self.save_meta(k, Some(value))?;
        let mut batch = WriteBatch::default();
        self.0.add_committed(&mut batch);
        self.write(batch)?;
        Failpoint::LogVoteWritten.hit()?;
        self.queue(on_durable)
    }

    fn load_meta(&self, k: MetaKey) -> io::Result<Option<Bytes>> {
        if k == MetaKey::Committed
            && let Some(value) = &*lock(&self.0.committed)
        {
            return Ok(value.clone());
        }
        Ok(self.0.db.get_cf(self.0.meta(), k.name()).map_err(io_error)?.map(Bytes::from))
    }

    fn busy_since(&self) -> Option<Instant> {
        *lock(&self.0.shared.busy_since)
    }

    fn memory(&self) -> StoreMemory {
        db::memory(&self.0.db, &[self.0.meta()])
    }

    fn observe_fsyncs(&self, on_fsync: OnFsync) {
        // Only the first one is kept, as the trait says.
        let _ = self.0.shared.on_fsync.set(on_fsync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc::channel;

    fn entry(term: u64, index: u64) -> LogEntry {
        LogEntry { term, index, body: Bytes::from(vec![index as u8; 100]) }
    }

    fn ignore() -> OnDurable {
        Box::new(|r| r.unwrap())
    }

    fn append_durably(log: &RocksLog, entries: Vec<LogEntry>) {
        let (tx, rx) = channel();
        log.append(entries, Box::new(move |r| tx.send(r).unwrap())).unwrap();
        rx.recv().unwrap().unwrap();
    }

    fn indices(log: &RocksLog, from: u64, to: u64, max: usize) -> Vec<u64> {
        log.read(from, to, max).unwrap().iter().map(|e| e.index).collect()
    }

    #[test]
    fn reads_are_capped_in_bytes_from_memory_and_from_disk() {
        for tail_bytes in [usize::MAX, 250] {
            let dir = tempfile::tempdir().unwrap();
            let log = RocksLog::open_with(dir.path(), tail_bytes).unwrap();
            log.append((0..10).map(|i| entry(1, i)).collect(), ignore()).unwrap();
            assert_eq!(indices(&log, 0, 10, usize::MAX), (0..10).collect::<Vec<_>>());
            assert_eq!(indices(&log, 2, 10, 250), [2, 3]);
            assert_eq!(indices(&log, 2, 10, 1), [2], "at least one");
            assert_eq!(indices(&log, 2, 4, usize::MAX), [2, 3]);
            assert_eq!(indices(&log, 9, 20, 250), [9]);
            assert_eq!(indices(&log, 10, 20, 250), [0u64; 0]);
        }
    }

    #[test]
    fn truncate_and_purge_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let log = RocksLog::open_with(dir.path(), 250).unwrap(); // the tail holds two entries only
        log.append((0..10).map(|i| entry(1, i)).collect(), ignore()).unwrap();
        log.truncate_after(Some(4)).unwrap();
        assert_eq!(log.bounds().unwrap().last, Some(LogPosition { term: 1, index: 4 }));
        assert!(log.append(vec![entry(2, 6)], ignore()).is_err(), "no gap may be written");
        log.append(vec![entry(2, 5)], ignore()).unwrap();
        log.purge(LogPosition { term: 1, index: 2 }).unwrap();
        log.save_meta(MetaKey::Committed, Some(Bytes::from_static(b"c"))).unwrap();
        drop(log);

        let log = RocksLog::open(dir.path()).unwrap();
        assert_eq!(indices(&log, 0, 100, usize::MAX), [3, 4, 5]);
        let bounds = log.bounds().unwrap();
        assert_eq!(bounds.purged, Some(LogPosition { term: 1, index: 2 }));
        assert_eq!(bounds.last, Some(LogPosition { term: 2, index: 5 }));
        assert_eq!(log.load_meta(MetaKey::Committed).unwrap().unwrap(), "c");
        // After a snapshot the purge mark may lie beyond the end; the log goes on behind it.
        log.purge(LogPosition { term: 3, index: 50 }).unwrap();
        assert_eq!(log.bounds().unwrap().last, None);
        log.append(vec![entry(3, 51)], ignore()).unwrap();
        drop(log);
        assert_eq!(indices(&RocksLog::open(dir.path()).unwrap(), 0, 100, usize::MAX), [51]);
    }

    #[test]
    fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _open = RocksLog::open(dir.path()).unwrap();
        assert!(matches!(RocksLog::open(dir.path()), Err(OpenLogError::InUse { .. })));
    }

    /// The write-ahead log as a killed process leaves it: copied while the database is open.
    fn killed(build: impl Fn(&RocksLog)) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
        let log = RocksLog::open(&live).unwrap();
        build(&log);
        fs::create_dir(&copy).unwrap();
        for f in fs::read_dir(&live).unwrap() {
            let f = f.unwrap();
            fs::copy(f.path(), copy.join(f.file_name())).unwrap();
        }
        (dir, copy)
    }

    fn wal(dir: &Path) -> std::path::PathBuf {
        let logs = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
        logs.filter(|p| p.extension().is_some_and(|e| e == "log")).max_by_key(|p| p.metadata().unwrap().len()).unwrap()
    }

    #[test]
    fn what_was_durable_survives_a_kill() {
        let (_dir, copy) = killed(|log| (0..50).for_each(|i| append_durably(log, vec![entry(1, i)])));
        assert_eq!(indices(&RocksLog::open(&copy).unwrap(), 0, 100, usize::MAX), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_tail_is_tolerated_and_a_synced_one_is_never_torn() {
        let (_dir, copy) = killed(|log| (0..50).for_each(|i| append_durably(log, vec![entry(1, i)])));
        let wal = wal(&copy);
        let size = wal.metadata().unwrap().len();
        fs::File::options().write(true).open(&wal).unwrap().set_len(size - 30).unwrap();
        let e = RocksLog::open(&copy).map(drop).unwrap_err();
        assert!(matches!(e, OpenLogError::Short { lost: 2, .. }), "the entry, and what it says of the one before: {e}");
        // As when the power went before the last fsync: the note is not there yet.
        fs::remove_file(copy.join(crate::synced::NAME)).unwrap();
        assert_eq!(indices(&RocksLog::open(&copy).unwrap(), 0, 100, usize::MAX), (0..49).collect::<Vec<_>>());
    }

    #[test]
    fn damage_in_the_middle_is_refused() {
        let (_dir, copy) = killed(|log| (0..50).for_each(|i| append_durably(log, vec![entry(1, i)])));
        let wal = wal(&copy);
        let mut raw = fs::read(&wal).unwrap();
        let middle = raw.len() / 2;
        raw[middle] ^= 0xff;
        fs::write(&wal, raw).unwrap();
        let e = RocksLog::open(&copy).map(drop).unwrap_err();
        assert!(matches!(e, OpenLogError::Short { lost, .. } if lost > 20), "{e}");
        assert!(e.to_string().contains("new id"), "says what to do: {e}");
    }

    #[test]
    fn a_bad_checksum_and_a_gap_are_refused() {
        let (_dir, copy) = killed(|log| append_durably(log, (0..5).map(|i| entry(1, i)).collect()));
        let raw = |change: &dyn Fn(&DB)| {
            let db = DB::open_cf(&rocksdb::Options::default(), &copy, ["default", META]).unwrap();
            change(&db);
        };
        raw(&|db| {
            let other = db.get(key(3)).unwrap().unwrap();
            db.put(key(2), other).unwrap(); // a whole entry under another index
        });
        assert!(matches!(RocksLog::open(&copy), Err(OpenLogError::BadEntry { index: 2, .. })));
        raw(&|db| db.delete(key(2)).unwrap());
        assert!(matches!(RocksLog::open(&copy), Err(OpenLogError::Gap { missing: 2, .. })));
    }
}
