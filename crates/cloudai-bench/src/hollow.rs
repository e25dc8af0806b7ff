//! Thousands of hollow workers in this one process. Comes in: a running cluster. Goes out: open sessions that beat as a worker's do.
//!
//! As honest as it gets on one machine: each has a certificate, a TLS connection and a session of its own with the leader, with the same
//! channel options as a real worker's; so the leader reads, checks and answers exactly what it would. Left out: the join with a token
//! (certificates are signed here, with the cluster's own CA), journals and executors. They offer no capacity, so nothing is placed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use cloudai_net::{
    CertRequest, CertificateAuthority, ChannelFactory, ChannelOptions, IdentityFiles, ReloadingTls, Revoked, Role,
};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_proto::v1::leader_message::Kind as FromLeader;
use cloudai_proto::v1::worker_message::{Heartbeat, Hello, Kind as FromWorker};
use cloudai_session::heartbeat_period;
use cloudai_types::{Timestamp, limits};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::cluster::Cluster;

/// Authorisations, and handshakes, at a time.
const AUTHORIZED_AT_ONCE: usize = 256;
const OPENED_AT_ONCE: usize = 32;
const WELCOME_WITHIN: Duration = Duration::from_secs(30);

/// Their sessions end when this is dropped.
pub struct Hollow {
    beating: JoinSet<()>,
    counts: Arc<Counts>,
    /// Certificates; in memory where the machine has a place for that.
    _identities: tempfile::TempDir,
}

/// Counted by all sessions.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    ended: AtomicU64,
    samples: AtomicU64,
}

/// Since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beats {
    pub sent: u64,
    pub acknowledged: u64,
    /// Sessions that ended, for whatever reason: there should be none.
    pub ended: u64,
}

impl Hollow {
    /// Opens `count` sessions with the leader; returns when each has been welcomed.
    pub async fn start(cluster: &Cluster, count: usize) -> anyhow::Result<Hollow> {
        let client = cluster.client()?;
        let names: Vec<String> = (0..count).map(|n| format!("hollow-{n}")).collect();
        futures::stream::iter(names.clone())
            .map(|name| {
                let client = client.clone();
                async move { client.authorize_worker(pb::AuthorizeWorkerRequest { name, labels: Default::default() }).await }
            })
            .buffer_unordered(AUTHORIZED_AT_ONCE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .context("a hollow worker was not authorised")?;
        let leader = cluster.leader()?;
        let identities = Identities::new(&cluster.data_dir(&leader.name).join("identity"))?;
        let address = leader
            .grpc
            .as_deref()
            .map(|a| a.trim_start_matches("https://").to_owned())
            .context("the leader has an address")?;
        let counts = Arc::new(Counts::default());
        let mut beating = JoinSet::new();
        let mut opened = futures::stream::iter(names)
            .map(|name| {
                let (tls, address) = (identities.issue(&name), address.clone());
                async move {
                    Session::open(ChannelFactory::new(tls?), &address)
                        .await
                        .with_context(|| format!("{name} got no session"))
                }
            })
            .buffer_unordered(OPENED_AT_ONCE);
        while let Some(session) = opened.next().await {
            let (session, counts) = (session?, counts.clone());
            beating.spawn(async move {
                session.beat(&counts).await;
                counts.ended.fetch_add(1, Relaxed);
            });
        }
        drop(opened);
        Ok(Hollow { beating, counts, _identities: identities.dir })
    }

    pub fn beats(&self) -> Beats {
        Beats {
            sent: self.counts.sent.load(Relaxed),
            acknowledged: self.counts.acknowledged.load(Relaxed),
            ended: self.counts.ended.load(Relaxed),
        }
    }

    /// Samples of what they would use, as far as the leader wanted them.
    pub fn samples(&self) -> u64 {
        self.counts.samples.load(Relaxed)
    }

    pub fn sessions(&self) -> usize {
        self.beating.len()
    }
}

/// One key for all of them, one certificate each.
struct Identities {
    dir: tempfile::TempDir,
    ca: CertificateAuthority,
    ca_pem: PathBuf,
    key_pem: PathBuf,
    request: CertRequest,
}

impl Identities {
    /// `master`: the identity of a master, which holds the CA's key.
    fn new(master: &Path) -> anyhow::Result<Identities> {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("cloudai-bench-ids-").tempdir_in(base)?;
        let ca = CertificateAuthority::load(master)?;
        let own = IdentityFiles::new(dir.path().join("own"));
        fs::create_dir_all(own.dir())?;
        let request = CertRequest::parse(&own.request()?)?;
        let ca_pem = own.ca_path();
        fs::copy(master.join("ca.pem"), &ca_pem)?;
        Ok(Identities { ca, ca_pem, key_pem: own.key_path(), request, dir })
    }

