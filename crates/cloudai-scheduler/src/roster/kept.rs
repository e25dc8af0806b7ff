//! What runs on the workers that are kept, remembered between passes. Comes in: the view, once per pass. Goes out: each attempt as a
//! reservation sees it, without a look at its job: those lie far from each other in memory, and eight workers with 300 attempts each took
//! most of a pass.
//!
//! An attempt that is remembered does not change: what a new try of the task needs is placed by a pass of ours, and the one before it has
//! left the worker's list by then. Only that it stores its results is not seen in the list; the worker's sum tells.

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::hot::Worker;
use cloudai_types::{Resources, TaskId, WorkerId};

use super::PlanState;
use crate::index::Room;
use crate::reserve::{self, Attempt, Running};

/// By worker; in the order of the tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(BTreeMap<WorkerId, Vec<(TaskId, Attempt)>>);

impl PlanState {
    /// To be called in each pass, before it places anything.
    pub(super) fn sync_kept(&mut self, view: &Hot) {
        let workers: Vec<WorkerId> = self.reservations.iter().map(|r| r.worker).collect();
        self.kept.0.retain(|worker, _| workers.contains(worker));
        for id in workers {
            let Some(worker) = view.workers.get(&id) else { continue };
            let known = self.kept.0.entry(id).or_default();
            *known = taken_over(view, worker, known);
            if !adds_up(worker, known) {
                *known = taken_over(view, worker, &[]);
            }
        }
    }

    /// For tests, after a pass and before its plan is applied: what is remembered of kept workers is what a look at their jobs would say.
    pub fn remembers_truly(&self, view: &Hot) -> bool {
        let is_true = |(id, known): (&WorkerId, &Vec<(TaskId, Attempt)>)| {
            view.workers.get(id).is_none_or(|worker| *known == taken_over(view, worker, &[]))
        };
        self.kept.0.iter().all(is_true)
    }

    /// What runs there, for a reservation that was made at `since_ms`.
    pub(crate) fn running_on(&self, view: &Hot, id: WorkerId, worker: &Worker, since_ms: u64) -> Vec<Running> {
        match self.kept.0.get(&id) {
            Some(known) => known.iter().map(|(_, attempt)| attempt.seen_since(since_ms)).collect(),
            None => reserve::running_on(view, worker, since_ms),
        }
    }
}

/// What is known of those that still run, and a look at the others.
fn taken_over(view: &Hot, worker: &Worker, known: &[(TaskId, Attempt)]) -> Vec<(TaskId, Attempt)> {
    let mut known = known.iter().peekable();
    let mut now = Vec::with_capacity(worker.active.len());
    for task in &worker.active {
        while known.next_if(|(other, _)| other < task).is_some() {}
        let remembered =
            known.next_if(|(other, attempt)| other == task && attempt.is_settled).map(|(_, attempt)| *attempt);
        now.extend(remembered.or_else(|| reserve::attempt(view, *task)).map(|attempt| (*task, attempt)));
    }
    now
}

fn adds_up(worker: &Worker, known: &[(TaskId, Attempt)]) -> bool {
    let sum =
        known.iter().fold(Room::default(), |sum, (_, attempt)| std::array::from_fn(|d| sum[d] + attempt.holds[d]));
    let [cpu, memory, storage, gpus] = Resources::dimensions(&worker.used);
    sum == [cpu, memory, storage, gpus, worker.active.len() as u64]
}
