//! Starting a cluster: identities and configurations, processes, then readiness: a leader, and every worker joined through a real token.

use std::path::Path;
use std::time::{Duration, Instant};

use cloudai_client::CallError;
use cloudai_proto::v1::{
    AuthorizeWorkerRequest, ClusterStatusRequest, Consistency, ListWorkersReply, ListWorkersRequest, WorkerState,
};
use cloudai_telemetry::TracingConfig;
use cloudai_worker::{ExecutorKind, StoreConfig, WorkerConfig};

use crate::commands::dev::child::{Child, Kind};
use crate::commands::dev::{UpArgs, leader, ports, ps, stop, summary};
use crate::commands::init::{FirstMaster, NewCluster, write_config};
use crate::commands::server::asked_to_stop;
use crate::exit::{Code, Failure};
use crate::output::{say, show};
use crate::settings::Settings;

const READY_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOCAL: &str = "127.0.0.1";
/// Where results go, below the cluster's directory: all of its processes see the same.
const RESULTS: &str = "results";

/// Processes that this command itself started, so that it can wait for them.
type Own = Vec<(String, std::process::Child)>;

pub async fn run(root: &Path, args: &UpArgs, settings: &Settings) -> Result<(), Failure> {
    if let Some(capacity) = &args.capacity {
        cloudai_worker::parse_capacity(capacity).map_err(|e| Failure::invalid(e.to_string()))?;
    }
    let tracing = TracingConfig { endpoint: settings.otlp.clone(), ..TracingConfig::default() };
    tracing.check().map_err(|e| Failure::invalid(format!("--otlp, {e}")))?;
    let mut own: Own = vec![];
    let started = tokio::select! {
        r = bring_up(root, args, &tracing, &mut own) => r,
        () = asked_to_stop() => Err(Failure::new(Code::Interrupted, "interrupted", "interrupted before the cluster was ready")),
    };
    let children = match started {
        Ok(children) => children,
        Err(failure) => {
            // Only what this command started: an existing cluster is not ours to stop.
            for (name, process) in &mut own {
                if let Err(error) = process.kill() {
                    say(format!("{name} cannot be stopped: {error}"));
                }
                let _ = process.wait();
            }
            return Err(failure);
        }
    };
    summary::write_env(root, &children)?;
    let processes = ps::list(root).await?;
    show(settings.format, &summary::SummaryView::new(root, &children, processes))?;
    if args.detach { Ok(()) } else { attend(root, own).await }
}

