//! The worker's decisions, as one pure state machine: [`Agent::handle`].
//!
//! Comes in: what happened ([`Input`]: assignment sets, container events, acknowledgements, the time). Goes out: calls on
//! [`Deps`]: start, stop, remove, persist, report. This crate deliberately knows no Docker, no network, no runtime, no clock
//! and no disk; the shell in `cloudai-worker` has those.
//!
//! What it keeps true:
//! - W1: at most one container per attempt: an attempt is started at most once, and a found container is watched instead.
//! - W2: a container outside the assignment set is stopped; its ending is reported all the same.
//! - W3: an `on_disconnect: stop` container without a lease is stopped.
//! - An ending is durable before it is reported, and a container is removed only after its ending is acknowledged.
//! - A success that leaves results is one only when they are stored, and one that leaves a log waits for that to be stored, for a time;
//!   storing holds no resources.
//! - A worker that is about to end starts nothing any more, and what outstays its deadline is stopped.
//! - Repeated and outdated messages change nothing.

mod agent;
mod assignments;
mod attempt;
mod deps;
mod fence;
mod input;
mod lease;
mod leaving;
mod outbox;
mod recent;
mod storing;

pub use agent::{Agent, Settings};
pub use attempt::{Phase, TRANSITIONS};
pub use deps::{Deps, EndingRecord, Leave, Report, Signal};
pub use fence::Fence;
pub use input::{Assignment, Found, FoundState, Input, Needs, Now, WithdrawWhy, Withdrawal};
pub use lease::lease_kill_at;
pub use recent::RecentSpecs;
