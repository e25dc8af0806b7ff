//! One process of the cluster. Comes in: its record under `run/`. Goes out: start, signal, wait. A pid counts only together with
//! the process's start time: a number that the system gave to somebody else is never signalled.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::exit::{Code, Failure};

/// After SIGKILL.
pub const GONE_WITHIN: Duration = Duration::from_secs(10);
/// After SIGTERM.
pub const STOP_WITHIN: Duration = Duration::from_secs(15);

/// As it stands in `run/NAME.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    pub name: String,
    /// `master` or `worker`: also the command that runs it.
    pub role: String,
    pub config: PathBuf,
    /// `host:port`.
    pub http: Option<String>,
    pub grpc: Option<String>,
    pub pid: Option<u32>,
    /// Field 22 of /proc/PID/stat at its start.
    pub started: Option<u64>,
}

impl Child {
    /// The pid, if the process that was started still runs.
    pub fn running_pid(&self) -> Option<u32> {
        let pid = self.pid?;
        (start_time(pid)? == self.started?).then_some(pid)
    }

    /// Starts it in a process group of its own, with its log appended to a file.
    pub fn spawn(&mut self, layout: &Layout) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Failure::failed(format!("{} cannot be started", self.name)).why(e);
        let log = layout.log(&self.name);
        let log = std::fs::File::options().create(true).append(true).open(log).map_err(failed)?;
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg(&self.role)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        self.pid = Some(child.id());
        self.started = start_time(child.id());
        // Reaped when it ends while this process lives; afterwards init does it.
        std::thread::spawn(move || child.wait());
        layout.save_child(self)
    }

    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let Some(pid) = self.running_pid().and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw) else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            // It ended in between.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(Failure::failed(format!("{} cannot be signalled", self.name)).why(e)),
        }
    }

    pub fn wait_gone(&self, within: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + within;
        while self.running_pid().is_some() {
            if Instant::now() > deadline {
                return Err(Failure::new(Code::Failed, "timeout", format!("{} still runs after {} s", self.name, within.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// `None`: no such process, or a zombie.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold spaces and parentheses: fields count from the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_of_somebody_else_does_not_count() {
        let me = std::process::id();
        let child = |started| Child {
            name: "m".into(),
            role: "master".into(),
            config: PathBuf::new(),
            http: None,
            grpc: None,
            pid: Some(me),
            started,
        };
        assert_eq!(child(start_time(me)).running_pid(), Some(me));
        assert_eq!(child(Some(1)).running_pid(), None);
    }
}
