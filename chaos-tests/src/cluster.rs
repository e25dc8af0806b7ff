//! One cluster of `cloudai dev`, in a temporary folder, that is stopped when it goes out of scope. Comes in: how many of
//! what. Goes out: verbs on its processes. Kills are real: SIGKILL by pid.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::cli::Cli;
use crate::command::run;
use crate::transcript::say;
use crate::views::Process;
use crate::wait;

const START_LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// No container: commands such as `sleep 0.05` and `exit 3` are played.
    Noop,
    Docker,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub masters: u32,
    pub workers: u32,
    pub executor: Executor,
    /// As in `--capacity cpu=64,memory=256GiB`; None: what the machine has.
    pub capacity: Option<String>,
    pub allow_mounts: Vec<PathBuf>,
    /// Further flags of `cloudai dev`.
    pub flags: Vec<String>,
}

impl Options {
    pub fn noop(masters: u32, workers: u32) -> Self {
        Options {
            masters,
            workers,
            executor: Executor::Noop,
            capacity: Some("cpu=64,memory=256GiB".into()),
            allow_mounts: vec![],
            flags: vec![],
        }
    }
    pub fn docker(masters: u32, workers: u32) -> Self {
        Options {
            executor: Executor::Docker,
            capacity: Some("cpu=4,memory=4GiB".into()),
            ..Options::noop(masters, workers)
        }
    }
}

pub struct Cluster {
    pub dir: PathBuf,
    pub cli: Cli,
    /// Removed with the cluster; None: the caller's own folder.
    _temporary: Option<tempfile::TempDir>,
    stopped: bool,
}

impl Cluster {
    /// Starts one in a folder of its own, and returns when it has a leader and all its workers.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("cloudai-chaos-").tempdir().context("no temporary folder")?;
        let dir = temporary.path().join("dev");
        Self::start_in(&dir, options, Some(temporary))
    }

    pub fn start_in(dir: &Path, options: &Options, temporary: Option<tempfile::TempDir>) -> anyhow::Result<Self> {
        let binary = crate::binary::cloudai()?;
        let bare = Cli { binary: binary.clone(), env: Default::default() };
        let mut command = bare.command(&["dev", "--detach"]);
        command.args(["--masters", &options.masters.to_string(), "--workers", &options.workers.to_string()]);
        command.arg("--data-dir").arg(dir);
        command.args(["--executor", if options.executor == Executor::Docker { "docker" } else { "noop" }]);
        if let Some(capacity) = &options.capacity {
            command.args(["--capacity", capacity]);
        }
        for allowed in &options.allow_mounts {
            command.arg("--allow-mount").arg(allowed);
        }
        command.args(&options.flags);
        let done = run(&mut command, START_LIMIT);
        // Even a start that failed may have left processes: from here on they are stopped whatever happens.
        let mut cluster = Cluster { dir: dir.to_owned(), cli: bare, _temporary: temporary, stopped: false };
        let done = done?.ok("cloudai dev --detach").with_context(|| cluster.log_tails())?;
        cluster.cli = Cli::from_env_file(&binary, &dir.join("env"))?;
        say(format!(
            "{} masters and {} workers are ready after {:.1} s",
            options.masters,
            options.workers,
            done.took.as_secs_f64()
        ));
        Ok(cluster)
    }

    fn dev(&self, arguments: &[&str]) -> anyhow::Result<crate::Finished> {
        let mut command = self.cli.command(&["dev"]);
        command.args(arguments).arg("--data-dir").arg(&self.dir);
        run(&mut command, START_LIMIT)
    }

    pub fn processes(&self) -> anyhow::Result<Vec<Process>> {
        let done = self.dev(&["ps", "-o", "json"])?.ok("cloudai dev ps")?;
        serde_json::from_str(&done.stdout).with_context(|| format!("dev ps printed no such JSON: {}", done.stdout))
    }

    pub fn process(&self, name: &str) -> anyhow::Result<Process> {
        self.processes()?.into_iter().find(|p| p.name == name).with_context(|| format!("dev ps does not list {name}"))
    }

    /// Names of the masters, the leader's first.
    pub fn masters(&self) -> anyhow::Result<Vec<String>> {
        let mut masters: Vec<Process> = self.processes()?.into_iter().filter(|p| p.role == "master").collect();
        masters.sort_by_key(|p| !p.leader);
        Ok(masters.into_iter().map(|p| p.name).collect())
    }

    /// Waits until one is known.
    pub fn leader(&self) -> anyhow::Result<Process> {
        wait::until("a leader in dev ps", Duration::from_secs(30), Duration::from_millis(100), || {
            Ok(self.processes()?.into_iter().find(|p| p.role == "master" && p.leader && p.pid().is_some()))
        })
    }

    /// SIGKILL, by name or `leader`.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        self.dev(&["kill", name])?.ok(&format!("cloudai dev kill {name}"))?;
        Ok(())
    }

    pub fn start_one(&self, name: &str) -> anyhow::Result<()> {
        self.dev(&["start", name])?.ok(&format!("cloudai dev start {name}"))?;
        Ok(())
    }

    /// With these in its environment.
    pub fn start_one_with(&self, name: &str, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut command = self.cli.command(&["dev", "start", name]);
        command.arg("--data-dir").arg(&self.dir).envs(environment.iter().copied());
        run(&mut command, START_LIMIT)?.ok(&format!("cloudai dev start {name}"))?;
        Ok(())
    }

    pub fn start_all(&self) -> anyhow::Result<()> {
        self.dev(&["start", "--all"])?.ok("cloudai dev start --all")?;
        Ok(())
    }

    /// Everything that a child wrote.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join("logs").join(format!("{name}.log"))).unwrap_or_default()
    }

    /// No process of this cluster panicked, ever.
    pub fn nobody_panicked(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.dir.join("logs")).context("the cluster has no logs folder")? {
            let path = entry.context("the logs folder cannot be listed")?.path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            if let Some(line) = text.lines().find(|l| l.contains("panicked at")) {
                anyhow::bail!("{} panicked: {line}", path.display());
            }
        }
        Ok(())
    }

    /// Stops it, and proves that none of its processes is left.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pids: Vec<u32> = self.processes()?.iter().filter_map(Process::pid).collect();
        self.stopped = true;
        self.dev(&["stop"])?.ok("cloudai dev stop")?;
        for pid in pids {
            ensure!(is_gone(pid), "process {pid} is still there after 'cloudai dev stop'");
        }
        Ok(())
    }

    fn log_tails(&self) -> String {
        let mut tails = String::new();
        for entry in fs::read_dir(self.dir.join("logs")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(5).collect();
            tails += &format!("--- {}\n", entry.path().display());
            for line in lines.iter().rev() {
                tails += &format!("{line}\n");
            }
        }
        tails
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        if std::thread::panicking() || std::env::var_os("CLOUDAI_CHAOS_LOGS").is_some() {
            println!("{}", self.log_tails());
        }
        if let Err(error) = self.dev(&["stop"]).and_then(|done| done.ok("cloudai dev stop")) {
            println!("a cluster may be left in {}: {error:#}", self.dir.display());
        }
    }
}

