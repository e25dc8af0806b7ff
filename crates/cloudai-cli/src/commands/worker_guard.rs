//! `worker guard`: stop tasks of a worker that cannot. Nobody calls it but the worker, which starts it beside itself.

use std::path::PathBuf;

use cloudai_worker::guard::{self, GuardConfig};

use crate::commands::server::LogFlags;
use crate::exit::Failure;

#[derive(Debug, Clone, clap::Args)]
pub struct GuardArgs {
    /// The worker's
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    #[arg(long, value_name = "PATH")]
    docker_socket: PathBuf,
    /// The cluster's id
    #[arg(long, value_name = "ID")]
    cluster: String,
    /// The worker's name
    #[arg(long)]
    name: String,
    #[command(flatten)]
    pub log: LogFlags,
}

pub async fn run(args: &GuardArgs) -> Result<(), Failure> {
    let config = GuardConfig {
        data_dir: args.data_dir.clone(),
        socket: args.docker_socket.clone(),
        cluster: args.cluster.clone(),
        worker: args.name.clone(),
    };
    guard::guard(config).await.map_err(|e| Failure::failed("the guard cannot work").why(e))
}
