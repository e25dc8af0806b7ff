//! All logs of a worker: where they are, who writes them now, and which go when there are too many.
//!
//! A log lies in `JOB/INDEX.N.log`. Once the store has it its name ends with `.stored`, so that a worker that was killed knows which are still
//! owed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::UNIX_EPOCH;

use cloudai_logs::Selection;
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::{AttemptId, JobId};
use tokio::sync::{Notify, watch};

use super::kept::{Kept, Standing, Turn};
use super::mirror::Mirror;
use super::reader::{LogReader, OpenError};
use super::writer::LogWriter;

const UNPOISONED: &str = "nothing panics under this lock";
const WRITTEN: &str = "log";
const STORED: &str = "stored";

/// How far a log is that is being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    /// Whole frames up to here are in the file.
    pub bytes: u64,
    pub complete: bool,
}

/// Where one log may lie.
#[derive(Clone)]
pub(super) struct Files {
    pub written: PathBuf,
    pub stored: PathBuf,
}

#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

pub(super) struct Inner {
    dir: PathBuf,
    pub(super) log_bytes_max: u64,
    total_bytes_max: u64,
    /// Ended logs are owed to a store; counts those that go before it has them. `None`: there is none.
    owing: Option<WorkerMetrics>,
    /// Has a copy of all that is written from now on, if the operator wants one.
    pub(super) mirror: OnceLock<Mirror>,
    /// Logs that are written now, or whose attempt is going to write one.
    live: Mutex<BTreeMap<AttemptId, watch::Sender<Progress>>>,
    kept: Mutex<Kept>,
    owed: Notify,
    /// Something that was owed is not any more.
    settled: Notify,
}

impl LogStore {
    /// Counts what is there.
    pub fn open(
        dir: &Path,
        log_bytes_max: u64,
        total_bytes_max: u64,
        owing: Option<WorkerMetrics>,
    ) -> io::Result<LogStore> {
        fs::create_dir_all(dir)?;
        let mut kept = Kept::default();
        for job in fs::read_dir(dir)? {
            let job = job?;
            let Some(id) = job.file_name().to_str().and_then(|n| n.parse::<JobId>().ok()) else { continue };
            for file in fs::read_dir(job.path())? {
                let file = file?;
                let name = file.file_name();
                let Some((attempt, is_stored)) = name.to_str().and_then(|n| attempt_of(id, n)) else { continue };
                let meta = file.metadata()?;
                let age = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
                let standing = if is_stored || owing.is_none() { Standing::Spare } else { Standing::Owed };
                kept.add(attempt, age, meta.len(), standing);
            }
        }
        let inner = Inner {
            dir: dir.to_owned(),
            log_bytes_max,
            total_bytes_max,
            owing,
            mirror: OnceLock::new(),
            live: Mutex::new(BTreeMap::new()),
            kept: Mutex::new(kept),
            owed: Notify::new(),
            settled: Notify::new(),
        };
        inner.make_room();
        inner.tell();
        Ok(LogStore(Arc::new(inner)))
    }

    /// Writers that know their namespace give this mirror a copy. Once, before the first of them.
    pub fn mirror_to(&self, mirror: Mirror) {
        let _ = self.0.mirror.set(mirror);
    }

    /// The one writer of an attempt's log. An existing file (of an adopted container) is continued.
    pub fn writer(&self, attempt: AttemptId) -> io::Result<LogWriter> {
        self.0.take_back(attempt)?;
        let progress = self.0.live.lock().expect(UNPOISONED).entry(attempt).or_default().clone();
        LogWriter::open(self.0.clone(), attempt, progress)
    }

    /// `expected`: the attempt is held here and will write a log even if it has not begun.
    pub async fn reader(
        &self,
        attempt: AttemptId,
        expected: bool,
        selection: Selection,
    ) -> Result<LogReader, OpenError> {
        let files = self.0.files(attempt);
        let progress = {
            let mut live = self.0.live.lock().expect(UNPOISONED);
            match live.get(&attempt) {
                Some(progress) => Some(progress.subscribe()),
                None if expected && !files.exist() => Some(live.entry(attempt).or_default().subscribe()),
                None => None,
            }
        };
        LogReader::open(files, progress, selection).await
    }

