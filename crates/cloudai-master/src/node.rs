//! One master, as its services and loops see it: who it is, the replicated state, Raft, and what only lives in memory.
//! Comes in: parts that [`crate::run`] has built. Goes out: questions answered in one line. Starts and stops nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use cloudai_core::rows::WorkerState;
use cloudai_net::Revoked;
use cloudai_raft::{MasterNode, Peer, Raft};
use cloudai_scheduler::Reservation;
use cloudai_scheduler::pace::{Lately, Pace};
use cloudai_telemetry::MasterMetrics;
use cloudai_types::{NamespaceId, limits};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::conditions::Conditions;
use crate::config::MasterConfig;
use crate::dispatch::logs::Upload;
use crate::dispatch::streams::Streams;
use crate::events::Leaders;
use crate::hub::Hub;
use crate::images_held::ImagesHeld;
use crate::liveness::Liveness;
use crate::log_clock::LogClock;
use crate::machine::{Machine, Shared};
use crate::masters::AskMaster;
use crate::node_file::NodeFile;
use crate::peers::{Me, PeerRefusal};
use crate::pins::Pins;
use crate::proposer::Proposer;
use crate::pulls::Pulls;
use crate::raft_link::Directory;
use crate::results::StoredResults;
use crate::state_store::StateStore;
use crate::surroundings::Surroundings;
use crate::telemetry::Telemetry;
use crate::traces::Traces;

/// What a node is made of: everything else begins empty.
pub struct Parts<S: StateStore> {
    pub config: MasterConfig,
    /// Name and addresses under which others reach this master.
    pub own: MasterNode,
    pub me: Arc<Me>,
    pub node_file: NodeFile,
    pub shared: Shared<S>,
    pub hub: Arc<Hub>,
    pub raft: Raft<Machine<S>>,
    pub metrics: MasterMetrics,
    pub masters: Arc<dyn AskMaster>,
    pub directory: Directory,
    pub revoked: Revoked,
    /// Where the CA's key and certificate lie.
    pub identity_dir: PathBuf,
    pub results: StoredResults,
    pub surroundings: Surroundings,
    pub traces: Arc<Traces>,
}

/// Shared by every service and loop of one master.
pub struct Node<S: StateStore> {
    pub config: MasterConfig,
    /// Name and addresses under which others reach this master.
    pub own: MasterNode,
    pub me: Arc<Me>,
    pub node_file: NodeFile,
    pub shared: Shared<S>,
    pub hub: Arc<Hub>,
    pub raft: Raft<Machine<S>>,
    pub proposer: Proposer,
    pub liveness: Liveness,
    /// Logs and histories that calls here wait for.
    pub logs: Streams<Upload>,
    pub usages: Streams<cloudai_proto::v1::UploadHistoryRequest>,
    /// Calls that may wait for histories at a time.
    pub usage_askers: tokio::sync::Semaphore,
    /// Calls here that wait for what workers' own logs show.
    pub log_levels: Streams<cloudai_proto::v1::worker_message::LogLevel>,
    pub log_level_askers: tokio::sync::Semaphore,
    pub metrics: MasterMetrics,
    /// Questions to other masters.
    pub masters: Arc<dyn AskMaster>,
    pub directory: Directory,
    pub revoked: Revoked,
    /// Where the CA's key and certificate lie.
    pub identity_dir: PathBuf,
    pub results: StoredResults,
    /// What tags mean when a job is submitted.
    pub pins: Pins,
    /// What workers fetch now, as their heartbeats tell it.
    pub pulls: Pulls,
    pub images_held: ImagesHeld,
    pub conditions: Conditions,
    /// What workers use, for who watches.
    pub telemetry: Arc<Telemetry>,
    /// Workers that the last pass kept for tasks which fit nowhere, for those who ask; while this master leads.
    pub reserved: Mutex<Vec<Reservation>>,
    /// What was started lately, by this machine's clock; while this master leads.
    pub pace: Mutex<Pace>,
    /// Written by [`crate::leadership`] only: alive exactly while this master leads.
    pub leading: RwLock<Option<CancellationToken>>,
    /// Tells [`crate::run`] that this node must not go on, and why.
    pub stop: watch::Sender<Option<String>>,
    /// One membership change or joining master at a time.
    pub members_lock: tokio::sync::Mutex<()>,
    /// When a leader's frame last came, in milliseconds since the epoch; before the first one, when this master started.
    pub heard_leader_ms: AtomicU64,
    pub surroundings: Surroundings,
    /// What a leader stamps on commands.
    pub log_clock: Arc<LogClock>,
    /// Who led in which term, as far as this master has heard.
    pub leaders: Leaders,
    pub traces: Arc<Traces>,
}

const UNPOISONED: &str = "nothing panics under this lock";

