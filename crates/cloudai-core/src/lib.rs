//! The replicated state of CloudAI and the one function that changes it.
//!
//! Comes in: one log entry at a time (its index and its [`Proposal`], which packs many commands), point reads of rows
//! ([`Rows`]). Goes out: [`Applied`]: a reply per command, events for the leader's loops and watchers, and the row writes that
//! make the change durable. This crate deliberately knows no clock, no randomness, no files, no network and no hash order.
//!
//! # Invariants (the same numbers everywhere)
//!
//! * I1 `apply` depends only on (state, rows, entry), and is total: no command can panic it.
//! * I2 an attempt only moves forward. I3 at most one live attempt per task; numbers only grow.
//! * I4 a worker's live attempts fit its capacity at the moment of placement. I5 a stale report changes nothing.
//! * I6 one request id, one job, within 24 h. I7 a live attempt's worker is registered and not lost.
//! * I8 two masters at the same applied index have the same digest. I9 everything can be rebuilt from rows ([`load`]).
//! * I10 every queue, batch, retry and message has a limit, named in `cloudai_types::limits`.
//! * I11 the tasks of a gang that have not ended all wait or all run, until one of them fails.

pub mod apart;
pub mod apply;
pub mod backlog;
pub mod bits;
pub mod command;
pub mod event;
pub mod gangs;
pub mod history;
pub mod hot;
pub mod invariants;
pub mod job_labels;
pub mod job_table;
pub mod keys;
pub mod load;
pub mod memory;
pub mod nearby;
pub mod news;
pub mod note_rows;
pub mod queue;
pub mod queue_limits;
pub mod reply;
pub mod rows;
pub mod schedule_rows;
pub mod schedules;
pub mod template_rows;
pub mod tenants;
pub mod transitions;
pub mod users;
pub mod waiting;
pub mod whereabouts;
pub mod workflow_rows;
pub mod workflows;

pub use apply::{Applied, UnknownCommand, apply};
pub use command::{Command, Proposal};
pub use event::Event;
pub use hot::{ActiveAttempt, Hot, Job, Waiting, Worker};
pub use news::News;
pub use reply::{Refusal, Reply};
pub use rows::{Family, Rows, Write};
