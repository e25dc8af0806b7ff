//! Three real masters in one process, with RocksDB, mTLS and sockets: a job goes in at a follower, a hollow worker runs it, the
//! leadership moves, and a master stops. (Wiped masters need real processes: the drills have them.)
#![cfg(feature = "rocksdb")]

#[path = "cluster/events.rs"]
mod events;
#[path = "cluster/images.rs"]
mod images;
#[path = "cluster/log_filters.rs"]
mod log_filters;
#[path = "cluster/monitoring.rs"]
mod monitoring;
#[path = "cluster/schedules.rs"]
mod schedules;
#[path = "cluster/stored.rs"]
mod stored;
#[path = "cluster/telemetry.rs"]
mod telemetry;
#[path = "cluster/usage.rs"]
mod usage;
#[path = "cluster/workflows.rs"]
mod workflows;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use cloudai_master::{Founder, MasterConfig, RunError, run_on_rocksdb};
use cloudai_net::{
    CertificateAuthority, ChannelFactory, ChannelOptions, ClusterId, IdentityFiles, JoinToken, ReloadingTls, Revoked,
    Role,
};
use cloudai_objects::{ResultKey, Store, StoreConfig};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::control_client::ControlClient;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_types::{
    AttemptId, EndReason, JobId, JobSpec, ReasonKind, Resources, Results, RetryRules, Timestamp, limits,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

const FOREVER: Duration = Duration::from_secs(60);

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp(since.as_millis() as u64)
}

/// One that nobody takes before its master does: below those that the kernel gives to whoever asks for any, where connections come from as
/// well, and each once in this process.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let from = std::process::id().wrapping_mul(97);
    let ports = std::iter::repeat_with(|| 10_000 + (from.wrapping_add(NEXT.fetch_add(1, Relaxed)) % 20_000) as u16);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(20_000).find(is_free).expect("a port that nobody listens on")
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

struct Cluster {
    dir: tempfile::TempDir,
    founders: Vec<Founder>,
    running: Vec<Option<Running>>,
    admin: ChannelFactory,
    job_retention_secs: u64,
}

impl Cluster {
    fn new() -> Cluster {
        let dir = tempfile::tempdir().expect("tempdir");
        let ca = CertificateAuthority::create(ClusterId::from_bytes([7; 8]), now()).expect("a CA");
        let enroll = |dir: &Path, role, name: &str| {
            IdentityFiles::new(dir).enroll(&ca, role, name, &[], limits::LEAF_VALIDITY, now()).expect("enrolled");
        };
        let founders: Vec<Founder> = (1..=3)
            .map(|id| {
                let name = format!("master-{id}");
                let identity = dir.path().join(&name).join("identity");
                ca.save(&identity).expect("the CA's key");
                enroll(&identity, Role::Master, &name);
                let addr = || format!("127.0.0.1:{}", free_port());
                Founder { id, name, raft_addr: addr(), grpc_addr: addr(), http_addr: addr() }
            })
            .collect();
        let admin = dir.path().join("admin");
        enroll(&admin, Role::Admin, "root");
        let tls = ReloadingTls::load(IdentityFiles::new(admin), Revoked::default()).expect("identity");
        Cluster {
            dir,
            founders,
            running: vec![None, None, None],
            admin: ChannelFactory::new(tls),
            job_retention_secs: limits::JOB_RETENTION.0 / 1_000,
        }
    }

    fn results(&self) -> StoreConfig {
        StoreConfig::directory(&self.dir.path().join("results"))
    }

    /// As a worker stores what an attempt left: one file that says which task it is of, and an empty one.
    async fn store(&self, attempt: AttemptId) -> Results {
        let store = Store::open(&self.results()).expect("a directory");
        let out = self.dir.path().join("out");
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir_all(out.join("deep")).expect("a folder");
        std::fs::write(out.join("deep/table.csv"), format!("task {attempt}\n").repeat(50_000)).expect("a file");
        std::fs::write(out.join("empty"), "").expect("a file");
        std::os::unix::fs::symlink("/etc/passwd", out.join("link")).expect("a link");
        let key = ResultKey::new("default", attempt).expect("a name");
        store.upload(&key, &out).await.expect("stored").results(&key)
    }

