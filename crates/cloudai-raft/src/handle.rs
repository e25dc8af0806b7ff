//! The one handle through which the rest of a master uses Raft. Comes in: encoded proposals, questions, orders about
//! members, frames of other masters. Goes out: replies after apply, indices, leadership. Knows neither RocksDB nor tonic
//! nor what a task is, and lets no openraft type out.

#![allow(unused_variables, clippy::todo)]
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::application::Application;
use crate::error::*;
use crate::leadership::Leadership;
use crate::log_store::LogStore;
use crate::member::{MasterNode, Members, NodeId};
use crate::settings::Settings;
use crate::transport::{CallKind, HandleError, Transport, TransportError};
use crate::watchdog::Watchdog;

/// A committed and applied entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied<R> {
    /// Its log index: the order of all changes, and the fence of what it decided.
    pub index: u64,
    pub reply: R,
}

/// An entry on its way. Await it for its result; dropping it changes nothing about the entry.
pub struct Pending<R> {
    reply: R,
}
impl<R> Pending<R> {
    /// The result, after the entry was applied and committed here.
    pub async fn outcome(self) -> Result<Applied<R>, ProposeError> {
        todo!()
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
    pub snapshot_index: u64,
    pub purged_index: u64,
    /// Entries the slowest voter is behind; leader only.
    pub slowest_voter_lag: Option<u64>,
    pub last_quorum_ack_age: Option<Duration>,
}

/// One Raft node. Cheap to clone; all clones are the same node.
pub struct Raft<A: Application> {
    app: std::marker::PhantomData<fn() -> A>,
}

impl<A: Application> Clone for Raft<A> {
    fn clone(&self) -> Self {
        Raft { app: self.app }
    }
}

impl<A: Application> Raft<A> {
    /// Build a node over its stored log and state: loads them, applies again what is known as committed, and does not
    /// take part yet. Make the services listen next, then call `run`.
    pub async fn start<L: LogStore, T: Transport>(
        settings: Settings,
        log: L,
        app: A,
        transport: T,
        watchdog: Option<Watchdog>,
    ) -> Result<Raft<A>, StartError> {
        todo!()
    }

    /// From now on the node votes, may campaign, and sends.
    pub fn run(&self) {
        todo!()
    }

    /// Wait until everything that this node had acknowledged before it restarted is applied again. Serve reads only then.
    /// A node that was never initialized waits here until it belongs to a cluster.
    pub async fn recovered(&self, within: Duration) -> Result<(), AwaitError> {
        todo!()
    }

    /// Form a new cluster of exactly these voters; on ONE empty node, once.
    pub async fn initialize(&self, members: BTreeMap<NodeId, MasterNode>) -> Result<(), InitializeError> {
        todo!()
    }

    /// Whether this node ever belonged to a cluster.
    pub async fn is_initialized(&self) -> Result<bool, Fatal> {
        todo!()
    }

    /// Hand an entry in, and return once its place in the order is taken: entries enqueued one after another are
    /// logged in that order. Await the `Pending` (several may be in flight) for the result.
    pub async fn enqueue(&self, payload: Bytes) -> Result<Pending<A::Reply>, ProposeError> {
        todo!()
    }

    /// `enqueue`, and wait for the result.
    pub async fn propose(&self, payload: Bytes) -> Result<Applied<A::Reply>, ProposeError> {
        todo!()
    }

    /// On the leader: the index up to which a master must have applied before it answers a linearizable read that
    /// began before this call. Confirmed by a majority (ReadIndex); concurrent calls share a round.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        todo!()
    }

    /// Wait until this master has applied `index`.
    pub async fn await_applied(&self, index: u64, deadline: Instant) -> Result<(), AwaitError> {
        todo!()
    }

    /// The last index that was applied and committed here; 0: none.
    pub fn applied_index(&self) -> u64 {
        todo!()
    }

    /// `applied_index` as it moves.
    pub fn applied(&self) -> watch::Receiver<u64> {
        todo!()
    }

    /// Who leads. Changes only when that changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        todo!()
    }

    /// On the leader: how long ago a majority last acknowledged it. `None` elsewhere, and before the first time.
    pub fn last_quorum_ack_age(&self) -> Option<Duration> {
        todo!()
    }

    /// The group as this master knows it; `matched` and `lag` on the leader only.
    pub fn members(&self) -> Members {
        todo!()
    }

    /// Let a new master receive the log, without a vote. Returns when the change is committed, not when it has caught up.
    /// The same call again is fine.
    pub async fn add_learner(&self, id: NodeId, node: MasterNode) -> Result<(), MembershipError> {
        todo!()
    }

    /// Give a learner its vote, once it has caught up; waits for that at most `within`.
    pub async fn promote(&self, id: NodeId, within: Duration) -> Result<(), MembershipError> {
        todo!()
    }

    /// Take a master out, voter or learner. Not the leader itself. Its id must never be used again.
    pub async fn remove(&self, id: NodeId) -> Result<(), MembershipError> {
        todo!()
    }

    /// Hand the leadership to `target`, or to the voter that is furthest. Returns when it leads.
    pub async fn transfer_leader(&self, target: Option<NodeId>) -> Result<NodeId, TransferError> {
        todo!()
    }

    /// Make a checkpoint now. Returns when it was ordered.
    pub async fn trigger_snapshot(&self) -> Result<(), Fatal> {
        todo!()
    }

    /// The newest checkpoint on disk: for backups.
    pub async fn metrics(&self) -> Metrics {
        todo!()
    }

    /// Resolves when the node has stopped on its own: exit the process then.
    pub fn failed(&self) -> impl Future<Output = Fatal> + Send + 'static {
        async { todo!() }
    }

    /// Stop taking part, and wait for it.
    pub async fn shutdown(&self) {
        todo!()
    }

    /// Server half: answer one frame that another master sent with `Link::call`.
    pub async fn handle_call(&self, kind: CallKind, frame: Bytes) -> Result<Bytes, HandleError> {
        todo!()
    }

    /// Server half of `Link::append_stream`. End the connection's stream when the returned one ends. An `Err` coming
    /// in (a broken connection) ends it.
    pub fn handle_append_stream<S>(&self, frames: S) -> BoxStream<'static, Result<Bytes, HandleError>>
    where
        S: Stream<Item = Result<Bytes, TransportError>> + Send + Unpin + 'static,
    {
        todo!()
    }

    /// Server half of `Link::send_snapshot`. A stream that ends before its last chunk changes nothing.
    pub async fn handle_snapshot<S>(&self, chunks: S) -> Result<Bytes, HandleError>
    where
        S: Stream<Item = Result<Bytes, TransportError>> + Send + Unpin + 'static,
    {
        todo!()
    }
}
