//! A master: the loops and shells around the pure crates. Comes in: a configuration and two stores. Goes out: a running master,
//! until it ends. What a task is, `cloudai-core` knows; where it goes, `cloudai-scheduler`; who leads, `cloudai-raft`. This crate
//! connects them, and is generic over the stores so that it builds and runs without RocksDB.
//!
//! One task's way: [`control::jobs`] (a checked submit) → [`proposer`] (one log entry for all who wait) → [`machine`]
//! (`apply`, rows, events) → [`hub`] (wake-ups) → [`scheduling`] (a pass) → proposer → machine → hub →
//! [`dispatch::session`] (a delta to the worker; its reports back to the proposer).

pub mod config;
pub mod control;
pub mod dispatch;
mod forward;
mod health;
mod housekeeping;
pub mod hub;
mod leadership;
mod liveness;
pub mod machine;
mod node;
mod node_file;
mod peers;
mod proposer;
mod raft_link;
mod raft_service;
mod registration;
mod renewal;
#[cfg(feature = "rocksdb")]
mod rocks;
mod run;
mod scheduling;
mod state_store;

pub use config::{Founder, Join, MasterConfig, RaftTimes};
#[cfg(feature = "rocksdb")]
pub use rocks::RocksStores;
pub use run::{HUNG_DISK_EXIT, OpenStores, RunError, run};
pub use state_store::{RowWrites, StateStore};
