//! What master, worker, dev and init share: a runtime of the right size, logging, and the signals that end them.

use std::future::Future;

use cloudai_telemetry::{LogFormat, LogOptions};

use crate::args::{Cli, Server};
use crate::commands::{dev, init, master, worker, worker_guard};
use crate::exit::Failure;
use crate::settings::Settings;

/// On machines with at most so many cores one thread is faster than several.
const ONE_THREAD_CORES: usize = 4;

/// Flags of the processes that log.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogFlags {
    /// What is logged, for example info or cloudai_raft=debug,info
    #[arg(long, env = "CLOUDAI_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// text or json
    #[arg(long, env = "CLOUDAI_LOG_FORMAT", value_name = "FORMAT", value_parser = format)]
    log_format: Option<LogFormat>,
}

fn format(text: &str) -> Result<LogFormat, String> {
    text.parse().map_err(|e: cloudai_telemetry::init::UnknownFormat| e.to_string())
}

pub fn run(server: Server<'_>, cli: &Cli) -> Result<(), Failure> {
    match server {
        Server::Master(a) => serve(&a.log, master::run(a, cli.global.otlp.as_deref())),
        Server::Worker(a) => serve(&a.log, worker::run(a, cli.global.otlp.as_deref())),
        Server::Guard(a) => serve(&a.log, worker_guard::run(a)),
        Server::Dev(a) => {
            let settings = Settings::resolve(&cli.global)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;
            runtime.block_on(dev::run(a, &settings))
        }
        Server::Init(a) => init::run(a, Settings::resolve(&cli.global)?.format),
    }
}

fn serve(log: &LogFlags, task: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let options = LogOptions { filter: log.log.clone(), format: log.log_format.unwrap_or_default() };
    cloudai_telemetry::init(&options).map_err(|e| Failure::invalid(e.to_string()))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = if cores <= ONE_THREAD_CORES {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.enable_all().build().map_err(no_runtime)?.block_on(task)
}

fn no_runtime(e: std::io::Error) -> Failure {
    Failure::failed("the runtime cannot be started").why(e)
}

/// Resolves at the first SIGINT or SIGTERM.
pub async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut term) => tokio::select! {
            _ = term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be listened for; only Ctrl-C stops this process in order");
            // An error here leaves nothing to listen for: then only SIGKILL ends the process, as it always can.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