impl<S: StateStore> Node<S> {
    /// Starts the proposer, and nothing else. Inside a tokio runtime.
    pub fn new(parts: Parts<S>) -> Self {
        let Parts { config, own, me, node_file, shared, hub, raft, metrics, .. } = parts;
        let Parts { masters, directory, revoked, identity_dir, results, surroundings, traces, .. } = parts;
        let log_clock = Arc::new(LogClock::new(surroundings.now_ms.clone()));
        let clock = log_clock.clone();
        let started_ms = (surroundings.now_ms)();
        let pins = Pins::new(&config.images, config.registries.clone());
        let proposer = Proposer::start(raft.clone(), move || clock.now_ms(), metrics.clone());
        Node {
            config,
            own,
            me,
            node_file,
            shared,
            hub,
            raft,
            proposer,
            liveness: Liveness::default(),
            logs: Streams::default(),
            usages: Streams::default(),
            usage_askers: tokio::sync::Semaphore::new(limits::HISTORY_ASKERS_MAX),
            log_levels: Streams::default(),
            log_level_askers: tokio::sync::Semaphore::new(limits::LOG_FILTER_ASKED_MAX),
            metrics,
            masters,
            directory,
            revoked,
            identity_dir,
            results,
            pins,
            pulls: Pulls::default(),
            images_held: ImagesHeld::default(),
            conditions: Conditions::default(),
            telemetry: Arc::default(),
            reserved: Mutex::default(),
            pace: Mutex::default(),
            leading: RwLock::new(None),
            stop: watch::Sender::new(None),
            members_lock: tokio::sync::Mutex::new(()),
            heard_leader_ms: AtomicU64::new(started_ms),
            surroundings,
            log_clock,
            leaders: Leaders::default(),
            traces,
        }
    }

    pub fn reserved(&self) -> Vec<Reservation> {
        self.reserved.lock().expect(UNPOISONED).clone()
    }

    pub fn set_reserved(&self, reserved: Vec<Reservation>) {
        *self.reserved.lock().expect(UNPOISONED) = reserved;
    }

    /// This master has begun to lead: of what another one has started it knows nothing.
    pub fn watch_pace(&self) {
        *self.pace.lock().expect(UNPOISONED) = Pace::since(self.now_ms());
    }

    pub fn note_started(&self, started: &BTreeMap<NamespaceId, u32>) {
        let now_ms = self.now_ms();
        let mut pace = self.pace.lock().expect(UNPOISONED);
        started.iter().for_each(|(namespace, tasks)| pace.note(*namespace, *tasks, now_ms));
    }

    pub fn started_lately(&self, namespace: NamespaceId) -> Lately {
        self.pace.lock().expect(UNPOISONED).lately(namespace, self.now_ms())
    }

    /// The token of the current leadership, while this master leads.
    pub fn leading(&self) -> Option<CancellationToken> {
        self.leading.read().expect(UNPOISONED).clone()
    }

    pub fn set_leading(&self, token: Option<CancellationToken>) {
        self.hub.leads.store(token.is_some(), Relaxed);
        *self.leading.write().expect(UNPOISONED) = token;
    }

    /// Who leads, once this master also knows where: a fresh one hears of a leader before it hears of the members.
    pub fn leader(&self) -> Option<Peer> {
        self.raft.leadership().borrow().leader.clone().filter(|l| !l.node.grpc_addr.is_empty())
    }

    /// This machine's wall clock, milliseconds since the epoch. What enters the state is `log_clock`'s.
    pub fn now_ms(&self) -> u64 {
        (self.surroundings.now_ms)()
    }

    /// A leader's frame came in: stale reads tell how long ago.
    pub fn heard_leader(&self) {
        self.heard_leader_ms.store(self.now_ms(), Relaxed);
    }

    pub fn heard_from_leader_ms_ago(&self) -> u64 {
        if self.leading().is_some() {
            // One that its majority has left still believes that it leads.
            self.raft.last_quorum_ack_age().map_or(0, |age| age.as_millis() as u64)
        } else {
            self.now_ms().saturating_sub(self.heard_leader_ms.load(Relaxed))
        }
    }

    /// A leader that a majority has not confirmed lately acts on nothing that another leader might act on.
    pub fn quorum_ack_is_fresh(&self) -> bool {
        self.raft.last_quorum_ack_age().is_some_and(|age| age <= limits::QUORUM_ACK_AGE_MAX.as_duration())
    }

    /// True when a worker of this name may not come back before an operator acts.
    pub fn is_refused_for_good(&self, worker: &str) -> bool {
        let state = self.shared.read();
        let id = state.hot.worker_names.get(worker);
        id.and_then(|id| state.hot.workers.get(id)).is_none_or(|w| w.state == WorkerState::Revoked)
    }

    /// A frame was refused. When it says that this very disk is not the node that it claims to be, the node stops for good.
    pub fn refused_peer(&self, refusal: &PeerRefusal) {
        match refusal {
            PeerRefusal::MyDiskIsAnother { .. } => {
                tracing::error!(%refusal, "this master is refused by its cluster");
                self.stop.send_replace(Some(refusal.to_string()));
            }
            PeerRefusal::OtherCluster { .. }
            | PeerRefusal::OtherNode { .. }
            | PeerRefusal::TheirDiskIsAnother { .. }
            | PeerRefusal::Removed { .. }
            | PeerRefusal::NoHeader => tracing::warn!(%refusal, "a master's frame was refused"),
        }
    }
}

/// This machine's wall clock, milliseconds since the epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
