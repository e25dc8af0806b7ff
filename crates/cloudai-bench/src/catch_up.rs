//! A new master joins while callers submit: how long until it has the snapshot and the log and votes, and what the callers notice.
//! Comes in: how much state there is. Goes out: seconds to the vote, and the longest time between two acknowledgements, before and
//! meanwhile.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use cloudai_proto::v1::{AddMasterRequest, ClusterStatusRequest, MemberRole};
use serde_json::json;

use crate::RunOptions;
use crate::cluster::Cluster;
use crate::etcd::free_ports;
use crate::figure::{Figure, Nature};
use crate::machine::disk_bytes;
use crate::queued::{CALLERS, submit_many};
use crate::submit::{streams, submits};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Jobs that are there before
    #[arg(long, default_value_t = 200_000)]
    state: u64,
    /// Callers meanwhile
    #[arg(long, default_value_t = 64)]
    callers: usize,
}

const NAME: &str = "master-4";
/// Small, so that the beginning of the log is gone and the newcomer can only come by snapshot.
const SNAPSHOT_EVERY: u64 = 300;
/// Submitted one after the other, each an entry of its own: enough for several checkpoints.
const ALONE: u64 = 3 * SNAPSHOT_EVERY;
/// Undisturbed, for comparison.
const BEFORE: Duration = Duration::from_secs(5);
const VOTE_WITHIN: Duration = Duration::from_secs(120);

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Figure> {
    let mut figure = Figure::new("catch-up", "s", Nature::CLUSTER);
    let settings = [("raft", "snapshot_every_entries", SNAPSHOT_EVERY)];
    let cluster = Cluster::start(run, &["--executor", "noop", "--workers", "0"], &settings).await?;
    let streams = streams(&cluster)?;
    submit_many(&streams, options.state, CALLERS).await?;
    submit_many(&streams, ALONE, 1).await?;

    let answered: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let mut load = tokio::task::JoinSet::new();
    let mut caller = submits(&streams);
    for n in 0..options.callers {
        let (mut call, answered) = (caller(n), answered.clone());
        load.spawn(async move {
            loop {
                call().await?;
                answered.lock().expect("nobody panics with it").push(Instant::now());
            }
            #[expect(unreachable_code, reason = "it says what the loop ends with: an error only")]
            anyhow::Ok(())
        });
    }
    let began = Instant::now();
    still(&mut load, tokio::time::sleep(BEFORE)).await?;
    let asked = Instant::now();
    let newcomer = Newcomer::start(&cluster).await?;
    let voted = still(&mut load, votes(&cluster)).await??;
    load.abort_all();
    let answered = std::mem::take(&mut *answered.lock().expect("nobody panics with it"));
    let by_snapshot = newcomer.came_by_snapshot()?;
    ensure!(by_snapshot, "the newcomer did not come by snapshot: its state is the one that it began with");

    figure.ours = Some((voted - asked).as_secs_f64());
    let (gap_before, per_second_before) = gap(&answered, began, asked);
    let (gap_during, per_second_during) = gap(&answered, asked, voted);
    figure.detail = json!({"jobs_before": options.state, "callers": options.callers,
        "write_gap_ms_before_and_meanwhile": [gap_before, gap_during],
        "submits_per_second_before_and_meanwhile": [per_second_before, per_second_during],
        "state_mb": disk_bytes(&newcomer.data.join("state")) as f64 / 1e6,
        "how": "from the new master's start, join included, to its vote; the write gap is the longest time without any acknowledgement"});
    Ok(figure.judged(None))
}

/// Waits for `what` while the load goes on; a caller that fails ends it.
async fn still<T>(
    load: &mut tokio::task::JoinSet<anyhow::Result<()>>,
    what: impl Future<Output = T>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = what => Ok(done),
        Some(ended) = load.join_next() => {
            ended??;
            bail!("a caller ended by itself")
        }
    }
}

async fn votes(cluster: &Cluster) -> anyhow::Result<Instant> {
    let client = cluster.client()?;
    let began = Instant::now();
    loop {
        let status = client.cluster_status(ClusterStatusRequest::default()).await?;
        if status.members.iter().any(|m| m.name == NAME && m.role() == MemberRole::Voter) {
            return Ok(Instant::now());
        }
        ensure!(began.elapsed() < VOTE_WITHIN, "the new master has no vote after {} s", VOTE_WITHIN.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Longest milliseconds without an acknowledgement between two moments, and acknowledgements per second.
fn gap(answered: &[Instant], from: Instant, to: Instant) -> (f64, f64) {
    let mut times: Vec<Instant> = answered.iter().copied().filter(|t| (from..to).contains(t)).collect();
    times.sort_unstable();
    let count = times.len();
    times.insert(0, from);
    times.push(to);
    let longest = times.windows(2).map(|w| w[1] - w[0]).max().unwrap_or_default();
    (longest.as_secs_f64() * 1e3, count as f64 / (to - from).as_secs_f64())
}

/// A master that `dev` does not know: an ordinary process, as on another machine. Ends when it is dropped.
struct Newcomer {
    process: Child,
    data: PathBuf,
}

impl Newcomer {
    async fn start(cluster: &Cluster) -> anyhow::Result<Newcomer> {
        let token = cluster.client()?.add_master(AddMasterRequest { name: NAME.to_owned() }).await?.token;
        let data = cluster.data_dir(NAME);
        let ports = free_ports(3)?;
        let listen = |n: usize| format!("127.0.0.1:{}", ports[n]);
        let log = std::fs::File::create(cluster.logs_dir().join(format!("{NAME}.log")))?;
        let process = Command::new(cluster.program())
            .args(["master", "--name", NAME, "--masters", cluster.addresses(), "--join", &token, "--data-dir"])
            .arg(&data)
            .args(["--http-listen", &listen(0), "--grpc-listen", &listen(1), "--raft-listen", &listen(2)])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the new master cannot be started")?;
        Ok(Newcomer { process, data })
    }

    /// A master's state is the first generation until a checkpoint is installed.
    fn came_by_snapshot(&self) -> anyhow::Result<bool> {
        let current = self.data.join("state/CURRENT_SM");
        let name =
            std::fs::read_to_string(&current).with_context(|| format!("{} cannot be read", current.display()))?;
        Ok(name.trim() != "sm-1")
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_counts_from_the_beginning_and_to_the_end() {
        let at = Instant::now();
        let ms = |n| at + Duration::from_millis(n);
        let (longest, rate) = gap(&[ms(5), ms(300), ms(400), ms(2_000)], at, ms(1_000));
        assert_eq!((longest, rate), (600.0, 3.0));
        assert_eq!(gap(&[], at, ms(500)).0, 500.0);
    }
}
