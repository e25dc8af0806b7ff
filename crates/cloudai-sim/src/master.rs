//! One master: the real loops, services' functions and Raft, on simulated disks, clock and network. Comes in: what survives of its
//! machine, and messages. Goes out: answers; the running node, for those who watch. Decides nothing: this is `run.rs` of the
//! master crate without files, certificates and sockets.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cloudai_master::control::{dead, jobs, quotas, schedules, taints, workers, workflows};
use cloudai_master::dispatch::session;
use cloudai_master::forward::find_leader;
use cloudai_master::hub::Hub;
use cloudai_master::machine::{Machine, Shared};
use cloudai_master::node::{Node, Parts};
use cloudai_master::peers::{Header, KnownMaster, Me, check};
use cloudai_master::{Founder, MasterConfig, NodeFile, RaftTimes, Surroundings, leadership, registration};
use cloudai_net::Revoked;
use cloudai_proto::v1 as pb;
use cloudai_raft::{CallKind, Raft, Settings, TransportError};
use cloudai_telemetry::MasterMetrics;
use cloudai_types::limits;
use futures::StreamExt;
use tokio::sync::mpsc;
use tonic::Status;

use crate::clock::{Clock, Skew};
use crate::dice::Dice;
use crate::disk::SimLog;
use crate::event_log::EventLog;
use crate::message::{Answer, Call, Frame, Question, Topic};
use crate::network::{Duplex, HostId, Inbound, Net, Place, ReplyTo};
use crate::rows::SimRows;
use crate::transport::{SimMasters, SimTransport, address_of, host_of};

pub type SimNode = Arc<Node<SimRows>>;
/// The running node, while there is one.
pub type Slot = Arc<Mutex<Option<SimNode>>>;

pub const CLUSTER: &str = "5eed5eed5eed5eed";
/// Simulated workers have no addresses, and serve no metrics.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ACTOR: &str = "admin/simulation";

/// What of a master survives its process.
#[derive(Clone)]
pub struct Machinery {
    pub host: HostId,
    pub masters: Vec<HostId>,
    pub log: SimLog,
    pub rows: SimRows,
    pub skew: Skew,
    pub snapshots: PathBuf,
    pub snapshot_every_entries: u64,
    pub net: Net,
    pub events: EventLog,
    pub slot: Slot,
    /// Why the process ended on its own: that is a fault of ours.
    pub ended: Arc<Mutex<Option<String>>>,
}

fn founder(host: HostId) -> Founder {
    Founder {
        id: u64::from(host),
        name: format!("m{host}"),
        raft_addr: address_of(host, 7602),
        grpc_addr: address_of(host, 7601),
        http_addr: address_of(host, 7600),
    }
}

/// Runs until the process dies.
pub async fn run(m: Machinery, place: Place, inbox: mpsc::UnboundedReceiver<Inbound>, born_ms: u64, dice: Dice) {
    let clock = Clock::start(born_ms, m.skew.clone());
    let name = format!("m{}", m.host);
    let end = match start(&m, place, &clock, dice).await {
        Err(reason) => reason,
        Ok(node) => {
            *m.slot.lock().expect("no panic under it") = Some(node.clone());
            let mut stopped = node.stop.subscribe();
            let serving = serve(node.clone(), m.net.clone(), place, inbox);
            tokio::select! {
                fatal = node.raft.failed() => fatal.to_string(),
                stop = stopped.wait_for(Option::is_some) => stop.ok().and_then(|s| s.clone()).unwrap_or_default(),
                () = serving => "the network is gone".to_owned(),
            }
        }
    };
    m.events.add(clock.mono_ms(), &name, format_args!("STOPPED {end}"));
    *m.ended.lock().expect("no panic under it") = Some(end);
}

