//! What live telemetry costs the leader, and whether slow clients harm quick ones: a thousand hollow workers, WebSockets that take what comes, and some
//! that take nothing. How the workers are hollow, `hollow.rs` says; their samples are made up, and as large as those of busy workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use rustls::ClientConfig;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use crate::RunOptions;
use crate::cluster::Cluster;
use crate::figure::{Figure, Goal, Nature};
use crate::hollow::Hollow;
use crate::machine::{cpu_time, raise_open_files, resident_bytes};
use crate::{pages, tls};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Hollow workers, each with a connection of its own and a sample per second
    #[arg(long, default_value_t = 1_000)]
    workers: usize,
    /// WebSockets for all workers, those that stall included
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// So many of them take nothing
    #[arg(long, default_value_t = 50)]
    stalled: usize,
}

/// Connections are open and first frames are taken by then.
const SETTLE: Duration = Duration::from_secs(5);
const OPENED_AT_ONCE: usize = 16;
/// Files that a process has open besides its connections.
const SPARE_FILES: u64 = 500;
/// How each worker begins in a message.
const WORKER: &str = "{\"worker\":";

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Counted by all clients that take what comes.
#[derive(Default)]
struct Counts {
    samples: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    /// Sockets that ended: there should be none.
    ended: AtomicU64,
    counts: AtomicBool,
}

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Figure> {
    let nature = Nature { durable: false, replicated: true, real_containers: false };
    let mut figure = Figure::new("telemetry", "% of the full rate", nature);
    let files = raise_open_files();
    let needed = (options.workers + options.clients) as u64 + SPARE_FILES;
    if files < needed {
        return Ok(
            figure.not_run(format!("{needed} open files are needed, and this process may have {files} (ulimit -Hn)"))
        );
    }
    ensure!(options.stalled < options.clients, "no client is left that takes what comes");
    let healthy = options.clients - options.stalled;
    let cluster = Cluster::start(run, &["--executor", "noop", "--workers", "0"], &[]).await?;
    let hollow = Hollow::start(&cluster, options.workers).await?;
    let leader = cluster.leader()?.clone();
    let pid = leader.pid.unwrap_or_default();
    let at = leader.http.as_deref().context("the leader has an HTTP port")?.trim_start_matches("https://").to_owned();
    let tls = tls::client(&cluster.admin_identity(), true, &[b"http/1.1"])?;
    let over = Duration::from_secs(run.seconds.into());
    tokio::time::sleep(SETTLE).await;
    let unwatched = percent(pid, over).await;
    let memory_before = resident_bytes(pid);

    // One that watches: what the workers' samples cost.
    let counts = Arc::new(Counts::default());
    let mut taking = JoinSet::new();
    take(open(&tls, &at).await?, &counts, &mut taking);
    tokio::time::sleep(SETTLE).await;
    let with_one = percent(pid, over).await;

    let sockets: Vec<Socket> = futures::stream::iter(1..options.clients)
        .map(|_| open(&tls, &at))
        .buffer_unordered(OPENED_AT_ONCE)
        .try_collect()
        .await
        .context("a WebSocket was not opened")?;
    let mut stalled = vec![];
    for socket in sockets {
        match stalled.len() < options.stalled {
            true => stalled.push(socket),
            false => take(socket, &counts, &mut taking),
        }
    }
    tokio::time::sleep(SETTLE).await;
    let sent_before = hollow.samples();
    counts.counts.store(true, Relaxed);
    let (mut memory_most, mut held_most) = (0, 0);
    let (began, from, own_from) = (Instant::now(), cpu_time(pid), cpu_time(std::process::id()));
    while began.elapsed() < over {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory_most = memory_most.max(resident_bytes(pid));
        held_most = held_most.max(metric(&tls, &at, "cloudai_telemetry_held_bytes").await?);
    }
    counts.counts.store(false, Relaxed);
    let took = began.elapsed().as_secs_f64();
    let watched = cpu_time(pid).saturating_sub(from).as_secs_f64() / took * 100.0;
    let own = cpu_time(std::process::id()).saturating_sub(own_from).as_secs_f64() / took * 100.0;
    let sent = hollow.samples() - sent_before;
    let got = counts.samples.load(Relaxed) as f64 / healthy as f64;
    ensure!(sent > 0 && hollow.beats().ended == 0, "sessions ended, or nobody sent anything: this is no steady state");

    figure.ours = Some(got / sent as f64 * 100.0);
    figure.detail = json!({"workers": options.workers, "clients": options.clients, "stalled": options.stalled, "seconds": took,
        "samples_per_second_sent_by_workers": sent as f64 / took, "samples_per_second_of_a_healthy_client": got / took,
        "dropped_of_a_healthy_client": counts.dropped.load(Relaxed) as f64 / healthy as f64,
        "dropped_of_all_told": metric(&tls, &at, "cloudai_ws_samples_dropped_total").await?,
        "healthy_sockets_that_ended": counts.ended.load(Relaxed), "megabytes_per_second_sent": counts.bytes.load(Relaxed) as f64 / took / 1e6,
        "leader_percent_of_a_core": {"not_watched": unwatched, "watched_by_one": with_one, "watched_by_all": watched},
        "bench_percent_of_a_core": own,
        "leader_memory_mb": {"not_watched": memory_before as f64 / 1e6, "most_while_watched": memory_most as f64 / 1e6},
        "held_mb_most": held_most as f64 / 1e6,
        "how": "one process with a certificate, a TLS connection and a session per worker, and a TLS connection per WebSocket"});
    drop(stalled);
    Ok(figure.judged(Some(Goal::AtLeast(99.0))))
}

/// CPU of a process over the next time, in percent of one core.
async fn percent(pid: u32, over: Duration) -> f64 {
    let (from, began) = (cpu_time(pid), Instant::now());
    tokio::time::sleep(over).await;
    cpu_time(pid).saturating_sub(from).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
}

async fn open(tls: &Arc<ClientConfig>, at: &str) -> anyhow::Result<Socket> {
    let request = http::Request::get("wss://localhost/telemetry/stream")
        .header("Host", "localhost")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .body(())?;
    Ok(tokio_tungstenite::client_async(request, pages::connect(tls, at).await?).await?.0)
}

/// Takes what comes, for as long as it comes.
fn take(mut socket: Socket, counts: &Arc<Counts>, taking: &mut JoinSet<()>) {
    let counts = counts.clone();
    taking.spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            if !counts.counts.load(Relaxed) {
                continue;
            }
            counts.bytes.fetch_add(text.len() as u64, Relaxed);
            match text.strip_prefix("{\"type\":\"lagged\",\"dropped\":").and_then(|rest| rest.strip_suffix('}')) {
                Some(dropped) => drop(counts.dropped.fetch_add(dropped.parse().unwrap_or(0), Relaxed)),
                None => drop(counts.samples.fetch_add(text.matches(WORKER).count() as u64, Relaxed)),
            }
        }
        counts.ended.fetch_add(1, Relaxed);
    });
}

/// Of the leader's page.
async fn metric(tls: &Arc<ClientConfig>, at: &str, name: &str) -> anyhow::Result<u64> {
    let value = pages::value(&pages::page(tls, at).await?, name);
    Ok(value.with_context(|| format!("{name} is not on the leader's page"))? as u64)
}