    fn issue(&self, name: &str) -> anyhow::Result<Arc<ReloadingTls>> {
        let now = Timestamp(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64);
        let issued = self.ca.issue(&self.request, Role::Worker, name, &[], limits::LEAF_VALIDITY, now)?;
        let files = IdentityFiles::new(self.dir.path().join(name));
        fs::create_dir(files.dir())?;
        fs::hard_link(&self.key_pem, files.key_path())?;
        fs::hard_link(&self.ca_pem, files.ca_path())?;
        fs::write(files.cert_path(), issued.chain_pem)?;
        Ok(ReloadingTls::load(files, Revoked::default())?)
    }
}

/// Welcomed by the leader.
struct Session {
    out: mpsc::Sender<pb::WorkerMessage>,
    inbound: tonic::Streaming<pb::LeaderMessage>,
    period: Duration,
    /// Where in a period it samples, in thousandths.
    place: u32,
}

impl Session {
    async fn open(factory: ChannelFactory, address: &str) -> anyhow::Result<Session> {
        let channel = factory.channel(address, &ChannelOptions::calls())?;
        let (out, outbound) = mpsc::channel(4);
        let hello = Hello { version: "hollow".to_owned(), tells_usage: true, ..Hello::default() };
        out.send(message(FromWorker::Hello(hello))).await?;
        let opened = async {
            let mut inbound = DispatchClient::new(channel).session(ReceiverStream::new(outbound)).await?.into_inner();
            let first = inbound.message().await?.and_then(|m| m.kind);
            anyhow::Ok((first, inbound))
        };
        let (first, inbound) = tokio::time::timeout(WELCOME_WITHIN, opened).await.context("no welcome in time")??;
        let Some(FromLeader::Welcome(welcome)) = first else { bail!("instead of a welcome came {first:?}") };
        let period = heartbeat_period(welcome.heartbeat_period_ms).context("the leader told no period")?;
        Ok(Session { out, inbound, period, place: welcome.worker_id.wrapping_mul(619) % 1000 })
    }

    /// Until the leader or the connection ends it. As a worker does, it begins a new beat one period after the last, and takes the period
    /// from the last answer.
    async fn beat(mut self, counts: &Counts) {
        let mut sequence = 0;
        let mut next_beat = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let (mut next_sample, mut wanted) = (std::pin::pin!(tokio::time::sleep(Duration::ZERO)), None);
        loop {
            tokio::select! {
                () = &mut next_sample, if wanted.is_some() => {
                    let last = next_sample.deadline();
                    next_sample.as_mut().reset(last + wanted.unwrap_or_default());
                    // As a worker does: what has no room is left out.
                    if self.out.try_send(message(FromWorker::Telemetry(sample(sequence)))).is_ok() {
                        counts.samples.fetch_add(1, Relaxed);
                    }
                }
                () = &mut next_beat => {
                    sequence += 1;
                    next_beat.as_mut().reset(tokio::time::Instant::now() + self.period);
                    if self.out.send(message(FromWorker::Heartbeat(Heartbeat { sequence, ..Default::default() }))).await.is_err() {
                        return;
                    }
                    counts.sent.fetch_add(1, Relaxed);
                }
                said = self.inbound.message() => match said {
                    Ok(Some(pb::LeaderMessage { kind: Some(FromLeader::HeartbeatAck(ack)) })) => {
                        self.period = heartbeat_period(ack.heartbeat_period_ms).unwrap_or(self.period);
                        counts.acknowledged.fetch_add(1, Relaxed);
                    }
                    Ok(Some(pb::LeaderMessage { kind: Some(FromLeader::TelemetryWanted(asked)) })) => {
                        wanted = (asked.period_ms > 0).then(|| Duration::from_millis(asked.period_ms.into()));
                        // At a random point of the period, as samplers are not in step.
                        let first = wanted.unwrap_or_default().mul_f64(f64::from(self.place) / 1000.0);
                        next_sample.as_mut().reset(tokio::time::Instant::now() + first);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }
}

/// Of a machine with four tasks.
fn sample(seed: u64) -> pb::UsageSample {
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let attempt = |index: u32| pb::AttemptUsage {
        job: 1_000 + seed,
        index,
        number: 1,
        cpu_millicores: Some(250 + index),
        memory_bytes: Some((64 << 20) + (seed << 12)),
        storage_bytes: Some(4 << 20),
    };
    let machine = pb::MachineUsage {
        cpu_millicores: Some(1_000 + (seed % 1_000) as u32),
        cpu_total_millicores: Some(4_000),
        memory_used_bytes: Some(1 << 30),
        memory_total_bytes: Some(8 << 30),
        storage_free_bytes: Some(100 << 30),
        storage_total_bytes: Some(200 << 30),
    };
    pb::UsageSample {
        at_ms,
        machine: Some(machine),
        gpus: vec![],
        attempts: (0..4).map(attempt).collect(),
        attempts_left_out: 0,
    }
}

fn message(kind: FromWorker) -> pb::WorkerMessage {
    pb::WorkerMessage { kind: Some(kind) }
}