    /// The attempt has ended. Whoever waited for a log that it never began waits no longer.
    pub fn attempt_ended(&self, attempt: AttemptId) {
        let mut live = self.0.live.lock().expect(UNPOISONED);
        if let Some(progress) = live.get(&attempt)
            && !self.0.files(attempt).exist()
        {
            progress.send_modify(|p| p.complete = true);
            live.remove(&attempt);
        }
    }

    /// A log that the store is to have and whose turn it is: when there is one. It is on its way until [`LogStore::sent`] is called.
    pub async fn next_owed(&self, turn: Turn) -> (AttemptId, PathBuf) {
        loop {
            let changed = self.0.owed.notified();
            if let Some(attempt) = self.0.kept.lock().expect(UNPOISONED).next_to_send(turn) {
                return (attempt, self.0.files(attempt).written);
            }
            changed.await;
        }
    }

    /// Resolves when the store has the log of an ended attempt, or is not to have it. Until then it goes before those that nobody waits for.
    pub async fn until_stored(&self, attempt: AttemptId) {
        loop {
            let settled = self.0.settled.notified();
            tokio::pin!(settled);
            // From here on no settlement is missed.
            settled.as_mut().enable();
            if !self.0.kept.lock().expect(UNPOISONED).wait_for(attempt) {
                return;
            }
            self.0.owed.notify_one();
            settled.await;
        }
    }

    /// The store has it, or it is to be tried again.
    pub fn sent(&self, attempt: AttemptId, is_stored: bool) {
        {
            let mut kept = self.0.kept.lock().expect(UNPOISONED);
            match kept.standing(attempt) {
                Some(Standing::Owed | Standing::Sending) if is_stored => {
                    let files = self.0.files(attempt);
                    // Kept under the lock: nobody takes it back in between. Where it fails the next start stores it once more.
                    if let Err(error) = fs::rename(&files.written, &files.stored) {
                        tracing::debug!(%attempt, %error, "a stored log is not marked as one");
                    }
                    kept.change(attempt, Standing::Spare);
                }
                Some(Standing::Sending) => {
                    kept.change(attempt, Standing::Owed);
                    self.0.owed.notify_one();
                }
                // Somebody else has stored it, or it is written again.
                Some(Standing::Owed | Standing::Spare) | None => {}
            }
        }
        self.0.make_room();
        self.0.tell();
    }

    /// It cannot be stored, ever: it stays until there is no more room.
    pub fn give_up(&self, attempt: AttemptId) {
        self.0.kept.lock().expect(UNPOISONED).change(attempt, Standing::Spare);
        if let Some(metrics) = &self.0.owing {
            metrics.logs_lost.inc();
        }
        self.0.make_room();
        self.0.tell();
    }

    #[cfg(test)]
    pub fn is_owed(&self, attempt: AttemptId) -> bool {
        matches!(self.0.kept.lock().expect(UNPOISONED).standing(attempt), Some(Standing::Owed | Standing::Sending))
    }

    /// Bytes of all logs of ended attempts.
    #[cfg(test)]
    pub fn ended_bytes(&self) -> u64 {
        self.0.kept.lock().expect(UNPOISONED).bytes
    }
}

impl Inner {
    pub(super) fn files(&self, attempt: AttemptId) -> Files {
        let dir = self.dir.join(attempt.task.job.to_string());
        let named = |end: &str| dir.join(format!("{}.{}.{end}", attempt.task.index, attempt.number));
        Files { written: named(WRITTEN), stored: named(STORED) }
    }

    pub(super) fn on_finished(&self, attempt: AttemptId, ended_ms: u64, bytes: u64) {
        self.live.lock().expect(UNPOISONED).remove(&attempt);
        let standing = if self.owing.is_some() { Standing::Owed } else { Standing::Spare };
        self.kept.lock().expect(UNPOISONED).add(attempt, ended_ms, bytes, standing);
        self.make_room();
        self.tell();
        self.owed.notify_one();
    }

    /// It ends without an end of its attempt: the worker stops, and its successor goes on with it.
    pub(super) fn on_left(&self, attempt: AttemptId) {
        self.live.lock().expect(UNPOISONED).remove(&attempt);
    }

