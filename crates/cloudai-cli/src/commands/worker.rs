//! `worker`: be one, with the configuration from file, environment and flags.

use std::path::PathBuf;
use std::time::Duration;

use cloudai_worker::{StopMode, Stops, WorkerConfig, WorkerError};
use toml::{Table, Value};

use crate::commands::layered::{self, Overlay};
use crate::commands::server::{LogFlags, asked_to_stop};
use crate::exit::{Code, Failure};
use crate::input::pairs;
use crate::times::parse_duration;

#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// Configuration file (TOML); environment and flags win over it
    #[arg(long, env = "CLOUDAI_WORKER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its name; default: what the token or the certificate says
    #[arg(long, env = "CLOUDAI_WORKER_NAME")]
    name: Option<String>,
    /// Identity, journal and logs
    #[arg(long, env = "CLOUDAI_WORKER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Masters' gRPC addresses
    #[arg(long, env = "CLOUDAI_MASTERS", value_delimiter = ',', value_name = "HOST:PORT,…")]
    masters: Vec<String>,
    /// The token of `cloudai worker authorize NAME`, or @FILE; needed once
    #[arg(long, env = "CLOUDAI_JOIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    join: Option<String>,
    /// docker or noop
    #[arg(long, env = "CLOUDAI_WORKER_EXECUTOR", value_parser = ["docker", "noop"])]
    executor: Option<String>,
    /// What it claims to have, for example cpu=64,memory=256GiB
    #[arg(long, env = "CLOUDAI_WORKER_CAPACITY", value_name = "AMOUNTS")]
    capacity: Option<String>,
    /// What it keeps for the machine itself, for example cpu=1,memory=2GiB; tasks get the rest
    #[arg(long, env = "CLOUDAI_WORKER_RESERVE", value_name = "AMOUNTS")]
    reserve: Option<String>,
    /// What it costs, for the policy cost: a decimal number in the currency of all workers, for example 0.35
    #[arg(long, env = "CLOUDAI_WORKER_PRICE_PER_HOUR", value_name = "PRICE")]
    price_per_hour: Option<String>,
    /// Label of its own, for `--require` (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::parse)]
    label: Vec<(String, String)>,
    /// Path below which tasks may mount read-only, or with :rw the path itself to write to (repeatable)
    #[arg(long = "allow-mount", value_name = "DIR[:rw]")]
    allow_mount: Vec<String>,
    /// What SIGTERM does to tasks: leave (they go on, the next start adopts them) or drain (they finish first)
    #[arg(long, env = "CLOUDAI_WORKER_STOP_MODE", value_parser = ["leave", "drain"])]
    stop_mode: Option<String>,
    /// With drain: what still runs after so long is stopped, and goes elsewhere
    #[arg(long, env = "CLOUDAI_WORKER_STOP_DEADLINE", value_name = "DURATION", value_parser = parse_duration)]
    stop_deadline: Option<Duration>,
    /// Let jobs ask for root; without it no task is
    #[arg(long, env = "CLOUDAI_WORKER_ALLOW_ROOT")]
    allow_root: bool,
    /// Network that a job may name: default, none, or one of the engine (repeatable; the first is the default). Without: default and none
    #[arg(long = "network", value_name = "NAME")]
    networks: Vec<String>,
    /// Give each task a network namespace that no task had before, also a short one
    #[arg(long, env = "CLOUDAI_WORKER_FRESH_NETWORKS")]
    fresh_networks: bool,
    /// The container engine's socket
    #[arg(long, env = "CLOUDAI_WORKER_DOCKER_SOCKET", value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// Where /metrics answers
    #[arg(long, env = "CLOUDAI_WORKER_METRICS_ADDR", value_name = "HOST:PORT")]
    metrics_addr: Option<String>,
    /// Folder for a copy of all task output as JSON lines, in two files that take turns, for log shippers; without: none
    #[arg(long, env = "CLOUDAI_WORKER_LOG_MIRROR", value_name = "DIR")]
    log_mirror: Option<PathBuf>,
    #[command(flatten)]
    pub log: LogFlags,
}

/// `otlp`: where spans go, whatever the file says.
pub async fn run(args: &WorkerArgs, otlp: Option<&str>) -> Result<(), Failure> {
    let config = config(args, otlp)?;
    tracing::info!(name = config.name, data_dir = %config.data_dir.display(), "worker starts");
    let stops = Stops::default();
    let (mode, asked) = (config.stop.mode, stops.clone());
    tokio::spawn(async move {
        asked_to_stop().await;
        if mode == StopMode::Drain {
            asked.leave.cancel();
            asked_to_stop().await;
            tracing::warn!(
                "asked to stop again: it ends at once; what still runs goes on, and is adopted when it starts again"
            );
        }
        asked.stop.cancel();
    });
    cloudai_worker::run_until(config, stops).await.map_err(failure)?;
    tracing::info!("worker stopped");
    Ok(())
}

