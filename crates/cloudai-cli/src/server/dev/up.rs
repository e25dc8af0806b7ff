//! Bringing the cluster up. Comes in: flags and a directory. Goes out: configurations, running children, the file `env`, and a
//! summary. Workers join by the ordinary way: authorised, then with a one-time token.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cloudai_client::{Client, ClientOptions};
use cloudai_master::{Founder, MasterConfig, RaftTimes};
use cloudai_proto::v1 as pb;
use cloudai_worker::WorkerConfig;

use super::child::Child;
use super::layout::{ClusterRecord, Layout};
use super::{UpArgs, process, stop};
use crate::exit::{Code, Failure};
use crate::output::{Format, say};
use crate::server::{init, worker};

/// A leader and all workers are ready by then, or something is wrong.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Ports are taken from below the range that the system gives to outgoing connections, so that a killed process finds its port
/// free when it comes back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

pub fn up(args: UpArgs, _format: Format) -> Result<(), Failure> {
    let layout = Layout::new(&args.dir.data_dir)?;
    let began = Instant::now();
    if layout.exists() {
        if let Some(running) = layout.children()?.iter().find(|c| c.running_pid().is_some()) {
            return Err(Failure::new(
                Code::Conflict,
                "conflict",
                format!("a cluster runs in {} already ({})", layout.dir.display(), running.name),
            )
            .next("stop it with `cloudai dev stop`, or use another --data-dir"));
        }
        super::start(&layout, None)?;
    } else {
        found(&layout, &args)?;
    }
    let runtime = process::runtime()?;
    let ready = runtime.block_on(wait_ready(&layout, &args, layout.children()?));
    if let Err(failure) = ready {
        let logs = layout.dir.join("logs");
        // What was started is stopped again: a half cluster helps nobody.
        stop(&layout)?;
        return Err(failure.next(format!("look into {}", logs.display())));
    }
    let _ = crate::output::show_text(&summary(&layout, began.elapsed())?);
    if args.detach {
        return Ok(());
    }
    say("Ctrl-C stops the cluster");
    runtime.block_on(async {
        process::asked_to_stop().await;
        // A second one does not wait for anybody.
        tokio::spawn(async {
            process::asked_to_stop().await;
            std::process::exit(i32::from(Code::Interrupted.number()));
        });
    });
    stop(&layout)
}

