//! A record of what the executor `noop` really ran, for tests of fencing: whether two attempts of one task ever ran at a time. Comes in:
//! starts and ends. Goes out: one JSON line each, written before anybody else hears of it, so that a killed process leaves
//! what it did. Nothing reads it here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use cloudai_types::AttemptId;

use crate::clock;

pub struct Record {
    /// Appended to, across restarts of the worker.
    file: File,
    pid: u32,
}

impl Record {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Record { file, pid: std::process::id() })
    }

    pub fn started(&self, attempt: AttemptId) {
        self.write(attempt, "start");
    }

    pub fn stopped(&self, attempt: AttemptId) {
        self.write(attempt, "stop");
    }

    fn write(&self, attempt: AttemptId, what: &str) {
        let (at, wall, pid) = (clock::shared_ns(), clock::wall().0, self.pid);
        let line = format!(
            "{{\"at_ns\":{at},\"wall_ms\":{wall},\"pid\":{pid},\"attempt\":\"{attempt}\",\"what\":\"{what}\"}}\n"
        );
        // One write per line, so that lines of two processes never mix.
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            tracing::error!(%error, %attempt, what, "the record of the noop executor has a hole: do not trust it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    #[test]
    fn lines_are_appended_across_restarts() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("record");
        let attempt = AttemptId::new(JobId(1), 0, 1);
        Record::open(&path).expect("it is ours").started(attempt);
        Record::open(&path).expect("it is ours").stopped(attempt);
        let text = std::fs::read_to_string(&path).expect("it is there");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("\"what\":\"start\"}") && lines[1].contains(&format!("\"attempt\":\"{attempt}\"")));
    }
}
