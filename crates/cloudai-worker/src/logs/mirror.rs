//! Task output for log shippers, beside the logs of attempts. Comes in: frames, as they are written to an attempt's log. Goes out: a JSON object a line,
//! in two files that take turns. It is a copy for searching: where the disk is full or slow lines are left out and counted, and neither a task nor its own log
//! ever waits for it.
//!
//! It does not know who reads the files, nor what becomes of them (ADR 0038).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};

use cloudai_logs::{Frame, Source};
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::AttemptId;
use cloudai_types::limits::LOG_MIRROR_QUEUE_BYTES_MAX;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::mirror_lines::{Line, Lines};

/// What a line in the queue takes beside its text.
const LINE_OVERHEAD_BYTES: u64 = 64;
/// For the owner, and for a shipper in the group.
const FILE_MODE: u32 = 0o640;

/// One of a worker. Cheap to clone.
#[derive(Clone)]
pub struct Mirror(Arc<Shared>);

struct Shared {
    queue: mpsc::Sender<Batch>,
    /// Bytes in the queue, which is bounded by them and not by its length.
    queued_bytes: Arc<AtomicU64>,
    metrics: WorkerMetrics,
}

struct Batch {
    of: Arc<Names>,
    lines: Vec<Line>,
    bytes: u64,
}

/// Whose lines they are.
struct Names {
    attempt: AttemptId,
    namespace: String,
}

/// One line of the mirror, as a shipper reads it. Fields are only added.
#[derive(Serialize)]
struct Record<'a> {
    /// RFC 3339 in UTC, by the engine's clock.
    ts: String,
    job: String,
    /// `JOB/INDEX`.
    task: String,
    /// `JOB/INDEX.N`.
    attempt: String,
    worker: &'a str,
    namespace: &'a str,
    /// `stdout`, `stderr`, or `marker`: a remark of the worker's.
    stream: &'static str,
    /// What is no UTF-8 is replaced, as in every answer of the command line.
    line: std::borrow::Cow<'a, str>,
}

impl Mirror {
    /// Opens `DIR/tasks-WORKER.jsonl`. At `file_bytes_max` it becomes `tasks-WORKER.jsonl.1`, in the place of the one before, and a new one begins.
    pub fn open(dir: &Path, file_bytes_max: u64, worker: &str, metrics: &WorkerMetrics) -> io::Result<Mirror> {
        fs::create_dir_all(dir)?;
        let mut files = Files::new(dir, file_bytes_max, worker);
        files.open()?;
        let (queue, batches) = mpsc::channel::<Batch>();
        let queued_bytes = Arc::new(AtomicU64::new(0));
        let shared = Shared { queue, queued_bytes: queued_bytes.clone(), metrics: metrics.clone() };
        let (worker, metrics) = (worker.to_owned(), metrics.clone());
        // A thread of its own: a disk that hangs holds up nothing else. It ends with the last who feeds it.
        std::thread::Builder::new().name("log-mirror".to_owned()).spawn(move || {
            for batch in batches {
                let lost = files.write(&worker, &batch);
                metrics.log_mirror_dropped.inc_by(lost);
                queued_bytes.fetch_sub(batch.bytes, Relaxed);
            }
        })?;
        Ok(Mirror(Arc::new(shared)))
    }

    /// For one attempt's output. `namespace`: empty where an older worker has started it.
    pub fn feed(&self, attempt: AttemptId, namespace: &str) -> Feed {
        let of = Arc::new(Names { attempt, namespace: namespace.to_owned() });
        Feed { mirror: self.clone(), of, lines: Lines::default() }
    }

    /// Never waits.
    fn put(&self, of: &Arc<Names>, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        let bytes = lines.iter().map(|l| l.text.len() as u64 + LINE_OVERHEAD_BYTES).sum();
        let shared = &self.0;
        let count = lines.len() as u64;
        if shared.queued_bytes.fetch_add(bytes, Relaxed) + bytes > LOG_MIRROR_QUEUE_BYTES_MAX {
            shared.queued_bytes.fetch_sub(bytes, Relaxed);
            shared.metrics.log_mirror_dropped.inc_by(count);
        } else if shared.queue.send(Batch { of: of.clone(), lines, bytes }).is_err() {
            // Its thread has died.
            shared.metrics.log_mirror_dropped.inc_by(count);
        }
    }
}

/// Takes one attempt's frames.
pub struct Feed {
    mirror: Mirror,
    of: Arc<Names>,
    lines: Lines,
}

impl Feed {
    pub fn see(&mut self, frames: &[Frame]) {
        self.mirror.put(&self.of, self.lines.take(frames));
    }

    pub fn finish(&mut self) {
        self.mirror.put(&self.of, self.lines.finish());
    }
}

