//! A cluster to measure: real processes on this machine, by `cloudai dev`. Comes in: its shape. Goes out: clients that begin with the
//! leader, and what each process costs. The cluster and its data go when it is dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use cloudai_client::{Client, ClientOptions};
use serde::Deserialize;

use crate::RunOptions;
use crate::machine::cpu_time;

pub struct Cluster {
    program: PathBuf,
    /// Removed after the processes are stopped.
    dir: tempfile::TempDir,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    addr: String,
    identity: PathBuf,
    processes: Vec<Process>,
}

#[derive(Deserialize)]
struct Process {
    name: String,
    role: String,
    pid: Option<u32>,
    grpc: Option<String>,
    leader: bool,
}

/// Microseconds of CPU per role: `leader`, `follower` (mean of them), `worker` (all of them together), `client`.
pub type Costs = BTreeMap<&'static str, f64>;

/// CPU times of all processes at one moment.
pub struct Clocks(Vec<(&'static str, Duration)>);

impl Cluster {
    /// Three masters, and workers as `args` of `cloudai dev` say.
    pub fn start(run: &RunOptions, args: &[&str]) -> anyhow::Result<Cluster> {
        let program = program(run)?;
        let dir = temp_dir(run)?;
        let output = Command::new(&program)
            .args(["dev", "--masters", "3", "--detach", "-o", "json", "--data-dir"])
            .arg(dir.path())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        // From here on a drop stops whatever runs.
        let mut cluster = Cluster {
            program,
            dir,
            summary: Summary { addr: String::new(), identity: PathBuf::new(), processes: vec![] },
        };
        if !output.status.success() {
            bail!("the cluster did not start ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        cluster.summary = serde_json::from_slice(&output.stdout).context("the summary of `cloudai dev` is JSON")?;
        Ok(cluster)
    }

    /// A client with a connection of its own, which asks the leader first.
    pub fn client(&self) -> anyhow::Result<Client> {
        let leader = self.summary.processes.iter().find(|p| p.leader).and_then(|p| p.grpc.as_deref());
        let mut addresses: Vec<String> = leader.into_iter().map(str::to_owned).collect();
        addresses.extend(self.summary.addr.split(',').map(str::to_owned));
        Ok(Client::open(&ClientOptions::new(addresses, &self.summary.identity))?)
    }

    pub fn clocks(&self) -> Clocks {
        let role = |p: &Process| match (p.role.as_str(), p.leader) {
            ("master", true) => "leader",
            ("master", false) => "follower",
            _ => "worker",
        };
        let processes = self.summary.processes.iter().filter_map(|p| Some((role(p), cpu_time(p.pid?))));
        Clocks(processes.chain([("client", cpu_time(std::process::id()))]).collect())
    }

    /// The directory with an administrator's key and certificate.
    pub fn admin_identity(&self) -> PathBuf {
        self.summary.identity.clone()
    }

    /// The directory with a master's key and certificate.
    pub fn master_identity(&self) -> Option<PathBuf> {
        let master = self.summary.processes.iter().find(|p| p.role == "master")?;
        Some(self.dir.path().join(&master.name).join("identity"))
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
        if !stopped.is_ok_and(|s| s.success()) && !self.summary.processes.is_empty() {
            eprintln!(
                "the cluster could not be stopped; try: cloudai dev stop --data-dir {}",
                self.dir.path().display()
            );
        }
    }
}

pub fn temp_dir(run: &RunOptions) -> anyhow::Result<tempfile::TempDir> {
    let base = run.dir.clone().unwrap_or_else(std::env::temp_dir);
    let made = tempfile::Builder::new().prefix("cloudai-bench-").tempdir_in(&base);
    made.with_context(|| format!("no directory can be made in {}", base.display()))
}

fn program(run: &RunOptions) -> anyhow::Result<PathBuf> {
    let beside = || std::env::current_exe().ok().and_then(|e| Some(e.parent()?.join("cloudai")));
    let path = run.cloudai.clone().or_else(beside).unwrap_or_else(|| "cloudai".into());
    if !Path::new(&path).exists() {
        bail!(
            "{} does not exist: build it with `cargo build --release -p cloudai-cli`, or give --cloudai PATH",
            path.display()
        );
    }
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
}
