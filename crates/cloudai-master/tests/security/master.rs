//! One real master that the tests attack: RocksDB, mTLS, sockets. Comes in: nothing. Goes out: its addresses, and certificates of any role.

use std::path::Path;
use std::time::Duration;

use cloudai_master::{Founder, MasterConfig, RunError, run_on_rocksdb};
use cloudai_net::{
    CertificateAuthority, ChannelFactory, ChannelOptions, ClusterId, IdentityFiles, JoinToken, ReloadingTls, Revoked,
    Role,
};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::control_client::ControlClient;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_types::{JobSpec, Resources, Timestamp, limits};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Only ends a test that hangs.
const FOREVER: Duration = Duration::from_secs(60);

pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp(since.as_millis() as u64)
}

pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(FOREVER, asking).await.expect("it happens in time")
}

/// An identity that `ca` signs, in a directory of its own.
pub fn factory_of(ca: &CertificateAuthority, dir: &Path, of: &str, role: Role, name: &str) -> ChannelFactory {
    let files = IdentityFiles::new(dir.join(format!("{of}-{role}-{name}")));
    files.enroll(ca, role, name, &[], limits::LEAF_VALIDITY, now()).expect("enrolled");
    ChannelFactory::new(ReloadingTls::load(files, Revoked::default()).expect("an identity"))
}

/// What stops it, and what it ends with.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), RunError>>);

pub struct Master {
    pub dir: tempfile::TempDir,
    pub ca: CertificateAuthority,
    pub grpc: String,
    pub raft: String,
    pub http: String,
    running: Option<Running>,
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}

impl Master {
    pub async fn start() -> Master {
        cloudai_net::install_crypto_provider();
        let dir = tempfile::tempdir().expect("a directory");
        let ca = CertificateAuthority::create(ClusterId::from_bytes([7; 8]), now()).expect("a CA");
        let identity = dir.path().join("m1/identity");
        ca.save(&identity).expect("the CA's key");
        let files = IdentityFiles::new(&identity);
        files.enroll(&ca, Role::Master, "m1", &[], limits::LEAF_VALIDITY, now()).expect("enrolled");
        let (grpc, raft, http) = (free_address(), free_address(), free_address());
        let mut master = Master { dir, ca, grpc, raft, http, running: None };
        master.run().await;
        master
    }

    fn config(&self) -> MasterConfig {
        let mut config = MasterConfig::new("m1".into(), self.dir.path().join("m1"));
        config.http_listen.clone_from(&self.http);
        config.grpc_listen.clone_from(&self.grpc);
        config.raft_listen.clone_from(&self.raft);
        config.founders = vec![Founder {
            id: 1,
            name: "m1".into(),
            raft_addr: self.raft.clone(),
            grpc_addr: self.grpc.clone(),
            http_addr: self.http.clone(),
        }];
        config
    }

