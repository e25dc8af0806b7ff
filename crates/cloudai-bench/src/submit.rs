//! Durable submits per second, each acknowledged alone: N callers on four connections' submit streams, three masters. An
//! acknowledged submit is on the disks of a majority and applied by the leader. Rounds alternate with etcd's puts of as many
//! bytes by as many callers (with the same TLS, and without), with a server that only acknowledges, and with the disk's own rate of
//! one-by-one durable writes.

use std::time::Duration;

use cloudai_client::SubmitStream;
use cloudai_proto::v1::SubmitRequest;
use cloudai_types::{JobSpec, Resources};
use futures::future::BoxFuture;
use prost::Message as _;
use serde_json::{Value, json};

use crate::closed_loop::{self, Round};
use crate::cluster::{Cluster, Costs, temp_dir};
use crate::echo::Echo;
use crate::etcd::{self, Etcd, Security};
use crate::figure::{Figure, Goal, Nature, median};
use crate::machine::cpu_time;
use crate::{RunOptions, disk};

const CONNECTIONS: usize = 4;
/// What etcd's client is tried with before the rounds; the best one is kept.
const ETCD_CONNECTIONS: [usize; 2] = [4, 16];
/// Bytes of one submit's spec, and of one put's value.
const BYTES: usize = 256;
const SHORT: Duration = Duration::from_secs(1);

/// One etcd, and what was measured of it.
struct Peer {
    name: &'static str,
    label: &'static str,
    etcd: Etcd,
    connections: usize,
    rounds: Vec<Round>,
    /// Microseconds of CPU per put: all members, the client.
    costs: Vec<[f64; 2]>,
}

/// Two figures: beside etcd with the same TLS, which is what the goal names, and beside etcd without.
pub async fn run(run: &RunOptions, callers: usize) -> anyhow::Result<Vec<Figure>> {
    let begun = |name: &str| Figure::new(format!("submit-{callers}{name}"), "submits/s", Nature::CLUSTER);
    let (same_tls, etcd_plain) = (begun(""), begun("-etcd-plain"));
    let time = Duration::from_secs(run.seconds.into());
    let dir = temp_dir(run)?;
    let cluster = Cluster::start(run, &["--executor", "noop", "--workers", "0"], &[]).await?;
    let streams = streams(&cluster)?;
    let master = cluster.data_dir("master-1").join("identity");
    let echo = Echo::start(&master)?;
    let echoes: Vec<SubmitStream> = (0..CONNECTIONS)
        .map(|_| Ok(echo.client(&cluster.admin_identity())?.submit_stream()))
        .collect::<anyhow::Result<_>>()?;
    let mut peers = if etcd::is_installed() { peers(&cluster, dir.path(), callers).await? } else { vec![] };
    let (mut ours, mut costs): (Vec<Round>, Vec<Costs>) = (vec![], vec![]);
    let (mut disks, mut ceilings): (Vec<f64>, Vec<f64>) = (vec![], vec![]);
    for _ in 0..run.rounds {
        let path = dir.path().to_owned();
        disks.push(tokio::task::spawn_blocking(move || disk::fdatasyncs_per_second(&path, SHORT)).await??);
        let mut before = cluster.clocks();
        let round = closed_loop::run(callers, time, submits(&streams), || before = cluster.clocks()).await?;
        costs.push(before.costs(&cluster.clocks(), round.answers));
        ours.push(round);
        for peer in &mut peers {
            let connections = peer.connections;
            peer.measure(connections, callers, time).await?;
        }
        ceilings.push(closed_loop::run(callers, SHORT, submits(&echoes), || ()).await?.per_second);
    }
    let measured = json!({"p50_p99_p999_ms": middle(&ours), "rounds": ours, "cpu_us_per_submit": costs,
        "fdatasyncs_per_second": median(&disks)});
    let goal = Goal::RatioAtLeast(if callers <= 64 { 4.0 } else { 6.0 });
    let figures = [("tls", same_tls), ("plain", etcd_plain)].map(|(name, mut figure)| {
        figure.ours = Some(median(&rates(&ours)));
        figure.ceiling = Some(median(&ceilings));
        figure.ceiling_name =
            Some("a server that acknowledges at once: same client, TLS and messages; no disk, no majority");
        figure.detail = measured.clone();
        match peers.iter().find(|p| p.name == name) {
            None => figure.not_run = Some("no peer: etcd is not in PATH (Debian: etcd-server)".to_owned()),
            Some(peer) => peer.tell(&mut figure, &ours),
        }
        // Three members each, fsync on. The goal names the same TLS setting on both sides; against etcd without TLS it is stricter.
        figure.judged(Some(goal))
    });
    Ok(figures.into())
}

/// One submit stream on each of some connections.
pub fn streams(cluster: &Cluster) -> anyhow::Result<Vec<SubmitStream>> {
    (0..CONNECTIONS).map(|_| Ok(cluster.client()?.submit_stream())).collect()
}

/// One who submits, again and again.
pub type Caller = Box<dyn FnMut() -> BoxFuture<'static, anyhow::Result<()>> + Send>;

