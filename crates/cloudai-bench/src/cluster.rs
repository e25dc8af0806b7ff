//! A cluster to measure: real processes on this machine, by `cloudai dev`. Comes in: its shape, and lines for the masters' files. Goes
//! out: clients that begin with the leader, verbs on its processes, and what each of them costs. The cluster and its data go when it
//! is dropped, also after a signal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cloudai_client::{Client, ClientOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::RunOptions;
use crate::machine::{cpu_time, resident_bytes};

pub struct Cluster {
    program: PathBuf,
    /// Removed after the processes are stopped.
    dir: tempfile::TempDir,
    addr: String,
    identity: PathBuf,
    processes: Vec<Process>,
}

#[derive(Deserialize)]
struct Summary {
    addr: String,
    identity: PathBuf,
    processes: Vec<Process>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Process {
    pub name: String,
    pub role: String,
    pub pid: Option<u32>,
    pub http: Option<String>,
    pub grpc: Option<String>,
    pub leader: bool,
}

/// A line of every master's file that is not as `cloudai dev` makes it: its table ("" for none), name and value.
pub type Setting = (&'static str, &'static str, u64);

/// Microseconds of CPU per role: `leader`, `follower` (mean of them), `worker` (all of them together), `client`.
pub type Costs = BTreeMap<&'static str, f64>;

/// CPU times of all processes at one moment.
pub struct Clocks(Vec<(&'static str, Duration)>);

impl Cluster {
    /// Three masters, and workers as `args` of `cloudai dev` say.
    pub async fn start(run: &RunOptions, args: &[&str], settings: &[Setting]) -> anyhow::Result<Cluster> {
        let mut cluster = Cluster {
            program: program(run)?,
            dir: temp_dir(run)?,
            addr: String::new(),
            identity: PathBuf::new(),
            processes: vec![],
        };
        let up = [&["--masters", "3", "--detach"], args].concat();
        cluster.up(&up).await?;
        if !settings.is_empty() {
            cluster.dev(&["stop"]).await?;
            for process in cluster.processes.iter().filter(|p| p.role == "master") {
                let path = cluster.data_dir(&process.name).join("master.toml");
                let text =
                    std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
                std::fs::write(&path, with_settings(&text, settings))?;
            }
            cluster.up(&up).await?;
        }
        Ok(cluster)
    }

    async fn up(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let said = self.dev(args).await?;
        let summary: Summary = serde_json::from_slice(&said).context("the summary of `cloudai dev` is JSON")?;
        (self.addr, self.identity, self.processes) = (summary.addr, summary.identity, summary.processes);
        Ok(())
    }

    /// `cloudai dev` with these words; what it says in JSON.
    pub async fn dev(&self, args: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = tokio::process::Command::new(&self.program)
            .arg("dev")
            .args(args)
            .args(["-o", "json", "--data-dir"])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("`cloudai dev {}` failed ({}): {why}", args.join(" "), output.status);
        }
        Ok(output.stdout)
    }

    /// Looks again which processes there are, and who leads.
    pub async fn refresh(&mut self) -> anyhow::Result<()> {
        let said = self.dev(&["ps"]).await?;
        self.processes = serde_json::from_slice(&said).context("`cloudai dev ps` says JSON")?;
        Ok(())
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// gRPC addresses of the masters, with commas between.
    pub fn addresses(&self) -> &str {
        &self.addr
    }

    pub fn leader(&self) -> anyhow::Result<&Process> {
        self.processes.iter().find(|p| p.leader).context("no master said that it leads")
    }

    pub fn masters(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|p| p.role == "master")
    }

    /// Where the metrics pages are, HOST:PORT.
    pub fn pages(&self) -> Vec<String> {
        let http = self.processes.iter().filter_map(|p| p.http.as_deref());
        http.map(|at| at.trim_start_matches("https://").to_owned()).collect()
    }

    /// Where a process keeps its data.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The cluster's own directory, as `--data-dir` of `cloudai dev`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn logs_dir(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    /// Resident bytes of each master.
    pub fn masters_memory(&self) -> Vec<u64> {
        self.masters().filter_map(|p| p.pid).map(resident_bytes).collect()
    }

    /// SIGKILL to these masters, one right after the other.
    pub async fn kill(&mut self, names: &[String]) -> anyhow::Result<()> {
        for pid in self.masters().filter(|p| names.contains(&p.name)).filter_map(|p| p.pid) {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a pid is a positive number")?;
            kill_process(pid, Signal::KILL)?;
        }
        for _look in 0..500 {
            self.refresh().await?;
            if self.masters().filter(|p| names.contains(&p.name)).all(|p| p.pid.is_none()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("a master that got SIGKILL is still there after some seconds");
    }

    /// A client with a connection of its own, which asks the leader first.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.client_that_tries(ClientOptions::new(vec![], "").retry_for)
    }

    pub fn client_that_tries(&self, retry_for: Duration) -> anyhow::Result<Client> {
        let leader = self.processes.iter().find(|p| p.leader).and_then(|p| p.grpc.as_deref());
        let mut addresses: Vec<String> = leader.into_iter().map(str::to_owned).collect();
        addresses.extend(self.addr.split(',').map(str::to_owned));
        self.client_of(addresses, retry_for)
    }

    /// A client that knows these masters only.
    pub fn client_of(&self, addresses: Vec<String>, retry_for: Duration) -> anyhow::Result<Client> {
        Ok(Client::open(&ClientOptions { retry_for, ..ClientOptions::new(addresses, &self.identity) })?)
    }

    pub fn clocks(&self) -> Clocks {
        let role = |p: &Process| match (p.role.as_str(), p.leader) {
            ("master", true) => "leader",
            ("master", false) => "follower",
            _ => "worker",
        };
        let processes = self.processes.iter().filter_map(|p| Some((role(p), cpu_time(p.pid?))));
        Clocks(processes.chain([("client", cpu_time(std::process::id()))]).collect())
    }

    /// The directory with an administrator's key and certificate.
    pub fn admin_identity(&self) -> PathBuf {
        self.identity.clone()
    }
}

impl Clocks {
    /// Per one of `count` things that were done in between.
    pub fn costs(&self, later: &Clocks, count: u64) -> Costs {
        let mut costs = Costs::new();
        let followers = self.0.iter().filter(|(role, _)| *role == "follower").count().max(1) as f64;
        for ((role, from), (_, to)) in self.0.iter().zip(&later.0) {
            let used = to.saturating_sub(*from).as_secs_f64() * 1e6 / count.max(1) as f64;
            let share = if *role == "follower" { used / followers } else { used };
            *costs.entry(role).or_default() += share;
        }
        costs.values_mut().for_each(|us| *us = (*us * 100.0).round() / 100.0);
        costs
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = Command::new(&self.program)
            .args(["dev", "stop", "--data-dir"])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !stopped.is_ok_and(|s| s.success()) && !self.processes.is_empty() {
            eprintln!(
                "the cluster could not be stopped; try: cloudai dev stop --data-dir {}",
                self.dir.path().display()
            );
        }
    }
}

/// The file with these lines instead of its own for the same names.
fn with_settings(file: &str, settings: &[Setting]) -> String {
    let mut lines: Vec<String> = vec![];
    let mut table = String::new();
    let of_table = |table: &str| {
        settings.iter().filter(move |s| s.0 == table).map(|s| format!("{} = {}", s.1, s.2)).collect::<Vec<_>>()
    };
    let mut placed = vec![String::new()];
    lines.extend(of_table(""));
    for line in file.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            table = name.to_owned();
            lines.push(line.to_owned());
            lines.extend(of_table(name));
            placed.push(table.clone());
            continue;
        }
        let name = line.split('=').next().unwrap_or_default().trim();
        if !settings.iter().any(|s| s.0 == table && s.1 == name) {
            lines.push(line.to_owned());
        }
    }
    for (name, ..) in settings {
        if !placed.iter().any(|p| p == name) {
            lines.push(format!("[{name}]"));
            lines.extend(of_table(name));
            placed.push((*name).to_owned());
        }
    }
    lines.join("\n") + "\n"
}

pub fn temp_dir(run: &RunOptions) -> anyhow::Result<tempfile::TempDir> {
    let base = run.dir.clone().unwrap_or_else(std::env::temp_dir);
    let made = tempfile::Builder::new().prefix("cloudai-bench-").tempdir_in(&base);
    made.with_context(|| format!("no directory can be made in {}", base.display()))
}

fn program(run: &RunOptions) -> anyhow::Result<PathBuf> {
    let beside = || std::env::current_exe().ok().and_then(|e| Some(e.parent()?.join("cloudai")));
    let path = run.cloudai.clone().or_else(beside).unwrap_or_else(|| "cloudai".into());
    ensure!(
        path.exists(),
        "{} does not exist: build it with `cargo build --release -p cloudai-cli`, or give --cloudai PATH",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_per_thing_and_a_followers_is_the_mean() {
        let at = |leader, a, b| {
            Clocks(vec![
                ("leader", Duration::from_micros(leader)),
                ("follower", Duration::from_micros(a)),
                ("follower", Duration::from_micros(b)),
            ])
        };
        let costs = at(0, 0, 50).costs(&at(1_000, 200, 450), 100);
        assert_eq!(costs, Costs::from([("leader", 10.0), ("follower", 3.0)]));
    }

    #[test]
    fn settings_replace_the_lines_of_their_own_table_only() {
        let file = "name = \"m\"\nkeep = 1\n\n[raft]\nevery = 5\nother = 6\n";
        let changed = with_settings(file, &[("", "keep", 2), ("raft", "every", 7), ("new", "x", 1)]);
        assert_eq!(changed, "keep = 2\nname = \"m\"\n\n[raft]\nevery = 7\nother = 6\n[new]\nx = 1\n");
    }
}
