//! `dev`: a whole cluster of ordinary child processes on this machine, so that killing one is real. Comes in: how many of what, a
//! directory. Goes out: running processes with readable configurations, and verbs to kill, start and stop them. The children are
//! `cloudai master` and `cloudai worker`; nothing in them knows that they are on one machine.

mod child;
mod kill;
mod leader;
mod ports;
mod ps;
mod start;
mod stop;
mod summary;
mod up;

use std::path::PathBuf;

use crate::exit::Failure;
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct DevArgs {
    #[command(subcommand)]
    verb: Option<DevVerb>,
    /// Where the cluster lives; default: ~/.local/state/cloudai/dev
    #[arg(long, global = true, env = "CLOUDAI_DEV_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    up: UpArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub masters: u8,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub workers: u16,
    /// docker, or noop for tests of scale without containers
    #[arg(long, default_value = "docker", value_parser = ["docker", "noop"])]
    pub executor: String,
    /// What each worker claims, for example cpu=64,memory=256GiB; default: its share of this machine
    #[arg(long, value_name = "AMOUNTS")]
    pub capacity: Option<String>,
    /// Path below which tasks may mount read-only (repeatable)
    #[arg(long = "allow-mount", value_name = "DIR")]
    pub allow_mount: Vec<PathBuf>,
    /// Let jobs ask for root; without it no task is
    #[arg(long)]
    pub allow_root: bool,
    /// The container engine's socket
    #[arg(long, value_name = "PATH")]
    pub docker_socket: Option<PathBuf>,
    /// Return when the cluster is ready; `cloudai dev stop` ends it
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub enum DevVerb {
    /// The processes
    Ps,
    /// SIGKILL one: a name, or `leader`
    Kill { name: String },
    /// Start one again, or all that are down, with the same ports and data
    Start {
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Stop all; the data stays
    Stop,
}

pub async fn run(args: &DevArgs, settings: &Settings) -> Result<(), Failure> {
    let format = settings.format;
    let root = root(args.data_dir.as_ref())?;
    match &args.verb {
        None => up::run(&root, &args.up, settings).await,
        Some(DevVerb::Ps) => ps::run(&root, format).await,
        Some(DevVerb::Kill { name }) => kill::run(&root, name, format).await,
        Some(DevVerb::Start { name, all: _ }) => start::run(&root, name.as_deref(), format).await,
        Some(DevVerb::Stop) => stop::run(&root, format).await,
    }
}

fn root(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let dir = match given {
        Some(d) => d.clone(),
        None => {
            let state = std::env::var_os("XDG_STATE_HOME")
                .map(PathBuf::from)
                .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/state")));
            state
                .ok_or_else(|| {
                    Failure::invalid("there is no home directory for the cluster").next("give --data-dir DIR")
                })?
                .join("cloudai/dev")
        }
    };
    std::path::absolute(dir).map_err(|e| Failure::invalid("the data directory is not usable").why(e))
}
