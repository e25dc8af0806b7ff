//! Writes one attempt's log. Comes in: frames. Goes out: a file that never exceeds its bound, with its beginning, its end, and a
//! word about what is missing between them.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use cloudai_logs::{Frame, MAGIC, Source, parse};
use cloudai_types::AttemptId;
use tokio::sync::watch;

use super::mirror::Feed;
use super::store::{Inner, Progress};

/// How much of the end of a log that is too long is kept: a program's last line is often its result.
const TAIL_BYTES: u64 = 256 << 10;
/// Room for the markers.
const MARKER_BYTES: u64 = 1 << 10;

pub struct LogWriter {
    store: Arc<Inner>,
    attempt: AttemptId,
    progress: watch::Sender<Progress>,
    /// Made with the first frame.
    file: Option<File>,
    bytes: u64,
    /// Of standard output and standard error apart: the engine stamps each on its own, and they may overtake each other.
    last_times_ns: [Option<u64>; 2],
    cut: Option<Cut>,
    mirror: Option<Feed>,
    /// A failed write was reported; the program goes on without a log.
    broken: bool,
    finished: bool,
}

/// The end of a log that has reached its bound.
#[derive(Default)]
struct Cut {
    tail: VecDeque<Frame>,
    tail_bytes: u64,
    left_out_bytes: u64,
}

impl LogWriter {
    pub(super) fn open(
        store: Arc<Inner>,
        attempt: AttemptId,
        progress: watch::Sender<Progress>,
    ) -> io::Result<LogWriter> {
        let mut writer = LogWriter {
            store,
            attempt,
            progress,
            file: None,
            bytes: 0,
            last_times_ns: [None; 2],
            cut: None,
            mirror: None,
            broken: false,
            finished: false,
        };
        match OpenOptions::new().read(true).append(true).open(writer.store.files(attempt).written) {
            Ok(file) => writer.resume(file)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(writer)
    }

    /// From here on the worker's mirror, if it has one, gets a copy. What an earlier run wrote is there already.
    #[must_use]
    pub fn of_namespace(mut self, namespace: &str) -> Self {
        self.mirror = self.store.mirror.get().map(|mirror| mirror.feed(self.attempt, namespace));
        self
    }

    /// Continues a file after its last whole frame.
    fn resume(&mut self, mut file: File) -> io::Result<()> {
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)?;
        if !bytes.starts_with(MAGIC) {
            file.set_len(0)?;
            bytes = MAGIC.to_vec();
            file.write_all(MAGIC)?;
        }
        let (frames, used) = parse(&Bytes::from(bytes).slice(MAGIC.len()..))?;
        self.bytes = (MAGIC.len() + used) as u64;
        file.set_len(self.bytes)?;
        self.see(&frames);
        self.file = Some(file);
        self.publish(false);
        Ok(())
    }

    /// The time of the last frame of this stream, also of one that was cut or that an earlier writer left. A copy that broke off goes on
    /// after it.
    pub fn last_time_ns(&self, source: Source) -> Option<u64> {
        place(source).and_then(|n| self.last_times_ns[n])
    }

    fn see(&mut self, frames: &[Frame]) {
        for frame in frames {
            if let Some(n) = place(frame.source) {
                self.last_times_ns[n] = self.last_times_ns[n].max(Some(frame.time_ns));
            }
        }
    }

    pub fn append(&mut self, frames: Vec<Frame>) {
        self.see(&frames);
        if let Some(mirror) = &mut self.mirror {
            mirror.see(&frames);
        }
        let mut out = vec![];
        let room = self.store.log_bytes_max.saturating_sub(TAIL_BYTES + MARKER_BYTES);
        for frame in frames {
            if let Some(cut) = &mut self.cut {
                cut.push(frame);
            } else if self.bytes + out.len() as u64 + frame.encoded_len() > room {
                let text = format!(
                    "cloudai: the log reached its bound of {} bytes; only its end will follow, when the program has ended",
                    self.store.log_bytes_max
                );
                Frame::marker(frame.time_ns, text).push_to(&mut out);
                let mut cut = Cut::default();
                cut.push(frame);
                self.cut = Some(cut);
            } else {
                frame.push_to(&mut out);
            }
        }
        self.write(&out);
    }

    /// Nothing follows. `ended_ms`: milliseconds since the epoch, decides which logs are old.
    pub fn finish(mut self, ended_ms: u64) {
        self.conclude(ended_ms);
        self.store.on_finished(self.attempt, ended_ms, self.bytes);
        self.publish(true);
    }

    fn conclude(&mut self, ended_ms: u64) {
        if let Some(mirror) = &mut self.mirror {
            mirror.finish();
        }
        let mut out = vec![];
        if let Some(cut) = self.cut.take() {
            let time_ns = cut.tail.front().map_or(ended_ms * 1_000_000, |f| f.time_ns);
            if cut.left_out_bytes > 0 {
                Frame::marker(time_ns, format!("cloudai: {} bytes are left out here", cut.left_out_bytes))
                    .push_to(&mut out);
            }
            cut.tail.iter().for_each(|f| f.push_to(&mut out));
        }
        self.write(&out);
        if self.file.is_none() {
            // An empty log is a log: its reader is told that there was no output.
            self.create();
        }
        self.finished = true;
    }

    fn publish(&self, complete: bool) {
        self.progress.send_replace(Progress { bytes: self.bytes, complete });
    }

    fn write(&mut self, out: &[u8]) {
        if out.is_empty() || self.broken {
            return;
        }
        if self.file.is_none() {
            self.create();
        }
        let Some(file) = &mut self.file else { return };
        match file.write_all(out) {
            Ok(()) => {
                self.bytes += out.len() as u64;
                self.publish(false);
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn create(&mut self) {
        let path = self.store.files(self.attempt).written;
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
            file.write_all(MAGIC)?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                self.file = Some(file);
                self.bytes = MAGIC.len() as u64;
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        if !self.broken {
            tracing::warn!(attempt = %self.attempt, %error, "the log cannot be written; the program goes on without it");
        }
        self.broken = true;
    }
}

/// Of a stream in `last_times_ns`; what we say ourselves is in none.
fn place(source: Source) -> Option<usize> {
    match source {
        Source::Stdout => Some(0),
        Source::Stderr => Some(1),
        Source::Marker => None,
    }
}

impl Drop for LogWriter {
    /// Without `finish` the log ends where it is: whoever follows it must not wait for ever. It is not all, so nobody stores it.
    fn drop(&mut self) {
        if !self.finished {
            self.conclude(crate::clock::wall().0);
            self.store.on_left(self.attempt);
            self.publish(true);
        }
    }
}

impl Cut {
    fn push(&mut self, frame: Frame) {
        self.tail_bytes += frame.encoded_len();
        self.tail.push_back(frame);
        while self.tail_bytes > TAIL_BYTES {
            let Some(oldest) = self.tail.pop_front() else { return };
            self.tail_bytes -= oldest.encoded_len();
            self.left_out_bytes += oldest.data.len() as u64;
        }
    }
}
