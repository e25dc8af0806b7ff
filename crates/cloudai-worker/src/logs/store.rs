//! All logs of a worker: where they are, who writes them now, and which go when there are too many.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use cloudai_types::{AttemptId, JobId};
use tokio::sync::watch;

use super::reader::{LogReader, OpenError};
use super::writer::LogWriter;

const UNPOISONED: &str = "nothing panics under this lock";
/// A small file occupies a block.
const FILE_BYTES_MIN: u64 = 4096;

/// How far a log is that is being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    /// Whole frames up to here are in the file.
    pub bytes: u64,
    pub complete: bool,
}

#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

pub(super) struct Inner {
    dir: PathBuf,
    pub(super) log_bytes_max: u64,
    total_bytes_max: u64,
    /// Logs that are written now, or whose attempt is going to write one.
    live: Mutex<BTreeMap<AttemptId, watch::Sender<Progress>>>,
    ended: Mutex<Ended>,
}

/// Oldest first.
#[derive(Default)]
struct Ended {
    bytes: u64,
    by_age: BTreeMap<(u64, AttemptId), u64>,
}

impl LogStore {
    /// Counts what is there.
    pub fn open(dir: &Path, log_bytes_max: u64, total_bytes_max: u64) -> io::Result<LogStore> {
        fs::create_dir_all(dir)?;
        let mut ended = Ended::default();
        for job in fs::read_dir(dir)? {
            let job = job?;
            let Some(id) = job.file_name().to_str().and_then(|n| n.parse::<JobId>().ok()) else { continue };
            for file in fs::read_dir(job.path())? {
                let file = file?;
                let name = file.file_name();
                let Some(attempt) = name.to_str().and_then(|n| attempt_of(id, n)) else { continue };
                let meta = file.metadata()?;
                let age = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
                ended.add(age, attempt, meta.len());
            }
        }
        let inner = Inner {
            dir: dir.to_owned(),
            log_bytes_max,
            total_bytes_max,
            live: Mutex::new(BTreeMap::new()),
            ended: Mutex::new(ended),
        };
        inner.make_room();
        Ok(LogStore(Arc::new(inner)))
    }

    /// The one writer of an attempt's log. An existing file (of an adopted container) is continued.
    pub fn writer(&self, attempt: AttemptId) -> io::Result<LogWriter> {
        self.0.forget_ended(attempt);
        let progress = self.0.live.lock().expect(UNPOISONED).entry(attempt).or_default().clone();
        LogWriter::open(self.0.clone(), attempt, progress)
    }

    /// `expected`: the attempt is held here and will write a log even if it has not begun.
    pub async fn reader(&self, attempt: AttemptId, expected: bool) -> Result<LogReader, OpenError> {
        let progress = {
            let mut live = self.0.live.lock().expect(UNPOISONED);
            match live.get(&attempt) {
                Some(progress) => Some(progress.subscribe()),
                None if expected && !self.0.path(attempt).exists() => {
                    Some(live.entry(attempt).or_default().subscribe())
                }
                None => None,
            }
        };
        LogReader::open(self.0.path(attempt), progress).await
    }

    /// The attempt has ended. Whoever waited for a log that it never began waits no longer.
    pub fn attempt_ended(&self, attempt: AttemptId) {
        let mut live = self.0.live.lock().expect(UNPOISONED);
        if let Some(progress) = live.get(&attempt)
            && !self.0.path(attempt).exists()
        {
            progress.send_modify(|p| p.complete = true);
            live.remove(&attempt);
        }
    }

    /// Bytes of all logs of ended attempts.
    #[cfg(test)]
    pub fn ended_bytes(&self) -> u64 {
        self.0.ended.lock().expect(UNPOISONED).bytes
    }
}

impl Inner {
    /// `JOB/INDEX.N.log`
    pub(super) fn path(&self, attempt: AttemptId) -> PathBuf {
        let file = format!("{}.{}.log", attempt.task.index, attempt.number);
        self.dir.join(attempt.task.job.to_string()).join(file)
    }

