//! The one handle through which the rest of a master uses Raft. Comes in: encoded proposals, questions, orders about
//! members (`membership.rs`), frames of other masters (`serve.rs`). Goes out: replies after apply, indices, leadership.
//! Knows neither RocksDB nor tonic nor what a task is, and lets no openraft type out.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cloudai_types::limits::SNAPSHOTS_RECEIVED_MAX;
use futures::FutureExt;
use openraft::Instant as _;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use openraft::type_config::alias::OneshotReceiverOf;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use crate::application::Application;
use crate::error::{AwaitError, Fatal, InitializeError, ProposeError, ReadError, StartError};
use crate::leadership::{Leadership, watch_leadership};
use crate::links::Links;
use crate::log_adapter::LogAdapter;
use crate::log_store::{LogStore, StoreMemory};
use crate::machine::{Machine, Seen};
use crate::member::{MasterNode, NodeId, Peer};
use crate::network::Network;
use crate::recovery;
use crate::settings::Settings;
use crate::snapshot::{SnapshotDir, Snapshots};
use crate::tails::Tails;
use crate::transport::Transport;
use crate::types::{Payload, Types};
use crate::watchdog::{self, HungPart, Watchdog};

/// A committed and applied entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied<R> {
    /// Its log index: the order of all changes, and the fence of what it decided.
    pub index: u64,
    pub reply: R,
}

/// An entry on its way. Await `outcome` for its result; dropping it changes nothing about the entry.
pub struct Pending<R> {
    done: OneshotReceiverOf<Types, ClientWriteResult<Types>>,
    reply: PhantomData<fn() -> R>,
}

impl<R: Send + 'static> Pending<R> {
    /// The result, after the entry was applied and committed here.
    pub async fn outcome(self) -> Result<Applied<R>, ProposeError> {
        match self.done.await {
            Ok(Ok(response)) => {
                let reply = response.data.into_inner();
                Ok(Applied { index: response.log_id.index, reply: reply.expect("apply boxed a reply of this type") })
            }
            Ok(Err(ClientWriteError::ForwardToLeader(f))) => Err(ProposeError::NotLeader { leader: peer_of(&f) }),
            Ok(Err(ClientWriteError::LogEntryDiscarded(_))) => Err(ProposeError::Unknown),
            Ok(Err(e @ (ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_)))) => {
                Err(Fatal { reason: format!("an answer that does not belong to a proposal: {e}") }.into())
            }
            Err(_) => Err(Fatal { reason: "it stopped before it answered".into() }.into()),
        }
    }
}

/// What a metrics page wants to know; a copy, taken at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Metrics {
    pub term: u64,
    pub is_leader: bool,
    pub last_log_index: u64,
    pub committed_index: u64,
    pub applied_index: u64,
    /// The newest checkpoint's index; 0: none.
    pub snapshot_index: u64,
    pub purged_index: u64,
    /// Entries the slowest voter is behind; leader only.
    pub slowest_voter_lag: Option<u64>,
    pub last_quorum_ack_age: Option<Duration>,
}

/// One Raft node. Cheap to clone; all clones are the same node, which stops with `shutdown` or with the process.
pub struct Raft<A: Application> {
    pub(crate) inner: Arc<Inner<A>>,
}

pub(crate) struct Inner<A: Application> {
    pub raft: openraft::Raft<Types, Machine<A>>,
    pub settings: Settings,
    pub snapshots: Arc<Snapshots>,
    /// Places for checkpoints that are being received.
    pub receiving: Semaphore,
    /// One order about members at a time.
    pub admin: Mutex<()>,
    pub leadership: watch::Receiver<Leadership>,
    seen: Arc<Seen>,
    log_busy: Box<dyn Fn() -> Option<Instant> + Send + Sync>,
    log_memory: Box<dyn Fn() -> StoreMemory + Send + Sync>,
    /// Set once, by the task that looks after the node's end.
    failed: watch::Receiver<Option<Fatal>>,
    stopping: Arc<AtomicBool>,
    runtime: tokio::runtime::Handle,
    tasks: [JoinHandle<()>; 3],
}

