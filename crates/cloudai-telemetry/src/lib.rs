//! What a process tells about itself: log lines, metrics and traces.
//!
//! Comes in: log options; numbers and spans that the loops of masters and workers report. Goes out: lines on stderr, the text that Prometheus
//! reads, and spans for a collector. This crate deliberately knows no master and no worker: who counts what, and when, is decided above.

mod disk;
mod http;
pub mod init;
pub mod json_lines;
pub mod leader;
pub mod levels;
pub mod master;
mod metric;
pub mod names;
pub mod trace;
pub mod worker;

pub use disk::{Disk, disk_of};
pub use http::HttpMetrics;
pub use init::{InitError, LogFormat, LogOptions, init};
pub use json_lines::this_is;
pub use leader::{Amounts, LeaderMetrics};
pub use levels::{FilterError, Levels, levels};
pub use master::{MasterMetrics, SnapshotOp};
pub use metric::{MaybeGauge, raise_to};
pub use prometheus;
pub use trace::{TraceContext, Tracer, TracingConfig, TracingError};
pub use worker::WorkerMetrics;
