//! Runs one command to its end, within a limit. Comes in: a prepared command. Goes out: its exit code and both streams. A
//! command that does not end in time is killed, and that is an error: nothing here may hang a test.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; 128 + signal when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Finished {
    pub fn ok(self, what: &str) -> anyhow::Result<Self> {
        if self.code != 0 {
            bail!("{what} ended with {}:\n{}{}", self.code, self.stdout, self.stderr);
        }
        Ok(self)
    }
    /// The last line of stdout that is not empty.
    pub fn last_line(&self) -> &str {
        self.stdout.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default()
    }
    /// No panic, and no debug print of an error either.
    pub fn speaks_like_a_person(&self) -> anyhow::Result<()> {
        for trace in ["panicked at", "RUST_BACKTRACE", "Error {", "Status {"] {
            if self.stderr.contains(trace) {
                bail!("the message is not for people ('{trace}'):\n{}", self.stderr);
            }
        }
        Ok(())
    }
}

pub fn run(command: &mut Command, limit: Duration) -> anyhow::Result<Finished> {
    let began = Instant::now();
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {shown}"))? {
            break Some(status);
        }
        if began.elapsed() > limit {
            // A refusal means that it has just ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (collect(out), collect(err));
    let Some(status) = status else {
        bail!("{shown} did not end within {} s:\n{stdout}{stderr}", limit.as_secs());
    };
    Ok(Finished { code: code_of(status), stdout, stderr, took: began.elapsed() })
}

pub fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = vec![];
        if let Some(mut pipe) = pipe {
            // A pipe that breaks has said all that it will say.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn collect(handle: thread::JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&handle.join().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> anyhow::Result<Finished> {
        run(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn codes_and_streams_come_back() {
        let done = sh("echo out; echo err >&2; exit 7", Duration::from_secs(20)).unwrap();
        assert_eq!((done.code, done.last_line(), done.stderr.trim()), (7, "out", "err"));
        assert_eq!(sh("kill -9 $$", Duration::from_secs(20)).unwrap().code, 137);
    }

    #[test]
    fn a_command_that_hangs_is_an_error() {
        assert!(sh("exec sleep 600", Duration::from_millis(50)).unwrap_err().to_string().contains("did not end"));
    }
}