/// Identities, ports, configurations; then the masters start, and each worker gets its token.
fn found(layout: &Layout, args: &UpArgs) -> Result<(), Failure> {
    worker::executor(&args.executor)?;
    layout.create()?;
    let names: Vec<String> = (1..=args.masters).map(|n| format!("master-{n}")).collect();
    let ca = init::found(&layout.dir, &names, "admin", &[])?;
    let record = ClusterRecord { cluster: ca.cluster().to_string(), executor: args.executor.clone() };
    let mut ports = Ports::default();
    let founders = names
        .iter()
        .zip(1..)
        .map(|(name, id)| {
            Ok(Founder {
                id,
                name: name.clone(),
                http_addr: ports.next()?,
                grpc_addr: ports.next()?,
                raft_addr: ports.next()?,
            })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let worker_ports = (0..args.workers).map(|_| ports.next()).collect::<Result<Vec<_>, Failure>>()?;
    // From here on the ports are the children's.
    drop(ports);
    for founder in &founders {
        let config = MasterConfig {
            http_listen: founder.http_addr.clone(),
            grpc_listen: founder.grpc_addr.clone(),
            raft_listen: founder.raft_addr.clone(),
            founders: founders.clone(),
            raft: RaftTimes { snapshot_every_entries: args.snapshot_every_entries, ..RaftTimes::default() },
            ..MasterConfig::new(founder.name.clone(), layout.dir.join(&founder.name))
        };
        let path = layout.config(&founder.name);
        layout.write(&path, &toml_text(&config)?)?;
        let mut child = Child {
            name: founder.name.clone(),
            role: "master".into(),
            config: path,
            http: Some(founder.http_addr.clone()),
            grpc: Some(founder.grpc_addr.clone()),
            pid: None,
            started: None,
        };
        child.spawn(layout)?;
    }
    let grpc: Vec<String> = founders.iter().map(|f| f.grpc_addr.clone()).collect();
    let mut env = String::new();
    let _ = writeln!(env, "export CLOUDAI_ADDR='{}'", grpc.join(","));
    let _ = writeln!(env, "export CLOUDAI_IDENTITY='{}'", layout.admin().display());
    let _ = writeln!(env, "export CLOUDAI_DEV_DIR='{}'", layout.dir.display());
    layout.write(&layout.env(), &env)?;
    layout.save_cluster(&record)?;
    process::runtime()?.block_on(add_workers(layout, args, &grpc, worker_ports))
}

async fn add_workers(layout: &Layout, args: &UpArgs, masters: &[String], ports: Vec<String>) -> Result<(), Failure> {
    let client = client(layout, masters.to_vec(), READY_WITHIN)?;
    for (n, metrics_addr) in (1..).zip(ports) {
        let name = format!("worker-{n}");
        let request = pb::AuthorizeWorkerRequest { name: name.clone(), ..Default::default() };
        let token = client.authorize_worker(request).await?.token;
        let config = WorkerConfig {
            data_dir: layout.dir.join(&name),
            name: name.clone(),
            masters: masters.to_vec(),
            join_token: Some(token),
            executor: worker::executor(&args.executor)?,
            capacity: args.capacity.clone(),
            allowed_mounts: args.allowed_mounts.clone(),
            metrics_addr: metrics_addr.clone(),
            ..WorkerConfig::default()
        };
        let path = layout.config(&name);
        layout.write(&path, &toml_text(&config)?)?;
        let mut child = Child {
            name,
            role: "worker".into(),
            config: path,
            http: Some(metrics_addr),
            grpc: None,
            pid: None,
            started: None,
        };
        child.spawn(layout)?;
    }
    Ok(())
}

fn toml_text(config: &impl serde::Serialize) -> Result<String, Failure> {
    toml::to_string_pretty(config).map_err(|e| Failure::failed("a configuration cannot be written").why(e))
}

fn client(layout: &Layout, addresses: Vec<String>, retry: Duration) -> Result<Client, Failure> {
    let mut options = ClientOptions::new(addresses, layout.admin());
    options.retry_for = retry;
    Ok(Client::open(&options)?)
}

fn grpc_addresses(children: &[Child]) -> Vec<String> {
    children.iter().filter_map(|c| c.grpc.clone()).collect()
}

async fn wait_ready(layout: &Layout, args: &UpArgs, children: Vec<Child>) -> Result<(), Failure> {
    let client = client(layout, grpc_addresses(&children), READY_WITHIN)?;
    let wanted = children.iter().filter(|c| c.role == "worker").count();
    let deadline = Instant::now() + READY_WITHIN;
    let mut last = "no master has answered".to_owned();
    while Instant::now() < deadline {
        if let Some(dead) = children.iter().find(|c| c.running_pid().is_none()) {
            let text = std::fs::read_to_string(layout.log(&dead.name)).unwrap_or_default();
            let end = text.lines().last().unwrap_or_default().to_owned();
            return Err(Failure::failed(format!("{} ended before the cluster was ready", dead.name)).why(end));
        }
        match client.cluster_status(pb::ClusterStatusRequest::default()).await {
            Ok(status) if status.leader_id == 0 => last = "no leader is elected yet".into(),
            Ok(status) if (status.workers_ready as usize) < wanted => {
                last = format!("{} of {wanted} workers are ready", status.workers_ready);
            }
            Ok(_) => return Ok(()),
            Err(e) => last = e.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::failed(format!(
        "the cluster of {} masters and {wanted} workers was not ready within {} s",
        args.masters,
        READY_WITHIN.as_secs()
    ))
    .why(last))
}

/// The leader's name as any running master knows it.
pub fn leader_name(layout: &Layout) -> Option<String> {
    let children = layout.children().ok()?;
    let runtime = process::runtime().ok()?;
    runtime.block_on(async {
        for child in children.iter().filter(|c| c.running_pid().is_some()) {
            let Some(grpc) = child.grpc.clone() else { continue };
            let Ok(client) = client(layout, vec![grpc], Duration::from_secs(2)) else { continue };
            let request = pb::ClusterStatusRequest { consistency: pb::Consistency::Stale as i32 };
            if let Ok(status) = client.cluster_status(request).await {
                let is_running = |name: &str| children.iter().any(|c| c.name == name && c.running_pid().is_some());
                if is_running(&status.leader) {
                    return Some(status.leader);
                }
            }
        }
        None
    })
}

fn summary(layout: &Layout, took: Duration) -> Result<String, Failure> {
    let children = layout.children()?;
    let leader = leader_name(layout).unwrap_or_default();
    let mut text = String::new();
    let _ = writeln!(text, "CloudAI development cluster, ready after {:.1} s (not for production)", took.as_secs_f64());
    let _ = writeln!(text);
    for child in &children {
        let address = child.grpc.as_ref().map_or_else(String::new, |a| format!("https://{a}"));
        let mark = if child.name == leader { "  leader" } else { "" };
        let _ = writeln!(text, "  {:<10} pid {:<8} {address}{mark}", child.name, child.pid.unwrap_or_default());
    }
    let dir = layout.dir.display();
    let _ = writeln!(text, "\n  data       {dir}\n  logs       {dir}/logs\n  executor   {}", layout.cluster()?.executor);
    let _ = writeln!(text, "\nTry:\n  eval \"$(cat {dir}/env)\"");
    let _ = writeln!(text, "  cloudai job submit --array 0-9 busybox -- sleep 1");
    let _ = writeln!(text, "  cloudai dev kill leader && cloudai cluster status");
    let _ = writeln!(text, "  cloudai dev stop");
    Ok(text)
}

/// Free ports, held until all are found so that none is given twice.
#[derive(Default)]
struct Ports {
    held: Vec<std::net::TcpListener>,
}

impl Ports {
    fn next(&mut self) -> Result<String, Failure> {
        for _ in 0..200 {
            let port = PORTS.start + rand::random::<u16>() % (PORTS.end - PORTS.start);
            if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
                self.held.push(listener);
                return Ok(format!("127.0.0.1:{port}"));
            }
        }
        Err(Failure::failed("no free port was found on 127.0.0.1"))
    }
}
