//! Rows of workflows. Comes in: nothing. Goes out: the records, with their protobuf tags. Which family they are of stands in
//! [`crate::rows::Family`].

use cloudai_types::workflow::Outcome;
use cloudai_types::{Condition, EndReason, JobId, ReasonKind, WorkflowId};

use crate::rows::{JobRow, JobState, Unmet};

/// A workflow, in what a list of them shows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkflowRow {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, tag = "2")]
    pub submitted_ms: u64,
    #[prost(string, tag = "3")]
    pub actor: String,
    #[prost(string, tag = "4")]
    pub request_id: String,
    /// How many, with ids from its own number on.
    #[prost(uint32, tag = "5")]
    pub jobs: u32,
    /// Of those.
    #[prost(message, required, tag = "6")]
    pub ended: EndedJobs,
    /// Replicated time at which the last one ended; 0: some live.
    #[prost(uint64, tag = "7")]
    pub ended_ms: u64,
}

/// Jobs of a workflow that have ended, by how.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct EndedJobs {
    #[prost(uint32, tag = "1")]
    pub succeeded: u32,
    #[prost(uint32, tag = "2")]
    pub failed: u32,
    #[prost(uint32, tag = "3")]
    pub cancelled: u32,
    /// They never had to run.
    #[prost(uint32, tag = "4")]
    pub skipped: u32,
}

impl EndedJobs {
    pub fn total(&self) -> u32 {
        [self.succeeded, self.failed, self.cancelled, self.skipped].into_iter().fold(0, u32::saturating_add)
    }

    /// Where a job with this row is counted.
    pub(crate) fn of(&mut self, row: &JobRow) -> &mut u32 {
        match row.outcome() {
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Failed if row.state == JobState::Cancelled as i32 => &mut self.cancelled,
            Outcome::Failed => &mut self.failed,
        }
    }
}

impl JobRow {
    /// How it ended, as those see it that wait for it.
    pub fn outcome(&self) -> Outcome {
        if self.state == JobState::Succeeded as i32 {
            return Outcome::Succeeded;
        }
        let was_skipped = self.unmet.is_some_and(|unmet| unmet.skipped);
        let c = &self.counts;
        if was_skipped && !self.cancel_requested && c.failed == 0 && c.dead == 0 {
            Outcome::Skipped
        } else {
            Outcome::Failed
        }
    }
}

impl Unmet {
    /// For people.
    pub fn text(&self) -> String {
        let job = JobId(self.job);
        match (self.skipped, self.on()) {
            (true, Condition::Failure) => format!("skipped: job {job} did not fail"),
            (true, Condition::Success | Condition::Completion) => format!("skipped: job {job} did not have to run"),
            (false, Condition::Success | Condition::Completion | Condition::Failure) => {
                format!("it waited for the {} of job {job}, which did not come", self.on().name())
            }
        }
    }

    /// How a task ended that waited in vain, and never ran.
    pub fn reason(&self) -> EndReason {
        EndReason::new(ReasonKind::Cancelled, self.text())
    }
}

/// Its jobs in the order of their ids: each comes after those that it waits for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkflowNodesRow {
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<WorkflowNodeRow>,
}

impl WorkflowNodesRow {
    /// The job at this place.
    pub fn job(workflow: WorkflowId, place: usize) -> JobId {
        JobId(workflow.0.saturating_add(place as u64))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkflowNodeRow {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub waits_for: Vec<WaitsForRow>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WaitsForRow {
    /// Its place in the list; a lower one.
    #[prost(uint32, tag = "1")]
    pub node: u32,
    #[prost(enumeration = "Condition", tag = "2")]
    pub on: i32,
    #[prost(bool, tag = "3")]
    pub each: bool,
}

/// Which tasks of a job wait no more for others, because they were released or cancelled.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GateRow {
    #[prost(uint32, tag = "1")]
    pub count: u32,
    /// A bit each.
    #[prost(bytes = "vec", tag = "2")]
    pub settled: Vec<u8>,
}

/// A dependency that still holds a job back.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HoldRow {
    #[prost(enumeration = "Condition", tag = "1")]
    pub on: i32,
    /// Index by index: so many tasks. 0: as a whole.
    #[prost(uint32, tag = "2")]
    pub each: u32,
    /// Of those: a bit for each whose dependency is met, or can never be.
    #[prost(bytes = "vec", tag = "3")]
    pub met: Vec<u8>,
}