impl Names {
    fn record<'a>(&'a self, worker: &'a str, line: &'a Line) -> Record<'a> {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(line.time_ns));
        Record {
            ts: at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default(),
            job: self.attempt.task.job.to_string(),
            task: self.attempt.task.to_string(),
            attempt: self.attempt.to_string(),
            worker,
            namespace: &self.namespace,
            stream: match line.source {
                Source::Stdout => "stdout",
                Source::Stderr => "stderr",
                Source::Marker => "marker",
            },
            line: String::from_utf8_lossy(&line.text),
        }
    }
}

/// The two files.
struct Files {
    now: PathBuf,
    before: PathBuf,
    bytes_max: u64,
    /// `None` after a failed write: the next one opens it again.
    open: Option<(File, u64)>,
    /// The trouble was logged, and is not over.
    in_trouble: bool,
}

impl Files {
    fn new(dir: &Path, bytes_max: u64, worker: &str) -> Self {
        let now = dir.join(format!("tasks-{worker}.jsonl"));
        let before = dir.join(format!("tasks-{worker}.jsonl.1"));
        Files { now, before, bytes_max, open: None, in_trouble: false }
    }

    /// Goes on behind what is there. A line that an earlier run began is ended: it is no JSON, and the next one is.
    fn open(&mut self) -> io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            let mut file = OpenOptions::new().read(true).append(true).create(true).mode(FILE_MODE).open(&self.now)?;
            let mut bytes = file.metadata()?.len();
            if bytes > 0 && !ends_with_newline(&file, bytes)? {
                file.write_all(b"\n")?;
                bytes += 1;
            }
            self.open = Some((file, bytes));
        }
        Ok(self.open.as_mut().expect("it was just opened"))
    }

    /// How many lines were lost.
    fn write(&mut self, worker: &str, batch: &Batch) -> u64 {
        let (mut lost, mut out, mut lines) = (0, vec![], 0);
        // Its size counts below; where it cannot be opened, that is told when it is written to.
        let _ = self.open();
        for line in &batch.lines {
            let from = out.len();
            serde_json::to_writer(&mut out, &batch.of.record(worker, line)).expect("texts, into memory");
            out.push(b'\n');
            let written = self.open.as_ref().map_or(0, |(_, bytes)| *bytes);
            if written + out.len() as u64 > self.bytes_max && written + from as u64 > 0 {
                lost += self.append(&out[..from], lines);
                self.take_turns();
                out.drain(..from);
                lines = 0;
            }
            lines += 1;
        }
        lost + self.append(&out, lines)
    }

    fn append(&mut self, bytes: &[u8], lines: u64) -> u64 {
        if lines == 0 {
            return 0;
        }
        let written = self.open().and_then(|(file, size)| {
            let written = file.write_all(bytes);
            match &written {
                Ok(()) => *size += bytes.len() as u64,
                // A part of it may be there: what follows must not be glued to it.
                Err(_) => drop(file.set_len(*size)),
            }
            written
        });
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.in_trouble) {
                    tracing::info!(path = %self.now.display(), "the mirror of task logs is written again");
                }
                0
            }
            Err(error) => {
                self.open = None;
                if !std::mem::replace(&mut self.in_trouble, true) {
                    tracing::warn!(
                        path = %self.now.display(), %error,
                        "the mirror of task logs cannot be written: its lines are left out, and counted; the logs themselves are not touched"
                    );
                }
                lines
            }
        }
    }

    fn take_turns(&mut self) {
        self.open = None;
        // Where it fails the file is truncated: the bound holds, whatever else does.
        if fs::rename(&self.now, &self.before).is_err() {
            let _ = OpenOptions::new().write(true).truncate(true).open(&self.now);
        }
    }
}

