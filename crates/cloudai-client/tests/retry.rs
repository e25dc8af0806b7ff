//! The client against masters that misbehave: fake Control services on loopback, behind the real TLS.

#![allow(clippy::unwrap_used)]

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudai_client::{CallError, Client, SubmitError};
use cloudai_net::{
    AcceptOptions, Acceptor, CertificateAuthority, ClusterId, Connections, IdentityFiles, ReloadingTls, Revoked, Role,
};
use cloudai_proto::v1::control_server::{Control, ControlServer};
use cloudai_proto::v1::*;
use cloudai_types::{JobSpec, ResultFile, Timestamp, limits};
use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the cluster's state would be: request ids and their jobs, shared by all fake masters.
#[derive(Default)]
struct State {
    jobs: Mutex<Vec<String>>,
}

impl State {
    fn submit(&self, r: &SubmitRequest) -> SubmitReply {
        let mut jobs = self.jobs.lock().unwrap();
        let known = jobs.iter().position(|id| *id == r.request_id);
        let at = known.unwrap_or_else(|| {
            jobs.push(r.request_id.clone());
            jobs.len() - 1
        });
        SubmitReply { job_id: at as u64 + 1, index: 1, duplicate: known.is_some() }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Good,
    /// Carries the request out, and the caller never learns of it.
    ForgetsToAnswer,
    NotLeader,
    NoLeader,
    Refuses,
    /// Ends a submit stream after this many acknowledgements.
    BreaksAfter(u64),
}

struct Fake {
    state: Arc<State>,
    mood: Mutex<Mood>,
    leader: Mutex<String>,
    asked: AtomicU64,
    log_broke: AtomicBool,
}

impl Fake {
    fn refusal(&self) -> Option<Status> {
        let mood = *self.mood.lock().unwrap();
        self.asked.fetch_add(1, Ordering::SeqCst);
        match mood {
            Mood::Good | Mood::ForgetsToAnswer | Mood::BreaksAfter(_) => None,
            Mood::NotLeader => {
                let leader = self.leader.lock().unwrap().clone();
                Some(ErrorInfo::new(ErrorKind::NotLeader, "another leads").with_leader(leader).into_status())
            }
            Mood::NoLeader => Some(ErrorInfo::new(ErrorKind::NoLeader, "nobody leads").into_status()),
            Mood::Refuses => Some(ErrorInfo::new(ErrorKind::Conflict, "the request id was used").into_status()),
        }
    }
}

macro_rules! absent {
    () => {
        Err(Status::unimplemented("not part of this test"))
    };
}

#[tonic::async_trait]
impl Control for Fake {
    async fn submit(&self, r: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        if let Some(s) = self.refusal() {
            return Err(s);
        }
        let reply = self.state.submit(r.get_ref());
        if *self.mood.lock().unwrap() == Mood::ForgetsToAnswer {
            return Err(Status::unavailable("the connection broke"));
        }
        Ok(Response::new(reply))
    }

    type SubmitStreamStream = Out<SubmitAck>;
    async fn submit_stream(
        &self,
        r: Request<Streaming<SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        if let Some(s) = self.refusal() {
            return Err(s);
        }
        let mood = *self.mood.lock().unwrap();
        let state = self.state.clone();
        let mut answered = 0;
        let acks = r.into_inner().map(move |m| {
            let m = m?;
            let reply = state.submit(&m.request.unwrap());
            answered += 1;
            if matches!(mood, Mood::BreaksAfter(n) if answered > n) {
                return Err(Status::unavailable("the connection broke"));
            }
            Ok(SubmitAck { tag: m.tag, outcome: Some(submit_ack::Outcome::Reply(reply)) })
        });
        Ok(Response::new(Box::pin(acks)))
    }

