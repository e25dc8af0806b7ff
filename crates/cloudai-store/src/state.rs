//! The replicated state's rows on RocksDB. Comes in: batches of row changes with a mark, and checkpoints to install.
//! Goes out: point reads, scans, checkpoints. Rows are (family, key) → value; what they mean is somebody else's
//! business.
//!
//! * One column family; key = family byte ‖ key. The mark is a row of the reserved family 255, so that a batch, a checkpoint
//!   and a power cut can never separate it from the rows.
//! * Writes stay in memory until RocksDB flushes them, and have no write-ahead log of their own: the Raft log is one, and
//!   applies again what a crash took. With one column family a flush is atomic: a batch and its mark are in it or not. Whoever
//!   purges the Raft log does it behind a checkpoint, which flushes first.
//! * An installed checkpoint becomes a new generation (`generation.rs`); the old one is removed when its last reader is done.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use cloudai_raft::{Failpoint, StoreMemory};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, Options, ReadOptions, SnapshotWithThreadMode, WriteOptions};

use crate::calm::{Look, Looking};
use crate::db::{self, io_error, sync_dir, sync_files};
use crate::generation::{self, Generation};
use crate::keys::{Keys, row_key};
use crate::open_state_error::OpenStateError;
use crate::row_batch::{RESERVED_FAMILY, RowBatch};

const MARK: &[u8] = b"\xffmark";

/// A row: its key without the family byte, and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Read by everybody for a moment; written by `install` only.
type Current = RwLock<Arc<Generation>>;

fn generation_of(current: &Current) -> Arc<Generation> {
    current.read().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Shared {
    root: PathBuf,
    current: Arc<Current>,
    /// One install at a time.
    installing: Mutex<()>,
    _looking: Looking,
}

/// The rows. Clones are the same database; any thread may read while the one writer writes.
#[derive(Clone)]
pub struct RocksState(Arc<Shared>);

impl RocksState {
    /// Open or create the state below `root`.
    pub fn open(root: &Path) -> Result<RocksState, OpenStateError> {
        let current = Arc::new(Current::new(Arc::new(generation::in_use(root)?)));
        let (looked_at, mut look) = (current.clone(), Look::default());
        let looking = move || look.at(generation_of(&looked_at).db(), &[]);
        let looking = Looking::start("state-calm", looking)
            .map_err(|source| OpenStateError::Io { path: root.display().to_string(), source })?;
        Ok(RocksState(Arc::new(Shared {
            root: root.to_owned(),
            current,
            installing: Mutex::new(()),
            _looking: looking,
        })))
    }

    pub(crate) fn generation(&self) -> Arc<Generation> {
        generation_of(&self.0.current)
    }

    /// What the last `write` or `install` that survived stored as its mark.
    pub fn mark(&self) -> io::Result<Option<Bytes>> {
        Ok(self.generation().db().get(MARK).map_err(io_error)?.map(Bytes::from))
    }

    /// What the database in use holds in memory.
    pub fn memory(&self) -> StoreMemory {
        db::memory(self.generation().db(), &[])
    }

    /// One row.
    pub fn get(&self, family: u8, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.generation().db().get(row_key(family, key)).map_err(io_error)
    }

    /// Rows in key order (or backwards), at most `limit`.
    pub fn scan(&self, family: u8, keys: Keys<'_>, reverse: bool, limit: usize) -> io::Result<Vec<Row>> {
        self.view(|v| v.scan(family, keys, reverse, limit))
    }

    /// Several reads that see one moment.
    pub fn view<R>(&self, read: impl FnOnce(&View<'_>) -> R) -> R {
        let generation = self.generation();
        let view = View { snapshot: generation.db().snapshot() };
        read(&view)
    }

    /// Write a batch and its mark, all or nothing, in memory: it reaches the disk with a later flush, a checkpoint or the
    /// end of this handle.
    pub fn write(&self, batch: RowBatch, mark: &[u8]) -> io::Result<()> {
        let mut inner = batch.inner;
        inner.put(MARK, mark);
        Failpoint::StateWrite.hit()?;
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.generation().db().write_opt(inner, &options).map_err(io_error)?;
        Failpoint::StateWritten.hit()
    }

    /// A consistent copy as it is now, written by the returned job into a directory that does not exist yet: hard links
    /// where the file systems allow it. The job returns the mark that it read from inside the copy, after all is
    /// fsynced.
    pub fn checkpoint(&self) -> impl FnOnce(&Path) -> io::Result<Bytes> + Send + 'static {
        let generation = self.generation();
        move |dir| {
            Failpoint::CheckpointStart.hit()?;
            // Flushes what is in memory first, so whatever the copy holds is durable in the live database too.
            Checkpoint::new(generation.db()).and_then(|c| c.create_checkpoint(dir)).map_err(io_error)?;
            Failpoint::CheckpointCopied.hit()?;
            let mark = read_mark(dir)?;
            sync_files(dir)?;
            Failpoint::CheckpointSynced.hit()?;
            Ok(mark)
        }
    }

    /// Replace everything by the checkpoint in `dir`, durably. Reads that have begun see the old state to their end.
    pub fn install(&self, dir: &Path) -> io::Result<()> {
        let _one = self.0.installing.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.generation().number() + 1;
        let target = generation::dir(&self.0.root, number);
        if target.exists() {
            fs::remove_dir_all(&target)?; // an install that failed before
        }
        fs::create_dir(&target)?;
        for item in fs::read_dir(dir)? {
            let from = item?.path();
            let name = from.file_name().ok_or_else(|| io::Error::other("a file without a name"))?;
            let to = target.join(name);
            // Tables and files of large values never change, so they may be shared; all others will be written to.
            let never_changes = from.extension().is_some_and(|e| e == "sst" || e == "blob");
            if !never_changes || fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
        sync_files(&target)?;
        sync_dir(&self.0.root)?;
        Failpoint::InstallCopied.hit()?;
        let next = Arc::new(Generation::open(&self.0.root, number).map_err(io_error)?);
        if next.db().get(MARK).map_err(io_error)?.is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checkpoint has no mark"));
        }
        Failpoint::InstallOpened.hit()?;
        generation::set_current(&self.0.root, number)?;
        Failpoint::InstallCurrent.hit()?;
        let old = {
            let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, next)
        };
        old.replaced();
        Ok(())
    }
}