/// Also one that nobody has waited for yet. Not one with threads left: they hold its ports.
fn is_gone(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let fields: Vec<&str> = stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
    fields.first() == Some(&"Z") && fields.get(17) == Some(&"1")
}

/// SIGKILL to processes that the caller started or that `dev ps` named, all in one call, and until they are gone.
pub fn kill_pids(pids: &[u32]) -> anyhow::Result<()> {
    let names: Vec<String> = pids.iter().map(u32::to_string).collect();
    run(Command::new("kill").arg("-KILL").args(&names), Duration::from_secs(10))?.ok("kill -KILL")?;
    let all_gone = || Ok(pids.iter().all(|pid| is_gone(*pid)).then_some(()));
    wait::until("the end of the killed processes", Duration::from_secs(30), Duration::from_millis(2), all_gone)
}

/// What `cluster status` knows about the masters, through the client library.
impl Cluster {
    /// The cluster's id; all its containers are labelled with it.
    pub fn id(&self) -> anyhow::Result<String> {
        Ok(self.status()?.cluster_id)
    }

    pub fn status(&self) -> anyhow::Result<cloudai_proto::v1::ClusterStatusReply> {
        crate::load::runtime()?.block_on(async {
            let client = crate::load::client(&self.cli, 0)?;
            let asked = client.cluster_status(cloudai_proto::v1::ClusterStatusRequest::default()).await;
            asked.context("the cluster's status cannot be read")
        })
    }

    /// What this one master knows now, whoever leads.
    pub fn status_of(&self, name: &str) -> anyhow::Result<cloudai_proto::v1::ClusterStatusReply> {
        let grpc = self.process(name)?.grpc.with_context(|| format!("{name} has no gRPC address"))?;
        let mut only = self.cli.clone();
        only.env.insert("CLOUDAI_ADDR".into(), grpc);
        crate::load::runtime()?.block_on(async {
            let client = crate::load::client(&only, 0)?;
            let stale = cloudai_proto::v1::Consistency::Stale as i32;
            let asked = client.cluster_status(cloudai_proto::v1::ClusterStatusRequest { consistency: stale }).await;
            asked.with_context(|| format!("{name} cannot be asked"))
        })
    }
}