    type WaitJobStream = Out<JobSummary>;
    async fn wait_job(&self, _: Request<WaitJobRequest>) -> Result<Response<Self::WaitJobStream>, Status> {
        if let Some(s) = self.refusal() {
            return Err(s);
        }
        let job = |index, state: JobState| JobSummary { id: 1, index, state: state as i32, ..Default::default() };
        let items = match *self.mood.lock().unwrap() {
            Mood::BreaksAfter(_) => vec![Ok(job(5, JobState::Queued)), Err(Status::unavailable("gone"))],
            _ => vec![
                // A master that is behind the first one.
                Ok(job(3, JobState::Queued)),
                Ok(job(9, JobState::Running)),
                Ok(job(10, JobState::Succeeded)),
            ],
        };
        Ok(Response::new(Box::pin(futures::stream::iter(items))))
    }

    type LogsStream = Out<LogsReply>;
    async fn logs(&self, r: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let frame = |data: &'static str| LogFrame { time_ms: 1, source: 1, data: data.as_bytes().to_vec().into() };
        let reply = |data, complete| LogsReply {
            attempt: 2,
            worker: "w1".into(),
            frames: vec![frame(data)],
            complete,
            stored: false,
        };
        let items = if self.log_broke.swap(true, Ordering::SeqCst) {
            assert_eq!(r.get_ref().attempt, 2, "a repetition asks for the same attempt");
            vec![Ok(reply("one two ", false)), Ok(reply("three", true))]
        } else {
            vec![Ok(reply("one ", false)), Err(Status::unavailable("gone"))]
        };
        Ok(Response::new(Box::pin(futures::stream::iter(items))))
    }

    type ListResultsStream = Out<ListResultsReply>;
    async fn list_results(&self, _: Request<ListResultsRequest>) -> Result<Response<Self::ListResultsStream>, Status> {
        let piece = |path: &str| ListResultsReply {
            files: vec![ResultFile { path: path.into(), ..Default::default() }],
            files_total: 2,
            ..Default::default()
        };
        let items = if self.log_broke.swap(true, Ordering::SeqCst) {
            vec![Ok(piece("a")), Ok(piece("b"))]
        } else {
            vec![Ok(piece("a")), Err(Status::unavailable("gone"))]
        };
        Ok(Response::new(Box::pin(futures::stream::iter(items))))
    }

    type ReadResultStream = Out<ReadResultReply>;
    async fn read_result(&self, r: Request<ReadResultRequest>) -> Result<Response<Self::ReadResultStream>, Status> {
        let rest = &b"0123456789"[r.get_ref().offset as usize..];
        let piece = |bytes: &'static [u8]| ReadResultReply { data: bytes.into() };
        // Each call brings three bytes, and breaks, or just ends.
        let mut items = vec![Ok(piece(&rest[..rest.len().min(3)]))];
        if !self.log_broke.swap(true, Ordering::SeqCst) {
            items.push(Err(Status::unavailable("gone")));
        }
        Ok(Response::new(Box::pin(futures::stream::iter(items))))
    }