    pub(super) fn on_finished(&self, attempt: AttemptId, ended_ms: u64, bytes: u64) {
        self.live.lock().expect(UNPOISONED).remove(&attempt);
        self.ended.lock().expect(UNPOISONED).add(ended_ms, attempt, bytes);
        self.make_room();
    }

    fn forget_ended(&self, attempt: AttemptId) {
        let mut ended = self.ended.lock().expect(UNPOISONED);
        // Only after a restart, once per adopted container: a scan is cheap enough.
        if let Some(key) = ended.by_age.keys().find(|(_, a)| *a == attempt).copied() {
            ended.remove(key);
        }
    }

    fn make_room(&self) {
        let mut ended = self.ended.lock().expect(UNPOISONED);
        while ended.bytes > self.total_bytes_max {
            let Some(key) = ended.by_age.keys().next().copied() else { return };
            ended.remove(key);
            let path = self.path(key.1);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "an old log cannot be removed");
            }
            // Only the last log of a job empties its directory.
            if let Some(dir) = path.parent() {
                let _ = fs::remove_dir(dir);
            }
        }
    }
}

impl Ended {
    fn add(&mut self, age: u64, attempt: AttemptId, bytes: u64) {
        let bytes = bytes.max(FILE_BYTES_MIN);
        if let Some(before) = self.by_age.insert((age, attempt), bytes) {
            self.bytes -= before;
        }
        self.bytes += bytes;
    }

    fn remove(&mut self, key: (u64, AttemptId)) {
        if let Some(bytes) = self.by_age.remove(&key) {
            self.bytes -= bytes;
        }
    }
}

/// `7.2.log` → index 7, attempt 2.
fn attempt_of(job: JobId, name: &str) -> Option<AttemptId> {
    let (index, number) = name.strip_suffix(".log")?.split_once('.')?;
    Some(AttemptId::new(job, index.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
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
        let mut reader = store.reader(attempt, false).await.unwrap();
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
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30).unwrap();
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
        assert!(matches!(store.reader(id(1), false).await, Err(OpenError::NotFound)));
    }

    #[tokio::test]
    async fn whoever_comes_before_the_first_line_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30).unwrap();
        let mut early = store.reader(id(0), true).await.unwrap();
        let mut never = store.reader(id(1), true).await.unwrap();
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
        let store = LogStore::open(dir.path(), max, 1 << 30).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        let filler = "x".repeat(1023);
        for n in 0..3_000u64 {
            writer.append(vec![line(n, &format!("{filler}\n"))]);
        }
        writer.append(vec![line(3_000, "{\"the\": \"result\"}\n")]);
        writer.finish(5);
        let size = fs::metadata(store.0.path(id(0))).unwrap().len();
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
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        writer.append(vec![line(10, "one\n"), line(20, "two\n")]);
        drop(writer);
        let path = store.0.path(id(0));
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"\x07\x00\x00");
        fs::write(&path, bytes).unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 1 << 30).unwrap();
        let mut writer = store.writer(id(0)).unwrap();
        assert_eq!(writer.last_time_ns(Source::Stdout), Some(20));
        writer.append(vec![line(30, "three\n")]);
        writer.finish(5);
        assert_eq!(text(&store, id(0), true, 0).await, "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn the_oldest_logs_go_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), 1 << 20, 3 * FILE_BYTES_MIN).unwrap();
        for n in 0..5 {
            let mut writer = store.writer(id(n)).unwrap();
            writer.append(vec![line(1, "x")]);
            writer.finish(u64::from(n));
        }
        assert_eq!(store.ended_bytes(), 3 * FILE_BYTES_MIN);
        assert!(matches!(store.reader(id(1), false).await, Err(OpenError::NotFound)));
        assert_eq!(text(&store, id(2), false, 0).await, "x");
        // The same after a restart.
        let store = LogStore::open(dir.path(), 1 << 20, FILE_BYTES_MIN).unwrap();
        assert_eq!(store.ended_bytes(), FILE_BYTES_MIN);
    }
}