async fn bring_up(root: &Path, args: &UpArgs, tracing: &TracingConfig, own: &mut Own) -> Result<Vec<Child>, Failure> {
    let existing = Child::all(root).unwrap_or_default();
    if !existing.is_empty() {
        return start_again(root, existing, own).await;
    }
    let begun = Instant::now();
    let masters = usize::from(args.masters);
    let workers = usize::from(args.workers);
    let free = ports::free(masters * 3 + workers)?;
    let (for_masters, for_workers) = free.split_at(masters * 3);
    let first: Vec<FirstMaster> = for_masters
        .chunks_exact(3)
        .enumerate()
        .map(|(i, p)| FirstMaster {
            name: format!("master-{}", i + 1),
            host: LOCAL.to_owned(),
            ports: [p[0], p[1], p[2]],
        })
        .collect();
    let cluster = NewCluster::create(root)?;
    cluster.admin("dev")?;
    cluster.observer()?;
    let mut children = vec![];
    for (i, m) in first.iter().enumerate() {
        let results = StoreConfig::directory(&root.join(RESULTS));
        let config = cluster.master(&first, i, Some(LOCAL), results, tracing.clone())?;
        let child = Child {
            name: m.name.clone(),
            role: Kind::Master,
            config,
            http: Some(m.http()),
            grpc: Some(m.grpc()),
            running: None,
        };
        start(root, child, &mut children, own)?;
    }
    say(format!("cluster {}: {masters} masters started, waiting for a leader", cluster.id));
    wait_for_leader(root, &children, own, begun).await?;
    let client = leader::client(root, &children, READY_WITHIN)?;
    let addresses: Vec<String> = first.iter().map(FirstMaster::grpc).collect();
    for (i, port) in for_workers.iter().enumerate() {
        let name = format!("worker-{}", i + 1);
        let request = AuthorizeWorkerRequest { name: name.clone(), labels: Default::default() };
        let token = client.authorize_worker(request).await?.token;
        let dir = root.join(&name);
        let metrics = format!("{LOCAL}:{port}");
        let config = WorkerConfig {
            data_dir: dir.clone(),
            name: name.clone(),
            masters: addresses.clone(),
            join_token: Some(token),
            executor: if args.executor == "noop" { ExecutorKind::Noop } else { ExecutorKind::Docker },
            capacity: args.capacity.clone().unwrap_or_else(|| share_of_machine(workers)),
            allowed_mounts: absolute(&args.allow_mount)?.into_iter().map(Into::into).collect(),
            allow_root: args.allow_root,
            docker_socket: args.docker_socket.clone().unwrap_or_default(),
            metrics_addr: metrics.clone(),
            results: StoreConfig::directory(&root.join(RESULTS)),
            tracing: tracing.clone(),
            ..Default::default()
        };
        let path = dir.join("worker.toml");
        write_config(&path, &format!("Worker {name}: cloudai worker --config THIS_FILE"), &config)?;
        let child = Child { name, role: Kind::Worker, config: path, http: Some(metrics), grpc: None, running: None };
        start(root, child, &mut children, own)?;
    }
    wait_for_workers(root, &children, own, begun).await?;
    Ok(children)
}

fn start(root: &Path, mut child: Child, children: &mut Vec<Child>, own: &mut Own) -> Result<(), Failure> {
    let process = child.start(root)?;
    own.push((child.name.clone(), process));
    children.push(child);
    Ok(())
}

async fn start_again(root: &Path, mut children: Vec<Child>, own: &mut Own) -> Result<Vec<Child>, Failure> {
    if children.iter().any(|c| c.pid().is_some()) {
        return Err(Failure::new(Code::Conflict, "conflict", format!("the cluster in {} is running", root.display()))
            .next(
                "`cloudai dev ps` shows it, `cloudai dev start --all` starts what is down, `cloudai dev stop` ends it",
            ));
    }
    say(format!("the cluster in {} exists: it is started as it was made", root.display()));
    let begun = Instant::now();
    for child in &mut children {
        own.push((child.name.clone(), child.start(root)?));
    }
    wait_for_leader(root, &children, own, begun).await?;
    wait_for_workers(root, &children, own, begun).await?;
    Ok(children)
}

