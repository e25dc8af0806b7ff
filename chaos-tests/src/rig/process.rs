//! One machine of the rig and the process on it. Comes in: a configuration file. Goes out: a real process in the machine's network, that is
//! known by the handle that started it, never by name.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::net;
use super::ours::Ours;
use super::storage::Disk;
use super::timeline::BandId;

/// A process that got SIGKILL is gone in a moment; longer than this it hangs in the kernel.
const GONE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Master,
    Worker,
}

pub struct Machine {
    pub name: String,
    pub kind: Kind,
    /// Masters only.
    pub disk: Option<Disk>,
    pub config: PathBuf,
    pub log: PathBuf,
    /// Environment of its process.
    pub env: Vec<(String, String)>,
    /// Words before its command line.
    pub wrapped: Vec<String>,
    /// Another binary than the rig's own, for upgrades.
    pub binary: Option<PathBuf>,
    pub(super) child: Option<Child>,
    /// Processes of it that have ended: pid, and when that was seen.
    pub deaths: Vec<(u32, u64)>,
    /// While it is down on purpose.
    pub(super) down: Option<BandId>,
}

impl Machine {
    pub fn is_master(&self) -> bool {
        self.kind == Kind::Master
    }

    pub fn grpc(&self) -> String {
        format!("{}:7601", net::address(&self.name))
    }

    /// Of the process group: the process itself, unless it is wrapped.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn start(&mut self, ours: &Ours, binary: &Path) -> anyhow::Result<()> {
        if self.child.is_some() {
            bail!("{} runs already", self.name);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot open {}", self.log.display()))?;
        let binary = self.binary.clone().unwrap_or(binary.to_owned()).display().to_string();
        let words: Vec<String> = self.wrapped.iter().cloned().chain([binary]).collect();
        let mut command = net::inside(ours, &self.name, &words[0]);
        command.args(&words[1..]).arg(if self.is_master() { "master" } else { "worker" });
        command.arg("--config").arg(&self.config);
        // Only what its file says.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CLOUDAI_")) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        self.child = Some(command.spawn().with_context(|| format!("cannot start {}", self.name))?);
        Ok(())
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        kill_process_group(group(pid)?, signal).with_context(|| format!("{} cannot be signalled", self.name))
    }

    /// Its exit code (128 + signal) once it has ended; None while it runs, or was never started.
    pub fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let Some(status) = child.try_wait().context("a process cannot be waited for")? else { return Ok(None) };
        self.deaths.push((child.id(), super::clock::now_ns()));
        self.child = None;
        Ok(Some(crate::command::code_of(status)))
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_end(&mut self, limit: Duration) -> anyhow::Result<i32> {
        let began = Instant::now();
        loop {
            if let Some(code) = self.ended()? {
                return Ok(code);
            }
            if self.child.is_none() {
                bail!("{} does not run", self.name);
            }
            if began.elapsed() > limit {
                bail!("{} did not end within {} s", self.name, limit.as_secs());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL; returns its pid once it is gone.
    pub fn kill(&mut self) -> anyhow::Result<u32> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        self.signal(Signal::KILL)?;
        self.wait_for_end(GONE)?;
        // One that is wrapped can outlive its wrapper for a moment, and would still hold its ports.
        let (began, group) = (Instant::now(), group(pid)?);
        while test_kill_process_group(group).is_ok() {
            ensure!(began.elapsed() <= GONE, "a process of {} did not end within {} s", self.name, GONE.as_secs());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(pid)
    }

    /// Everything that it wrote.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn group(pid: u32) -> anyhow::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).context("a pid is a positive number")
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.child.is_some() {
            // A refusal means that it has ended by itself.
            let _ = self.kill();
        }
    }
}