async fn start(m: &Machinery, place: Place, clock: &Clock, mut dice: Dice) -> Result<SimNode, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    drop(tokio::spawn(m.log.clone().sync(clock.clone())));
    let mut config = MasterConfig::new(format!("m{}", m.host), m.snapshots.clone());
    config.founders = m.masters.iter().map(|h| founder(*h)).collect();
    config.raft = RaftTimes { snapshot_every_entries: m.snapshot_every_entries, ..RaftTimes::default() };
    let disk = format!("{:032x}", u128::from(m.host) + 0xd15c);
    let node = u64::from(m.host);
    let me = Arc::new(Me { cluster: CLUSTER.into(), node, disk: disk.clone() });
    let shared = Shared::open(m.rows.clone()).map_err(|e| text(&e))?;
    let hub = Arc::new(Hub::default());
    let known = shared.clone();
    let directory: cloudai_master::raft_link::Directory = Arc::new(move |node| {
        let state = known.read();
        state.hot.masters.get(&node).map(|m| KnownMaster { disk: m.disk.clone(), removed: m.removed })
    });
    let transport = SimTransport { net: m.net.clone(), place, me: me.clone(), directory: directory.clone() };
    let mut settings = Settings::new(node, CLUSTER, m.snapshots.clone());
    settings.snapshot_every_entries = config.raft.snapshot_every_entries;
    settings.keep_entries = (config.raft.snapshot_every_entries / 4).max(1);
    let metrics = MasterMetrics::new("simulated");
    let machine = Machine::new(shared.clone(), hub.clone(), metrics.clone());
    let raft = Raft::start(settings, m.log.clone(), machine, transport, None).await.map_err(|e| text(&e))?;
    let wall = clock.clone();
    let random = Mutex::new(dice.fork());
    let f = founder(m.host);
    let own = cloudai_raft::MasterNode {
        name: f.name,
        raft_addr: f.raft_addr,
        grpc_addr: f.grpc_addr,
        http_addr: f.http_addr,
    };
    let node = Arc::new(Node::new(Parts {
        config,
        own,
        me: me.clone(),
        node_file: NodeFile { format: 1, cluster: CLUSTER.into(), node, disk, quarantined: None, sum: None },
        shared,
        hub,
        raft: raft.clone(),
        metrics,
        masters: Arc::new(SimMasters { net: m.net.clone(), place }),
        directory,
        revoked: Revoked::default(),
        identity_dir: m.snapshots.clone(),
        results: cloudai_master::StoredResults::new(None),
        // A run is a function of its seed, and spans have ids and times of their own.
        traces: Arc::default(),
        surroundings: Surroundings {
            now_ms: Arc::new(move || wall.wall_ms()),
            random: Arc::new(move || random.lock().expect("dice do not panic").next() as u32),
            ..Surroundings::default()
        },
    }));
    raft.run();
    cloudai_master::found_cluster(&node).await.map_err(|e| text(&e))?;
    drop(tokio::spawn(leadership::run(node.clone())));
    drop(tokio::spawn(registration::run(node.clone())));
    Ok(node)
}

async fn serve(node: SimNode, net: Net, place: Place, mut inbox: mpsc::UnboundedReceiver<Inbound>) {
    while let Some(inbound) = inbox.recv().await {
        let (node, net) = (node.clone(), net.clone());
        drop(match inbound {
            Inbound::Call { question, reply, .. } => tokio::spawn(answer(node, net, place, question, reply)),
            Inbound::Open { topic: Topic::Append { header }, stream, .. } => tokio::spawn(append(node, header, stream)),
            Inbound::Open { topic: Topic::Snapshot { header, frames }, stream, .. } => {
                tokio::spawn(snapshot(node, header, frames, stream))
            }
            Inbound::Open { topic: Topic::Session { worker }, stream, .. } => {
                tokio::spawn(worker_session(node, worker, stream))
            }
        });
    }
}

fn admit(node: &SimNode, header: pb::RaftHeader) -> Result<(), Status> {
    let header = Header {
        cluster: header.cluster,
        from: header.from,
        from_disk: header.from_disk,
        to: header.to,
        to_disk: header.to_disk,
    };
    check(&node.me, &header, (node.directory)(header.from).as_ref()).map_err(|refusal| {
        node.refused_peer(&refusal);
        Status::failed_precondition(refusal.to_string())
    })
}

async fn answer(node: SimNode, net: Net, place: Place, question: Question, reply: ReplyTo) {
    let result = match question {
        Question::Raft { header, kind, frame } => match (admit(&node, header), CallKind::from_number(kind)) {
            (Err(status), _) => Err(status),
            (Ok(()), None) => Err(Status::unimplemented("an unknown call kind")),
            (Ok(()), Some(kind)) => node.raft.handle_call(kind, frame).await.map(Answer::Frame).map_err(handled),
        },
        Question::Register(request) if node.leading().is_some() => {
            let record = registration::from_request(request);
            let registered = registration::register(&node, record).await;
            registered.map(|refused| Answer::Registered(pb::RegisterReply { refused: refused.unwrap_or_default() }))
        }
        Question::Register(_) => Err(Status::unavailable("this master does not lead")),
        Question::ReadIndex => {
            let read = node.raft.read_index().await;
            read.map(|index| Answer::ReadIndex(pb::ReadIndexReply { index }))
                .map_err(|e| Status::unavailable(e.to_string()))
        }
        Question::Control { call, forwarded } => control(&node, &net, place, call, forwarded).await,
    };
    reply.send(place, result);
}

