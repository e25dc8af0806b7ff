//! What a worker should be running. Comes in: the view. Goes out: a full set after a worker connects, and differences after
//! that. It sends nothing, and it does not know what the worker has done so far.
//!
//! An attempt of a job whose cancellation was requested is live until its ending is reported, but it is in no set any more:
//! the worker stops what is outside its set (W2).

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_types::{AttemptId, WorkerId};

/// Attempts that one worker should run, with the log index of each assignment (the second part of its fence).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AssignmentSet {
    attempts: BTreeMap<AttemptId, u64>,
}

/// How one set becomes another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delta {
    /// With the log index of the assignment.
    pub add: Vec<(AttemptId, u64)>,
    pub remove: Vec<AttemptId>,
}

impl AssignmentSet {
    /// The worker's set as the view has it. Empty for an unknown worker.
    pub fn of(view: &Hot, worker: WorkerId) -> Self {
        AssignmentSet { attempts: full_set(view, worker).into_iter().collect() }
    }

    pub fn contains(&self, attempt: AttemptId) -> bool {
        self.attempts.contains_key(&attempt)
    }

    pub fn iter(&self) -> impl Iterator<Item = (AttemptId, u64)> + '_ {
        self.attempts.iter().map(|(attempt, index)| (*attempt, *index))
    }

    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// What changed from `self` to `new`. An attempt whose assignment index changed is both removed and added.
    pub fn delta_to(&self, new: &AssignmentSet) -> Delta {
        let only_in = |a: &AssignmentSet, b: &AssignmentSet| -> Vec<(AttemptId, u64)> {
            a.iter().filter(|(attempt, index)| b.attempts.get(attempt) != Some(index)).collect()
        };
        Delta { add: only_in(new, self), remove: only_in(self, new).into_iter().map(|(a, _)| a).collect() }
    }

    /// Removals first, so that a replaced assignment ends up in the set.
    pub fn apply(&mut self, delta: &Delta) {
        for attempt in &delta.remove {
            self.attempts.remove(attempt);
        }
        self.attempts.extend(delta.add.iter().copied());
    }
}

impl Delta {
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// The worker's attempts with their assignment indexes, in order. Reads the worker's own attempts only.
pub fn full_set(view: &Hot, worker: WorkerId) -> Vec<(AttemptId, u64)> {
    let Some(row) = view.workers.get(&worker) else { return vec![] };
    let mut set = Vec::with_capacity(row.active.len());
    for task in &row.active {
        let Some(job) = view.jobs.get(&task.job).filter(|job| !job.cancel_requested) else { continue };
        if let Some(attempt) = job.active.get(&task.index).filter(|attempt| attempt.worker == worker) {
            set.push((AttemptId { task: *task, number: attempt.number }, attempt.assigned_index));
        }
    }
    set
}

/// The attempts among `attempts` that are still the worker's, with their assignment indexes: what an `Assigned` event
/// means by the time it is sent.
pub fn still_assigned(view: &Hot, worker: WorkerId, attempts: &[AttemptId]) -> Vec<(AttemptId, u64)> {
    let live = |id: &AttemptId| {
        let job = view.jobs.get(&id.task.job).filter(|job| !job.cancel_requested)?;
        let attempt = job.active.get(&id.task.index)?;
        (attempt.worker == worker && attempt.number == id.number).then_some((*id, attempt.assigned_index))
    };
    attempts.iter().filter_map(live).collect()
}
