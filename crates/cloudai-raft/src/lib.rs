//! Raft for CloudAI: openraft `=0.10.0-alpha.37` behind one handle, [`Raft`].
//!
//! Comes in: encoded proposals, questions and orders about members; a [`LogStore`], an [`Application`] and a
//! [`Transport`]. Goes out: replies after apply, read indices, leadership. Deliberately knows neither RocksDB nor tonic
//! nor what a task is; no openraft type leaves it (`testing` is for a store's tests only).
//!
//! # How a master uses it
//!
//! ```text
//! let raft = Raft::start(settings, log, app, transport, Some(watchdog)).await?;   // loads, takes no part yet
//! …the Raft service listens: handle_call, handle_append_stream, handle_snapshot…
//! raft.run();                                                                    // votes, campaigns, sends
//! raft.recovered(…).await?;                                                      // before the first read is served
//! …leadership() starts and stops the leader's loops; failed() ends the process…
//! ```
//!
//! Everything runs on the tokio runtime that called `start`; `apply` and `commit` run on it too (they touch the page
//! cache, never an fsync), checkpoints and installs on its blocking threads, the watchdog on a thread of its own.
//!
//! # Known pitfalls of openraft, and the line that answers each
//!
//! | pitfall | answer |
//! |---|---|
//! | one fsync per write | [`LogStore::append`] returns before the fsync; its callback goes to openraft (`log_adapter.rs`, `append`) |
//! | callbacks out of order | rule of [`LogStore`]: first in, first out |
//! | a vote overtaken by an append, or not synced | `save_vote` queues behind the appends and awaits its own callback; not for a leader that is elected already (ADR 0009) |
//! | entries must be readable when `append` returns | rule of [`LogStore`] |
//! | a slow disk starts elections | heartbeats need no disk, and have a connection of their own ([`Purpose::Heartbeat`], `network.rs`) |
//! | a hung disk keeps its leader | [`Watchdog`]: log sync and commit publish since when they are busy |
//! | a snapshot whose data is newer than its meta | the view is taken between two runs of apply (`get_snapshot_builder`), and the mark is read from inside it ([`CheckpointJob`]) |
//! | transfer longer than the log is kept | [`Settings::keep_entries`]; the lag threshold is above two snapshots (`settings.rs`) |
//! | one purge per entry | `purge_batch_size` 1,000 |
//! | the log lost a tail that was already applied, and the checkpoint is older than that | `cover_lost_tail` writes a new one at the start (`recovery.rs`) |
//! | the log fell back to what a deposed leader wrote, in the place of what was applied | `cover_lost_tail` cuts that off (`recovery.rs`) |
//! | a follower behind a fully purged log | `keep_entries` of 0 is refused |
//! | RPCs too large | `limited_get_log_entries` caps bytes; apply reads and commits in bounded pieces (`entries_stream`, `machine.rs`) |
//! | `add_learner` that blocks for ever | never blocking; `promote` looks at the lag itself, for a limited time |
//! | the first membership is still in progress | `settled` before every change |
//! | concurrent changes leave a joint membership | one admin mutex, `Precondition::LastMembershipLogId`, `verify`, and `settled` flattens what a dead leader left |
//! | a wiped disk under an old id | `add_learner` refuses an id in use with another address; the transport's server refuses an id that comes from another disk; ids are the master's to never reuse |
//! | an address that changed hands | [`PeerAddress::target`] travels with every call; the transport's server refuses another one's; nodes are never replaced in place (no `SetNodes`) |
//! | a restarted leader still believes | `enable_leader_restore` off; [`Role::Leading`] only after the own blank entry is applied; [`Raft::last_quorum_ack_age`] |
//! | reads that go back after a restart | `save_committed`, and [`Raft::recovered`] |
//! | a rejoining node disturbs | `enable_pre_vote`, and `pre_vote` asks for real (openraft's default grants) |
//! | deadlock of a partial partition | `quorum_loss_probe_interval` of three election timeouts |
//! | lease reads after a restart | ReadIndex only |
//! | a late answer counts as one to a younger, empty request, so that a read or a renewal is confirmed wrongly | `LateAnswers` holds it back (`late_answers.rs`) |
//! | a new leader's first entry waits for a search through the log, a round trip per halving | one question about the end of the follower's log, and its steps are answered without a message (`tails.rs`) |
//! | a metrics borrow held across an await | every borrow ends in its own block (`clippy::await_holding_lock` knows only std's guards) |
//! | connecting to oneself | asserted in `network.rs` |
//! | reads that queue behind apply | reads go to the application's own database after `await_applied` |
//! | unknown outcomes | [`ProposeError::Unknown`]; request ids are the application's |
//! | a fatal error that nobody sees | [`Raft::failed`] |
//! | `transfer_leader` without effect, or in vain | implemented both ways; a silent or far target is refused before anything stops |
//! | deadlines are the network's | `ask` and the opening of a stream have their own time-outs; a stream's life has none |
//! | stream errors dropped silently | an unreadable request ends the stream with an error (`serve.rs`) |

mod application;
mod codec;
mod commit_riding;
mod error;
mod failpoint;
#[doc(hidden)]
pub mod garbage;
mod handle;
mod late_answers;
mod leadership;
mod links;
mod log_adapter;
mod log_store;
mod machine;
mod member;
mod membership;
mod messages;
mod network;
mod recovery;
mod runtime;
mod serve;
mod settings;
mod snapshot;
mod snapshot_files;
mod snapshot_stream;
mod tails;
mod transport;
mod types;
mod watchdog;

pub use application::{Application, CheckpointJob, index_of_mark};
pub use error::{
    AwaitError, DAMAGED, Fatal, InitializeError, MembershipError, ProposeError, ReadError, StartError, TransferError,
};
pub use failpoint::Failpoint;
pub use handle::{Applied, Metrics, Pending, Raft};
pub use leadership::{Leadership, Role};
pub use log_store::{LogBounds, LogEntry, LogPosition, LogStore, MetaKey, OnDurable, OnFsync, StoreMemory};
pub use member::{MasterNode, Member, Members, NodeId, Peer, PeerAddress};
pub use runtime::simulate;
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