fn config(args: &WorkerArgs, otlp: Option<&str>) -> Result<WorkerConfig, Failure> {
    let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
    let labels: Table = args.label.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
    let mounts: Vec<Value> = args.allow_mount.iter().map(|text| allowed_mount(text)).collect();
    let mut stop = Table::new();
    if let Some(mode) = &args.stop_mode {
        stop.insert("mode".to_owned(), Value::from(mode.as_str()));
    }
    if let Some(deadline) = args.stop_deadline {
        let secs = deadline.as_secs() + u64::from(deadline.subsec_nanos() > 0);
        stop.insert("deadline_secs".to_owned(), Value::from(i64::try_from(secs).unwrap_or(i64::MAX)));
    }
    let mirror = path(&args.log_mirror).map(|dir| Table::from_iter([("dir".to_owned(), Value::from(dir))]));
    let mut over = Overlay::default();
    over.set("name", args.name.clone())
        .set("data_dir", path(&args.data_dir))
        .list("masters", &args.masters)
        .set("join_token", layered::secret(&args.join)?)
        .set("executor", args.executor.clone())
        .set("capacity", args.capacity.clone())
        .set("reserve", args.reserve.clone())
        .set("price_per_hour", args.price_per_hour.clone())
        .set("labels", (!labels.is_empty()).then_some(labels))
        .set("allowed_mounts", (!mounts.is_empty()).then_some(mounts))
        .set("stop", (!stop.is_empty()).then_some(stop))
        .set("log_mirror", mirror)
        .set("allow_root", args.allow_root.then_some(true))
        .list("networks", &args.networks)
        .set("fresh_networks", args.fresh_networks.then_some(true))
        .set("docker_socket", path(&args.docker_socket))
        .set("metrics_addr", args.metrics_addr.clone())
        .set("tracing", layered::tracing(otlp));
    let mut config: WorkerConfig = layered::load(args.config.as_deref(), over.into_table())?;
    config.guard_program = std::env::current_exe()
        .map_err(|e| Failure::failed("this program cannot find itself, to start a guard beside the worker").why(e))?;
    config.check().map_err(|e| Failure::invalid(format!("the worker's configuration is not valid: {e}")))?;
    Ok(config)
}

/// `DIR` or `DIR:rw`, as the configuration file says it.
fn allowed_mount(text: &str) -> Value {
    match text.strip_suffix(":rw") {
        None => Value::from(text),
        Some(path) => {
            let entry = [("path".to_owned(), Value::from(path)), ("write".to_owned(), Value::from(true))];
            Value::Table(entry.into_iter().collect())
        }
    }
}

fn failure(e: WorkerError) -> Failure {
    let code = match &e {
        WorkerError::Config(_) | WorkerError::Reserve(_) => Code::Usage,
        WorkerError::Join(_) | WorkerError::Identity(_) | WorkerError::OtherName { .. } => Code::Auth,
        WorkerError::DataDirInUse(_) => Code::Conflict,
        _ => Code::Failed,
    };
    Failure::new(code, "worker", e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: WorkerArgs,
    }

    #[test]
    fn flags_make_a_whole_configuration() {
        let words = "x --data-dir /d --masters a:1,b:2 --executor noop --capacity cpu=4 --reserve cpu=1 --price-per-hour 0.35 --label zone=eu --allow-mount /data --allow-mount /s:rw --stop-mode drain --stop-deadline 90.5s --fresh-networks --allow-root --network none --network lab --log-mirror /var/log/cloudai";
        let c = config(&Alone::try_parse_from(words.split(' ')).unwrap().args, None).unwrap();
        let mounts: Vec<(&str, bool)> = c.allowed_mounts.iter().map(|m| (m.path.to_str().unwrap(), m.write)).collect();
        assert_eq!(
            (c.masters.len(), c.labels["zone"].as_str(), mounts),
            (2, "eu", vec![("/data", false), ("/s", true)])
        );
        assert_eq!((c.stop.mode, c.stop.deadline_secs), (StopMode::Drain, 91));
        assert_eq!(c.log_mirror.dir, PathBuf::from("/var/log/cloudai"));
        assert_eq!((c.executor, c.fresh_networks), (cloudai_worker::ExecutorKind::Noop, true));
        assert_eq!((c.capacity.as_str(), c.reserve.as_str()), ("cpu=4", "cpu=1"));
        assert_eq!(c.price().unwrap(), cloudai_types::HourlyPrice(350_000));
        assert_eq!((c.allow_root, c.networks.as_slice()), (true, &["none".to_owned(), "lab".to_owned()][..]));
        assert_eq!(config(&Alone::try_parse_from(["x"]).unwrap().args, None).unwrap_err().code.number(), 2);
    }
}