    fn data_dir(&self, n: usize) -> PathBuf {
        self.dir.path().join(&self.founders[n].name)
    }

    fn start(&mut self, n: usize) {
        let f = &self.founders[n];
        let config = MasterConfig {
            http_listen: f.http_addr.clone(),
            grpc_listen: f.grpc_addr.clone(),
            raft_listen: f.raft_addr.clone(),
            founders: self.founders.clone(),
            job_retention_secs: self.job_retention_secs,
            results: self.results(),
            ..MasterConfig::new(f.name.clone(), self.data_dir(n))
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run_on_rocksdb(
            config,
            Box::pin(async {
                let _ = stopped.await;
            }),
        ));
        self.running[n] = Some(Running { stop, task });
    }

    async fn stop(&mut self, n: usize) -> Result<(), RunError> {
        let r = self.running[n].take().expect("it runs");
        let _ = r.stop.send(());
        r.task.await.expect("no panic")
    }

    fn client(&self, n: usize) -> ControlClient<Channel> {
        let channel = self.admin.channel(&self.founders[n].grpc_addr, &ChannelOptions::calls()).expect("an address");
        ControlClient::new(channel)
    }

    async fn status(&self, n: usize) -> pb::ClusterStatusReply {
        eventually(async || {
            let status = self.client(n).cluster_status(pb::ClusterStatusRequest::default()).await.ok()?.into_inner();
            (status.leader_id > 0).then_some(status)
        })
        .await
    }
}

/// Asks until there is an answer. The limit only ends a test that hangs.
async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    tokio::time::timeout(FOREVER, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("it happens in time")
}

/// A worker that ends every task at once, and follows the leader.
async fn hollow_worker(cluster: &Cluster, name: &str, ending: Ending) -> JoinHandle<()> {
    hollow_worker_with(cluster, name, ending, vec![]).await
}

