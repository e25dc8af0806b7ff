//! Traces: what one submit caused, in every process that had to do with it. Comes in: contexts as they travel (W3C `traceparent`), spans that have
//! ended. Goes out: OTLP over gRPC, to a collector. Knows no master and no worker, and holds nobody up: a span that finds the queue full is
//! dropped, and counted.
//!
//! A span is made by hand and not by a layer over the log: the ids of `task` and `attempt` are derived from the trace and the task
//! ([`TraceContext::of_task`]), so that any process can be their child or tell them, whoever led when they began.

mod config;
mod context;
mod exporter;
mod recorded;
mod sampler;
mod tracer;

pub use config::{TracingConfig, TracingError, link_to};
pub use context::TraceContext;
pub use recorded::Recorded;
pub use tracer::{OpenSpan, Process, Span, Tracer};