fn ends_with_newline(file: &File, bytes: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut last = [0];
    file.read_exact_at(&mut last, bytes - 1)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use cloudai_types::JobId;

    use super::*;

    fn attempt() -> AttemptId {
        AttemptId::new(JobId(5), 3, 2)
    }

    fn batch(lines: &[&[u8]]) -> Batch {
        let of = Arc::new(Names { attempt: attempt(), namespace: "team-a".to_owned() });
        let line = |text: &&[u8]| Line {
            time_ns: 1_790_000_000_123_456_789,
            source: Source::Stderr,
            text: Bytes::copy_from_slice(text),
        };
        Batch { of, lines: lines.iter().map(line).collect(), bytes: 0 }
    }

    fn texts(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a JSON object a line");
        text.lines().map(|line| record(line)["line"].as_str().expect("a text").to_owned()).collect()
    }

    #[test]
    fn a_line_says_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), 1 << 20, "w1");
        assert_eq!(files.write("w1", &batch(&[b"say \"hi\" \xff\t!"])), 0);
        let job = JobId(5);
        assert_eq!(
            fs::read_to_string(&files.now).unwrap(),
            format!(
                "{{\"ts\":\"2026-09-21T14:13:20.123456789Z\",\"job\":\"{job}\",\"task\":\"{job}/3\",\"attempt\":\"{job}/3.2\",\"worker\":\"w1\",\"namespace\":\"team-a\",\"stream\":\"stderr\",\"line\":\"say \\\"hi\\\" \u{fffd}\\t!\"}}\n"
            )
        );
    }

    #[test]
    fn two_files_take_turns_and_neither_is_larger_than_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let max = 2_000;
        let mut files = Files::new(dir.path(), max, "w1");
        let all: Vec<String> = (0..40).map(|n| format!("{n:0100}")).collect();
        for part in all.chunks(7) {
            let part: Vec<&[u8]> = part.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(files.write("w1", &batch(&part)), 0);
        }
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(size(&files.now) <= max && size(&files.before) <= max && size(&files.before) > max / 2);
        let kept = [texts(&files.before), texts(&files.now)].concat();
        assert_eq!(kept, all[all.len() - kept.len()..], "the newest, in order, none of them left out");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_later_run_goes_on_behind_what_is_there_and_ends_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), 1 << 20, "w1");
        files.write("w1", &batch(&[b"one"]));
        let whole = fs::read(&files.now).unwrap();
        fs::write(&files.now, [&whole[..], b"{\"ts\":\"2026"].concat()).unwrap();
        let mut files = Files::new(dir.path(), 1 << 20, "w1");
        files.write("w1", &batch(&[b"two"]));
        let text = fs::read_to_string(&files.now).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[1]), (3, "{\"ts\":\"2026"));
        assert!(lines[2].ends_with("\"line\":\"two\"}"), "{}", lines[2]);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_next_line_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), 1 << 20, "w1");
        fs::create_dir(&files.now).unwrap();
        assert_eq!(files.write("w1", &batch(&[b"one", b"two"])), 2);
        fs::remove_dir(&files.now).unwrap();
        assert_eq!(files.write("w1", &batch(&[b"three"])), 0);
        assert_eq!(texts(&files.now), ["three"]);
    }

    /// Its thread takes nothing, as with a disk that hangs.
    #[test]
    fn a_full_queue_leaves_lines_out_and_nobody_waits() {
        let metrics = WorkerMetrics::new("1.2.3");
        let (queue, _not_taken_from) = mpsc::channel();
        let shared = Shared { queue, queued_bytes: Arc::default(), metrics: metrics.clone() };
        let mirror = Mirror(Arc::new(shared));
        let mut feed = mirror.feed(attempt(), "default");
        let data = Bytes::from([&[b'x'; 1 << 14][..], b"\n"].concat());
        let frames = vec![Frame { time_ns: 1, source: Source::Stdout, data }];
        let fit = LOG_MIRROR_QUEUE_BYTES_MAX / ((1 << 14) + LINE_OVERHEAD_BYTES);
        for _ in 0..fit + 3 {
            feed.see(&frames);
        }
        assert_eq!(metrics.log_mirror_dropped.get(), 3);
        assert!(mirror.0.queued_bytes.load(Relaxed) <= LOG_MIRROR_QUEUE_BYTES_MAX);
    }

    #[test]
    fn what_an_attempt_writes_is_there_when_the_mirror_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = WorkerMetrics::new("1.2.3");
        let mirror = Mirror::open(dir.path(), 1 << 20, "w1", &metrics).unwrap();
        let mut feed = mirror.feed(attempt(), "default");
        let frame = |data: &'static [u8]| Frame { time_ns: 1, source: Source::Stdout, data: Bytes::from_static(data) };
        feed.see(&[frame(b"one\ntw")]);
        feed.see(&[frame(b"o\nthree")]);
        feed.finish();
        while mirror.0.queued_bytes.load(Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(texts(&dir.path().join("tasks-w1.jsonl")), ["one", "two", "three"]);
        assert_eq!(metrics.log_mirror_dropped.get(), 0);
    }

    /// What `expressions` of one `loki.process` of the shipped configuration name.
    fn named_by_alloy(process: &str) -> Vec<String> {
        let config = include_str!("../../../../deploy/alloy/config.alloy");
        let (_, rest) = config.split_once(&format!("loki.process \"{process}\" {{")).expect("a pipeline of this name");
        let (block, _) = rest.split_once("\n}\n").expect("it ends");
        let (_, rest) = block.split_once("expressions = {").expect("it reads JSON");
        let (expressions, _) = rest.split_once('}').expect("they end");
        let pairs = expressions.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once('='));
        pairs.map(|(_, path)| path.trim().trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn the_shipper_reads_each_field_of_a_line_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), 1 << 20, "w1");
        files.write("w1", &batch(&[b"x"]));
        let line: BTreeMap<String, String> = serde_json::from_str(&fs::read_to_string(&files.now).unwrap()).unwrap();
        let mut named = named_by_alloy("tasks");
        named.sort_unstable();
        assert_eq!(line.into_keys().collect::<Vec<_>>(), named);
    }
}
