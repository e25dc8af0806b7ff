//! Hot state: what is alive. Comes in: changes by `apply` alone. Goes out: reads for the scheduler, the dispatcher and people.
//! Ended jobs are not here; they are rows.
//!
//! A job's indexes are in exactly one of four places: `fresh` (a range: never placed), `waiting` (placed before, or delayed),
//! `active` (a live attempt), or ended (rows and counts only).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use cloudai_types::{ClusterConfig, JobId, NamespaceId, NodeId, Resources, TaskId, WorkerId};

use crate::command::AttemptState;
use crate::queue::Queue;
use crate::rows::{Counts, JobState, MasterRow, WorkerState};

/// What the scheduler needs to know of a spec; jobs with equal shapes share one and are placed alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shape {
    pub resources: Resources,
    /// Required labels, sorted.
    pub require: Vec<(String, String)>,
}

/// A shape's number in [`Hot::shapes`]. Local to this process: never persisted, never in a reply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShapeId(pub u32);

/// All fields are written by `apply` and `load` only.
#[derive(Clone, Debug)]
pub struct Hot {
    pub cluster: String,
    pub incarnation: u64,
    /// Replicated time; only moves forward.
    pub clock_ms: u64,
    pub next_job: u64,
    pub next_worker: u32,
    pub next_node: u64,
    pub next_namespace: u32,
    pub next_session: u64,
    pub version: u32,
    pub config: ClusterConfig,
    /// Chained over every entry's writes (I8).
    pub digest: u64,
    pub namespaces: BTreeMap<String, NamespaceId>,
    pub jobs: BTreeMap<JobId, Job>,
    /// Jobs that have an index ready to be placed now.
    pub queue: Queue,
    /// Waiting indexes whose time has not come: (not before, job, index).
    pub delayed: BTreeSet<(u64, JobId, u32)>,
    pub workers: BTreeMap<WorkerId, Worker>,
    pub worker_names: BTreeMap<String, WorkerId>,
    /// (role byte, name) of revoked members.
    pub revoked: BTreeSet<(u8, String)>,
    pub masters: BTreeMap<NodeId, MasterRow>,
    pub shapes: Shapes,
}

/// Interned shapes, counted by the live jobs that use them.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    pub by_shape: BTreeMap<Arc<Shape>, ShapeId>,
    pub by_id: BTreeMap<ShapeId, (Arc<Shape>, u32)>,
    pub next: u32,
}

/// A live job. Kept small: a million single-task jobs wait in memory. The full spec is a row.
#[derive(Clone, Debug)]
pub struct Job {
    pub namespace: NamespaceId,
    pub shape: ShapeId,
    pub priority: i32,
    pub count: u32,
    pub max_attempts: u32,
    pub submitted_ms: u64,
    /// Replicated time of the first assignment; 0: none yet.
    pub started_ms: u64,
    pub cancel_requested: bool,
    pub counts: Counts,
    /// Indexes that were never placed.
    pub fresh: Range<u32>,
    /// Queued indexes with a past. Boxed and absent for most jobs.
    pub waiting: Option<Box<BTreeMap<u32, Waiting>>>,
    pub active: BTreeMap<u32, ActiveAttempt>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    pub not_before_ms: u64,
    pub next_number: u32,
    pub attempts_used: u32,
    /// 0: none.
    pub avoid_worker: u32,
    pub losses: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveAttempt {
    pub number: u32,
    pub worker: WorkerId,
    pub state: AttemptState,
    /// Log index of the assignment.
    pub assigned_index: u64,
    pub assigned_ms: u64,
    pub started_ms: u64,
    pub attempts_used: u32,
    pub losses: u32,
}

#[derive(Clone, Debug)]
pub struct Worker {
    pub name: String,
    pub state: WorkerState,
    pub draining: bool,
    pub capacity: Resources,
    /// Sum over `active`: what placements reserved (I4).
    pub used: Resources,
    pub labels: BTreeMap<String, String>,
    pub session: u64,
    pub registered_ms: u64,
    pub software: String,
    /// Live attempts, in order; their records are in their jobs.
    pub active: BTreeSet<TaskId>,
}

impl Job {
    /// `Queued`, `Running` or the final state, from the counts alone.
    pub fn state(&self) -> JobState {
        job_state(&self.counts, self.cancel_requested, self.started_ms > 0)
    }
}

/// A job's state is a function of its counts.
pub fn job_state(counts: &Counts, cancel_requested: bool, started: bool) -> JobState {
    if counts.queued > 0 || counts.active > 0 {
        return if started { JobState::Running } else { JobState::Queued };
    }
    if cancel_requested && counts.cancelled > 0 {
        JobState::Cancelled
    } else if counts.failed > 0 || counts.dead > 0 {
        JobState::Failed
    } else if counts.cancelled > 0 {
        JobState::Cancelled
    } else {
        JobState::Succeeded
    }
}

impl Worker {
    /// True when the scheduler may place here.
    pub fn is_schedulable(&self) -> bool {
        self.state == WorkerState::Ready && !self.draining
    }
    /// What is left for placements; zero where it holds more than it has (it registered again with less).
    pub fn free(&self) -> Resources {
        self.capacity.minus(&self.used)
    }
}