/// Until a linearizable read succeeds: somebody leads and has a quorum. And until all masters are known to understand the newest format of the
/// log: before that, jobs that need it are refused.
async fn wait_for_leader(root: &Path, children: &[Child], own: &mut Own, begun: Instant) -> Result<(), Failure> {
    let client = leader::client(root, children, Duration::from_millis(500))?;
    loop {
        let request = ClusterStatusRequest { consistency: Consistency::Linearizable as i32 };
        let said = match client.cluster_status(request).await {
            Ok(status) if status.leader_id > 0 && status.version >= cloudai_master::LOG_FORMAT => return Ok(()),
            Ok(status) if status.leader_id > 0 => format!("format {} of the log is in use", status.version),
            Ok(_) => "nobody leads".to_owned(),
            Err(e) => e.to_string(),
        };
        look(root, own, begun, "a leader", &said)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn wait_for_workers(root: &Path, children: &[Child], own: &mut Own, begun: Instant) -> Result<(), Failure> {
    let wanted = children.iter().filter(|c| c.role == Kind::Worker).count();
    if wanted == 0 {
        return Ok(());
    }
    loop {
        // Only the leader knows sessions, and it may change while this waits.
        let said = match ask_leader(root, children).await? {
            None => "nobody says that it leads".to_owned(),
            Some(Ok(reply)) => {
                let ready = reply.workers.iter().filter(|w| w.state() == WorkerState::Ready && w.connected).count();
                if ready >= wanted {
                    return Ok(());
                }
                format!("{ready} of {wanted} are connected")
            }
            Some(Err(e)) => e.to_string(),
        };
        look(root, own, begun, "the workers", &said)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ask_leader(root: &Path, children: &[Child]) -> Result<Option<Result<ListWorkersReply, CallError>>, Failure> {
    let Some(name) = leader::leader(root, children).await else { return Ok(None) };
    let Some(child) = children.iter().find(|c| c.name == name) else { return Ok(None) };
    let client = leader::client(root, std::slice::from_ref(child), Duration::from_secs(2))?;
    let request = ListWorkersRequest { consistency: Consistency::Linearizable as i32 };
    Ok(Some(client.list_workers(request).await))
}

/// A child that ended, or the time that is over, ends the wait.
fn look(root: &Path, own: &mut Own, begun: Instant, what: &str, said: &str) -> Result<(), Failure> {
    for (name, process) in own.iter_mut() {
        if let Ok(Some(status)) = process.try_wait() {
            let child = Child::find(root, name)?;
            return Err(Failure::failed(format!("{name} ended while the cluster started ({status})"))
                .why(child.log_tail(root))
                .next(format!("its whole log: {}", child.log_path(root).display())));
        }
    }
    if begun.elapsed() > READY_WITHIN {
        return Err(Failure::failed(format!("{what} did not come within {} s", READY_WITHIN.as_secs()))
            .why(said)
            .next(format!("the logs are in {}", root.join("logs").display())));
    }
    Ok(())
}

/// In the foreground: says when a child ends, stops all at Ctrl-C, kills all at the second one.
async fn attend(root: &Path, mut own: Own) -> Result<(), Failure> {
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    let asked = asked_to_stop();
    tokio::pin!(asked);
    loop {
        tokio::select! {
            () = &mut asked => break,
            _ = looks.tick() => own.retain_mut(|(name, process)| match process.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) => {
                    say(format!("{name} ended ({status}); start it again: cloudai dev start {name} --data-dir {}", root.display()));
                    false
                }
                Err(error) => {
                    say(format!("{name} cannot be watched: {error}"));
                    false
                }
            }),
        }
    }
    say("\nstopping; Ctrl-C again kills");
    tokio::select! {
        stopped = stop::all(root) => stopped.map(|_| ()),
        () = asked_to_stop() => stop::kill_all(root).await,
    }?;
    for (_, process) in &mut own {
        let _ = process.wait();
    }
    say(format!("stopped; the data is in {}", root.display()));
    Ok(())
}

fn absolute(paths: &[std::path::PathBuf]) -> Result<Vec<std::path::PathBuf>, Failure> {
    let each = paths.iter().map(std::path::absolute).collect::<Result<_, _>>();
    each.map_err(|e| Failure::invalid("a path of --allow-mount is not usable").why(e))
}

/// So that the workers of one machine together claim no more than it has.
fn share_of_machine(workers: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory_kib = std::fs::read_to_string("/proc/meminfo").ok().and_then(|t| {
        t.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    });
    let shares = workers.max(1) as u64;
    let cpu_milli = (cores as u64 * 1000 / shares).max(100);
    let cpu = format!("cpu={}", cloudai_types::resources::Cpu(cpu_milli));
    // A fifth stays for the masters and the machine itself.
    memory_kib.map_or(cpu.clone(), |kib| format!("{cpu},memory={}m", (kib / 1024 * 4 / 5 / shares).max(16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_machine_are_capacities() {
        for workers in [0, 1, 2, 64] {
            cloudai_worker::parse_capacity(&share_of_machine(workers)).unwrap();
        }
    }
}