/// One that has images.
async fn hollow_worker_with(cluster: &Cluster, name: &str, ending: Ending, images: Vec<u16>) -> JoinHandle<()> {
    let request = pb::AuthorizeWorkerRequest { name: name.into(), ..Default::default() };
    let token =
        eventually(async || cluster.client(1).authorize_worker(request.clone()).await.ok()).await.into_inner().token;
    let token: JoinToken = token.parse().expect("a token");
    let files = IdentityFiles::new(cluster.dir.path().join(name));
    let join = pb::JoinRequest {
        name: name.into(),
        secret: token.secret.as_bytes().to_vec().into(),
        csr_pem: files.request().expect("a request"),
        role: pb::join_request::Role::Worker as i32,
        hosts: vec![],
    };
    // The first two may have elected a leader before the third one listens.
    cluster.status(2).await;
    let channel = ChannelFactory::joining(token.ca)
        .channel(&cluster.founders[2].grpc_addr, &ChannelOptions::calls())
        .expect("an address");
    let reply = DispatchClient::new(channel).join(join).await.expect("joined").into_inner();
    files.install(&reply.cert_pem, &reply.ca_pem, Some(&token.ca)).expect("installed");
    let factory = ChannelFactory::new(ReloadingTls::load(files, Revoked::default()).expect("identity"));
    let addresses: Vec<String> = cluster.founders.iter().map(|f| f.grpc_addr.clone()).collect();
    let keeps_history = name != usage::OLDER;
    tokio::spawn(async move {
        for address in addresses.iter().cycle() {
            let _ = session(&factory, address, &ending, &images, keeps_history).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

/// What a worker has to say of an attempt of a job that leaves results.
type Ending = std::sync::Arc<std::sync::Mutex<EndReason>>;

async fn session(
    factory: &ChannelFactory,
    address: &str,
    ending: &Ending,
    images: &[u16],
    keeps_history: bool,
) -> Option<()> {
    use pb::leader_message::Kind as FromLeader;
    use pb::worker_message::Kind as FromWorker;
    let channel = factory.channel(address, &ChannelOptions::calls()).ok()?;
    let (out, outbound) = mpsc::channel(16);
    let say = async |kind| out.send(pb::WorkerMessage { kind: Some(kind) }).await.ok();
    let capacity = Resources { cpu_milli: 4000, memory_bytes: 1 << 30, storage_bytes: 0, gpus: 0 };
    let metrics_addr = "0.0.0.0:7610".to_owned();
    let tells_usage = keeps_history;
    let hello = pb::worker_message::Hello {
        capacity: Some(capacity),
        metrics_addr,
        tells_usage,
        keeps_history,
        tells_log_filter: true,
        ..Default::default()
    };
    say(FromWorker::Hello(hello)).await?;
    let images =
        Some(pb::worker_message::ImagesHeld { fingerprints: images.iter().map(|image| (*image).into()).collect() });
    say(FromWorker::Heartbeat(pb::worker_message::Heartbeat { sequence: 1, images, ..Default::default() })).await?;
    let stream = tokio_stream::wrappers::ReceiverStream::new(outbound);
    let mut inbound = DispatchClient::new(channel).session(stream).await.ok()?.into_inner();
    let mut sequence = 0;
    while let Some(message) = inbound.message().await.ok()? {
        let groups = match message.kind? {
            FromLeader::FullSet(set) => set.assignments,
            FromLeader::Delta(delta) => delta.add,
            FromLeader::NotLeader(_) => return None,
            FromLeader::TelemetryWanted(wanted) => {
                assert!(tells_usage, "an older worker would end its session over it");
                if wanted.period_ms > 0 {
                    tokio::spawn(samples(out.clone()));
                }
                continue;
            }
            FromLeader::OpenHistory(open) => {
                assert!(keeps_history, "an older worker would end its session over it");
                usage::answer(factory, open).await;
                continue;
            }
            FromLeader::SetLogLevel(question) => {
                say(FromWorker::LogLevel(log_filters::answer(question))).await?;
                continue;
            }
            _ => continue,
        };
        let reports = groups
            .iter()
            .flat_map(|g| g.indexes.iter().map(|i| (g.job, *i, g.number, g.memory_mib)))
            .map(|(job, index, number, memory_mib)| pb::AttemptReport {
                job,
                index,
                number,
                phase: pb::AttemptPhase::Exited as i32,
                reason: Some(
                    unlucky(index, number, memory_mib).unwrap_or_else(|| ending.lock().expect("no panic").clone()),
                ),
                ..Default::default()
            })
            .collect();
        sequence += 1;
        say(FromWorker::Reports(pb::worker_message::Reports { sequence, reports })).await?;
    }
    None
}

/// What it uses, again and again, until its session ends.
async fn samples(out: mpsc::Sender<pb::WorkerMessage>) {
    loop {
        let machine = pb::MachineUsage { cpu_millicores: Some(250), ..Default::default() };
        let sample = pb::UsageSample { at_ms: now().0, machine: Some(machine), ..Default::default() };
        let kind = Some(pb::worker_message::Kind::Telemetry(sample));
        if out.send(pb::WorkerMessage { kind }).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The task with this index runs out of memory twice, the second time with half as much more than its spec says.
const UNLUCKY: u32 = 20;

fn unlucky(index: u32, number: u32, memory_mib: u32) -> Option<EndReason> {
    match (index, number) {
        (UNLUCKY, 1) => Some(EndReason::new(ReasonKind::OutOfMemory, "too little")),
        (UNLUCKY, 2) if memory_mib == 96 => Some(EndReason::new(ReasonKind::OutOfMemory, "still too little")),
        (UNLUCKY, 2) => Some(EndReason::exit(9)),
        _ => None,
    }
}

fn success() -> Ending {
    Ending::new(std::sync::Mutex::new(EndReason::exit(0)))
}

/// Once the format of the log has it.
async fn submit_storing(cluster: &Cluster, n: usize, request_id: &str) -> JobId {
    eventually(async || (cluster.status(n).await.version >= cloudai_core::command::RESULTS_SINCE).then_some(())).await;
    let mut request = submit(request_id, 1);
    if let Some(spec) = &mut request.spec {
        spec.results = true;
    }
    JobId(cluster.client(n).submit(request).await.expect("accepted").into_inner().job_id)
}

fn submit(request_id: &str, count: u32) -> pb::SubmitRequest {
    let resources = Resources { cpu_milli: 1000, ..Default::default() };
    let spec = JobSpec { image: "noop".into(), count, resources, ..Default::default() };
    pb::SubmitRequest { request_id: request_id.into(), namespace: String::new(), spec: Some(spec) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_survives_its_leader() {
    cloudai_net::install_crypto_provider();
    let _ = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).try_init();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let status = cluster.status(0).await;
    let leader = (status.leader_id - 1) as usize;
    let follower = (leader + 1) % 3;
    let worker = hollow_worker(&cluster, "hollow", success()).await;

    // In at a follower, and the same request again at another master: one job.
    let mut client = cluster.client(follower);
    let first = client.submit(submit("once", 10)).await.expect("accepted").into_inner();
    let again = cluster.client(leader).submit(submit("once", 10)).await.expect("accepted").into_inner();
    assert_eq!((first.job_id, first.duplicate), (again.job_id, false));
    assert!(again.duplicate);
    let other = client.submit(submit("once", 11)).await.expect_err("another body");
    assert_eq!(pb::ErrorInfo::from_status(&other).kind(), pb::ErrorKind::Conflict);

    // It ends, as every master tells.
    let id = cloudai_types::JobId(first.job_id).to_string();
    for n in 0..3 {
        let request = pb::WaitJobRequest { namespace: String::new(), job: id[..5].to_owned() };
        let mut changes = cluster.client(n).wait_job(request).await.expect("found").into_inner();
        let mut last = None;
        while let Some(summary) = changes.message().await.expect("no error") {
            last = Some(summary);
        }
        let last = last.expect("at least one");
        assert_eq!((last.state(), last.counts.expect("counts").succeeded), (pb::JobState::Succeeded, 10));
    }

    // A planned hand-over fails no call, and the queue goes on.
    let moved = client.transfer_leader(pb::TransferLeaderRequest::default()).await.expect("moved").into_inner();
    assert_ne!(moved.leader_id, status.leader_id);
    let second = client.submit(submit("twice", 3)).await.expect("accepted").into_inner();
    let id = cloudai_types::JobId(second.job_id).to_string();
    let job = eventually(async || {
        let request = pb::GetJobRequest { job: id.clone(), with_tasks: true, ..Default::default() };
        let reply = client.get_job(request).await.ok()?.into_inner();
        reply.job.as_ref()?.state().is_ended().then_some(reply)
    })
    .await;
    assert!(job.tasks.iter().all(|t| t.attempts.len() == 1 && t.state() == pb::TaskState::Succeeded));

    // A planned stop of a master costs no call either.
    cluster.stop(leader).await.expect("a planned stop");
    client.submit(submit("thrice", 1)).await.expect("the others go on");

    worker.abort();
    for n in 0..3 {
        if cluster.running[n].is_some() {
            cluster.stop(n).await.expect("a planned stop");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_job_leaves_after_its_retention_and_its_request_id_stays() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    cluster.job_retention_secs = 1;
    (0..3).for_each(|n| cluster.start(n));
    let leader = (cluster.status(0).await.leader_id - 1) as usize;
    let mut client = cluster.client(leader);
    let ended = client.submit(submit("ends", 3)).await.expect("accepted").into_inner().job_id;
    let stored = submit_storing(&cluster, leader, "stores").await;
    cluster.store(AttemptId::new(stored, 0, 1)).await;
    let kept = AttemptId::new(JobId(1_000), 0, 1);
    cluster.store(kept).await;
    let cancel = pb::CancelJobRequest { job: stored.to_string(), ..Default::default() };
    client.cancel_job(cancel).await.expect("cancelled");
    let waits = client.submit(submit("waits", 3)).await.expect("accepted").into_inner().job_id;
    let named = |id: u64| cloudai_types::JobId(id).to_string();
    client.cancel_job(pb::CancelJobRequest { job: named(ended), ..Default::default() }).await.expect("cancelled");

    // Once every master has said that it understands the format that the removal needs.
    eventually(async || {
        let asked = client.get_job(pb::GetJobRequest { job: named(ended), ..Default::default() }).await;
        let gone = asked.is_err_and(|s| pb::ErrorInfo::from_status(&s).kind() == pb::ErrorKind::NotFound);
        gone.then_some(())
    })
    .await;
    assert_eq!(cluster.status(0).await.version, cloudai_core::command::VERSION);
    client.get_job(pb::GetJobRequest { job: named(waits), ..Default::default() }).await.expect("what lives stays");
    // Results go with their job, and nobody else's.
    let store = Store::open(&cluster.results()).expect("a directory");
    eventually(async || store.indexes("default", stored).await.ok()?.is_empty().then_some(())).await;
    assert_eq!(store.indexes("default", kept.task.job).await.expect("listed"), [0]);
    let again = client.submit(submit("ends", 3)).await.expect("known").into_inner();
    assert_eq!((again.job_id, again.duplicate), (ended, true));
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_task_is_listed_and_replayed_as_it_is_and_as_a_new_job() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let leader = (cluster.status(0).await.leader_id - 1) as usize;
    let worker = hollow_worker(&cluster, "hollow", success()).await;
    let newest = cloudai_core::command::VERSION;
    eventually(async || (cluster.status(leader).await.version == newest).then_some(())).await;
    // All of it through a follower.
    let mut client = cluster.client((leader + 1) % 3);
    let spec = JobSpec {
        max_attempts: 2,
        resources: Resources { memory_bytes: 64 << 20, ..Default::default() },
        retry: Some(RetryRules {
            delay_ms: 1,
            memory_factor_percent: 150,
            memory_max_bytes: 1 << 30,
            ..Default::default()
        }),
        ..submit("", UNLUCKY + 1).spec.expect("a spec")
    };
    let request = |id: &str| pb::SubmitRequest { spec: Some(spec.clone()), ..submit(id, 1) };
    let job = client.submit(request("first")).await.expect("accepted").into_inner().job_id;
    let dead = eventually(async || {
        let reply = client.list_dead(pb::ListDeadRequest::default()).await.ok()?.into_inner();
        reply.tasks.into_iter().next()
    })
    .await;
    let reason = dead.reason.clone().expect("a reason").kind();
    assert_eq!((dead.job_id, dead.index, dead.attempts, reason), (job, UNLUCKY, 2, ReasonKind::OutOfMemory));
    let id = cloudai_types::JobId(job).to_string();

    // Only what is selected; then it lives again, and its attempts go on being counted.
    let of = |kind: ReasonKind| pb::DeadSelection { reasons: vec![kind as i32], ..Default::default() };
    let none = client.replay_dead(of(ReasonKind::Signal)).await.expect("nothing to do").into_inner();
    let one = client.replay_dead(of(ReasonKind::OutOfMemory)).await.expect("replayed").into_inner();
    assert_eq!((none.replayed, one.replayed, one.refused, one.more), (0, 1, 0, false));
    let task = eventually(async || {
        let request = pb::GetTaskRequest { job: id.clone(), index: UNLUCKY, ..Default::default() };
        let task = client.get_task(request).await.ok()?.into_inner().task?;
        (task.state() == pb::TaskState::Succeeded).then_some(task)
    })
    .await;
    assert_eq!((task.attempts.len(), task.attempts_used), (3, 1), "a new budget paid for the last one");
    let selection = pb::DeadSelection { job: id.clone(), index: Some(UNLUCKY), ..Default::default() };
    let again = client.replay_dead(selection).await.expect_err("it is not dead any more");
    assert_eq!(pb::ErrorInfo::from_status(&again).kind(), pb::ErrorKind::NotFound);

    // Another one, with another spec: a new job that names it.
    let job = client.submit(request("second")).await.expect("accepted").into_inner().job_id;
    let listed = async |client: &mut ControlClient<Channel>| {
        client.list_dead(pb::ListDeadRequest::default()).await.expect("listed").into_inner().tasks.len()
    };
    eventually(async || (listed(&mut client).await == 1).then_some(())).await;
    let replay_of = Some(pb::TaskKey { job_id: job, index: UNLUCKY });
    let request = |id: &str| pb::SubmitReplayRequest { submit: Some(submit(id, UNLUCKY + 1)), replay_of };
    let new = client.submit_replay(request("third")).await.expect("accepted").into_inner();
    let same = client.submit_replay(request("third")).await.expect("the same").into_inner();
    assert_eq!((new.job_id, new.duplicate, same.duplicate), (same.job_id, false, true));
    let late = client.submit_replay(request("fourth")).await.expect_err("it has left the queue");
    assert_eq!(pb::ErrorInfo::from_status(&late).kind(), pb::ErrorKind::NotFound);
    assert_eq!(listed(&mut client).await, 0);
    let named = cloudai_types::JobId(new.job_id).to_string();
    let ask = pb::GetJobRequest { job: named, with_tasks: true, ..Default::default() };
    let reply = client.get_job(ask).await.expect("it is there").into_inner();
    assert_eq!(reply.replay_of, replay_of);
    let tasks: Vec<u32> = reply.tasks.iter().map(|task| task.index).collect();
    assert_eq!((tasks, reply.job.expect("a job").count), (vec![UNLUCKY], 1), "one task, of the same index");

    worker.abort();
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}

/// The leader looks at the time, and `apply` decides: nobody else need do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_are_carried_out_of_queues_and_of_drains() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    for n in 0..3 {
        cluster.start(n);
    }
    let since = cloudai_core::command::QUEUE_TIMEOUT_SINCE;
    eventually(async || (cluster.status(0).await.version >= since).then_some(())).await;
    // Nobody could run it.
    let mut request = submit("waits", 1_000_000);
    if let Some(spec) = &mut request.spec {
        spec.queue_timeout_ms = 300;
    }
    let job = JobId(cluster.client(0).submit(request).await.expect("accepted").into_inner().job_id).to_string();
    let get = pb::GetTaskRequest { job: job.clone(), index: 999_999, ..Default::default() };
    let (task, summary) = eventually(async || {
        let reply = cluster.client(2).get_task(get.clone()).await.ok()?.into_inner();
        let (task, job) = (reply.task?, reply.job?);
        job.state().is_ended().then_some((task, job))
    })
    .await;
    assert_eq!((summary.state(), summary.counts.expect("counted").failed), (pb::JobState::Failed, 1_000_000));
    let reason = task.reason.clone().expect("it says why");
    assert_eq!((task.state(), task.attempts.len(), reason.kind()), (pb::TaskState::Failed, 0, ReasonKind::Timeout));
    assert!(reason.detail.contains("more than its queue_timeout of 0.300 s"), "{reason}");
    assert!(task.ended_ms >= summary.submitted_ms + 300);
    let explain = pb::ExplainTaskRequest { job, index: 7, ..Default::default() };
    let explained = cluster.client(0).explain_task(explain).await.expect("explained").into_inner();
    assert!(explained.summary.contains("(timeout: waited"), "{}", explained.summary);

    let worker = hollow_worker(&cluster, "w1", success()).await;
    let name = || "w1".to_owned();
    let drain = |deadline_in_ms| pb::DrainWorkerRequest { name: name(), deadline_in_ms };
    let too_long = cluster.client(0).drain_worker(drain(Some(u64::MAX))).await.expect_err("it is refused");
    assert!(too_long.message().contains("30 days"), "{too_long}");
    cluster.client(1).drain_worker(drain(Some(3_600_000))).await.expect("drained");
    let get = pb::GetWorkerRequest { name: name(), ..Default::default() };
    let info = async || cluster.client(2).get_worker(get.clone()).await.expect("it is there").into_inner().worker;
    let seen = info().await.expect("it is there");
    assert!(seen.draining && !seen.evicting && seen.drain_deadline_ms > 0, "{seen:?}");
    // The last word counts.
    cluster.client(1).drain_worker(drain(Some(100))).await.expect("drained");
    eventually(async || info().await.filter(|w| w.evicting)).await;
    cluster.client(1).resume_worker(pb::ResumeWorkerRequest { name: name() }).await.expect("resumed");
    let seen = info().await.expect("it is there");
    assert_eq!((seen.draining, seen.evicting, seen.drain_deadline_ms), (false, false, 0));
    worker.abort();
    for n in 0..3 {
        cluster.stop(n).await.expect("stops");
    }
}