impl<A: Application> Drop for Inner<A> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl<A: Application> Clone for Raft<A> {
    fn clone(&self) -> Self {
        Raft { inner: self.inner.clone() }
    }
}

/// How often a node looks whether it has died. openraft shows that only in metrics that wake several times per entry.
const DEATH_CHECK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn fatal(f: openraft::errors::Fatal<Types>) -> Fatal {
    Fatal { reason: f.to_string() }
}

/// Who to ask instead. The target of a hand-over does not lead yet, so it is not named.
pub(crate) fn peer_of(f: &ForwardToLeader<Types>) -> Option<Peer> {
    match f.reason {
        ForwardReason::NotLeader => Some(Peer { id: f.leader_id?, node: f.leader_node.clone()? }),
        ForwardReason::LeadershipTransfer | ForwardReason::LeaseExpired => None,
    }
}

impl<A: Application> Raft<A> {
    /// Build a node over its stored log and state: loads them, applies again what is known as committed, and does not
    /// take part yet. Make the services listen next, then call `run`. Needs to be called inside a tokio runtime.
    pub async fn start<L: LogStore, T: Transport>(
        settings: Settings,
        log: L,
        app: A,
        transport: T,
        watchdog: Option<Watchdog>,
    ) -> Result<Raft<A>, StartError> {
        let config = settings.openraft().map_err(StartError::Settings)?;
        let storage = |e: std::io::Error| StartError::Storage(e.to_string());
        let snapshots = Snapshots::open(&settings.snapshots_dir)
            .map_err(|source| StartError::Snapshots { path: settings.snapshots_dir.display().to_string(), source })?;
        let snapshots = Arc::new(snapshots);
        let mut machine = Machine::open(app, snapshots.clone()).map_err(storage)?;
        let seen = machine.seen();
        let (watched_log, measured_log) = (log.clone(), log.clone());
        let adapter = LogAdapter::open(log).map_err(storage)?;
        recovery::no_hole(&watched_log, &machine, &snapshots)?;
        recovery::cover_lost_tail(&watched_log, &mut machine, &snapshots).await.map_err(storage)?;
        let links = Links::new(transport);
        let own = adapter.clone();
        let tails = Tails::new(Box::new(move |index| own.id_at(index)));
        let Settings { node_id, election_max, snapshot_send_max, .. } = settings;
        let network = Network::new(links.clone(), tails, node_id, election_max, snapshot_send_max);
        let raft = openraft::Raft::build(settings.node_id, Arc::new(config), network, adapter, machine)
            .await
            .map_err(|e| StartError::Storage(e.to_string()))?;

        let (leadership_tx, leadership) = watch::channel(Leadership::default());
        let following =
            watch_leadership(settings.node_id, raft.server_metrics(), seen.term_start.subscribe(), leadership_tx);
        let open = links.keep_open(settings.node_id, raft.server_metrics(), settings.election_max);
        let (failed_tx, failed) = watch::channel(None);
        let stopping = Arc::new(AtomicBool::new(false));
        let dying = watch_for_death(raft.clone(), stopping.clone(), failed_tx);
        let inner = Arc::new(Inner {
            snapshots,
            receiving: Semaphore::new(SNAPSHOTS_RECEIVED_MAX),
            admin: Mutex::new(()),
            leadership,
            seen,
            log_memory: Box::new(move || measured_log.memory()),
            log_busy: Box::new(move || watched_log.busy_since()),
            failed,
            stopping,
            runtime: tokio::runtime::Handle::current(),
            tasks: [tokio::spawn(following), tokio::spawn(dying), tokio::spawn(open)],
            raft,
            settings,
        });
        if let Some(w) = watchdog {
            watchdog::spawn(w, Arc::downgrade(&inner)).map_err(storage)?;
        }
        Ok(Raft { inner })
    }

    /// From now on the node votes, may campaign, and sends.
    pub fn run(&self) {
        self.inner.raft.run();
    }

