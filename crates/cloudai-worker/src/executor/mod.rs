//! What runs attempts. Comes in: the agent's wishes. Goes out: events, some time later. No call blocks.

pub mod docker;
pub mod noop;
pub mod noop_record;

use std::sync::Arc;

use cloudai_agent::{Input, Signal};
use cloudai_proto::v1::worker_message::ImagePull;
use cloudai_telemetry::TraceContext;
use cloudai_types::{AttemptId, EndReason, JobSpec, Results, Timestamp};
use futures::future::BoxFuture;
use tokio::sync::mpsc;

/// An attempt to be run.
#[derive(Clone, Debug)]
pub struct Start {
    pub attempt: AttemptId,
    /// Incarnation and log index of its assignment, as text.
    pub fence: String,
    pub assigned_index: u64,
    pub spec: Arc<JobSpec>,
    /// The trace that it belongs to, as its program is told; `None`: to none.
    pub trace: Option<TraceContext>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum ExecutorEvent {
    Started {
        attempt: AttemptId,
        started: Timestamp,
    },
    /// Answers `store`.
    Stored {
        attempt: AttemptId,
        stored: Result<Option<Results>, String>,
    },
    /// `container`: something is left, which `remove` takes away. The log is complete.
    Ended {
        attempt: AttemptId,
        reason: EndReason,
        started: Timestamp,
        ended: Timestamp,
        container: bool,
    },
}

impl From<ExecutorEvent> for Input {
    fn from(event: ExecutorEvent) -> Self {
        match event {
            ExecutorEvent::Started { attempt, started } => Input::Started { attempt, started },
            ExecutorEvent::Stored { attempt, stored } => Input::Stored { attempt, stored },
            ExecutorEvent::Ended { attempt, reason, started, ended, container } => {
                Input::Ended { attempt, reason, started, ended, container }
            }
        }
    }
}

/// Bounded by the attempts that a worker may hold: each has at most three events.
pub type Events = mpsc::UnboundedSender<ExecutorEvent>;

/// What an attempt that runs has used so far, and holds now. An absent number is one that nobody knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptReading {
    pub attempt: AttemptId,
    /// CPU time since it began.
    pub cpu_micros: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// As the last look at its storage found it.
    pub storage_bytes: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Readings {
    /// In their order.
    pub attempts: Vec<AttemptReading>,
    /// Attempts that run and were not read.
    pub left_out: u32,
}

/// Reads what attempts use. It waits for the system: not for a loop that must not.
pub trait Meter: Send + Sync {
    /// Of those that run now, the first `most`.
    fn read(&self, most: usize) -> Readings;
}

pub trait Executor: Send {
    /// Answered by `Started` and `Ended`, or by `Ended` alone.
    fn start(&mut self, start: Start);
    /// May come before `Started`, and may be repeated.
    fn stop(&mut self, attempt: AttemptId, signal: Signal);
    /// The log of an attempt that has succeeded, and its results if it has any; also one of an earlier run. Answered by `Stored`.
    fn store(&mut self, attempt: AttemptId, results: bool);
    /// Tried again until it is gone.
    fn remove(&mut self, attempt: AttemptId);
    /// Whether attempts write logs.
    fn has_logs(&self) -> bool;
    /// Images that come now, for people; at most [`cloudai_types::limits::HEARTBEAT_PULLS_MAX`].
    fn pulls(&self) -> Vec<ImagePull>;
    /// Fingerprints of the images that are here; at most [`cloudai_types::limits::IMAGES_TOLD_MAX`].
    fn images(&self) -> Arc<[u16]>;
    /// What reads what attempts use; `None`: nothing can.
    fn meter(&self) -> Option<Arc<dyn Meter>>;
    /// Why nothing can be run now, for people; empty: it can. At most [`cloudai_types::limits::ENGINE_TROUBLE_BYTES_MAX`].
    fn trouble(&self) -> String;
    /// Resolves when nothing is left that was to be removed.
    fn settled(&self) -> BoxFuture<'static, ()>;
    /// To be awaited when everything else of the worker has ended: what was kept for tasks to come goes.
    fn tidy_up(&self) -> BoxFuture<'static, ()>;
}
