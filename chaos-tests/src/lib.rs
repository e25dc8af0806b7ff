//! Real clusters of real processes under faults: what the project promises, shown from outside.
//!
//! Comes in: the binary `cloudai` (built before; `CLOUDAI_BIN` or next to this crate's own binaries), and for the drills
//! with containers a Docker engine. Goes out: a transcript per drill, and a verdict. This crate deliberately knows nothing of
//! the inside: it starts `cloudai dev`, speaks through the command line and the client library, kills processes, and looks.
//!
//! A drill is one function in [`drills`], in two sizes: small for `cargo test`, full for
//! `cargo run -p chaos-tests -- must-show N`. Each has a cluster of its own in a temporary folder, and leaves nothing.

pub mod binary;
pub mod check;
pub mod checker;
pub mod cli;
pub mod cluster;
pub mod collector;
pub mod command;
pub mod demo;
pub mod drills;
pub mod engine;
pub mod forwarder;
pub mod history;
pub mod load;
pub mod own_engine;
pub mod prometheus;
pub mod rig;
pub mod rig_drills;
pub mod tls_probe;
pub mod tmux;
pub mod trace_tree;
pub mod transcript;
pub mod views;
pub mod wait;

pub use cli::Cli;
pub use cluster::{Cluster, Executor, Options};
pub use command::{Finished, run};
pub use drills::{Size, Verdict};
pub use transcript::say;
