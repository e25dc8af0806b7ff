//! Durable submits per second, each acknowledged alone: N callers on four connections' submit streams, three masters. An
//! acknowledged submit is on the disks of a majority and applied by the leader. Rounds alternate with etcd's puts of as many
//! bytes by as many callers, and with the disk's own rate of one-by-one durable writes.

use std::time::Duration;

use cloudai_client::SubmitStream;
use cloudai_proto::v1::SubmitRequest;
use cloudai_types::{JobSpec, Resources};
use prost::Message as _;
use serde_json::json;

use crate::closed_loop::{self, Round};
use crate::cluster::{Cluster, Costs, temp_dir};
use crate::etcd::{self, Etcd, Security};
use crate::figure::{Figure, Goal, median};
use crate::{RunOptions, disk};

const CONNECTIONS: usize = 4;
/// Bytes of one submit's spec, and of one put's value.
const BYTES: usize = 256;

pub async fn run(run: &RunOptions, callers: usize) -> anyhow::Result<Figure> {
    let mut figure = Figure::new(format!("submit-{callers}"), "submits/s");
    let time = Duration::from_secs(run.seconds.into());
    let request = SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec()) };
    let dir = temp_dir(run)?;
    let cluster = Cluster::start(run, &["--executor", "noop", "--workers", "0"])?;
    let streams: Vec<SubmitStream> =
        (0..CONNECTIONS).map(|_| Ok(cluster.client()?.submit_stream())).collect::<anyhow::Result<_>>()?;
    let peers = if etcd::is_installed() { peers(&cluster, dir.path()).await? } else { vec![] };
    let (mut ours, mut costs, mut disks): (Vec<Round>, Vec<Costs>, Vec<f64>) = (vec![], vec![], vec![]);
    let mut theirs: Vec<Vec<Round>> = peers.iter().map(|_| vec![]).collect();
    for _ in 0..run.rounds {
        let path = dir.path().to_owned();
        let short = Duration::from_secs(1);
        disks.push(tokio::task::spawn_blocking(move || disk::fdatasyncs_per_second(&path, short)).await??);
        let mut before = cluster.clocks();
        let caller = |n: usize| {
            let (stream, request) = (streams[n % CONNECTIONS].clone(), request.clone());
            move || {
                let (stream, request) = (stream.clone(), request.clone());
                async move { Ok(stream.submit(request).await.map(drop)?) }
            }
        };
        let round = closed_loop::run(callers, time, caller, || before = cluster.clocks()).await?;
        costs.push(before.costs(&cluster.clocks(), round.answers));
        ours.push(round);
        for ((_, peer), rounds) in peers.iter().zip(&mut theirs) {
            rounds.push(put(peer, callers, time).await?);
        }
    }
    drop(peers);
    let rates = |rounds: &[Round]| rounds.iter().map(|r| r.per_second).collect::<Vec<_>>();
    let ratios = |rounds: &[Round]| {
        let each: Vec<f64> = ours.iter().zip(rounds).map(|(a, b)| a.per_second / b.per_second).collect();
        median(&each)
    };
    figure.ours = Some(median(&rates(&ours)));
    figure.ceiling = Some(median(&disks));
    figure.ceiling_name = Some("write and fdatasync of 512 bytes, one after the other, same file system");
    let mut detail = json!({"p50_p99_p999_ms": middle(&ours), "rounds": ours, "cpu_us_per_submit": costs});
    match theirs.as_slice() {
        [] => figure.not_run = Some("no peer: etcd is not in PATH (Debian: etcd-server)".to_owned()),
        [plain, mutual @ ..] => {
            figure.peer = Some(median(&rates(plain)));
            figure.peer_name = Some("etcd, 3 members, without TLS, as many callers on as many connections");
            figure.ratio = Some(ratios(plain));
            detail["peer_p50_p99_p999_ms"] = json!(middle(plain));
            detail["peer_rounds"] = json!(plain);
            if let Some(mutual) = mutual.first() {
                detail["peer_with_mutual_tls"] = json!(median(&rates(mutual)));
                detail["ratio_with_mutual_tls"] = json!(ratios(mutual));
                detail["peer_with_mutual_tls_p50_p99_p999_ms"] = json!(middle(mutual));
            }
        }
    }
    figure.detail = detail;
    // The goal asks for the same TLS setting on both sides. Ours is always on; the stricter comparison is the one that is judged.
    Ok(figure.judged(Some(Goal::RatioAtLeast(if callers <= 64 { 4.0 } else { 6.0 }))))
}

/// Without TLS, and with the cluster's own certificates.
async fn peers(cluster: &Cluster, dir: &std::path::Path) -> anyhow::Result<Vec<(&'static str, Etcd)>> {
    let mut peers = vec![];
    let mut kinds = vec![("plain", Security::Plain)];
    if let Some(identity) = cluster.master_identity() {
        kinds.push(("mutual", Security::Mutual { server: identity, client: cluster.admin_identity() }));
    }
    for (name, security) in kinds {
        let data = dir.join(name);
        std::fs::create_dir(&data)?;
        peers.push((name, Etcd::start(&data, security).await?));
    }
    Ok(peers)
}

async fn put(etcd: &Etcd, callers: usize, time: Duration) -> anyhow::Result<Round> {
    let connections: Vec<etcd::Connection> =
        (0..CONNECTIONS).map(|_| etcd.connection()).collect::<anyhow::Result<_>>()?;
    let caller = |n: usize| {
        let connection = connections[n % CONNECTIONS].clone();
        let mut count = 0u64;
        move || {
            let mut connection = connection.clone();
            count += 1;
            // New keys, as every submit is a new job.
            let key = format!("{n}/{count}").into_bytes();
            async move { connection.put(key, vec![b'x'; BYTES]).await }
        }
    };
    closed_loop::run(callers, time, caller, || {}).await
}

/// A small job whose encoding has [`BYTES`] bytes.
fn spec() -> JobSpec {
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
