//! `cloudai master`. Comes in: a configuration file, overlaid by environment and flags (in rising order). Goes out: a running
//! master.

use std::path::PathBuf;

use cloudai_master::{Join, MasterConfig, RocksStores, RunError};
use cloudai_telemetry::LogOptions;

use super::process;
use crate::exit::{Code, Failure};

#[derive(Debug, Clone, clap::Args)]
pub struct MasterArgs {
    /// TOML file; docs/configuration.md has every field
    #[arg(long, env = "CLOUDAI_MASTER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// This master's name, as in its certificate
    #[arg(long, env = "CLOUDAI_MASTER_NAME")]
    pub name: Option<String>,
    /// Directory for log, state and identity
    #[arg(long, env = "CLOUDAI_MASTER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    #[arg(long, env = "CLOUDAI_MASTER_HTTP_LISTEN", value_name = "HOST:PORT")]
    pub http_listen: Option<String>,
    #[arg(long, env = "CLOUDAI_MASTER_GRPC_LISTEN", value_name = "HOST:PORT")]
    pub grpc_listen: Option<String>,
    #[arg(long, env = "CLOUDAI_MASTER_RAFT_LISTEN", value_name = "HOST:PORT")]
    pub raft_listen: Option<String>,
    /// Host name or address that others reach this master at
    #[arg(long, env = "CLOUDAI_MASTER_ADVERTISE_HOST", value_name = "HOST")]
    pub advertise_host: Option<String>,
    /// One-time token of `cloudai cluster add NAME`, to join an existing cluster
    #[arg(long, env = "CLOUDAI_MASTER_JOIN_TOKEN", value_name = "TOKEN")]
    pub join_token: Option<String>,
    /// gRPC addresses of masters to join through
    #[arg(long, env = "CLOUDAI_MASTER_JOIN", value_delimiter = ',', value_name = "HOST:PORT,…")]
    pub join: Vec<String>,
}

pub fn run(args: MasterArgs) -> Result<(), Failure> {
    let config = configuration(args)?;
    process::init_log(&LogOptions::default())?;
    let runtime = process::runtime()?;
    let ended = runtime.block_on(cloudai_master::run(config, RocksStores, process::asked_to_stop()));
    // Tasks of open connections end with the process.
    runtime.shutdown_background();
    ended.map_err(|e| {
        let code = match &e {
            RunError::NoIdentity { .. } | RunError::OtherIdentity { .. } | RunError::Join(_) => Code::Auth,
            RunError::NotAFounder { .. } | RunError::Refused(_) | RunError::NodeFile(_) => Code::Conflict,
            RunError::Listen { .. } | RunError::Storage { .. } | RunError::Raft(_) | RunError::Stopped(_) => Code::Failed,
        };
        Failure::new(code, "master", e.to_string())
    })
}

fn configuration(args: MasterArgs) -> Result<MasterConfig, Failure> {
    let mut config = match (&args.config, &args.name, &args.data_dir) {
        (Some(path), ..) => read_toml(path)?,
        (None, Some(name), Some(data_dir)) => MasterConfig::new(name.clone(), data_dir.clone()),
        (None, ..) => {
            return Err(Failure::invalid("a master needs --config FILE, or --name NAME and --data-dir DIR")
                .next("see docs/configuration.md, or start a whole cluster here with `cloudai dev`"));
        }
    };
    let MasterArgs { config: _, name, data_dir, http_listen, grpc_listen, raft_listen, advertise_host, join_token, join } =
        args;
    config.name = name.unwrap_or(config.name);
    config.data_dir = data_dir.unwrap_or(config.data_dir);
    config.http_listen = http_listen.unwrap_or(config.http_listen);
    config.grpc_listen = grpc_listen.unwrap_or(config.grpc_listen);
    config.raft_listen = raft_listen.unwrap_or(config.raft_listen);
    config.advertise_host = advertise_host.or(config.advertise_host);
    if !join.is_empty() || join_token.is_some() {
        let old = config.join.unwrap_or(Join { masters: vec![], token: String::new() });
        let masters = if join.is_empty() { old.masters } else { join };
        config.join = Some(Join { masters, token: join_token.unwrap_or(old.token) });
    }
    Ok(config)
}

/// Reads a configuration file; mistakes name the line.
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::invalid(format!("the configuration {} cannot be read", path.display())).why(e))?;
    toml::from_str(&text).map_err(|e| {
        Failure::invalid(format!("the configuration {} is not valid", path.display())).why(e.to_string().trim_end())
    })
}
