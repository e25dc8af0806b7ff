//! Raft for CloudAI: openraft `=0.10.0-alpha.37` behind one handle.
//!
//! Comes in: encoded proposals, questions and orders about members; a [`LogStore`], an [`Application`] and a
//! [`Transport`]. Goes out: replies after apply, read indices, leadership. Deliberately knows neither RocksDB nor tonic
//! nor what a task is; no openraft type leaves it.

mod application;
mod codec;
mod error;
mod handle;
mod leadership;
mod log_adapter;
mod log_store;
mod machine;
mod member;
mod membership;
mod network;
mod serve;
mod settings;
mod snapshot;
mod snapshot_stream;
mod transport;
mod types;
mod watchdog;

pub use application::{Application, CheckpointJob};
pub use error::{
    AwaitError, Fatal, InitializeError, MembershipError, ProposeError, ReadError, StartError, TransferError,
};
pub use handle::{Applied, Metrics, Pending, Raft};
pub use leadership::{Leadership, Role};
pub use log_store::{LogBounds, LogEntry, LogPosition, LogStore, MetaKey, OnDurable};
pub use member::{MasterNode, Member, Members, NodeId, Peer, PeerAddress};
pub use settings::Settings;
pub use snapshot::SnapshotDir;
pub use transport::{CallKind, HandleError, Link, Purpose, Transport, TransportError};
pub use watchdog::{Hung, HungPart, Watchdog};

/// What a store needs to run openraft's own storage suite over this crate's adapters. Not for anything else.
#[doc(hidden)]
pub mod testing {
    pub use crate::log_adapter::LogAdapter;
    pub use crate::machine::Machine;
    pub use crate::snapshot::Snapshots;
    pub use crate::types::Types;
}
