//! The words of CloudAI: ids, resources, job specs parsed once into valid ones, reasons for an ending, time, and every limit.
//!
//! Comes in: nothing. Goes out: plain data types that every other crate shares. This crate deliberately knows no state, no
//! protocol, no clock and no randomness: time and ids arrive as arguments.

pub mod config;
pub mod event_kind;
pub mod expression;
pub mod ids;
pub mod image;
pub mod limits;
pub mod placement;
pub mod price;
pub mod quota;
pub mod reason;
pub mod registry;
pub mod resources;
pub mod results;
pub mod retry;
pub mod schedule;
pub mod secrets;
pub mod signal;
pub mod spec;
pub mod time;
pub mod usage;
pub mod volume;
pub mod wait_cause;
pub mod workflow;

pub use config::{ClusterConfig, ScorePolicy};
pub use event_kind::EventKind;
pub use expression::{Expression, ExpressionError};
pub use ids::{AttemptId, JobId, NamespaceId, NodeId, ParseIdError, RequestId, TaskId, WorkerId, WorkflowId};
pub use placement::{Domain, Near, NearRule, Placement, Preference, Rules, Spot, Spread, Taints, Toleration};
pub use price::{HourlyPrice, PriceError};
pub use quota::{QueueOrder, Quota, QuotaChange};
pub use reason::{EndReason, ReasonKind};
pub use registry::RegistryLogin;
pub use resources::Resources;
pub use results::{InputSource, ResultFile, Results};
pub use retry::{RetryAction, RetryRule, RetryRules};
pub use schedule::{Missed, Overlap, RunOutcome, ScheduleRun, ScheduleSpec};
pub use secrets::{SecretKind, SecretUse};
pub use spec::{Fault, JobSpec, OnDisconnect, PullPolicy, SpecError, ValidJobSpec};
pub use time::{Millis, Timestamp};
pub use usage::Usage;
pub use volume::{Volume, VolumeKind};
pub use wait_cause::WaitCause;
pub use workflow::{Condition, Dependency, ValidWorkflow, WorkflowNode, WorkflowSpec};
