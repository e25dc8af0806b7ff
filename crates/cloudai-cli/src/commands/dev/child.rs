//! One child process and what is written down about it. Comes in: a name and a configuration. Goes out: a record in `run/NAME.json`, and
//! signals that only ever reach our own process: a pid counts only together with its start time.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::exit::{Code, Failure};

/// A process that got SIGKILL is gone in a moment; longer than this it hangs in the kernel.
const GONE_AFTER_KILL: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Master,
    Worker,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Master => "master",
            Kind::Worker => "worker",
        }
    }
}

/// Which process it is: a pid is given out again, a pid with its start time is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub pid: u32,
    /// Clock ticks since the machine's start, from /proc.
    pub started: u64,
}

/// What `run/NAME.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    pub name: String,
    pub role: Kind,
    pub config: PathBuf,
    /// HOST:PORT
    pub http: Option<String>,
    pub grpc: Option<String>,
    /// The last process that was started.
    pub running: Option<Running>,
}

impl Child {
    /// All children of a cluster, masters first, in the order of their names.
    pub fn all(root: &Path) -> Result<Vec<Child>, Failure> {
        let dir = root.join("run");
        let none = || {
            Failure::new(Code::NotFound, "not_found", format!("{} holds no cluster of `cloudai dev`", root.display()))
                .next("start one: cloudai dev --data-dir DIR; or give the --data-dir of the one that you mean")
        };
        let mut all = vec![];
        for entry in fs::read_dir(&dir).map_err(|_| none())? {
            let path = entry.map_err(|e| Failure::failed("the cluster's records cannot be listed").why(e))?.path();
            if path.extension().is_some_and(|e| e == "json") {
                let failed = |e: &dyn std::fmt::Display| {
                    Failure::failed(format!("the record {} cannot be read", path.display())).why(e)
                };
                let text = fs::read_to_string(&path).map_err(|e| failed(&e))?;
                all.push(serde_json::from_str::<Child>(&text).map_err(|e| failed(&e))?);
            }
        }
        if all.is_empty() {
            return Err(none());
        }
        all.sort_by_key(|c| (c.role, number_of(&c.name), c.name.clone()));
        Ok(all)
    }

    pub fn find(root: &Path, name: &str) -> Result<Child, Failure> {
        let all = Self::all(root)?;
        let names: Vec<String> = all.iter().map(|c| c.name.clone()).collect();
        all.into_iter().find(|c| c.name == name).ok_or_else(|| {
            Failure::new(Code::NotFound, "not_found", format!("the cluster has no process '{name}'"))
                .next(format!("it has {}", names.join(", ")))
        })
    }

    /// Written beside and renamed: a reader never sees half a record.
    pub fn save(&self, root: &Path) -> Result<(), Failure> {
        let failed = |e: &dyn std::fmt::Display| {
            Failure::failed(format!("the record of {} cannot be written", self.name)).why(e)
        };
        let dir = root.join("run");
        fs::create_dir_all(&dir).map_err(|e| failed(&e))?;
        let text = serde_json::to_string_pretty(self).map_err(|e| failed(&e))?;
        let new = dir.join(format!(".{}.new", self.name));
        fs::write(&new, text).map_err(|e| failed(&e))?;
        fs::rename(&new, dir.join(format!("{}.json", self.name))).map_err(|e| failed(&e))
    }

    pub fn log_path(&self, root: &Path) -> PathBuf {
        root.join("logs").join(format!("{}.log", self.name))
    }