    async fn run(&mut self) {
        let until = tokio::time::Instant::now() + FOREVER;
        loop {
            let (stop, stopped) = oneshot::channel::<()>();
            let shutdown = Box::pin(async {
                let _ = stopped.await;
            });
            let mut task = tokio::spawn(run_on_rocksdb(self.config(), shutdown));
            let mut admin = self.admin();
            let leads = eventually(async || {
                let status = admin.cluster_status(pb::ClusterStatusRequest::default()).await.ok()?.into_inner();
                (status.leader_id > 0).then_some(())
            });
            tokio::select! {
                () = leads => {
                    self.running = Some((stop, task));
                    return;
                }
                ended = &mut task => {
                    let why = ended.expect("no master panics").expect_err("nobody stopped it").to_string();
                    // In one process, the tasks of the one before may hold its files a moment longer.
                    assert!(why.contains("in use") && tokio::time::Instant::now() < until, "{why}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn halt(&mut self) {
        let (stop, task) = self.running.take().expect("it runs");
        let _ = stop.send(());
        task.await.expect("no master panics").expect("a planned stop");
    }

    /// It must still be there, and end in order.
    pub async fn stop(mut self) {
        self.halt().await;
    }

    pub async fn restart(&mut self) {
        self.halt().await;
        self.run().await;
    }

    pub fn factory(&self, role: Role, name: &str) -> ChannelFactory {
        factory_of(&self.ca, self.dir.path(), "own", role, name)
    }

    pub fn admin(&self) -> ControlClient<Channel> {
        let channel = self.factory(Role::Admin, "root").channel(&self.grpc, &ChannelOptions::calls());
        ControlClient::new(channel.expect("an address")).max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX)
    }

    async fn redeem(
        &self,
        token: &JoinToken,
        name: &str,
        role: pb::join_request::Role,
        files: &IdentityFiles,
    ) -> Result<ChannelFactory, Status> {
        let request = pb::JoinRequest {
            name: name.into(),
            secret: token.secret.as_bytes().to_vec().into(),
            csr_pem: files.request().expect("a request"),
            role: role as i32,
            hosts: vec![],
        };
        let channel =
            ChannelFactory::joining(token.ca).channel(&self.grpc, &ChannelOptions::calls()).expect("an address");
        let reply = DispatchClient::new(channel).join(request).await?.into_inner();
        files.install(&reply.cert_pem, &reply.ca_pem, Some(&token.ca)).expect("installed");
        Ok(ChannelFactory::new(ReloadingTls::load(files.clone(), Revoked::default()).expect("an identity")))
    }

    pub async fn join(
        &self,
        token: &JoinToken,
        name: &str,
        role: pb::join_request::Role,
    ) -> Result<ChannelFactory, Status> {
        self.redeem(token, name, role, &IdentityFiles::new(self.dir.path().join(format!("joined-{}", token.name))))
            .await
    }

    pub async fn join_with_new_key(&self, token: &JoinToken, name: &str) -> Result<ChannelFactory, Status> {
        let files = IdentityFiles::new(self.dir.path().join("another-key"));
        self.redeem(token, name, pb::join_request::Role::Worker, &files).await
    }

    /// A worker's session after its hello; it stays open while the stream is held.
    pub async fn session(&self, worker: &ChannelFactory) -> Session {
        let channel = worker.channel(&self.grpc, &ChannelOptions::calls()).expect("an address");
        let (out, outbound) = mpsc::channel(4);
        let capacity = Resources { cpu_milli: 1000, memory_bytes: 1 << 30, ..Default::default() };
        let hello = pb::worker_message::Hello { capacity: Some(capacity), ..Default::default() };
        let kind = Some(pb::worker_message::Kind::Hello(hello));
        out.send(pb::WorkerMessage { kind }).await.expect("the receiver is held");
        let stream = DispatchClient::new(channel).session(ReceiverStream::new(outbound)).await.expect("a session");
        Session { inbound: stream.into_inner(), _out: out }
    }

    /// Answers a log stream as if it had been asked.
    pub async fn upload(&self, worker: &ChannelFactory, stream_id: u64) -> Result<(), Status> {
        let channel = worker.channel(&self.grpc, &ChannelOptions::calls()).expect("an address");
        let message = pb::UploadLogRequest { stream_id, complete: true, ..Default::default() };
        DispatchClient::new(channel).upload_log(tokio_stream::iter([message])).await.map(drop)
    }

    /// Number and spec of each job; the number of each that was accepted, or its refusal.
    pub async fn submit_stream(&self, jobs: Vec<(u64, JobSpec)>) -> Vec<Result<u64, String>> {
        let (out, outbound) = mpsc::channel(64);
        let count = jobs.len();
        tokio::spawn(async move {
            for (id, spec) in jobs {
                let request =
                    pb::SubmitRequest { request_id: format!("r{id}"), namespace: String::new(), spec: Some(spec) };
                if out.send(pb::SubmitStreamRequest { tag: id, request: Some(request) }).await.is_err() {
                    return;
                }
            }
        });
        let mut acks = self.admin().submit_stream(ReceiverStream::new(outbound)).await.expect("a stream").into_inner();
        let mut all = Vec::with_capacity(count);
        while let Some(ack) = acks.message().await.expect("the stream lives") {
            all.push(match ack.outcome {
                Some(pb::submit_ack::Outcome::Reply(_)) => Ok(ack.tag),
                Some(pb::submit_ack::Outcome::Error(error)) => Err(format!("{error:?}")),
                None => Err("no outcome".into()),
            });
        }
        all
    }

    /// Every list and every job, as people and the scheduler look at them.
    pub async fn look_at_everything(&self) -> usize {
        let mut admin = self.admin();
        admin.queue(pb::QueueRequest::default()).await.expect("the queue");
        let (mut jobs, mut before) = (vec![], 0);
        loop {
            let request = pb::ListJobsRequest { limit: limits::PAGE_ROWS_MAX as u32, before, ..Default::default() };
            let page = admin.list_jobs(request).await.expect("the list").into_inner();
            jobs.extend(page.jobs.into_iter().map(|j| cloudai_types::JobId(j.id).to_string()));
            before = page.next_before;
            if before == 0 {
                break;
            }
        }
        for job in jobs.iter().take(200) {
            let request = pb::GetJobRequest { job: job.clone(), with_tasks: true, ..Default::default() };
            admin.get_job(request).await.expect("a job that was accepted can be read");
            let request = pb::ExplainTaskRequest { job: job.clone(), ..Default::default() };
            admin.explain_task(request).await.expect("and explained");
        }
        jobs.len()
    }
}

pub struct Session {
    inbound: Streaming<pb::LeaderMessage>,
    _out: mpsc::Sender<pb::WorkerMessage>,
}

impl Session {
    pub async fn message(&mut self) -> Result<Option<pb::LeaderMessage>, Status> {
        self.inbound.message().await
    }
}