    /// Wait until everything that this node had acknowledged before it restarted is applied again. Serve reads only
    /// then. A node that was never initialized waits here until it belongs to a cluster.
    pub async fn recovered(&self, within: Duration) -> Result<(), AwaitError> {
        let waited = self.inner.raft.wait_for_recovery(Some(within)).await;
        waited.map(drop).map_err(|e| {
            if let Some(f) = self.inner.failed.borrow().clone() {
                return AwaitError::Fatal(f);
            }
            tracing::debug!(error = %e, "recovery is not complete yet");
            let wanted = self.inner.raft.metrics().borrow_watched().last_log_index.unwrap_or(0);
            AwaitError::TimedOut { wanted, applied: self.applied_index() }
        })
    }

    /// Form a new cluster of exactly these voters; on ONE empty node, once.
    pub async fn initialize(&self, members: BTreeMap<NodeId, MasterNode>) -> Result<(), InitializeError> {
        use openraft::errors::InitializeError as E;
        match self.inner.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(E::NotAllowed(_))) => Err(InitializeError::AlreadyInitialized),
            Err(RaftError::APIError(E::NotInMembers(e))) => Err(InitializeError::NotAMember(e.node_id)),
            Err(RaftError::Fatal(f)) => Err(fatal(f).into()),
        }
    }

    /// Whether this node ever belonged to a cluster.
    pub async fn is_initialized(&self) -> Result<bool, Fatal> {
        self.inner.raft.is_initialized().await.map_err(fatal)
    }

    /// Hand an entry in, and return once its place in the queue is taken: entries enqueued one after another are
    /// logged in that order. Await the `Pending` (several may be in flight) for the result.
    pub async fn enqueue(&self, payload: Bytes) -> Result<Pending<A::Reply>, ProposeError> {
        let (responder, done) = ProgressResponder::complete_only();
        self.inner.raft.client_write_ff(Payload::new(&payload), Some(responder)).await.map_err(fatal)?;
        Ok(Pending { done, reply: PhantomData })
    }

    /// `enqueue`, and wait for the result.
    pub async fn propose(&self, payload: Bytes) -> Result<Applied<A::Reply>, ProposeError> {
        self.enqueue(payload).await?.outcome().await
    }

    /// On the leader: the index up to which a master must have applied before it answers a linearizable read that
    /// began before this call. Confirmed by a majority (ReadIndex); concurrent calls share a round.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let confirmed = self.inner.raft.get_read_log_id(ReadPolicy::ReadIndex);
        match timeout(self.inner.settings.election_max * 2, confirmed).await {
            Ok(Ok((read, _))) => Ok(read.index()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(f)))) => {
                Err(ReadError::NotLeader { leader: peer_of(&f) })
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
                Err(ReadError::NoQuorum)
            }
            Ok(Err(RaftError::Fatal(f))) => Err(fatal(f).into()),
        }
    }

    /// Wait until this master has applied `index`, at most until `deadline` (std's or tokio's `Instant`).
    pub async fn await_applied(&self, index: u64, deadline: impl Into<tokio::time::Instant>) -> Result<(), AwaitError> {
        let (mut applied, mut failed) = (self.applied(), self.inner.failed.clone());
        let reached = async {
            tokio::select! {
                r = applied.wait_for(|at| *at >= index) => r.map(drop).map_err(|_| None),
                f = failed.wait_for(Option::is_some) => Err(f.ok().and_then(|f| f.clone())),
            }
        };
        match timeout_at(deadline.into(), reached).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(f)) => Err(f.unwrap_or_else(|| Fatal { reason: "it was shut down".into() }).into()),
            Err(_) => Err(AwaitError::TimedOut { wanted: index, applied: self.applied_index() }),
        }
    }

    /// The last index that was applied and committed here; 0: nothing of the application's.
    pub fn applied_index(&self) -> u64 {
        *self.inner.seen.applied.borrow()
    }

    /// What the log holds in memory.
    pub fn log_memory(&self) -> StoreMemory {
        (self.inner.log_memory)()
    }

    /// `applied_index` as it moves.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.inner.seen.applied.subscribe()
    }

    /// Who leads. Changes only when that changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// On the leader: how long ago a majority last acknowledged it. `None` elsewhere, and before the first time.
    pub fn last_quorum_ack_age(&self) -> Option<Duration> {
        let metrics = self.inner.raft.metrics();
        let m = metrics.borrow_watched();
        if !m.state.is_leader() {
            return None;
        }
        let me = self.inner.settings.node_id;
        if m.membership_config.voter_ids().all(|id| id == me) {
            return Some(Duration::ZERO); // a majority of one
        }
        m.last_quorum_acked.map(|at| at.elapsed())
    }

    /// Make a checkpoint now. Returns when it was ordered.
    pub async fn trigger_snapshot(&self) -> Result<(), Fatal> {
        self.inner.raft.trigger().snapshot().await.map_err(fatal)
    }

    /// The newest complete checkpoint; it stays on disk for as long as it is held.
    pub fn newest_snapshot(&self) -> Option<Arc<SnapshotDir>> {
        self.inner.snapshots.newest()
    }

    /// What a metrics page wants to know.
    pub fn metrics(&self) -> Metrics {
        let lags = self.members();
        let slowest = lags.voters().filter_map(|m| m.lag).max();
        let last_quorum_ack_age = self.last_quorum_ack_age();
        let metrics = self.inner.raft.metrics();
        let m = metrics.borrow_watched();
        let index = |id: &Option<crate::types::LogId>| id.as_ref().map_or(0, |id| id.index);
        Metrics {
            term: m.current_term,
            is_leader: m.state.is_leader(),
            last_log_index: m.last_log_index.unwrap_or(0),
            committed_index: index(&m.local_committed),
            applied_index: self.applied_index(),
            snapshot_index: index(&m.snapshot),
            purged_index: index(&m.purged),
            slowest_voter_lag: slowest,
            last_quorum_ack_age,
        }
    }

    /// Resolves when the node has stopped on its own: exit the process then. Never after `shutdown`.
    pub fn failed(&self) -> impl Future<Output = Fatal> + Send + 'static {
        let mut failed = self.inner.failed.clone();
        async move {
            let fatal = match failed.wait_for(Option::is_some).await {
                Ok(f) => f.clone(),
                Err(_) => None,
            };
            match fatal {
                Some(f) => f,
                None => std::future::pending().await,
            }
        }
    }

    /// Stop taking part, and wait for it.
    pub async fn shutdown(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "the Raft node did not stop cleanly");
        }
    }
}

