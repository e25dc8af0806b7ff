//! The scheduler on workload traces, in virtual time. Comes in: a trace ([`trace`]), a machine's size, an order of the queue
//! and a rule for passing in it, both from `cloudai-scheduler` ([`Setup`]). Goes out: when each job started ([`Run`]) and what
//! that means for those who waited ([`Metrics`]). The same inputs give the same schedule to the bit; only
//! [`Run::decisions_ns`] is measured. Masters, workers and the real clock's hours are deliberately not known here.

pub mod check;
pub mod engine;
pub mod generate;
pub mod html;
pub mod inflation;
pub mod interval;
pub mod metrics;
pub mod plot;
pub mod policy;
pub mod record;
pub mod report;
pub mod seeded;
pub mod svg;
pub mod timeline;
pub mod trace;

pub use engine::{ReplayError, Run, Setup, replay, replay_window};
pub use generate::{GenerateError, Model, Workload};
pub use interval::Interval;
pub use metrics::{Metrics, Summary};
pub use plot::{plot, plot_allocation};
pub use policy::{Policy, PolicyError};
pub use report::{Plan, Report, report};
pub use trace::{Format, Job, ReadError, Trace, WriteError};