    /// It is written again: whatever is stored of it is not all.
    fn take_back(&self, attempt: AttemptId) -> io::Result<()> {
        let mut kept = self.kept.lock().expect(UNPOISONED);
        kept.remove(attempt);
        let files = self.files(attempt);
        match fs::rename(&files.stored, &files.written) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn make_room(&self) {
        let mut kept = self.kept.lock().expect(UNPOISONED);
        while kept.bytes > self.total_bytes_max {
            let Some((attempt, standing)) = kept.next_to_go() else { return };
            kept.remove(attempt);
            if standing == Standing::Owed
                && let Some(metrics) = &self.owing
            {
                metrics.logs_lost.inc();
                tracing::warn!(
                    %attempt,
                    bytes_max = self.total_bytes_max,
                    "a log is removed that the store has not: there is no more room for logs; the store is slow or refuses, or \
                     logs_total_bytes_max is small"
                );
            }
            let files = self.files(attempt);
            for path in [&files.written, &files.stored] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(%error, path = %path.display(), "an old log cannot be removed");
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            // Only the last log of a job empties its directory.
            if let Some(dir) = files.written.parent() {
                let _ = fs::remove_dir(dir);
            }
        }
    }

    fn tell(&self) {
        if let Some(metrics) = &self.owing {
            let owed = self.kept.lock().expect(UNPOISONED).owed();
            metrics.logs_owed.set(i64::try_from(owed).unwrap_or(i64::MAX));
        }
        self.settled.notify_waiters();
    }
}

impl Files {
    pub fn exist(&self) -> bool {
        self.written.exists() || self.stored.exists()
    }

    /// A log is renamed from the first to the second name, hardly ever back: looked for in this order it is found while that happens.
    pub fn open(&self) -> io::Result<Option<File>> {
        for path in [&self.written, &self.stored, &self.written] {
            match File::open(path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// `7.2.log` → index 7, attempt 2; `7.2.stored`: the store has it.
fn attempt_of(job: JobId, name: &str) -> Option<(AttemptId, bool)> {
    let (numbers, end) = name.rsplit_once('.')?;
    let is_stored = match end {
        WRITTEN => false,
        STORED => true,
        _ => return None,
    };
    let (index, number) = numbers.split_once('.')?;
    Some((AttemptId::new(job, index.parse().ok()?, number.parse().ok()?), is_stored))
}

#[cfg(test)]
mod tests {
    use super::super::kept::FILE_BYTES_MIN;
    use super::super::{Frame, Source};
    use super::*;
    use bytes::Bytes;

    fn id(n: u32) -> AttemptId {
        AttemptId::new(JobId(1), n, 1)
    }

    fn line(time_ns: u64, text: &str) -> Frame {
        Frame { time_ns, source: Source::Stdout, data: Bytes::copy_from_slice(text.as_bytes()) }
    }

    async fn text(store: &LogStore, attempt: AttemptId, follow: bool, tail: u32) -> String {
        let mut reader = store.reader(attempt, false, Selection::default()).await.unwrap();
        reader.skip_to_tail(tail).await.unwrap();
        let mut out = vec![];
        while let Some(frames) = reader.next(follow).await.unwrap() {
            frames.iter().for_each(|f| out.extend_from_slice(&f.data));
        }
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn a_follower_gets_everything_and_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30, None).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        writer.append(vec![line(1, "one\n")]);
        let follower = tokio::spawn({
            let store = store.clone();
            async move { text(&store, id(0), true, 0).await }
        });
        tokio::task::yield_now().await;
        writer.append(vec![line(2, "two\n")]);
        assert_eq!(text(&store, id(0), false, 0).await, "one\ntwo\n", "without follow: what is there");
        writer.append(vec![line(3, "three")]);
        writer.finish(5);
        assert_eq!(follower.await.unwrap(), "one\ntwo\nthree");
        assert_eq!(text(&store, id(0), true, 2).await, "two\nthree");
        assert!(matches!(store.reader(id(1), false, Selection::default()).await, Err(OpenError::NotFound)));
    }

    #[tokio::test]
    async fn whoever_comes_before_the_first_line_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30, None).unwrap();
        let mut early = store.reader(id(0), true, Selection::default()).await.unwrap();
        let mut never = store.reader(id(1), true, Selection::default()).await.unwrap();
        let waiting = tokio::spawn(async move { early.next(true).await.unwrap().map(|f| f[0].data.clone()) });
        tokio::task::yield_now().await;
        let mut writer = store.writer(id(0)).unwrap();
        writer.append(vec![line(1, "x")]);
        assert_eq!(waiting.await.unwrap(), Some(Bytes::from_static(b"x")));
        store.attempt_ended(id(1));
        assert_eq!(never.next(true).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_long_log_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let max = 1 << 20;
        let store = LogStore::open(dir.path(), max, 1 << 30, None).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        let filler = "x".repeat(1023);
        for n in 0..3_000u64 {
            writer.append(vec![line(n, &format!("{filler}\n"))]);
        }
        writer.append(vec![line(3_000, "{\"the\": \"result\"}\n")]);
        writer.finish(5);
        let size = fs::metadata(store.0.files(id(0)).written).unwrap().len();
        assert!(size <= max, "{size}");
        let all = text(&store, id(0), false, 0).await;
        assert!(all.starts_with(&filler));
        assert!(all.ends_with("{\"the\": \"result\"}\n"));
        assert!(all.contains("bytes are left out here"), "the cut is visible");
        assert_eq!(text(&store, id(0), false, 1).await, "{\"the\": \"result\"}\n");
    }

    #[tokio::test]
    async fn an_adopted_log_goes_on_after_its_last_whole_frame() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30, None).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        writer.append(vec![line(10, "one\n"), line(20, "two\n")]);
        drop(writer);
        let path = store.0.files(id(0)).written;
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"\x07\x00\x00");
        fs::write(&path, bytes).unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30, None).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        assert_eq!(writer.last_time_ns(Source::Stdout), Some(20));
        writer.append(vec![line(30, "three\n")]);
        writer.finish(5);
        assert_eq!(text(&store, id(0), true, 0).await, "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn the_oldest_logs_go_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 3 * FILE_BYTES_MIN, None).unwrap();
        for n in 0..5 {
            let mut writer = store.writer(id(n)).unwrap();
            writer.append(vec![line(1, "x")]);
            writer.finish(u64::from(n));
        }
        assert_eq!(store.ended_bytes(), 3 * FILE_BYTES_MIN);
        assert!(matches!(store.reader(id(1), false, Selection::default()).await, Err(OpenError::NotFound)));
        assert_eq!(text(&store, id(2), false, 0).await, "x");
        // The same after a restart.
        let store = LogStore::open(dir.path(), 1 << 20, FILE_BYTES_MIN, None).unwrap();
        assert_eq!(store.ended_bytes(), FILE_BYTES_MIN);
    }

