//! A master in this process, as far as a worker sees one: real TLS, real gRPC, a table of attempts instead of Raft.

// Each test file uses its own part of this, and a failure here is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

pub mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cloudai_net::token::hash_secret;
use cloudai_net::{
    AcceptOptions, Acceptor, CertRequest, CertificateAuthority, ClusterId, Connections, IdentityFiles, JoinSecret,
    JoinToken, ReloadingTls, Revoked, Role, identity_of,
};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_server::{Dispatch, DispatchServer};
use cloudai_proto::v1::leader_message::Kind;
use cloudai_types::{AttemptId, EndReason, JobId, JobSpec, Timestamp, Usage, limits};
use cloudai_worker::{ExecutorKind, Stops, WorkerConfig, WorkerError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Nothing here takes that long; a test that waits longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The heartbeat period that a welcome tells.
pub const FIRST_PERIOD: Duration = Duration::from_millis(200);

pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// What all masters of one fake cluster share: the replicated state.
pub struct Cluster {
    pub ca: CertificateAuthority,
    pub dir: tempfile::TempDir,
    pub table: Mutex<Table>,
    /// Counts changes of the table, for those who wait.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
pub struct Table {
    pub index: u64,
    pub session: u64,
    pub specs: BTreeMap<JobId, JobSpec>,
    /// Live attempts: when assigned, how far.
    pub live: BTreeMap<AttemptId, (u64, i32)>,
    pub cancelled: BTreeSet<AttemptId>,
    /// Accepted endings, with the times that were reported.
    pub ended: BTreeMap<AttemptId, (EndReason, u64, u64)>,
    /// Reports that changed nothing.
    pub stale: usize,
    /// Every phase that was reported, in order.
    pub phases: BTreeMap<AttemptId, Vec<i32>>,
    pub hellos: Vec<pb::worker_message::Hello>,
    /// How often it said that it leaves.
    pub leavings: u32,
    /// Fingerprints of the images that it said last it has.
    pub images: Vec<u32>,
    pub heartbeats: usize,
    pub report_messages: usize,
    pub token: Option<[u8; 32]>,
    pub token_key: Option<[u8; 32]>,
    pub uploads: BTreeMap<u64, Upload>,
    pub log_failures: BTreeMap<u64, String>,
    /// What was sent for an `OpenHistory`, by its stream.
    pub histories: BTreeMap<u64, pb::UploadHistoryRequest>,
    /// What is stored, by name.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Otherwise nobody leads, as far as secrets are asked for.
    pub gives_secrets: bool,
    pub secrets_asked: usize,
    /// At any registry, of any namespace.
    pub registry_login: Option<pb::RegistryLogin>,
}

#[derive(Clone, Default)]
pub struct Upload {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub markers: Vec<u8>,
    pub complete: bool,
}

type Outbound = Arc<Mutex<Option<mpsc::Sender<Result<pb::LeaderMessage, Status>>>>>;

/// One fake master.
pub struct Master {
    pub cluster: Arc<Cluster>,
    pub addr: SocketAddr,
    pub leads: Arc<AtomicBool>,
    pub acks_heartbeats: Arc<AtomicBool>,
    /// The heartbeat period that acknowledgements tell; 0 tells none.
    pub tells_period_ms: Arc<AtomicU32>,
    pub acks_reports: Arc<AtomicBool>,
    hint: Arc<Mutex<String>>,
    session: Outbound,
    connections: Connections,
    task: tokio::task::JoinHandle<()>,
}

impl Cluster {
    pub fn new() -> Arc<Cluster> {
        cloudai_net::install_crypto_provider();
        // Random: tests that begin in one millisecond share an engine, and must not share a cluster.
        let seed = JoinSecret::generate().as_bytes()[..8].try_into().unwrap();
        let ca = CertificateAuthority::create(ClusterId::from_bytes(seed), now()).unwrap();
        let table = Mutex::new(Table { index: 10, gives_secrets: true, ..Table::default() });
        Arc::new(Cluster { ca, dir: tempfile::tempdir().unwrap(), table, changes: watch::channel(0).0 })
    }

    pub fn token(&self, name: &str) -> String {
        let secret = JoinSecret::generate();
        self.table.lock().unwrap().token = Some(hash_secret(secret.as_bytes()));
        JoinToken { ca: self.ca.digest(), name: name.to_owned(), secret }.to_string()
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Waits until the table is as it should be.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut(&Table) -> bool) {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                if is_so(&self.table.lock().unwrap()) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let table = self.table.lock().unwrap();
            panic!(
                "waited in vain until {what}; live: {:?}; ended: {:?}; phases: {:?}",
                table.live, table.ended, table.phases
            );
        }
    }

    /// How it ended; what it used is [`Self::usage`].
    pub async fn ending(&self, attempt: AttemptId) -> EndReason {
        self.until(&format!("{attempt} has ended"), |t| t.ended.contains_key(&attempt)).await;
        self.table.lock().unwrap().ended[&attempt].0.clone().with_usage(None)
    }

    pub async fn usage(&self, attempt: AttemptId) -> Option<Usage> {
        self.ending(attempt).await;
        self.table.lock().unwrap().ended[&attempt].0.usage
    }

    pub async fn until_phase(&self, attempt: AttemptId, phase: pb::AttemptPhase) {
        let reached = |t: &Table| t.phases.get(&attempt).is_some_and(|p| p.contains(&(phase as i32)));
        self.until(&format!("{attempt} is {phase:?}"), reached).await;
    }
}

impl Master {
    pub async fn start(cluster: &Arc<Cluster>, name: &str) -> Master {
        let files = IdentityFiles::new(cluster.dir.path().join(name));
        files.enroll(&cluster.ca, Role::Master, name, &[], limits::LEAF_VALIDITY, now()).unwrap();
        let tls = ReloadingTls::load(files, Revoked::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Connections::new();
        let incoming = Acceptor::spawn(listener, tls, AcceptOptions::control(), connections.clone());
        let service = Service {
            cluster: cluster.clone(),
            leads: Arc::new(AtomicBool::new(true)),
            acks_heartbeats: Arc::new(AtomicBool::new(true)),
            tells_period_ms: Arc::default(),
            acks_reports: Arc::new(AtomicBool::new(true)),
            hint: Arc::default(),
            session: Arc::default(),
        };
        let mut master = Master {
            cluster: cluster.clone(),
            addr,
            leads: service.leads.clone(),
            acks_heartbeats: service.acks_heartbeats.clone(),
            tells_period_ms: service.tells_period_ms.clone(),
            acks_reports: service.acks_reports.clone(),
            hint: service.hint.clone(),
            session: service.session.clone(),
            connections,
            task: tokio::spawn(async {}),
        };
        master.task = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(DispatchServer::new(service));
            let _ = server.serve_with_incoming(incoming).await;
        });
        master
    }

    pub fn follow(&self, leader: Option<&Master>) {
        self.leads.store(false, SeqCst);
        *self.hint.lock().unwrap() = leader.map(|l| l.addr.to_string()).unwrap_or_default();
    }

    /// As if its process were killed.
    pub fn kill(self) {
        self.task.abort();
        self.connections.cut(|_| true);
        *self.session.lock().unwrap() = None;
    }

    /// Ends the session, nothing else.
    pub fn drop_session(&self) {
        *self.session.lock().unwrap() = None;
        self.connections.cut(|peer| peer.identity.is_some());
    }

    fn send(&self, kind: Kind) {
        if let Some(session) = &*self.session.lock().unwrap() {
            let _ = session.try_send(Ok(pb::LeaderMessage { kind: Some(kind) }));
        }
    }

    /// A new job, all its tasks assigned to the worker.
    pub fn assign(&self, job: u64, spec: JobSpec) -> Vec<AttemptId> {
        let (delta, attempts) = {
            let mut table = self.cluster.table.lock().unwrap();
            table.index += 1;
            let index = table.index;
            let attempts: Vec<AttemptId> = (0..spec.count.max(1)).map(|i| AttemptId::new(JobId(job), i, 1)).collect();
            table.specs.insert(JobId(job), spec.clone());
            for a in &attempts {
                table.live.insert(*a, (index, 0));
            }
            let group = pb::AssignmentGroup {
                job,
                number: 1,
                indexes: attempts.iter().map(|a| a.task.index).collect(),
                assigned_index: index,
                phase: 0,
                memory_mib: 0,
            };
            let fence = Some(pb::Fence { incarnation: 1, index });
            let specs = vec![pb::SpecOfJob { job, spec: Some(spec), ..Default::default() }];
            (pb::leader_message::Delta { fence, specs, add: vec![group], stop: vec![] }, attempts)
        };
        self.send(Kind::Delta(delta));
        attempts
    }

    pub fn cancel(&self, attempt: AttemptId) {
        let delta = {
            let mut table = self.cluster.table.lock().unwrap();
            table.index += 1;
            table.cancelled.insert(attempt);
            let fence = Some(pb::Fence { incarnation: 1, index: table.index });
            pb::leader_message::Delta { fence, specs: vec![], add: vec![], stop: vec![stop(attempt)] }
        };
        self.send(Kind::Delta(delta));
    }

    pub fn open_history(&self, stream_id: u64, attempt: Option<AttemptId>) {
        let attempt = attempt.map(|a| pb::AttemptKey { job: a.task.job.0, index: a.task.index, number: a.number });
        let open = pb::leader_message::OpenHistory { stream_id, attempt, points_max: 10, ..Default::default() };
        self.send(Kind::OpenHistory(open));
    }

    pub fn open_log(&self, stream_id: u64, attempt: AttemptId, follow: bool, tail_lines: u32) {
        self.cluster.table.lock().unwrap().uploads.insert(stream_id, Upload::default());
        let attempt = Some(attempt.into());
        let open = pb::leader_message::OpenLog { stream_id, attempt, follow, tail_lines, ..Default::default() };
        self.send(Kind::OpenLog(open));
    }

    /// The whole log, once it is complete.
    pub async fn log(&self, stream_id: u64, attempt: AttemptId, follow: bool, tail_lines: u32) -> Upload {
        self.open_log(stream_id, attempt, follow, tail_lines);
        self.cluster.until(&format!("the log of {attempt} is here"), |t| t.uploads[&stream_id].complete).await;
        self.cluster.table.lock().unwrap().uploads[&stream_id].clone()
    }

    pub async fn until_connected(&self) {
        let waiting = async {
            while self.session.lock().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a worker connects");
    }
}

fn stop(attempt: AttemptId) -> pb::StopGroup {
    pb::StopGroup {
        job: attempt.task.job.0,
        number: attempt.number,
        indexes: vec![attempt.task.index],
        why: pb::stop_group::Why::Cancelled as i32,
    }
}

struct Service {
    cluster: Arc<Cluster>,
    leads: Arc<AtomicBool>,
    acks_heartbeats: Arc<AtomicBool>,
    tells_period_ms: Arc<AtomicU32>,
    acks_reports: Arc<AtomicBool>,
    hint: Arc<Mutex<String>>,
    session: Outbound,
}

impl Service {
    fn full_set(&self) -> pb::leader_message::FullSet {
        let table = self.cluster.table.lock().unwrap();
        let mut groups: BTreeMap<(u64, u32, u64, i32), Vec<u32>> = BTreeMap::new();
        for (a, (at, phase)) in &table.live {
            if !table.cancelled.contains(a) {
                groups.entry((a.task.job.0, a.number, *at, *phase)).or_default().push(a.task.index);
            }
        }
        let assignments = groups.into_iter().map(|((job, number, assigned_index, phase), indexes)| {
            pb::AssignmentGroup { job, number, indexes, assigned_index, phase, memory_mib: 0 }
        });
        pb::leader_message::FullSet {
            fence: Some(pb::Fence { incarnation: 1, index: table.index }),
            specs: table
                .specs
                .iter()
                .map(|(j, s)| pb::SpecOfJob { job: j.0, spec: Some(s.clone()), ..Default::default() })
                .collect(),
            assignments: assignments.collect(),
            stop: table.cancelled.iter().filter(|a| table.live.contains_key(a)).map(|a| stop(*a)).collect(),
        }
    }

    /// What `apply` would do.
    fn report(cluster: &Cluster, reports: pb::worker_message::Reports) {
        let mut table = cluster.table.lock().unwrap();
        table.index += 1;
        table.report_messages += 1;
        assert!(reports.reports.len() <= limits::REPORTS_MAX);
        for r in reports.reports {
            let attempt = AttemptId::new(JobId(r.job), r.index, r.number);
            table.phases.entry(attempt).or_default().push(r.phase);
            match table.live.get_mut(&attempt) {
                Some((_, phase)) if r.phase > *phase => {
                    *phase = r.phase;
                    if r.phase == pb::AttemptPhase::Exited as i32 {
                        table.live.remove(&attempt);
                        let reason = r.reason.expect("an ending has a reason");
                        table.ended.insert(attempt, (reason, r.started_ms, r.ended_ms));
                    }
                }
                Some(_) | None => table.stale += 1,
            }
        }
        drop(table);
        cluster.changed();
    }
}

#[tonic::async_trait]
impl Dispatch for Service {
    type SessionStream = ReceiverStream<Result<pb::LeaderMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<pb::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let who = identity_of(&request).expect("a worker shows its certificate").clone();
        assert_eq!(who.role, Role::Worker);
        let mut inbound = request.into_inner();
        let (out, rx) = mpsc::channel(1_024);
        let send = |kind| out.try_send(Ok(pb::LeaderMessage { kind: Some(kind) }));
        let Some(pb::WorkerMessage { kind: Some(pb::worker_message::Kind::Hello(hello)) }) = inbound.message().await?
        else {
            return Err(Status::invalid_argument("no hello"));
        };
        if !self.leads.load(SeqCst) {
            let leader = self.hint.lock().unwrap().clone();
            let _ = send(Kind::NotLeader(pb::leader_message::NotLeader { leader, leader_name: String::new() }));
            return Ok(Response::new(rx.into()));
        }
        let session = {
            let mut table = self.cluster.table.lock().unwrap();
            table.session += 1;
            table.index += 1;
            table.hellos.push(hello);
            table.session
        };
        let _ = send(Kind::Welcome(pb::leader_message::Welcome {
            worker_id: 1,
            session,
            heartbeat_period_ms: FIRST_PERIOD.as_millis() as u32,
            lease_ms: 12_000,
            incarnation: 1,
            worker_name: who.name.clone(),
        }));
        let _ = send(Kind::FullSet(self.full_set()));
        *self.session.lock().unwrap() = Some(out.clone());
        self.cluster.changed();
        let (cluster, heartbeats, acks) =
            (self.cluster.clone(), self.acks_heartbeats.clone(), self.acks_reports.clone());
        let period = self.tells_period_ms.clone();
        // Weak: when the test drops the session, the stream ends.
        let out = out.downgrade();
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                let reply = match message.kind {
                    Some(pb::worker_message::Kind::Heartbeat(h)) if heartbeats.load(SeqCst) => {
                        let mut table = cluster.table.lock().unwrap();
                        table.heartbeats += 1;
                        if let Some(held) = h.images {
                            table.images = held.fingerprints;
                        }
                        drop(table);
                        cluster.changed();
                        let heartbeat_period_ms = period.load(SeqCst);
                        let ack = pb::leader_message::HeartbeatAck { sequence: h.sequence, heartbeat_period_ms };
                        Some(Kind::HeartbeatAck(ack))
                    }
                    Some(pb::worker_message::Kind::Reports(reports)) => {
                        let sequence = reports.sequence;
                        Service::report(&cluster, reports);
                        acks.load(SeqCst).then_some(Kind::ReportAck(pb::leader_message::ReportAck { sequence }))
                    }
                    Some(pb::worker_message::Kind::Leaving(_)) => {
                        cluster.table.lock().unwrap().leavings += 1;
                        cluster.changed();
                        None
                    }
                    Some(pb::worker_message::Kind::LogOpenFailed(f)) => {
                        cluster.table.lock().unwrap().log_failures.insert(f.stream_id, f.reason);
                        cluster.changed();
                        None
                    }
                    _ => None,
                };
                if let (Some(kind), Some(out)) = (reply, out.upgrade()) {
                    let _ = out.try_send(Ok(pb::LeaderMessage { kind: Some(kind) }));
                }
            }
        });
        Ok(Response::new(rx.into()))
    }

    async fn upload_log(
        &self,
        request: Request<Streaming<pb::UploadLogRequest>>,
    ) -> Result<Response<pb::UploadLogReply>, Status> {
        let mut inbound = request.into_inner();
        while let Some(message) = inbound.message().await? {
            let mut table = self.cluster.table.lock().unwrap();
            let upload =
                table.uploads.get_mut(&message.stream_id).ok_or_else(|| Status::not_found("no such stream"))?;
            for f in &message.frames {
                match f.source() {
                    pb::log_frame::Source::Stdout => upload.stdout.extend_from_slice(&f.data),
                    pb::log_frame::Source::Stderr => upload.stderr.extend_from_slice(&f.data),
                    pb::log_frame::Source::Marker => upload.markers.extend_from_slice(&f.data),
                    pb::log_frame::Source::Unspecified => panic!("a frame without a source"),
                }
            }
            assert_eq!(message.error, "");
            upload.complete |= message.complete;
            drop(table);
            self.cluster.changed();
        }
        Ok(Response::new(pb::UploadLogReply {}))
    }

    async fn upload_history(
        &self,
        request: Request<pb::UploadHistoryRequest>,
    ) -> Result<Response<pb::UploadHistoryReply>, Status> {
        let message = request.into_inner();
        self.cluster.table.lock().unwrap().histories.insert(message.stream_id, message);
        self.cluster.changed();
        Ok(Response::new(pb::UploadHistoryReply {}))
    }

    async fn join(&self, request: Request<pb::JoinRequest>) -> Result<Response<pb::JoinReply>, Status> {
        let request = request.into_inner();
        let csr = CertRequest::parse(&request.csr_pem).map_err(|e| Status::invalid_argument(e.to_string()))?;
        {
            let mut table = self.cluster.table.lock().unwrap();
            let is_right = table.token == Some(hash_secret(&request.secret));
            let is_same_key = table.token_key.as_ref().is_none_or(|k| *k == csr.key_digest());
            if !is_right || !is_same_key {
                return Err(Status::permission_denied("the token is not valid"));
            }
            table.token_key = Some(csr.key_digest());
        }
        let issued =
            self.cluster.ca.issue(&csr, Role::Worker, &request.name, &[], limits::LEAF_VALIDITY, now()).unwrap();
        Ok(Response::new(pb::JoinReply {
            cert_pem: issued.chain_pem,
            ca_pem: self.cluster.ca.certificate_pem().to_owned(),
            cluster_id: self.cluster.ca.cluster().to_string(),
            ..Default::default()
        }))
    }

    async fn secrets(&self, request: Request<pb::SecretsRequest>) -> Result<Response<pb::SecretsReply>, Status> {
        assert_eq!(identity_of(&request).expect("a worker shows its certificate").role, Role::Worker);
        let request = request.into_inner();
        let attempt = AttemptId::from(request.attempt.expect("an attempt is named"));
        let mut table = self.cluster.table.lock().unwrap();
        table.secrets_asked += 1;
        self.cluster.changed();
        if !self.leads.load(SeqCst) || !table.gives_secrets {
            return Err(pb::ErrorInfo::new(pb::ErrorKind::NoLeader, "nobody leads").into_status());
        }
        if request.login {
            let login = table.registry_login.clone();
            return Ok(Response::new(pb::SecretsReply { login, ..Default::default() }));
        }
        if !request.values || !table.live.contains_key(&attempt) {
            return Err(pb::ErrorInfo::new(pb::ErrorKind::Denied, "it is not its own").into_status());
        }
        let mut reply = pb::SecretsReply::default();
        for used in &table.specs[&attempt.task.job].secrets {
            let Some(value) = table.secrets.get(&used.name) else {
                return Err(pb::ErrorInfo::new(pb::ErrorKind::NotFound, "the secret is gone").into_status());
            };
            reply.values.push(pb::Secret { name: used.name.clone(), value: value.clone().into() });
        }
        Ok(Response::new(reply))
    }

    async fn renew(&self, _: Request<pb::RenewRequest>) -> Result<Response<pb::RenewReply>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}

