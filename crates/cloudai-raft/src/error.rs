//! One error enum per operation of the handle, each listing exactly what can happen. No openraft type inside.

use std::io;
use std::time::Duration;

use crate::member::{NodeId, Peer};

/// The Raft node has stopped for good: its disk failed, `apply` failed, or it was shut down. The process should
/// exit and be started again by its supervisor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this master's Raft node has stopped: {reason}")]
pub struct Fatal {
    pub reason: String,
}

/// How an error about stored data that cannot be right begins, so that it is told apart from a disk that is full or gone.
pub const DAMAGED: &str = "stored data is damaged";

impl Fatal {
    /// The disk's content cannot be trusted: starting again does not help.
    pub fn is_damage(&self) -> bool {
        self.reason.contains(DAMAGED)
    }
}

/// Why a node could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the Raft settings are not usable: {0}")]
    Settings(String),
    #[error("cannot prepare the snapshot directory {path}: {source}")]
    Snapshots {
        path: String,
        #[source]
        source: io::Error,
    },
    /// Log, state and checkpoints do not fit together: something that was there is gone.
    #[error(
        "{DAMAGED}: the log was purged up to entry {purged}, but the state stands at {applied} and the checkpoint at {snapshot}"
    )]
    Hole { purged: u64, applied: u64, snapshot: u64 },
    /// One of them cannot be read.
    #[error("the stored log and state cannot be loaded: {0}")]
    Storage(String),
}

/// Why a cluster could not be formed.
#[derive(Debug, thiserror::Error)]
pub enum InitializeError {
    /// There is a log or a vote already. Harmless when the same command was sent twice.
    #[error("this master already belongs to a cluster")]
    AlreadyInitialized,
    #[error("the members must include this master's own id {0}")]
    NotAMember(NodeId),
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Why a proposal has no result. Only `NotLeader` says that nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was written. `leader`: ask there. `None`: an election, a hand-over or a lost quorum; try again soon.
    #[error("this master does not lead{}", leader.as_ref().map(|l| format!("; {} does", l.node.name)).unwrap_or_default())]
    NotLeader { leader: Option<Peer> },
    /// The entry may take effect now, later or never. Retry with the same request id.
    #[error("the outcome is unknown: the leadership changed while the entry was on its way")]
    Unknown,
    /// This node stopped. If the entry was on its way, its outcome is unknown.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Why a linearizable read cannot be served now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this master does not lead{}", leader.as_ref().map(|l| format!("; {} does", l.node.name)).unwrap_or_default())]
    NotLeader { leader: Option<Peer> },
    /// A majority did not confirm in time that this master still leads.
    #[error("no majority of masters answers")]
    NoQuorum,
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Why `await_applied` gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwaitError {
    #[error("applied {applied} of {wanted} within the time given")]
    TimedOut { wanted: u64, applied: u64 },
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Why the membership did not change as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    #[error("this master does not lead{}", leader.as_ref().map(|l| format!("; {} does", l.node.name)).unwrap_or_default())]
    NotLeader { leader: Option<Peer> },
    #[error("master {0} is not a member")]
    NotAMember(NodeId),
    #[error("master {0} is already a member with another name or address; ids are never used again")]
    IdInUse(NodeId),
    /// The leader cannot remove itself: hand the leadership over first.
    #[error("master {0} leads; transfer the leadership first")]
    IsLeader(NodeId),
    #[error("master {0} is the last voter")]
    LastVoter(NodeId),
    /// Still this many entries behind when the time was over. It goes on catching up: ask again later.
    #[error("master {id} is still {lag} entries behind after {waited:?}")]
    NotCaughtUp { id: NodeId, lag: u64, waited: Duration },
    /// Another change came first, or the one before is not committed yet. Look at the members and try again.
    #[error("another membership change is in progress")]
    Busy,
    /// The change may take effect now, later or never. Look at the members before trying again.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Why the leadership stayed where it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("this master does not lead{}", leader.as_ref().map(|l| format!("; {} does", l.node.name)).unwrap_or_default())]
    NotLeader { leader: Option<Peer> },
    #[error("master {0} is not a voter")]
    NotAVoter(NodeId),
    #[error("there is no other voter to lead")]
    NobodyElse,
    /// Not tried, because it would only have stopped the cluster for a while.
    #[error("master {target} is not ready to lead: {why}")]
    NotReady { target: NodeId, why: String },
    /// The target did not take over; `leader` is who leads now, as far as known. Proposals may have been refused
    /// meanwhile.
    #[error("master {target} did not take over within {waited:?}")]
    Failed { target: NodeId, leader: Option<Peer>, waited: Duration },
    #[error(transparent)]
    Fatal(#[from] Fatal),
}
