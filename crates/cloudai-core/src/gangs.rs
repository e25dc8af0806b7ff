//! Gangs: jobs whose tasks start together or not at all, and of which none goes on where one has failed. Comes in: changes by `apply` and
//! `load` alone. Goes out: which gangs are falling, and what becomes of their tasks. Who places them is not known here.
//!
//! That a job is a gang is part of its shape ([`crate::hot::Shape::gang`]). While it is well, its tasks that have not ended all wait or all
//! run. It *falls* when an attempt of it ends without success: the others are told to stop, and share the fate of the first. What has
//! succeeded meanwhile stays so, and a gang that starts again is smaller by it.

use std::collections::BTreeMap;

use cloudai_types::{EndReason, JobId, ReasonKind, TaskId};

use crate::hot::Hot;
use crate::rows::{JobRow, TaskState};

/// Those that fall: some of their attempts have not ended yet. Written by `apply` and `load` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gangs {
    falling: BTreeMap<JobId, Fall>,
}

/// Why a gang falls, and what becomes of those that have not succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Fall {
    /// The index whose attempt ended first.
    #[prost(uint32, tag = "1")]
    pub by: u32,
    #[prost(enumeration = "ReasonKind", tag = "2")]
    pub reason: i32,
    #[prost(int32, optional, tag = "3")]
    pub exit_code: Option<i32>,
    /// `Queued`: they start again, together. Otherwise how they end.
    #[prost(enumeration = "TaskState", tag = "4")]
    pub state: i32,
    /// As [`crate::hot::Waiting`] has it: the budgets of a gang are spent together.
    #[prost(uint64, tag = "5")]
    pub not_before_ms: u64,
    #[prost(uint32, tag = "6")]
    pub attempts_used: u32,
    #[prost(uint32, tag = "7")]
    pub losses: u32,
}

impl Gangs {
    /// `None`: it is well, or no gang.
    pub fn fall(&self, job: JobId) -> Option<&Fall> {
        self.falling.get(&job)
    }

    pub fn falling(&self) -> impl Iterator<Item = (JobId, &Fall)> {
        self.falling.iter().map(|(job, fall)| (*job, fall))
    }

    pub(crate) fn begin_fall(&mut self, job: JobId, fall: Fall) {
        self.falling.insert(job, fall);
    }

    /// None of its attempts is left. True when it fell.
    pub(crate) fn end_fall(&mut self, job: JobId) -> bool {
        self.falling.remove(&job).is_some()
    }

    /// A live job's row, with what is known here.
    pub(crate) fn complete(&self, job: JobId, row: JobRow) -> JobRow {
        JobRow { fall: self.fall(job).copied(), ..row }
    }
}

impl Fall {
    /// What people read of an attempt that was stopped for this.
    pub(crate) fn why(&self, job: JobId) -> String {
        let first = EndReason { exit_code: self.exit_code, ..EndReason::new(self.reason(), "") };
        format!("{} of its gang ended first ({first}), and they run together", TaskId { job, index: self.by })
    }
}

impl Hot {
    /// Its tasks start together or not at all.
    pub fn is_gang(&self, job: JobId) -> bool {
        let shape = self.jobs.get(&job).and_then(|job| self.shapes.get(job.shape));
        shape.is_some_and(|shape| shape.gang > 0)
    }
}