/// A worker in this process.
pub struct Worker {
    pub config: WorkerConfig,
    stops: Stops,
    task: Option<tokio::task::JoinHandle<Result<(), WorkerError>>>,
}

impl Worker {
    pub fn config(cluster: &Cluster, masters: &[&Master], executor: ExecutorKind) -> WorkerConfig {
        WorkerConfig {
            data_dir: cluster.dir.path().join("worker"),
            name: "w1".into(),
            masters: masters.iter().map(|m| m.addr.to_string()).collect(),
            join_token: Some(cluster.token("w1")),
            executor,
            capacity: "cpu=4,memory=4GiB".into(),
            ..Default::default()
        }
    }

    pub fn start(config: WorkerConfig) -> Worker {
        let stops = Stops::default();
        let task = tokio::spawn(cloudai_worker::run_until(config.clone(), stops.clone()));
        Worker { config, stops, task: Some(task) }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.config.data_dir.clone()
    }

    /// As upon SIGTERM with `[stop] mode = "drain"`.
    pub fn leave(&self) {
        self.stops.leave.cancel();
    }

    /// Ends as upon SIGTERM.
    pub async fn stop(&mut self) -> Result<(), WorkerError> {
        self.stops.stop.cancel();
        let task = self.task.take().expect("stopped once");
        tokio::time::timeout(PATIENCE, task).await.expect("it stops").expect("it does not panic")
    }

    /// What it returns on its own.
    pub async fn result(&mut self) -> Result<(), WorkerError> {
        let task = self.task.take().expect("asked once");
        tokio::time::timeout(PATIENCE, task).await.expect("it returns").expect("it does not panic")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stops.stop.cancel();
    }
}

pub fn command(words: &str) -> JobSpec {
    JobSpec {
        image: "noop".into(),
        command: words.split(' ').map(str::to_owned).collect(),
        count: 1,
        ..Default::default()
    }
}
