//! The rig itself, once it stands. Comes in: [`Options`]. Goes out: a cluster that serves, with verbs on its machines; the faults add
//! theirs in [`super::faults`], the questions in [`super::reads`].
//!
//! The thread that builds a rig lives in the client's network namespace until the rig is dropped: whatever it or its runtime connects to is
//! reached from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cloudai_client::Client;
use cloudai_net::{IdentityFiles, ReloadingTls, Revoked};
use cloudai_proto::v1::AuthorizeWorkerRequest;

use super::load::{Load, LoadPlan};
use super::net::{self, CLIENT, Inside};
use super::options::Options;
use super::ours::Ours;
use super::process::{Kind, Machine};
use super::storage::Disk;
use super::timeline::Timeline;
use crate::cli::Cli;
use crate::cluster::Executor;
use crate::history::History;
use crate::transcript::say;

/// Until a new cluster serves with all its workers.
const READY: Duration = Duration::from_secs(60);
/// Of the control calls of the rig itself, which nothing measures.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Rig {
    // Dropped in this order: processes and connections end before what they stand on goes.
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) tls: Arc<ReloadingTls>,
    /// By name: m1, m2, m3, w1, …
    pub machines: BTreeMap<String, Machine>,
    pub timeline: Timeline,
    pub options: Options,
    pub binary: PathBuf,
    pub(super) faults: super::faults::Pending,
    load: Option<Load>,
    _inside: Inside,
    _down: TakeDown,
    pub ours: Ours,
}

struct TakeDown(Ours);

impl Drop for TakeDown {
    fn drop(&mut self) {
        self.0.take_down();
    }
}

impl Rig {
    /// Builds one and waits until it serves.
    pub fn build(options: &Options) -> anyhow::Result<Rig> {
        let began = std::time::Instant::now();
        let ours = Ours::claim()?;
        // From here on everything goes when this function fails.
        let down = TakeDown(ours.clone());
        let binary = crate::binary::cloudai()?;
        let masters: Vec<String> = (1..=options.masters).map(|n| format!("m{n}")).collect();
        let workers: Vec<String> = (1..=options.workers).map(|n| format!("w{n}")).collect();
        let all: Vec<String> = masters.iter().chain(&workers).cloned().chain([CLIENT.to_owned()]).collect();
        net::lay(&ours, &all)?;
        let disks: Vec<Disk> =
            masters.iter().map(|m| Disk::make(&ours.dir, m, options.disk_mib)).collect::<anyhow::Result<_>>()?;
        write_identities(&ours, &binary, &masters)?;
        let inside = Inside::enter(&ours)?;
        cloudai_net::install_crypto_provider();
        // Its threads are born in the client's namespace.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let tls = ReloadingTls::load(IdentityFiles::new(ours.dir.join("admin")), Revoked::default())
            .context("the admin's identity cannot be read")?;
        let mut rig = Rig {
            runtime,
            tls,
            machines: BTreeMap::new(),
            timeline: Timeline::default(),
            options: options.clone(),
            binary,
            faults: Default::default(),
            load: None,
            _inside: inside,
            _down: down,
            ours,
        };
        for (name, disk) in masters.iter().zip(disks) {
            let config = rig.ours.dir.join(name).join("master.toml");
            rig.adjust(&config)?;
            disk.sync()?;
            rig.add(name, Kind::Master, config, Some(disk));
            rig.machine(name)?.env = options.master_env.clone();
            rig.machine(name)?.binary = options.masters_begin_as.clone();
            rig.machine(name)?.wrapped =
                options.wrapped.iter().find(|(n, _)| n == name).map(|(_, words)| words.clone()).unwrap_or_default();
            rig.start(name)?;
        }
        rig.wait_serving(READY).with_context(|| rig.log_tails())?;
        for name in &workers {
            rig.add_worker(name)?;
        }
        rig.wait_workers(READY).with_context(|| rig.log_tails())?;
        say(format!(
            "rig {}: {} masters and {} workers serve after {:.1} s",
            rig.ours.prefix,
            masters.len(),
            workers.len(),
            began.elapsed().as_secs_f64()
        ));
        Ok(rig)
    }

    /// The file of `cloudai init`, with this rig's options.
    fn adjust(&self, config: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
        ensure!(text.contains("[raft]\n"), "{} has no [raft] part", config.display());
        let kept = text.lines().filter(|l| !l.starts_with("snapshot_every_entries"));
        let kept: String = kept.map(|l| format!("{l}\n")).collect();
        let lines: String = self.options.raft_lines.iter().map(|l| format!("{l}\n")).collect();
        let every = self.options.snapshot_every_entries;
        let part = format!("[raft]\nsnapshot_every_entries = {every}\n{lines}");
        std::fs::write(config, kept.replace("[raft]\n", &part)).context("the configuration cannot be written")
    }

    fn add(&mut self, name: &str, kind: Kind, config: PathBuf, disk: Option<Disk>) {
        let machine = Machine {
            name: name.to_owned(),
            kind,
            disk,
            config,
            log: self.ours.dir.join(format!("{name}.log")),
            env: vec![],
            wrapped: vec![],
            binary: None,
            child: None,
            deaths: vec![],
            down: None,
        };
        self.machines.insert(name.to_owned(), machine);
    }

