//! `cloudai worker`. Comes in: a configuration file, overlaid by environment and flags (in rising order). Goes out: a running
//! worker.

use std::path::PathBuf;

use cloudai_telemetry::LogOptions;
use cloudai_worker::{ExecutorKind, WorkerConfig, WorkerError};
use tokio_util::sync::CancellationToken;

use super::{master, process};
use crate::exit::{Code, Failure};

#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// TOML file; docs/configuration.md has every field
    #[arg(long, env = "CLOUDAI_WORKER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The authorised name; by default what the token says
    #[arg(long, env = "CLOUDAI_WORKER_NAME")]
    pub name: Option<String>,
    /// Directory for identity, journal and logs
    #[arg(long, env = "CLOUDAI_WORKER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// gRPC addresses of masters
    #[arg(long, env = "CLOUDAI_WORKER_MASTERS", value_delimiter = ',', value_name = "HOST:PORT,…")]
    pub masters: Vec<String>,
    /// One-time token of `cloudai worker authorize NAME`; needed once
    #[arg(long, env = "CLOUDAI_WORKER_JOIN_TOKEN", value_name = "TOKEN")]
    pub join_token: Option<String>,
    /// docker or noop
    #[arg(long, env = "CLOUDAI_WORKER_EXECUTOR")]
    pub executor: Option<String>,
    /// What this worker claims to have, for example cpu=64,memory=256GiB
    #[arg(long, env = "CLOUDAI_WORKER_CAPACITY")]
    pub capacity: Option<String>,
    /// Label KEY=VALUE, beside those of its authorisation
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = crate::input::pairs::parse)]
    pub labels: Vec<(String, String)>,
    /// Host directory below which tasks may mount paths read-only
    #[arg(long = "allow-mount", value_name = "DIR")]
    pub allowed_mounts: Vec<PathBuf>,
    #[arg(long, env = "CLOUDAI_WORKER_METRICS_ADDR", value_name = "HOST:PORT")]
    pub metrics_addr: Option<String>,
}

pub fn run(args: WorkerArgs) -> Result<(), Failure> {
    let config = configuration(args)?;
    process::init_log(&LogOptions::default())?;
    let runtime = process::runtime()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let on_signal = stop.clone();
        tokio::spawn(async move {
            process::asked_to_stop().await;
            on_signal.cancel();
        });
        cloudai_worker::run(config, stop).await
    });
    runtime.shutdown_background();
    ended.map_err(|e| {
        let code = match &e {
            WorkerError::Config(_) | WorkerError::AllowedMount { .. } => Code::Usage,
            WorkerError::Join(_) | WorkerError::Identity(_) | WorkerError::OtherName { .. } => Code::Auth,
            WorkerError::DataDirInUse(_) => Code::Conflict,
            WorkerError::DataDir { .. }
            | WorkerError::Engine { .. }
            | WorkerError::Journal { .. }
            | WorkerError::Metrics { .. } => Code::Failed,
        };
        Failure::new(code, "worker", e.to_string())
    })
}

/// `docker` or `noop`.
pub fn executor(text: &str) -> Result<ExecutorKind, Failure> {
    match text {
        "docker" => Ok(ExecutorKind::Docker),
        "noop" => Ok(ExecutorKind::Noop),
        other => Err(Failure::invalid(format!("'{other}' is no executor: choose docker or noop"))),
    }
}

fn configuration(args: WorkerArgs) -> Result<WorkerConfig, Failure> {
    let mut config: WorkerConfig = args.config.as_deref().map_or_else(|| Ok(WorkerConfig::default()), master::read_toml)?;
    let WorkerArgs {
        config: _,
        name,
        data_dir,
        masters,
        join_token,
        executor: executor_name,
        capacity,
        labels,
        allowed_mounts,
        metrics_addr,
    } = args;
    config.name = name.unwrap_or(config.name);
    config.data_dir = data_dir.unwrap_or(config.data_dir);
    if !masters.is_empty() {
        config.masters = masters;
    }
    config.join_token = join_token.or(config.join_token);
    if let Some(text) = executor_name {
        config.executor = executor(&text)?;
    }
    config.capacity = capacity.unwrap_or(config.capacity);
    config.labels.extend(labels);
    config.allowed_mounts.extend(allowed_mounts);
    config.metrics_addr = metrics_addr.unwrap_or(config.metrics_addr);
    Ok(config)
}
