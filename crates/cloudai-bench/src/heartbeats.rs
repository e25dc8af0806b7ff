//! What the heartbeats of very many workers cost the leader: its CPU with all sessions open and no work at all, less its CPU before the
//! first of them. How the workers are hollow, `hollow.rs` says.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::RunOptions;
use crate::cluster::Cluster;
use crate::figure::{Figure, Goal, Nature};
use crate::hollow::Hollow;
use crate::machine::{cpu_time, raise_open_files, resident_bytes};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Hollow workers, each with a connection of its own
    #[arg(long, default_value_t = 10_000)]
    hollow: usize,
    /// Seconds over which the CPU is measured
    #[arg(long, default_value_t = 15)]
    over: u64,
}

/// Connection buffers and first heartbeats are done by then.
const SETTLE: Duration = Duration::from_secs(5);
/// Files that a process has open besides its connections.
const SPARE_FILES: u64 = 500;

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Figure> {
    let mut figure =
        Figure::new("heartbeats", "% of a core", Nature { durable: false, replicated: true, real_containers: false });
    let files = raise_open_files();
    if files < options.hollow as u64 + SPARE_FILES {
        return Ok(figure.not_run(format!(
            "{} connections need more than the {files} open files that this process may have (ulimit -Hn)",
            options.hollow
        )));
    }
    let cluster = Cluster::start(run, &["--executor", "noop", "--workers", "0"], &[]).await?;
    let leader = cluster.leader()?.pid.unwrap_or_default();
    let over = Duration::from_secs(options.over);
    tokio::time::sleep(SETTLE).await;
    let idle = percent(leader, over).await;
    let memory_before = resident_bytes(leader);
    let began = Instant::now();
    let hollow = Hollow::start(&cluster, options.hollow).await?;
    let opened_s = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let before = hollow.beats();
    let busy = percent(leader, over).await;
    let after = hollow.beats();
    let acknowledged = (after.acknowledged - before.acknowledged) as f64 / over.as_secs_f64();
    ensure!(
        after.ended == 0 && acknowledged > options.hollow as f64 / 4.0,
        "of {} sessions {} ended, and {acknowledged:.0} heartbeats/s were acknowledged: this is no steady state",
        hollow.sessions(),
        after.ended
    );
    figure.ours = Some(busy - idle);
    figure.detail = json!({"workers": options.hollow, "leader_percent_idle": idle, "leader_percent": busy,
        "heartbeats_acknowledged_per_second": acknowledged, "cpu_us_per_heartbeat": (busy - idle) * 1e4 / acknowledged,
        "sessions_opened_in_s": opened_s, "leader_memory_mb_before_and_after":
        [memory_before as f64 / 1e6, resident_bytes(leader) as f64 / 1e6],
        "how": "one process, but a certificate, a TLS connection and a session per worker; no jobs"});
    Ok(figure.judged(Some(Goal::AtMost(25.0))))
}

/// CPU of a process over the next time, in percent of one core.
async fn percent(pid: u32, over: Duration) -> f64 {
    let (from, began) = (cpu_time(pid), Instant::now());
    tokio::time::sleep(over).await;
    cpu_time(pid).saturating_sub(from).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
}