fn handled(e: cloudai_raft::HandleError) -> Status {
    match &e {
        cloudai_raft::HandleError::Malformed { .. } => Status::invalid_argument(e.to_string()),
        cloudai_raft::HandleError::Refused(_) => Status::failed_precondition(e.to_string()),
        cloudai_raft::HandleError::Stopped(_) => Status::unavailable(e.to_string()),
    }
}

async fn append(node: SimNode, header: pb::RaftHeader, stream: Duplex) {
    if admit(&node, header).is_err() {
        return;
    }
    let Duplex { out, hears } = stream;
    let heard = node.clone();
    let frames = futures::stream::unfold(hears, |mut hears| async move { Some((hears.recv().await?, hears)) });
    let frames = frames.map(|f| match f {
        Ok(Frame::Raft(bytes)) => Ok(bytes),
        Ok(Frame::FromWorker(_) | Frame::FromLeader(_)) => Err(TransportError::Broken("no Raft frame".into())),
        Err(status) => Err(TransportError::Broken(status.message().to_owned())),
    });
    let frames = frames.inspect(move |_| heard.heard_leader()).boxed();
    let mut replies = node.raft.handle_append_stream(frames);
    while let Some(Ok(reply)) = replies.next().await {
        if !out.send(Frame::Raft(reply)) {
            return;
        }
    }
}

/// Dropping `stream` ends the call, with an answer or without.
async fn snapshot(node: SimNode, header: pb::RaftHeader, frames: Vec<Bytes>, stream: Duplex) {
    if admit(&node, header).is_err() {
        return;
    }
    let frames = futures::stream::iter(frames.into_iter().map(Ok::<_, TransportError>));
    if let Ok(answer) = node.raft.handle_snapshot(frames).await {
        stream.out.send(Frame::Raft(answer));
    }
}

async fn worker_session(node: SimNode, worker: String, stream: Duplex) {
    let Duplex { out, hears } = stream;
    let inbound = futures::stream::unfold(hears, |mut hears| async move {
        let message = match hears.recv().await? {
            Ok(Frame::FromWorker(message)) => Ok(message),
            Ok(Frame::Raft(_) | Frame::FromLeader(_)) => Err(Status::internal("no worker's message")),
            Err(status) => Err(status),
        };
        Some((message, hears))
    });
    let mut outbound = session::start(node, worker, NOWHERE, Box::pin(inbound));
    while let Some(Ok(message)) = outbound.next().await {
        if !out.send(Frame::FromLeader(message)) {
            return;
        }
    }
}

/// As the forwarding layer does: writes go to the leader, and once more when they surely were not written.
async fn control(node: &SimNode, net: &Net, place: Place, call: Call, forwarded: bool) -> Result<Answer, Status> {
    if forwarded || matches!(call, Call::Get(_)) {
        return here(node, call).await;
    }
    let deadline = tokio::time::Instant::now() + limits::LEADER_WAIT.as_duration();
    loop {
        let result = match find_leader(node).await? {
            None => here(node, call.clone()).await,
            Some(leader) => {
                let host = host_of(&leader.node.grpc_addr).unwrap_or_default();
                net.call(place, host, Question::Control { call: call.clone(), forwarded: true }).await
            }
        };
        match result {
            Err(status)
                if pb::ErrorInfo::carried_by(&status).is_some_and(|i| i.kind() == pb::ErrorKind::NotLeader)
                    && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            other => return other,
        }
    }
}

async fn here(node: &SimNode, call: Call) -> Result<Answer, Status> {
    match call {
        Call::Submit(request) => jobs::submit(node, ACTOR, None, *request).await.map(Answer::Submitted),
        Call::Cancel(request) => jobs::cancel(node, ACTOR, request).await.map(Answer::Cancelled),
        Call::Drain(request) => workers::drain(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::Resume(request) => workers::resume(node, ACTOR, &request.name).await.map(|_| Answer::Changed),
        Call::SubmitWorkflow(request) => {
            workflows::submit(node, ACTOR, None, *request).await.map(Answer::WorkflowSubmitted)
        }
        Call::CancelWorkflow(request) => workflows::cancel(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::RetryWorkflow(request) => workflows::retry(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::Quota(request) => quotas::set(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::Taint(request) => taints::taint(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::Untaint(request) => taints::untaint(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::CreateSchedule(request) => schedules::create(node, ACTOR, *request).await.map(|_| Answer::Changed),
        Call::PauseSchedule(request) => schedules::pause(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::RunSchedule(request) => schedules::run(node, ACTOR, None, request).await.map(Answer::Submitted),
        Call::ReplayDead(request) => dead::replay(node, ACTOR, request).await.map(|_| Answer::Changed),
        Call::Get(request) => jobs::get(node, request).await.map(|reply| Answer::Job(Box::new(reply))),
    }
}
