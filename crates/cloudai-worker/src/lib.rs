//! The worker: it dials a master, runs what the leader assigns, and reports how it went.
//!
//! Comes in: a [`WorkerConfig`] and a token that ends the run. Goes out: containers on this machine, their logs, reports on one
//! session with the leader. What to do is decided by `cloudai-agent`; here are only the hands: the container engine, the
//! journal, the network, the clocks. This crate deliberately knows no Raft, no queue and no placement.

mod allowed_mount;
mod capacity;
mod clock;
mod condition;
mod config;
mod cpu_rates;
mod error;
mod executor;
mod gpu_watch;
pub mod guard;
mod hands;
mod history;
mod join;
mod journal;
mod lease_file;
mod link;
mod log_filter;
mod log_mirror_config;
mod logs;
mod machine_watch;
pub mod nvidia;
mod outputs;
mod renew;
mod run;
mod sampler;
mod secret_files;
mod secrets;
mod shell;
mod stop_config;
mod tasks;
mod telling;
mod traces;
mod upload;
mod volumes_config;

pub use cloudai_objects::StoreConfig;

pub use allowed_mount::AllowedMount;
pub use capacity::{CapacityError, CapacityOverride, parse_capacity};
pub use config::{ConfigError, ExecutorKind, ImagesConfig, WorkerConfig};
pub use error::WorkerError;
/// What a file of the history means, for the fuzzer.
pub use history::format as history_format;
pub use run::{Stops, run, run_until};
pub use stop_config::{StopConfig, StopMode};
pub use volumes_config::VolumesConfig;