/// Reads at one moment.
pub struct View<'a> {
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl View<'_> {
    /// The mark at this moment: it tells which index these rows stand for.
    pub fn mark(&self) -> io::Result<Option<Vec<u8>>> {
        self.snapshot.get(MARK).map_err(io_error)
    }

    pub fn get(&self, family: u8, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.snapshot.get(row_key(family, key)).map_err(io_error)
    }

    /// Rows in key order (or backwards), at most `limit`.
    pub fn scan(&self, family: u8, keys: Keys<'_>, reverse: bool, limit: usize) -> io::Result<Vec<Row>> {
        let mut rows = vec![];
        if limit == 0 {
            return Ok(rows);
        }
        self.for_each(family, keys, reverse, |k, v| {
            rows.push((k.to_vec(), v.to_vec()));
            if rows.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(rows)
    }

    /// Walk over rows without collecting them.
    pub fn for_each(
        &self,
        family: u8,
        keys: Keys<'_>,
        reverse: bool,
        mut row: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        assert_ne!(family, RESERVED_FAMILY, "family 255 is reserved");
        let (low, high) = keys.bounds(family);
        if low >= high {
            return Ok(());
        }
        let mut o = ReadOptions::default();
        o.set_iterate_lower_bound(low.clone());
        o.set_iterate_upper_bound(high.clone());
        // The raw one: rows are seen where they lie, without a copy of each.
        let mut at = self.snapshot.raw_iterator_opt(o);
        match reverse {
            false => at.seek(&low),
            true => at.seek_to_last(),
        }
        while let Some((k, v)) = at.item() {
            if row(&k[1..], v).is_break() {
                return Ok(());
            }
            match reverse {
                false => at.next(),
                true => at.prev(),
            }
        }
        at.status().map_err(io_error)
    }
}

fn read_mark(dir: &Path) -> io::Result<Bytes> {
    let db = DB::open_for_read_only(&Options::default(), dir, false).map_err(io_error)?;
    let mark = db.get(MARK).map_err(io_error)?;
    drop(db);
    for item in fs::read_dir(dir)? {
        let item = item?;
        // What opening it may have left; not part of the checkpoint.
        if item.file_name().to_str().is_some_and(|n| n == "LOCK" || n == "LOG" || n.starts_with("LOG.old")) {
            fs::remove_file(item.path())?;
        }
    }
    Ok(mark.map(Bytes::from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::generation::CURRENT;
    use cloudai_types::limits::{CALM_FLUSH_BYTES_MIN, CALM_LOOKED_FOR_EVERY};

    fn put(s: &RocksState, rows: &[(u8, &str, &str)], mark: &str) {
        let mut b = RowBatch::default();
        rows.iter().for_each(|(f, k, v)| b.put(*f, k.as_bytes(), v.as_bytes()));
        s.write(b, mark.as_bytes()).unwrap();
    }

    fn keys(rows: Vec<Row>) -> Vec<String> {
        rows.into_iter().map(|(k, _)| String::from_utf8(k).unwrap()).collect()
    }

    #[test]
    fn rows_and_mark_come_back_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let s = RocksState::open(dir.path()).unwrap();
        assert_eq!(s.mark().unwrap(), None);
        put(&s, &[(1, "a", "x"), (2, "a", "y")], "m1");
        assert!(matches!(RocksState::open(dir.path()), Err(OpenStateError::InUse { .. })));
        drop(s);
        let s = RocksState::open(dir.path()).unwrap();
        assert_eq!(s.mark().unwrap().unwrap(), "m1");
        assert_eq!(s.get(2, b"a").unwrap().unwrap(), b"y");
        assert_eq!(s.get(3, b"a").unwrap(), None);
    }

    #[test]
    fn scans_stay_in_their_family_both_ways_and_within_limits() {
        let dir = tempfile::tempdir().unwrap();
        let s = RocksState::open(dir.path()).unwrap();
        put(&s, &[(1, "z", ""), (2, "a", ""), (2, "ab", ""), (2, "b", ""), (2, "c", ""), (3, "a", "")], "m");
        assert_eq!(keys(s.scan(2, Keys::All, false, 99).unwrap()), ["a", "ab", "b", "c"]);
        assert_eq!(keys(s.scan(2, Keys::All, true, 3).unwrap()), ["c", "b", "ab"]);
        assert_eq!(keys(s.scan(2, Keys::Prefix(b"a"), false, 99).unwrap()), ["a", "ab"]);
        let range = Keys::Range { from: Some(b"ab"), to: Some(b"c") };
        assert_eq!(keys(s.scan(2, range, false, 99).unwrap()), ["ab", "b"]);
        assert_eq!(keys(s.scan(2, range, true, 1).unwrap()), ["b"]);
        let empty = Keys::Range { from: Some(b"c"), to: Some(b"a") };
        assert!(s.scan(2, empty, false, 9).unwrap().is_empty());
        assert!(s.scan(254, Keys::All, true, 9).unwrap().is_empty(), "the mark is not a row");
        let mut b = RowBatch::default();
        b.delete_range(2, Keys::Prefix(b"a"));
        b.delete(2, b"c");
        s.write(b, b"m2").unwrap();
        assert_eq!(keys(s.scan(2, Keys::All, false, 99).unwrap()), ["b"]);
    }

    #[test]
    fn a_calm_moment_empties_the_write_buffers() {
        let dir = tempfile::tempdir().unwrap();
        let s = RocksState::open(dir.path()).unwrap();
        let empty = s.memory().write_buffers;
        let value = "x".repeat(CALM_FLUSH_BYTES_MIN as usize);
        put(&s, &[(1, "a", &value)], "m1");
        assert!(s.memory().write_buffers > empty + CALM_FLUSH_BYTES_MIN / 2);
        while s.memory().write_buffers > empty + CALM_FLUSH_BYTES_MIN / 2 {
            std::thread::sleep(CALM_LOOKED_FOR_EVERY.as_duration() / 10);
        }
        assert_eq!(s.get(1, b"a").unwrap().unwrap(), value.as_bytes());
    }

    #[test]
    fn a_view_sees_one_moment() {
        let dir = tempfile::tempdir().unwrap();
        let s = RocksState::open(dir.path()).unwrap();
        put(&s, &[(1, "a", "old")], "m1");
        s.view(|v| {
            put(&s, &[(1, "a", "new"), (1, "b", "new")], "m2");
            assert_eq!(v.get(1, b"a").unwrap().unwrap(), b"old");
            assert_eq!(v.scan(1, Keys::All, false, 9).unwrap().len(), 1);
            assert_eq!(v.mark().unwrap().unwrap(), b"m1");
        });
        assert_eq!(s.get(1, b"a").unwrap().unwrap(), b"new");
    }

    /// Writes go on while the job copies: mark and rows in the copy must still belong together.
    #[test]
    fn a_checkpoint_holds_the_rows_of_its_own_mark() {
        let dir = tempfile::tempdir().unwrap();
        let s = RocksState::open(&dir.path().join("state")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (s2, stop2) = (s.clone(), stop.clone());
        put(&s, &[(1, "n", "0")], "0");
        let writer = std::thread::spawn(move || {
            let mut n = 0u64;
            while !stop2.load(Ordering::Relaxed) {
                n += 1;
                put(&s2, &[(1, "n", &n.to_string()), (9, &n.to_string(), &"x".repeat(500))], &n.to_string());
            }
        });
        for i in 0..5 {
            let copy = dir.path().join(format!("copy-{i}"));
            let mark = s.checkpoint()(&copy).unwrap();
            let other = RocksState::open(&dir.path().join(format!("other-{i}"))).unwrap();
            other.install(&copy).unwrap();
            assert_eq!(other.mark().unwrap().unwrap(), mark);
            assert_eq!(other.get(1, b"n").unwrap().unwrap(), mark);
            let rows = other.scan(9, Keys::All, false, usize::MAX).unwrap().len();
            assert_eq!(rows.to_string().as_bytes(), &mark[..]);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    }

    /// The files as a killed process leaves them.
    #[test]
    fn a_killed_state_stands_at_one_of_its_marks_with_all_rows_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
        let s = RocksState::open(&live).unwrap();
        let batch = |n: u64| put(&s, &[(1, "n", &n.to_string()), (9, &n.to_string(), "x")], &n.to_string());
        (1..=50).for_each(batch);
        s.generation().db().flush().unwrap();
        (51..=99).for_each(batch);
        fs::create_dir_all(copy.join("sm-1")).unwrap();
        fs::copy(live.join(CURRENT), copy.join(CURRENT)).unwrap();
        for f in fs::read_dir(live.join("sm-1")).unwrap() {
            let f = f.unwrap();
            fs::copy(f.path(), copy.join("sm-1").join(f.file_name())).unwrap();
        }
        let killed = RocksState::open(&copy).unwrap();
        assert_eq!(killed.mark().unwrap().unwrap(), "50", "the log applies the rest again");
        assert_eq!(killed.get(1, b"n").unwrap().unwrap(), b"50");
        assert_eq!(killed.scan(9, Keys::All, false, 99).unwrap().len(), 50);
        // A handle that is dropped keeps all.
        drop(s);
        assert_eq!(RocksState::open(&live).unwrap().mark().unwrap().unwrap(), "99");
    }

    #[test]
    fn an_install_replaces_all_and_the_old_generation_goes_with_its_last_reader() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let from = RocksState::open(&a).unwrap();
        put(&from, &[(1, "new", "1")], "m9");
        let copy = dir.path().join("copy");
        from.checkpoint()(&copy).unwrap();

        let s = RocksState::open(&b).unwrap();
        put(&s, &[(1, "old", "1")], "m1");
        s.view(|v| {
            s.install(&copy).unwrap();
            assert!(v.get(1, b"old").unwrap().is_some(), "a read that began sees the old state");
            assert!(b.join("sm-1").exists());
            assert_eq!(keys(s.scan(1, Keys::All, false, 9).unwrap()), ["new"]);
        });
        assert!(!b.join("sm-1").exists(), "its last reader is done");
        put(&s, &[(1, "later", "1")], "m10");
        drop(s);
        fs::create_dir(b.join("sm-7")).unwrap(); // an install that a crash ended
        let s = RocksState::open(&b).unwrap();
        assert!(!b.join("sm-7").exists());
        assert_eq!(keys(s.scan(1, Keys::All, false, 9).unwrap()), ["later", "new"]);
        assert_eq!(s.mark().unwrap().unwrap(), "m10");
        // The checkpoint stays usable for others: nothing wrote into it.
        let third = RocksState::open(&dir.path().join("c")).unwrap();
        third.install(&copy).unwrap();
        assert_eq!(keys(third.scan(1, Keys::All, false, 9).unwrap()), ["new"]);
    }
}