    #[tokio::test]
    async fn a_reader_gets_the_time_and_the_stream_that_it_asks_for() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30, None).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        for n in 1..=6u64 {
            let source = if n % 2 == 0 { Source::Stderr } else { Source::Stdout };
            let data = Bytes::from(format!("{n}\n"));
            writer.append(vec![Frame { time_ns: n * 1_000_000, source, data }]);
        }
        let read = async |selection, tail| {
            let mut reader = store.reader(id(0), false, selection).await.unwrap();
            reader.skip_to_tail(tail).await.unwrap();
            let mut out = vec![];
            while let Some(frames) = reader.next(false).await.unwrap() {
                frames.iter().for_each(|f| out.extend_from_slice(&f.data));
            }
            String::from_utf8(out).unwrap()
        };
        let only = |only| Selection { since_ms: 0, only: Some(only) };
        assert_eq!(read(Selection { since_ms: 5, only: None }, 0).await, "5\n6\n");
        assert_eq!(read(only(Source::Stderr), 0).await, "2\n4\n6\n");
        assert_eq!(read(only(Source::Stdout), 2).await, "3\n5\n", "the last lines of what is wanted");
        assert_eq!(read(Selection { since_ms: 7, only: None }, 3).await, "");
    }

    #[tokio::test]
    async fn a_log_that_the_store_has_goes_before_one_that_it_has_not() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = WorkerMetrics::new("1.2.3");
        let open = |bytes| LogStore::open(dir.path(), 1 << 20, bytes, Some(metrics.clone())).unwrap();
        let store = open(3 * FILE_BYTES_MIN);
        let write = |n: u32| {
            let mut writer = store.writer(id(n)).unwrap();
            writer.append(vec![line(1, "x")]);
            writer.finish(u64::from(n));
        };
        (0..3).for_each(write);
        store.sent(id(1), true);
        write(3);
        assert!(matches!(store.reader(id(1), false, Selection::default()).await, Err(OpenError::NotFound)));
        assert_eq!((metrics.logs_owed.get(), metrics.logs_lost.get()), (3, 0));
        write(4);
        assert_eq!((metrics.logs_owed.get(), metrics.logs_lost.get()), (3, 1), "only where nothing else helps");
        assert!(!store.is_owed(id(0)), "the oldest");
    }
}
