//! Raft for CloudAI: openraft `=0.10.0-alpha.37` behind one handle.
//!
//! Comes in: encoded proposals, questions and orders about members; a [`LogStore`], an [`Application`] and a
//! [`Transport`]. Goes out: replies after apply, read indices, leadership. Deliberately knows neither RocksDB nor tonic
//! nor what a task is; no openraft type leaves it.

mod application;
mod error;
mod handle;
mod leadership;
mod log_store;
mod member;
mod settings;
mod transport;
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
pub use transport::{CallKind, HandleError, Link, Purpose, Transport, TransportError};
pub use watchdog::{Hung, HungPart, Watchdog};
