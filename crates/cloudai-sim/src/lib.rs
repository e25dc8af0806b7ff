//! CloudAI in one process: real masters, real scheduler, real agents, and everything around them simulated from one seed: network,
//! disks, clocks, containers, users, and what goes wrong. Comes in: a seed. Goes out: the same history each time, and the first
//! invariant that it broke. Knows no RocksDB, no TLS, no Docker. docs/simulation.md says how to use it. [`protocol`] is
//! another thing: leases and fencing as a model, explored completely.
//!
//! One step: [`network`] delivers what is due, [`engine`]s go on, each [`host`] runs for one tick; then [`invariants`] look.

mod client;
mod clock;
mod coverage;
mod dice;
mod disk;
mod engine;
mod event_log;
mod history;
mod host;
mod invariants;
mod journal;
mod link;
mod master;
mod message;
mod nemesis;
mod network;
mod oracle;
mod panics;
mod plan;
pub mod protocol;
mod rows;
mod run;
mod transport;
mod worker;
mod world;

pub use coverage::{Counts, Seen};
pub use invariants::Violation;
pub use run::{Report, plan_of, run};
