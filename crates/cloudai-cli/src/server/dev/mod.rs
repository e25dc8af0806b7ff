//! `cloudai dev`: a whole cluster on this machine, as child processes, so that killing one is real. Comes in: how many of each, and
//! a directory. Goes out: ordinary `cloudai master` and `cloudai worker` processes with configuration files under that directory
//! that a person can read and reuse. Not for production: all masters share one machine and one disk.

mod child;
mod layout;
mod up;

use std::path::PathBuf;

use serde::Serialize;

use self::child::Child;
use self::layout::Layout;
use super::process;
use crate::exit::{Code, Failure};
use crate::output::{Columns, Format, View, say, show};

#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevArgs {
    #[command(subcommand)]
    pub verb: Option<DevVerb>,
    #[command(flatten)]
    pub up: UpArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// Masters: 1, 3, 5 or 7
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub masters: u8,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: u16,
    #[command(flatten)]
    pub dir: DirArg,
    /// What runs tasks: docker, or noop (no containers: `sleep SECONDS`, `exit N`, anything else ends at once)
    #[arg(long, default_value = "docker")]
    pub executor: String,
    /// Return when leader and workers are ready; the cluster goes on
    #[arg(long)]
    pub detach: bool,
    /// What each worker claims to have, for example cpu=64,memory=256GiB
    #[arg(long, default_value = "")]
    pub capacity: String,
    /// Host directory below which tasks may mount paths read-only
    #[arg(long = "allow-mount", value_name = "DIR")]
    pub allowed_mounts: Vec<PathBuf>,
    /// A master makes a checkpoint after so many log entries
    #[arg(long, default_value_t = 50_000, hide = true)]
    pub snapshot_every_entries: u64,
}

#[derive(Debug, Clone, clap::Args)]
pub struct DirArg {
    /// The cluster's directory
    #[arg(long, env = "CLOUDAI_DEV_DIR", default_value = ".cloudai-dev", value_name = "DIR")]
    pub data_dir: PathBuf,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub enum DevVerb {
    /// The processes of the cluster
    Ps(DirArg),
    /// Kill one process with SIGKILL; `leader`: whoever leads
    Kill {
        name: String,
        #[command(flatten)]
        dir: DirArg,
    },
    /// Start a process that was killed or stopped
    Start {
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Every process that does not run
        #[arg(long, conflicts_with = "name")]
        all: bool,
        #[command(flatten)]
        dir: DirArg,
    },
    /// Stop every process, and remove the containers of this cluster
    Stop(DirArg),
}

/// One row of `dev ps`.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessView {
    pub name: String,
    pub role: String,
    /// Absent while it does not run.
    pub pid: Option<u32>,
    /// URLs; a worker has no gRPC, and HTTP only for its metrics.
    pub http: Option<String>,
    pub grpc: Option<String>,
    pub running: bool,
    pub leader: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ProcessesView(Vec<ProcessView>);

impl View for ProcessesView {
    fn table(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let mut columns = Columns::new(&["NAME", "ROLE", "PID", "GRPC", "HTTP", ""]);
        for p in &self.0 {
            let pid = p.pid.map_or("stopped".to_owned(), |pid| pid.to_string());
            let url = |u: &Option<String>| u.clone().unwrap_or_else(|| "-".into());
            let mark = if p.leader { "leader" } else { "" };
            columns.row([p.name.clone(), p.role.clone(), pid, url(&p.grpc), url(&p.http), mark.to_owned()]);
        }
        columns.write(out)
    }
}

pub fn run(args: DevArgs, format: Format) -> Result<(), Failure> {
    match args.verb {
        None => up::up(args.up, format),
        Some(DevVerb::Ps(dir)) => {
            let layout = Layout::existing(&dir.data_dir)?;
            let leader = up::leader_name(&layout);
            show(format, &ProcessesView(views(&layout, leader.as_deref())?))
        }
        Some(DevVerb::Kill { name, dir }) => kill(&Layout::existing(&dir.data_dir)?, &name),
        Some(DevVerb::Start { name, all: _, dir }) => start(&Layout::existing(&dir.data_dir)?, name.as_deref()),
        Some(DevVerb::Stop(dir)) => stop(&Layout::existing(&dir.data_dir)?),
    }
}

fn views(layout: &Layout, leader: Option<&str>) -> Result<Vec<ProcessView>, Failure> {
    let view = |child: Child| {
        let pid = child.running_pid();
        ProcessView {
            leader: pid.is_some() && leader == Some(child.name.as_str()),
            running: pid.is_some(),
            pid,
            http: child.http.map(|a| format!("https://{a}")),
            grpc: child.grpc.map(|a| format!("https://{a}")),
            role: child.role,
            name: child.name,
        }
    };
    Ok(layout.children()?.into_iter().map(view).collect())
}

fn kill(layout: &Layout, name: &str) -> Result<(), Failure> {
    let name = match name {
        "leader" => up::leader_name(layout).ok_or_else(|| {
            Failure::new(Code::Unreachable, "no_leader", "no master knows a leader now").next("see `cloudai dev ps`")
        })?,
        other => other.to_owned(),
    };
    let child = layout.child(&name)?;
    let pid = child.running_pid().ok_or_else(|| {
        Failure::new(Code::Conflict, "conflict", format!("{name} does not run")).next(format!("start it: cloudai dev start {name}"))
    })?;
    child.signal(rustix::process::Signal::KILL)?;
    child.wait_gone(child::GONE_WITHIN)?;
    say(format!("{name} (pid {pid}) was killed with SIGKILL"));
    Ok(())
}

fn start(layout: &Layout, name: Option<&str>) -> Result<(), Failure> {
    let children = match name {
        Some(name) => vec![layout.child(name)?],
        None => layout.children()?,
    };
    for mut child in children {
        if child.running_pid().is_some() {
            if name.is_some() {
                return Err(Failure::new(Code::Conflict, "conflict", format!("{} runs already", child.name)));
            }
            continue;
        }
        child.spawn(layout)?;
        say(format!("{} started (pid {})", child.name, child.pid.unwrap_or_default()));
    }
    Ok(())
}

/// Workers first, so that nobody reports a loss; then the masters. Whoever does not go is killed.
pub(super) fn stop(layout: &Layout) -> Result<(), Failure> {
    let mut children = layout.children()?;
    children.sort_by_key(|c| c.role != "worker");
    for role in ["worker", "master"] {
        let of_role: Vec<&Child> = children.iter().filter(|c| c.role == role && c.running_pid().is_some()).collect();
        for child in &of_role {
            child.signal(rustix::process::Signal::TERM)?;
        }
        for child in of_role {
            if child.wait_gone(child::STOP_WITHIN).is_err() {
                say(format!("{} did not stop within {} s and is killed", child.name, child::STOP_WITHIN.as_secs()));
                child.signal(rustix::process::Signal::KILL)?;
                child.wait_gone(child::GONE_WITHIN)?;
            }
        }
    }
    if layout.cluster()?.executor == "docker" {
        let cluster = layout.cluster()?.cluster;
        let removed = process::runtime()?
            .block_on(cloudai_worker::remove_containers_of(&cluster))
            .map_err(|e| Failure::failed("the cluster's containers cannot be removed").why(e))?;
        if removed > 0 {
            say(format!("{removed} containers of the cluster were removed"));
        }
    }
    say("the cluster is stopped; its data stays, and `cloudai dev start --all` starts it again");
    Ok(())
}
