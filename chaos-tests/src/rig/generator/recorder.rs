//! The history file while it is written. Comes in: events. Goes out: one line each, stamped here, so that the order of lines is that of
//! their times, and written at once, so that a killed process loses at most half a line.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;

use crate::history::{Event, Record};
use crate::rig::clock;

pub struct Recorder {
    file: Mutex<(File, Option<std::io::Error>)>,
    next: AtomicU64,
    left_out: AtomicU64,
}

impl Recorder {
    pub fn open(path: &Path) -> anyhow::Result<Recorder> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Recorder { file: Mutex::new((file, None)), next: AtomicU64::new(0), left_out: AtomicU64::new(0) })
    }

    /// A number for a new operation.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn write(&self, client: u32, op: u64, master: Option<&str>, event: Event) {
        let mut file = self.file.lock().expect("nothing panics while it is held");
        let record = Record { at_ns: clock::now_ns(), client, op, master: master.map(str::to_owned), event };
        let written = serde_json::to_vec(&record).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            file.0.write_all(&line)
        });
        if let Err(error) = written {
            file.1.get_or_insert(error);
        }
    }

    pub fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    pub fn operations(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// A history with a hole is none.
    pub fn close(&self) -> anyhow::Result<()> {
        let failed = self.file.lock().expect("nothing panics while it is held").1.take();
        failed.map_or(Ok(()), |error| Err(error).context("the history could not be written"))
    }
}
