//! What a million queued tasks cost: memory of each master, and the time of a restart. Comes in: how many. Goes out: figures for one
//! array and for single jobs. No worker is there, so everything waits.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cloudai_client::SubmitStream;
use cloudai_proto::v1::{Consistency, QueueRequest, SubmitRequest};
use cloudai_types::JobSpec;
use futures::future::try_join_all;
use serde_json::json;

use crate::RunOptions;
use crate::cluster::Cluster;
use crate::figure::{Figure, Goal, Nature};
use crate::submit::{spec, streams};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Tasks of the array that waits
    #[arg(long, default_value_t = 1_000_000)]
    queued: u32,
    /// Single jobs that wait; 0: none
    #[arg(long, default_value_t = 1_000_000)]
    singles: u64,
}

const MEMORY_MB: f64 = 600.0;
const RESTART_S: f64 = 3.0;
/// Masters have written out and given back what they do not need.
const SETTLE: Duration = Duration::from_secs(3);
/// Enough that entries are full.
pub const CALLERS: usize = 512;
/// A restart that takes longer is a failure, not a figure.
const SERVING_WITHIN: Duration = Duration::from_secs(120);

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let (n, m) = (short(options.queued.into()), short(options.singles));
    let mut array = Figure::new(format!("queued-array-{n}"), "MB/master", Nature::CLUSTER);
    let mut cluster = Cluster::start(run, &["--executor", "noop", "--workers", "0"], &[]).await?;
    let empty = highest_mb(&cluster);
    cluster.client()?.submit(request(options.queued)).await?;
    tokio::time::sleep(SETTLE).await;
    array.ours = Some(highest_mb(&cluster));
    array.detail =
        json!({"tasks": options.queued, "empty_mb": empty, "which": "resident memory of the master that has most"});
    let mut figures = vec![array.judged(Some(Goal::AtMost(MEMORY_MB)))];
    figures.push(restart(&mut cluster, Killed::All, format!("restart-array-{n}"), options.queued.into()).await?);
    if options.singles == 0 {
        return Ok(figures);
    }
    drop(cluster);

    let mut singles = Figure::new(format!("queued-singles-{m}"), "MB/master", Nature::CLUSTER);
    let mut cluster = Cluster::start(run, &["--executor", "noop", "--workers", "0"], &[]).await?;
    let began = Instant::now();
    submit_many(&streams(&cluster)?, options.singles, CALLERS).await?;
    let took = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    singles.ours = Some(highest_mb(&cluster));
    singles.detail = json!({"jobs": options.singles, "submits_per_second": options.singles as f64 / took, "empty_mb": empty,
        "which": "resident memory of the master that has most"});
    figures.push(singles.judged(Some(Goal::AtMost(MEMORY_MB))));
    figures.push(restart(&mut cluster, Killed::Follower, format!("restart-one-singles-{m}"), options.singles).await?);
    figures.push(restart(&mut cluster, Killed::All, format!("restart-singles-{m}"), options.singles).await?);
    Ok(figures)
}

/// Who gets SIGKILL and is started again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// As after a power cut. On one machine all of them read their state at the same time.
    All,
    /// One that has the machine's cores nearly for itself, as each master has on a machine of its own.
    Follower,
}

/// Until those that were killed answer a linearizable read, and take a submit.
async fn restart(cluster: &mut Cluster, killed: Killed, name: String, queued: u64) -> anyhow::Result<Figure> {
    let mut figure = Figure::new(name, "s", Nature::CLUSTER);
    let victims: Vec<_> = match killed {
        Killed::All => cluster.masters().cloned().collect(),
        Killed::Follower => cluster.masters().filter(|p| !p.leader).take(1).cloned().collect(),
    };
    let names: Vec<String> = victims.iter().map(|p| p.name.clone()).collect();
    let addresses: Vec<String> = victims.iter().filter_map(|p| p.grpc.clone()).collect();
    cluster.kill(&names).await?;
    let began = Instant::now();
    let mut starting = tokio::process::Command::new(cluster.program())
        .args(["dev", "start", "--all", "--data-dir"])
        .arg(cluster.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("the masters cannot be started")?;
    let client = cluster.client_of(addresses, Duration::from_millis(50))?;
    let read = loop {
        ensure!(began.elapsed() < SERVING_WITHIN, "nobody answers {} s after the restart", SERVING_WITHIN.as_secs());
        match client.queue(QueueRequest { consistency: Consistency::Linearizable as i32 }).await {
            Ok(reply) => break reply,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let read_s = began.elapsed().as_secs_f64();
    ensure!(read.queued >= queued, "after the restart {} tasks are queued; {queued} were", read.queued);
    while client.submit(request(1)).await.is_err() {
        ensure!(
            began.elapsed() < SERVING_WITHIN,
            "no submit is taken {} s after the restart",
            SERVING_WITHIN.as_secs()
        );
    }
    figure.ours = Some(began.elapsed().as_secs_f64());
    figure.detail =
        json!({"first_read_s": read_s, "killed": names, "how": "SIGKILL, start, first acknowledged submit"});
    ensure!(starting.wait().await?.success(), "not every master came up again");
    cluster.refresh().await?;
    Ok(figure.judged(Some(Goal::AtMost(RESTART_S))))
}

/// By so many callers, each acknowledged alone.
pub async fn submit_many(streams: &[SubmitStream], count: u64, callers: usize) -> anyhow::Result<()> {
    let left = Arc::new(AtomicU64::new(count));
    let callers = (0..callers).map(|n| {
        let (stream, left) = (streams[n % streams.len()].clone(), left.clone());
        tokio::spawn(async move {
            while left.try_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok() {
                stream.submit(request(1)).await?;
            }
            anyhow::Ok(())
        })
    });
    for ended in try_join_all(callers).await? {
        ended?;
    }
    Ok(())
}

fn request(count: u32) -> SubmitRequest {
    let spec = JobSpec { count, ..spec() };
    SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec) }
}

fn highest_mb(cluster: &Cluster) -> f64 {
    cluster.masters_memory().into_iter().max().unwrap_or(0) as f64 / 1e6
}

/// `1m`, `200k`, `17`.
fn short(n: u64) -> String {
    match n {
        n if n >= 1_000_000 && n.is_multiple_of(1_000_000) => format!("{}m", n / 1_000_000),
        n if n >= 1_000 && n.is_multiple_of(1_000) => format!("{}k", n / 1_000),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short_where_that_is_exact() {
        assert_eq!([1_000_000, 200_000, 1_500, 17].map(short), ["1m", "200k", "1500", "17"]);
    }
}