    async fn locate_result(&self, _: Request<LocateResultRequest>) -> Result<Response<LocateResultReply>, Status> {
        absent!()
    }
    async fn list_jobs(&self, _: Request<ListJobsRequest>) -> Result<Response<ListJobsReply>, Status> {
        absent!()
    }
    async fn get_job(&self, _: Request<GetJobRequest>) -> Result<Response<GetJobReply>, Status> {
        absent!()
    }
    async fn cancel_job(&self, _: Request<CancelJobRequest>) -> Result<Response<CancelJobReply>, Status> {
        absent!()
    }
    async fn list_tasks(&self, _: Request<ListTasksRequest>) -> Result<Response<ListTasksReply>, Status> {
        absent!()
    }
    async fn get_task(&self, _: Request<GetTaskRequest>) -> Result<Response<GetTaskReply>, Status> {
        absent!()
    }
    async fn explain_task(&self, _: Request<ExplainTaskRequest>) -> Result<Response<Explanation>, Status> {
        absent!()
    }
    async fn get_history(&self, _: Request<GetHistoryRequest>) -> Result<Response<GetHistoryReply>, Status> {
        absent!()
    }
    type WatchEventsStream = Out<WatchEventsReply>;
    /// Events 1.0 to 9.0, two a message. A master that breaks does so after a message; one that refuses keeps only what came after 7.0.
    async fn watch_events(&self, r: Request<WatchEventsRequest>) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        let after = r.get_ref().after.map_or(0, |at| at.index);
        if mood == Mood::Refuses && after < 7 {
            return Err(ErrorInfo::new(ErrorKind::TooOld, "kept no more").into_status());
        }
        let position = |index| Some(EventPosition { index, number: 0 });
        let event = |index| Event { at: position(index), ..Default::default() };
        let indexes: Vec<u64> = (after + 1..=9).collect();
        let reply = |indexes: &[u64]| WatchEventsReply {
            events: indexes.iter().copied().map(event).collect(),
            reached: indexes.last().copied().and_then(position),
            complete: indexes.last() == Some(&9),
        };
        let mut items: Vec<Result<WatchEventsReply, Status>> = indexes.chunks(2).map(|two| Ok(reply(two))).collect();
        if let Mood::BreaksAfter(messages) = mood {
            items.truncate(messages as usize);
            items.push(Err(Status::unavailable("gone")));
        }
        Ok(Response::new(Box::pin(futures::stream::iter(items))))
    }
    type WatchTelemetryStream = Out<TelemetryFrame>;
    /// Without an end, unless it breaks after a frame: two samples missed in each.
    async fn watch_telemetry(
        &self,
        _: Request<WatchTelemetryRequest>,
    ) -> Result<Response<Self::WatchTelemetryStream>, Status> {
        if let Some(s) = self.refusal() {
            return Err(s);
        }
        let frame = |n| Ok(TelemetryFrame { dropped: 2 * n, ..Default::default() });
        Ok(Response::new(match *self.mood.lock().unwrap() {
            Mood::BreaksAfter(frames) => {
                let gone = futures::stream::iter([Err(Status::unavailable("gone"))]);
                Box::pin(futures::stream::iter((1..=frames).map(frame)).chain(gone))
            }
            _ => Box::pin(futures::stream::iter((1..).map(frame))),
        }))
    }
    async fn plan_job(&self, _: Request<SubmitRequest>) -> Result<Response<JobPlan>, Status> {
        absent!()
    }
    async fn list_dead(&self, _: Request<ListDeadRequest>) -> Result<Response<ListDeadReply>, Status> {
        absent!()
    }
    async fn replay_dead(&self, _: Request<DeadSelection>) -> Result<Response<ReplayDeadReply>, Status> {
        absent!()
    }
    async fn submit_replay(&self, _: Request<SubmitReplayRequest>) -> Result<Response<SubmitReply>, Status> {
        absent!()
    }
    async fn drop_dead(&self, _: Request<DeadSelection>) -> Result<Response<DropDeadReply>, Status> {
        absent!()
    }
    async fn submit_workflow(
        &self,
        _: Request<SubmitWorkflowRequest>,
    ) -> Result<Response<SubmitWorkflowReply>, Status> {
        absent!()
    }
    async fn list_workflows(&self, _: Request<ListWorkflowsRequest>) -> Result<Response<ListWorkflowsReply>, Status> {
        absent!()
    }
    async fn get_workflow(&self, _: Request<GetWorkflowRequest>) -> Result<Response<GetWorkflowReply>, Status> {
        absent!()
    }
    async fn cancel_workflow(
        &self,
        _: Request<CancelWorkflowRequest>,
    ) -> Result<Response<CancelWorkflowReply>, Status> {
        absent!()
    }
    async fn retry_workflow(&self, _: Request<RetryWorkflowRequest>) -> Result<Response<RetryWorkflowReply>, Status> {
        absent!()
    }
    async fn create_template(
        &self,
        _: Request<CreateTemplateRequest>,
    ) -> Result<Response<CreateTemplateReply>, Status> {
        absent!()
    }
    async fn list_templates(&self, _: Request<ListTemplatesRequest>) -> Result<Response<ListTemplatesReply>, Status> {
        absent!()
    }
    async fn get_template(&self, _: Request<GetTemplateRequest>) -> Result<Response<GetTemplateReply>, Status> {
        absent!()
    }
    async fn delete_template(&self, _: Request<DeleteTemplateRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn create_schedule(
        &self,
        _: Request<CreateScheduleRequest>,
    ) -> Result<Response<CreateScheduleReply>, Status> {
        absent!()
    }
    async fn list_schedules(&self, _: Request<ListSchedulesRequest>) -> Result<Response<ListSchedulesReply>, Status> {
        absent!()
    }
    async fn get_schedule(&self, _: Request<GetScheduleRequest>) -> Result<Response<GetScheduleReply>, Status> {
        absent!()
    }
    async fn pause_schedule(&self, _: Request<PauseScheduleRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn delete_schedule(&self, _: Request<DeleteScheduleRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn run_schedule(&self, _: Request<RunScheduleRequest>) -> Result<Response<SubmitReply>, Status> {
        absent!()
    }
    async fn set_secret(&self, _: Request<SetSecretRequest>) -> Result<Response<SetSecretReply>, Status> {
        absent!()
    }
    async fn remove_secret(&self, _: Request<RemoveSecretRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn list_secrets(&self, _: Request<ListSecretsRequest>) -> Result<Response<ListSecretsReply>, Status> {
        absent!()
    }
    async fn set_quota(&self, _: Request<SetQuotaRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn list_quotas(&self, _: Request<ListQuotasRequest>) -> Result<Response<ListQuotasReply>, Status> {
        absent!()
    }
    async fn list_workers(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersReply>, Status> {
        absent!()
    }
    async fn get_worker(&self, _: Request<GetWorkerRequest>) -> Result<Response<GetWorkerReply>, Status> {
        absent!()
    }
    async fn get_worker_history(
        &self,
        _: Request<WorkerHistoryRequest>,
    ) -> Result<Response<WorkerHistoryReply>, Status> {
        absent!()
    }
    async fn authorize_worker(&self, _: Request<AuthorizeWorkerRequest>) -> Result<Response<AuthorizeReply>, Status> {
        absent!()
    }
    async fn revoke_worker(&self, _: Request<RevokeWorkerRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn drain_worker(&self, _: Request<DrainWorkerRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn resume_worker(&self, _: Request<ResumeWorkerRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn taint_worker(&self, _: Request<TaintWorkerRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn untaint_worker(&self, _: Request<UntaintWorkerRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
    async fn queue(&self, _: Request<QueueRequest>) -> Result<Response<QueueReply>, Status> {
        absent!()
    }
    async fn cluster_status(&self, _: Request<ClusterStatusRequest>) -> Result<Response<ClusterStatusReply>, Status> {
        absent!()
    }
    async fn check_master(&self, _: Request<CheckMasterRequest>) -> Result<Response<CheckMasterReply>, Status> {
        absent!()
    }
    async fn check_workers(&self, _: Request<CheckWorkersRequest>) -> Result<Response<CheckWorkersReply>, Status> {
        absent!()
    }
    async fn master_log_filter(&self, _: Request<MasterLogFilterRequest>) -> Result<Response<LogFilter>, Status> {
        absent!()
    }
    async fn worker_log_filter(&self, _: Request<WorkerLogFilterRequest>) -> Result<Response<LogFilter>, Status> {
        absent!()
    }
    async fn add_master(&self, _: Request<AddMasterRequest>) -> Result<Response<AuthorizeReply>, Status> {
        absent!()
    }
    async fn remove_master(&self, _: Request<RemoveMasterRequest>) -> Result<Response<ChangeReply>, Status> {
        if let Some(s) = self.refusal() {
            return Err(s);
        }
        Err(Status::unavailable("the connection broke"))
    }
    async fn transfer_leader(
        &self,
        _: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        absent!()
    }
    async fn set_config(&self, _: Request<SetConfigRequest>) -> Result<Response<ChangeReply>, Status> {
        absent!()
    }
}

/// A fake cluster; stops with the test's runtime.
struct Cluster {
    dir: tempfile::TempDir,
    ca: CertificateAuthority,
    now: Timestamp,
    masters: Vec<(String, Arc<Fake>)>,
    state: Arc<State>,
}

fn cluster_id(n: u8) -> ClusterId {
    ClusterId::from_bytes([n; 8])
}

impl Cluster {
    fn new() -> Self {
        cloudai_net::install_crypto_provider();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = Timestamp(since.as_millis() as u64);
        let ca = CertificateAuthority::create(cluster_id(1), now).unwrap();
        Cluster { dir: tempfile::tempdir().unwrap(), ca, now, masters: vec![], state: Arc::default() }
    }

    fn identity(&self, ca: &CertificateAuthority, role: Role, name: &str) -> Arc<ReloadingTls> {
        let files = IdentityFiles::new(self.dir.path().join(name));
        std::fs::create_dir_all(files.dir()).unwrap();
        files.enroll(ca, role, name, &[], limits::LEAF_VALIDITY, self.now).unwrap();
        ReloadingTls::load(files, Revoked::default()).unwrap()
    }

    async fn master(&mut self, mood: Mood) -> Arc<Fake> {
        let tls = self.identity(&self.ca, Role::Master, &format!("m{}", self.masters.len() + 1));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let fake = Arc::new(Fake {
            state: self.state.clone(),
            mood: Mutex::new(mood),
            leader: Mutex::default(),
            asked: AtomicU64::new(0),
            log_broke: AtomicBool::new(false),
        });
        let incoming = Acceptor::spawn(listener, tls, AcceptOptions::control(), Connections::default());
        let server = tonic::transport::Server::builder().add_service(ControlServer::from_arc(fake.clone()));
        tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        self.masters.push((address, fake.clone()));
        fake
    }

    /// An address where nobody listens.
    async fn dead_master(&mut self) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let fake = Fake {
            state: self.state.clone(),
            mood: Mutex::new(Mood::Good),
            leader: Mutex::default(),
            asked: AtomicU64::new(0),
            log_broke: AtomicBool::new(false),
        };
        self.masters.push((address, Arc::new(fake)));
    }

    fn client(&self, retry_for: Duration) -> Client {
        let tls = self.identity(&self.ca, Role::Admin, "ann");
        self.client_as(tls, retry_for)
    }

    fn client_as(&self, tls: Arc<ReloadingTls>, retry_for: Duration) -> Client {
        let addresses: Vec<String> = self.masters.iter().map(|(a, _)| a.clone()).collect();
        Client::with_tls(tls, &addresses, retry_for).unwrap()
    }

    fn jobs(&self) -> usize {
        self.state.jobs.lock().unwrap().len()
    }
}

fn job() -> SubmitRequest {
    SubmitRequest { spec: Some(JobSpec { image: "busybox".into(), ..Default::default() }), ..Default::default() }
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_submit_passes_a_dead_master_a_follower_and_a_lost_answer_and_is_one_job() {
    let mut c = Cluster::new();
    c.dead_master().await;
    let follower = c.master(Mood::NotLeader).await;
    c.master(Mood::ForgetsToAnswer).await;
    let good = c.master(Mood::Good).await;
    *follower.leader.lock().unwrap() = c.masters[2].0.clone();
    let client = c.client(LONG);
    let reply = client.submit(job()).await.unwrap();
    assert!(reply.duplicate, "the third one had carried it out");
    assert_eq!(c.jobs(), 1);
    // The next call begins where the last one was answered.
    client.submit(job()).await.unwrap();
    assert_eq!((follower.asked.load(Ordering::SeqCst), good.asked.load(Ordering::SeqCst), c.jobs()), (1, 2, 2));
}

#[tokio::test]
async fn a_decision_is_final_at_once() {
    let mut c = Cluster::new();
    let first = c.master(Mood::Refuses).await;
    let second = c.master(Mood::Good).await;
    let e = c.client(LONG).submit(job()).await.unwrap_err();
    assert!(matches!(&e, SubmitError::Call(CallError::Refused(i)) if i.kind() == ErrorKind::Conflict), "{e}");
    assert_eq!((first.asked.load(Ordering::SeqCst), second.asked.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn when_the_time_is_up_the_error_tells_unreached_leaderless_and_unknown_apart() {
    let mut c = Cluster::new();
    c.dead_master().await;
    let e = c.client(SHORT).submit(job()).await.unwrap_err();
    assert!(matches!(&e, SubmitError::Call(CallError::Unreachable { tried, .. }) if tried.len() == 1), "{e}");

    let mut c = Cluster::new();
    let m = c.master(Mood::NoLeader).await;
    let e = c.client(SHORT).submit(job()).await.unwrap_err();
    assert!(matches!(e, SubmitError::Call(CallError::NoLeader { .. })), "{e}");
    assert!(m.asked.load(Ordering::SeqCst) > 1);

    let mut c = Cluster::new();
    c.master(Mood::ForgetsToAnswer).await;
    let request = SubmitRequest { request_id: "my-key".into(), ..job() };
    let e = c.client(SHORT).submit(request).await.unwrap_err();
    assert!(matches!(&e, SubmitError::OutcomeUnknown { request_id, .. } if request_id == "my-key"), "{e}");
    assert_eq!(c.jobs(), 1);
}

#[tokio::test]
async fn what_must_not_be_repeated_is_sent_once() {
    let mut c = Cluster::new();
    let m = c.master(Mood::Good).await;
    let e = c.client(LONG).remove_master(RemoveMasterRequest { master: "m3".into() }).await.unwrap_err();
    assert!(matches!(e, CallError::OutcomeUnknown { .. }), "{e}");
    assert_eq!(m.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_told_at_once() {
    let mut c = Cluster::new();
    c.master(Mood::Good).await;
    c.master(Mood::Good).await;
    let other = CertificateAuthority::create(cluster_id(2), c.now).unwrap();
    let client = c.client_as(c.identity(&other, Role::Admin, "eve"), LONG);
    let e = client.submit(job()).await.unwrap_err();
    assert!(matches!(e, SubmitError::Call(CallError::Untrusted { .. })), "{e}");
}

#[tokio::test]
async fn a_broken_submit_stream_goes_on_elsewhere_and_every_request_is_one_job() {
    let mut c = Cluster::new();
    c.master(Mood::BreaksAfter(10)).await;
    c.master(Mood::Good).await;
    let stream = c.client(LONG).submit_stream();
    let all = futures::future::join_all((0..100).map(|_| stream.submit(job()))).await;
    let mut ids: Vec<u64> = all.into_iter().map(|r| r.unwrap().job_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn waiting_survives_a_master_and_never_goes_back() {
    let mut c = Cluster::new();
    c.master(Mood::BreaksAfter(1)).await;
    c.master(Mood::Good).await;
    let mut wait = c.client(LONG).wait_job(WaitJobRequest::default());
    let mut seen = vec![];
    while let Some(job) = wait.next().await.unwrap() {
        seen.push((job.index, job.state()));
    }
    assert_eq!(seen, [(5, JobState::Queued), (9, JobState::Running), (10, JobState::Succeeded)]);
}

#[tokio::test]
async fn a_log_is_read_once_across_a_break() {
    let mut c = Cluster::new();
    c.master(Mood::Good).await;
    let mut logs = c.client(LONG).logs(LogsRequest { follow: true, ..Default::default() });
    let mut text = String::new();
    while let Some(reply) = logs.next().await.unwrap() {
        for f in reply.frames {
            text.push_str(std::str::from_utf8(&f.data).unwrap());
        }
    }
    assert_eq!(text, "one two three");
}

#[tokio::test]
async fn a_list_of_results_that_breaks_off_is_read_again_from_its_beginning() {
    let mut c = Cluster::new();
    c.master(Mood::Good).await;
    let pieces = c.client(LONG).list_results(ListResultsRequest::default()).await.unwrap();
    let paths: Vec<&str> = pieces.iter().flat_map(|p| &p.files).map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["a", "b"], "each once");
}

#[tokio::test]
async fn a_file_goes_on_where_its_stream_broke_whoever_sends_the_rest() {
    let mut c = Cluster::new();
    c.master(Mood::Good).await;
    c.master(Mood::Good).await;
    for (offset, wanted) in [(0, "0123456789"), (4, "456789"), (10, "")] {
        let mut stream = c.client(LONG).read_result(ReadResultRequest { offset, ..Default::default() }, 10);
        let mut bytes = vec![];
        while let Some(piece) = stream.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(String::from_utf8(bytes).unwrap(), wanted, "from {offset}");
    }
}

/// What a watcher is given, to the end or to an error.
async fn watched(client: &Client, after: Option<EventPosition>) -> (Vec<u64>, Option<CallError>) {
    let mut events = client.watch_events(WatchEventsRequest { after, follow: true, ..Default::default() });
    let mut seen = vec![];
    loop {
        match events.next().await {
            Ok(Some(reply)) => seen.extend(reply.events.iter().map(|event| event.at.unwrap().index)),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

#[tokio::test]
async fn events_come_once_and_without_a_gap_whoever_goes_on() {
    let mut c = Cluster::new();
    c.master(Mood::BreaksAfter(2)).await;
    c.dead_master().await;
    c.master(Mood::BreaksAfter(1)).await;
    let (seen, error) = watched(&c.client(LONG), None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(seen, (1..=9).collect::<Vec<u64>>());
}

#[tokio::test]
async fn telemetry_goes_on_at_another_master_and_says_so() {
    let mut c = Cluster::new();
    c.master(Mood::BreaksAfter(2)).await;
    c.master(Mood::Good).await;
    let mut frames = c.client(LONG).watch_telemetry(WatchTelemetryRequest::default());
    let mut seen = vec![];
    for _ in 0..4 {
        let frame = frames.next().await.unwrap();
        seen.push((frame.dropped, frame.resumed));
    }
    assert_eq!(seen, [(2, false), (4, false), (4 + 2, true), (4 + 4, false)]);
}

#[tokio::test]
async fn what_one_master_keeps_no_more_another_may_have() {
    let mut c = Cluster::new();
    let young = c.master(Mood::Refuses).await;
    let old = c.master(Mood::Good).await;
    let after = Some(EventPosition { index: 2, number: 0 });
    let (seen, error) = watched(&c.client(LONG), after).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(seen, (3..=9).collect::<Vec<u64>>());
    assert_eq!((young.asked.load(Ordering::SeqCst), old.asked.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn what_nobody_keeps_is_told_at_once_and_not_left_out() {
    let mut c = Cluster::new();
    c.master(Mood::Refuses).await;
    c.master(Mood::Refuses).await;
    let after = Some(EventPosition { index: 2, number: 0 });
    let (seen, error) = watched(&c.client(LONG), after).await;
    assert_eq!(seen, [0; 0]);
    assert!(matches!(&error, Some(CallError::Refused(info)) if info.kind() == ErrorKind::TooOld), "{error:?}");
}