/// Callers of a closed loop, spread over the streams.
pub fn submits(streams: &[SubmitStream]) -> impl FnMut(usize) -> Caller {
    let request = SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec()) };
    move |n| {
        let (stream, request) = (streams[n % streams.len()].clone(), request.clone());
        Box::new(move || {
            let (stream, request) = (stream.clone(), request.clone());
            Box::pin(async move { Ok(stream.submit(request).await.map(drop)?) })
        })
    }
}

/// With the cluster's own certificates, and without any.
async fn peers(cluster: &Cluster, dir: &std::path::Path, callers: usize) -> anyhow::Result<Vec<Peer>> {
    let mutual =
        Security::Mutual { server: cluster.data_dir("master-1").join("identity"), client: cluster.admin_identity() };
    let kinds = [
        ("tls", "etcd, 3 members, mutual TLS as ours, as many callers, its leader asked", mutual),
        ("plain", "etcd, 3 members, WITHOUT TLS (ours has it), as many callers, its leader asked", Security::Plain),
    ];
    let mut peers = vec![];
    for (name, label, security) in kinds {
        let data = dir.join(name);
        std::fs::create_dir(&data)?;
        let etcd = Etcd::start(&data, security).await?;
        let mut peer = Peer { name, label, etcd, connections: 0, rounds: vec![], costs: vec![] };
        // Its best client: as many connections as serve it best.
        let mut tried = vec![];
        for connections in ETCD_CONNECTIONS {
            peer.measure(connections, callers, SHORT).await?;
            tried.push((peer.rounds.pop().map_or(0.0, |r| r.per_second), connections));
        }
        peer.costs.clear();
        peer.connections = tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(CONNECTIONS, |best| best.1);
        peers.push(peer);
    }
    Ok(peers)
}

impl Peer {
    async fn measure(&mut self, connections: usize, callers: usize, time: Duration) -> anyhow::Result<()> {
        let mut open = vec![];
        for _ in 0..connections {
            open.push(self.etcd.connection().await?);
        }
        let caller = |n: usize| {
            let connection = open[n % connections].clone();
            // New keys, as every submit is a new job.
            let mut count = self.rounds.len() as u64 * 1_000_000_000;
            move || {
                let mut connection = connection.clone();
                count += 1;
                let key = format!("{n}/{connections}/{count}").into_bytes();
                async move { connection.put(key, vec![b'x'; BYTES]).await }
            }
        };
        let clocks = || [self.etcd.cpu_time(), cpu_time(std::process::id())];
        let mut before = clocks();
        let round = closed_loop::run(callers, time, caller, || before = clocks()).await?;
        let after = clocks();
        let per_put = |n: usize| {
            let used = after[n].saturating_sub(before[n]).as_secs_f64() * 1e6 / round.answers.max(1) as f64;
            (used * 100.0).round() / 100.0
        };
        self.costs.push([per_put(0), per_put(1)]);
        self.rounds.push(round);
        Ok(())
    }

    fn tell(&self, figure: &mut Figure, ours: &[Round]) {
        let ratios: Vec<f64> = ours.iter().zip(&self.rounds).map(|(a, b)| a.per_second / b.per_second).collect();
        figure.peer = Some(median(&rates(&self.rounds)));
        figure.peer_name = Some(self.label);
        figure.ratio = Some(median(&ratios));
        if let Value::Object(detail) = &mut figure.detail {
            detail.insert("ratios".to_owned(), json!(ratios));
            detail.insert("peer_p50_p99_p999_ms".to_owned(), json!(middle(&self.rounds)));
            detail.insert("peer_connections".to_owned(), json!(self.connections));
            detail.insert("peer_cpu_us_per_put_members_and_client".to_owned(), json!(self.costs));
            detail.insert("peer_rounds".to_owned(), json!(self.rounds));
        }
    }
}

/// A small job whose encoding has [`BYTES`] bytes.
pub fn spec() -> JobSpec {
    let mut spec = JobSpec {
        name: "bench".to_owned(),
        image: "busybox".to_owned(),
        command: vec!["true".to_owned()],
        resources: Resources { cpu_milli: 100, memory_bytes: 1 << 20, ..Resources::default() },
        count: 1,
        max_attempts: 1,
        ..JobSpec::default()
    };
    spec.env.insert("FILL".to_owned(), "x".to_owned());
    let missing = BYTES.saturating_sub(spec.encoded_len());
    spec.env.insert("FILL".to_owned(), "x".repeat(1 + missing));
    // Length prefixes grow with what they count.
    let over = spec.encoded_len().saturating_sub(BYTES);
    spec.env.insert("FILL".to_owned(), "x".repeat(1 + missing - over));
    spec
}

fn rates(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().map(|r| r.per_second).collect()
}

/// Medians of the rounds' percentiles.
fn middle(rounds: &[Round]) -> [f64; 3] {
    let of = |get: fn(&Round) -> f64| median(&rounds.iter().map(get).collect::<Vec<_>>());
    [of(|r| r.p50_ms), of(|r| r.p99_ms), of(|r| r.p999_ms)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_has_the_bytes_that_it_is_said_to_have() {
        assert_eq!(spec().encoded_len(), BYTES);
    }
}
