//! A master: the loops and shells around the pure crates. Comes in: a configuration and two stores. Goes out: a running master,
//! until it ends. What a task is, `cloudai-core` knows; where it goes, `cloudai-scheduler`; who leads, `cloudai-raft`. This crate
//! connects them, and is generic over the stores so that it builds and runs without RocksDB.
//!
//! One task's way: [`control::jobs`] (a checked submit) → [`proposer`] (one log entry for all who wait) → [`machine`]
//! (`apply`, rows, events) → [`hub`] (wake-ups) → [`scheduling`] (a pass) → proposer → machine → hub →
//! [`dispatch::session`] (a delta to the worker; its reports back to the proposer).

mod call_traces;
mod conditions;
pub mod config;
pub mod control;
mod disk_watch;
pub mod dispatch;
mod event_ring;
mod events;
pub mod forward;
mod grpc_health;
mod health;
mod housekeeping;
pub mod hub;
mod images_held;
pub mod leadership;
pub mod liveness;
mod log_clock;
pub mod machine;
mod masters;
pub mod node;
mod node_file;
mod observed;
pub mod peers;
mod pins;
pub mod proposer;
mod pulls;
pub mod raft_link;
mod raft_service;
pub mod registration;
mod renewal;
mod results;
mod retention;
#[cfg(feature = "rocksdb")]
mod rocks;
mod rpc_meter;
mod run;
mod schedules;
mod scheduling;
mod sealing;
mod secret_keys;
mod state_store;
mod surroundings;
pub mod telemetry;
pub mod traces;
mod wait_notes;

/// The newest format of the log that this build understands.
pub use cloudai_core::command::VERSION as LOG_FORMAT;
pub use config::{Founder, ImagesConfig, Join, MasterConfig, RaftTimes};
pub use masters::AskMaster;
pub use node_file::{NodeFile, NodeFileError};
pub use results::StoredResults;
#[cfg(feature = "rocksdb")]
pub use rocks::run_on_rocksdb;
pub use run::{HUNG_DISK_EXIT, OpenError, OpenStores, RunError, found_cluster, run};
pub use sealing::new_key_file;
pub use secret_keys::{FILE as SECRETS_KEY_FILE, save as save_secrets_key};
pub use state_store::{RowWrites, StateStore};
pub use surroundings::Surroundings;