/// Tells once that the node has died, unless it was asked to stop.
async fn watch_for_death<A: Application>(
    raft: openraft::Raft<Types, Machine<A>>,
    stopping: Arc<AtomicBool>,
    failed: watch::Sender<Option<Fatal>>,
) {
    let mut metrics = raft.metrics();
    loop {
        tokio::time::sleep(DEATH_CHECK_EVERY).await;
        let core_is_gone = matches!(metrics.changed().now_or_never(), Some(Err(_)));
        let state = metrics.borrow_watched().running_state.clone();
        let reason = match state {
            Err(f) => f.to_string(),
            Ok(()) if core_is_gone => "its core task has ended".to_owned(),
            Ok(()) => continue,
        };
        if !stopping.load(Ordering::Acquire) {
            tracing::error!(reason, "the Raft node has stopped; this master must be restarted");
            failed.send_replace(Some(Fatal { reason }));
        }
        return;
    }
}

impl<A: Application> watchdog::Watched for Inner<A> {
    fn busy_since(&self) -> [(HungPart, Option<Instant>); 2] {
        [(HungPart::LogSync, (self.log_busy)()), (HungPart::Commit, self.seen.commit_busy.get())]
    }

    fn offer_leadership(&self, done: mpsc::Sender<()>) {
        if !self.leadership.borrow().is_leading() {
            return; // dropping `done` says so
        }
        let (raft, mut leadership) = (self.raft.clone(), self.leadership.clone());
        let me = self.settings.node_id;
        let furthest = {
            let metrics = self.raft.metrics();
            let m = metrics.borrow_watched();
            let matched = m.replication.clone().unwrap_or_default();
            m.membership_config.voter_ids().filter(|id| *id != me).max_by_key(|id| matched.get(id).cloned().flatten())
        };
        let Some(furthest) = furthest else { return };
        self.runtime.spawn(async move {
            if raft.trigger().transfer_leader(furthest).await.is_ok() {
                drop(leadership.wait_for(|l| !l.is_leading()).await);
            }
            let _nobody_waits_any_more = done.send(());
        });
    }
}