    /// Starts it, in a process group of its own so that this terminal's Ctrl-C is not its own, with its output in its log.
    pub fn start(&mut self, root: &Path) -> Result<std::process::Child, Failure> {
        let failed = |e: std::io::Error| Failure::failed(format!("{} cannot be started", self.name)).why(e);
        let log_path = self.log_path(root);
        fs::create_dir_all(root.join("logs")).map_err(failed)?;
        let log = fs::OpenOptions::new().create(true).append(true).open(&log_path).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg(self.role.name()).arg("--config").arg(&self.config);
        // Only what its file says, so that the file is the whole truth.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CLOUDAI_") && !name.to_string_lossy().starts_with("CLOUDAI_LOG") {
                command.env_remove(name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .current_dir(root);
        let process = command.spawn().map_err(failed)?;
        let pid = process.id();
        // It cannot be gone from /proc before we have waited for it.
        self.running = seen(pid).map(|seen| Running { pid, started: seen.started });
        self.save(root)?;
        Ok(process)
    }

    /// The pid, while it is really ours and alive.
    pub fn pid(&self) -> Option<u32> {
        self.running.filter(|r| seen(r.pid) == Some(Seen { started: r.started, is_dying: false })).map(|r| r.pid)
    }

    /// Nothing of it is left: its ports and its databases' locks are free.
    fn is_gone(&self) -> bool {
        self.running.is_none_or(|r| seen(r.pid).is_none_or(|s| s.started != r.started))
    }

    /// False when it was not running.
    pub fn signal(&self, signal: Signal) -> Result<bool, Failure> {
        let Some(pid) = self.pid() else { return Ok(false) };
        let pid =
            i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a running process's pid is a positive number");
        match kill_process(pid, signal) {
            Ok(()) => Ok(true),
            // It ended by itself in between.
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(e) => Err(Failure::failed(format!("{} cannot be signalled", self.name)).why(e)),
        }
    }

    /// SIGKILL, and until it is gone.
    pub async fn kill(&self) -> Result<bool, Failure> {
        if !self.signal(Signal::KILL)? {
            return Ok(false);
        }
        self.gone_after_kill().await.map(|()| true)
    }

    /// Until nothing is left of one that was killed.
    pub async fn gone_after_kill(&self) -> Result<(), Failure> {
        if self.gone_within(GONE_AFTER_KILL).await {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{} was killed and is still there after {} s",
            self.name,
            GONE_AFTER_KILL.as_secs()
        ))
        .why("one of its threads hangs in the kernel, as a rule on a disk that does not answer")
        .next(format!("look at the disk; the process is {}", self.running.map_or(0, |r| r.pid))))
    }

    pub async fn gone_within(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while !self.is_gone() {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// The last lines of its log, for an error message.
    pub fn log_tail(&self, root: &Path) -> String {
        let text = fs::read_to_string(self.log_path(root)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// `worker-10` after `worker-9`.
fn number_of(name: &str) -> u64 {
    name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
}

/// What /proc says of a process that is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Clock ticks since the machine's start.
    started: u64,
    /// It was killed, and one of its threads is still in the kernel, in a write to the disk for example: until that thread is gone
    /// as well, the ports and locks of the process are taken.
    is_dying: bool,
}

/// None for one that has ended, also while nobody has waited for it.
fn seen(pid: u32) -> Option<Seen> {
    seen_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn seen_in(stat: &str) -> Option<Seen> {
    // The command's name may hold anything, blanks and brackets too: what follows its last bracket is fields.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let is_dying = match *fields.first()? {
        // The state is that of the first thread.
        "Z" if fields.get(17)?.parse::<u64>().ok()? > 1 => true,
        "Z" | "X" | "x" => return None,
        _ => false,
    };
    Some(Seen { started: fields.get(19)?.parse().ok()?, is_dying })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(running: Option<Running>) -> Child {
        Child { name: "master-1".into(), role: Kind::Master, config: "c".into(), http: None, grpc: None, running }
    }

    #[test]
    fn a_pid_is_ours_only_with_its_start_time_and_while_it_lives() {
        let mut process = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = process.id();
        let started = seen(pid).unwrap().started;
        assert_eq!(child(Some(Running { pid, started })).pid(), Some(pid));
        assert_eq!(child(Some(Running { pid, started: started + 1 })).pid(), None);
        assert_eq!(child(None).pid(), None);
        // Not ours: no signal is sent.
        assert!(!child(Some(Running { pid, started: started + 1 })).signal(Signal::KILL).unwrap());
        assert!(process.try_wait().unwrap().is_none());
        assert!(child(Some(Running { pid, started })).signal(Signal::KILL).unwrap());
        // A zombie counts as gone before it is waited for.
        let until = Instant::now() + Duration::from_secs(20);
        while child(Some(Running { pid, started })).pid().is_some() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(child(Some(Running { pid, started })).pid(), None);
        process.wait().unwrap();
    }

    #[test]
    fn a_process_is_gone_when_its_last_thread_is() {
        let stat = |state: &str, threads: u32| {
            format!(
                "7 (a b) c) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 4711 0 0 18446744073709551615"
            )
        };
        assert_eq!(seen_in(&stat("S", 9)), Some(Seen { started: 4711, is_dying: false }));
        assert_eq!(seen_in(&stat("Z", 2)), Some(Seen { started: 4711, is_dying: true }));
        assert_eq!(seen_in(&stat("Z", 1)), None);
        assert_eq!(seen_in("nonsense"), None);
    }

    #[test]
    fn records_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (name, role) in [("worker-10", Kind::Worker), ("worker-9", Kind::Worker), ("master-1", Kind::Master)] {
            Child { name: name.into(), role, ..child(None) }.save(dir.path()).unwrap();
        }
        let names: Vec<String> = Child::all(dir.path()).unwrap().into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["master-1", "worker-9", "worker-10"]);
        assert_eq!(Child::find(dir.path(), "worker-3").unwrap_err().code, Code::NotFound);
        assert_eq!(Child::all(&dir.path().join("none")).unwrap_err().code, Code::NotFound);
    }
}
