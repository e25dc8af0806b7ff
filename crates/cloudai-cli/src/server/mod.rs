//! The commands that start processes: `init`, `master`, `worker`, `dev` (feature `server`). Comes in: flags, environment and
//! configuration files. Goes out: running processes. What a master or worker does is its own crate's business.

pub mod dev;
pub mod init;
pub mod master;
pub mod process;
pub mod worker;

use clap::Subcommand;

use crate::exit::Failure;
use crate::output::Format;

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make a new cluster's CA and the identities of its first masters and of its administrator
    Init(init::InitArgs),
    /// Run a master
    Master(Box<master::MasterArgs>),
    /// Run a worker
    Worker(Box<worker::WorkerArgs>),
    /// Run a whole cluster of child processes on this machine
    Dev(dev::DevArgs),
}

impl Command {
    pub fn run(self, format: Format) -> Result<(), Failure> {
        cloudai_net::install_crypto_provider();
        match self {
            Command::Init(args) => init::run(args),
            Command::Master(args) => master::run(*args),
            Command::Worker(args) => worker::run(*args),
            Command::Dev(args) => dev::run(args, format),
        }
    }
}
