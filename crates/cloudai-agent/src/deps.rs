//! What an agent can have done. No call may block; each answer comes back as an [`crate::Input`].

use std::sync::Arc;

use cloudai_types::{AttemptId, EndReason, JobSpec, Timestamp};

use crate::attempt::Phase;
use crate::fence::Fence;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Signal {
    /// The one that asks: SIGTERM, unless the attempt's spec names another.
    Term,
    Kill,
}

/// An ending as it is persisted and reported.
#[derive(Clone, PartialEq, Debug)]
pub struct EndingRecord {
    pub attempt: AttemptId,
    /// Log index of the assignment: tells it from one with the same id in another history.
    pub assigned_index: u64,
    pub reason: EndReason,
    /// Milliseconds since the epoch; 0: it never ran.
    pub started: Timestamp,
    pub ended: Timestamp,
}

/// The highest state of one attempt.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    pub attempt: AttemptId,
    pub phase: Phase,
    /// Present exactly when the phase is `Exited`.
    pub reason: Option<EndReason>,
    pub started: Timestamp,
    pub ended: Timestamp,
}

/// Why the agent wants another session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// The set is older than one that was seen: the leader was deposed, or restored from an older state.
    OlderSet { offered: Fence, seen: Fence },
    /// The leader's incarnation is over.
    OlderIncarnation { offered: u64, seen: u64 },
}

pub trait Deps {
    /// Prepare and start. Answered by `Started` and `Ended`, or by `Ended` alone.
    fn start(&mut self, attempt: AttemptId, assigned_index: u64, spec: &Arc<JobSpec>);
    /// Send the signal, also to an attempt that is still being prepared: it then ends without running. May be repeated.
    fn stop(&mut self, attempt: AttemptId, signal: Signal);
    /// Store what the attempt left: its log, and its `results` if it has any. Answered by `Stored`, also when it was stored before. May be
    /// repeated by the next agent.
    fn store(&mut self, attempt: AttemptId, results: bool);
    /// Remove the container and all that belongs to it but its log. Retried by the shell until it is gone.
    fn remove(&mut self, attempt: AttemptId);
    /// Answered by `Persisted`.
    fn persist_ending(&mut self, ending: &EndingRecord);
    /// The persisted ending is no longer needed. Need not be durable.
    fn forget_ending(&mut self, attempt: AttemptId);
    /// Need not be durable before the next call.
    fn persist_fence(&mut self, fence: Fence);
    /// Answered by `ReportsAcked`, or by the end of the session.
    fn send_reports(&mut self, sequence: u64, reports: Vec<Report>);
    fn acknowledge_set(&mut self, fence: Fence);
    fn leave_session(&mut self, why: Leave);
}