    fn add_worker(&mut self, name: &str) -> anyhow::Result<()> {
        let client = self.client(PATIENCE)?;
        let request = AuthorizeWorkerRequest { name: name.to_owned(), labels: Default::default() };
        let token = self.wait(client.authorize_worker(request)).context("a worker cannot be authorised")?.token;
        let dir = self.ours.dir.join(name);
        std::fs::create_dir_all(&dir).context("the worker's folder cannot be made")?;
        let masters: Vec<String> = self.masters().iter().map(|m| format!("\"{}\"", self.machines[m].grpc())).collect();
        let executor = if self.options.executor == Executor::Docker { "docker" } else { "noop" };
        let text = format!(
            "name = \"{name}\"\ndata_dir = \"{}\"\nmasters = [{}]\njoin_token = \"{token}\"\nexecutor = \"{executor}\"\n\
             capacity = \"{}\"\n{}",
            dir.display(),
            masters.join(", "),
            self.options.capacity,
            // What was really run, for the checks of fencing.
            if executor == "noop" {
                format!("noop_record = \"{}\"\n", self.noop_record(name).display())
            } else {
                String::new()
            },
        );
        let config = dir.join("worker.toml");
        std::fs::write(&config, text).context("the worker's configuration cannot be written")?;
        self.add(name, Kind::Worker, config, None);
        self.start(name)
    }

    /// Where a worker with the executor noop writes down what it runs.
    pub fn noop_record(&self, worker: &str) -> PathBuf {
        self.ours.dir.join(format!("{worker}-ran.jsonl"))
    }

    /// Names of all masters, whether they run or not.
    pub fn masters(&self) -> Vec<String> {
        self.machines.values().filter(|m| m.is_master()).map(|m| m.name.clone()).collect()
    }

    pub fn workers(&self) -> Vec<String> {
        self.machines.values().filter(|m| !m.is_master()).map(|m| m.name.clone()).collect()
    }

    pub fn machine(&mut self, name: &str) -> anyhow::Result<&mut Machine> {
        self.machines.get_mut(name).with_context(|| format!("the rig has no machine '{name}'"))
    }

    /// Starts what is down.
    pub fn start(&mut self, name: &str) -> anyhow::Result<()> {
        let (ours, binary, timeline) = (self.ours.clone(), self.binary.clone(), self.timeline.clone());
        let machine = self.machine(name)?;
        machine.start(&ours, &binary)?;
        if let Some(band) = machine.down.take() {
            timeline.end(band);
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM), waits, and starts it again: a planned restart.
    pub fn restart(&mut self, name: &str, limit: Duration) -> anyhow::Result<()> {
        let band = self.timeline.begin(format!("{name} restarts"));
        let machine = self.machine(name)?;
        machine.signal(rustix::process::Signal::TERM)?;
        let code = machine.wait_for_end(limit)?;
        ensure!(code == 0, "{name} ended with {code} when it was asked to stop");
        self.timeline.prove(band, "ended with 0 when asked");
        self.start(name)?;
        self.timeline.end(band);
        Ok(())
    }

    /// Starts the load that [`Rig::load`] gives from then on.
    pub fn begin_load(&mut self, plan: &LoadPlan) -> anyhow::Result<()> {
        ensure!(self.load.is_none(), "a load runs already");
        self.load = Some(Load::start(self, plan)?);
        Ok(())
    }

    pub fn load(&mut self) -> anyhow::Result<&mut Load> {
        self.load.as_mut().context("no load was started")
    }

    /// Its history, once all its operations have had their outcome; None: there was none.
    pub fn end_load(&mut self) -> anyhow::Result<Option<History>> {
        self.load.take().map(Load::finish).transpose()
    }

    /// A client of all masters, whose calls go from one to the next for this long.
    pub fn client(&self, retry_for: Duration) -> anyhow::Result<Client> {
        let addresses: Vec<String> = self.masters().iter().map(|m| self.machines[m].grpc()).collect();
        Client::with_tls(self.tls.clone(), &addresses, retry_for).context("there is no client")
    }

    /// A client of this one master.
    pub fn client_of(&self, master: &str, retry_for: Duration) -> anyhow::Result<Client> {
        let machine = self.machines.get(master).with_context(|| format!("the rig has no machine '{master}'"))?;
        Client::with_tls(self.tls.clone(), &[machine.grpc()], retry_for).context("there is no client")
    }

    /// The admin's files were replaced: new clients and new connections use them from now on.
    pub fn reload_identity(&self) -> anyhow::Result<()> {
        self.tls.reload().context("the admin's new identity cannot be read")?;
        Ok(())
    }

    /// Runs a future of the client to its end, on the rig's runtime.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        // Clients connect in tasks of their own: they need the runtime's context.
        self.runtime.block_on(future)
    }

    /// The command line, as a user in the client's network has it.
    pub fn cli(&self) -> Cli {
        let addresses: Vec<String> = self.masters().iter().map(|m| self.machines[m].grpc()).collect();
        let env = [
            ("CLOUDAI_ADDR".to_owned(), addresses.join(",")),
            ("CLOUDAI_IDENTITY".to_owned(), self.ours.dir.join("admin").display().to_string()),
        ];
        Cli { binary: self.binary.clone(), env: env.into() }
    }

    /// The last lines of every log.
    pub fn log_tails(&self) -> String {
        let mut tails = String::new();
        for machine in self.machines.values() {
            let said = machine.said();
            let lines: Vec<&str> = said.lines().rev().take(4).collect();
            tails += &format!("--- {}\n", machine.name);
            lines.iter().rev().for_each(|line| tails += &format!("{line}\n"));
        }
        tails
    }
}

/// CA, admin, and each master's identity and configuration, as an operator makes them.
fn write_identities(ours: &Ours, binary: &Path, masters: &[String]) -> anyhow::Result<()> {
    let mut command = Cli { binary: binary.to_owned(), env: BTreeMap::new() }.command(&["init", "--data-dir"]);
    command.arg(&ours.dir);
    for master in masters {
        command.arg("--name").arg(format!("{master}={}", net::address(master)));
    }
    crate::command::run(&mut command, PATIENCE)?.ok("cloudai init")?;
    Ok(())
}
