//! What must hold after every entry, checked on the whole of hot state. For tests, the simulation and a debugging command: it
//! walks everything. Comes in: hot state. Goes out: what is wrong with it; nothing, if `apply` is right.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{JobId, Resources, TaskId};

use crate::backlog::Backlog;
use crate::command::AttemptState;
use crate::hot::{Hot, Job, ShapeId, Worker};
use crate::rows::WorkerState;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Violation {
    /// Its number in the crate's list.
    pub invariant: &'static str,
    pub what: String,
}

/// Every violation that can be seen in one state. I1, I2, I5, I6, I8 and I9 are about histories: tests watch them.
pub fn check(hot: &Hot) -> Vec<Violation> {
    let mut faults = vec![];
    for (id, job) in &hot.jobs {
        one_place_per_index(*id, job, &mut faults);
        attempts_have_their_worker(hot, *id, job, &mut faults);
    }
    for worker in hot.workers.values() {
        reservations_add_up(hot, worker, &mut faults);
    }
    queue_holds_the_ready(hot, &mut faults);
    delayed_is_what_waits_for_time(hot, &mut faults);
    shapes_are_counted(hot, &mut faults);
    the_backlog_is_counted(hot, &mut faults);
    names_lead_to_workers(hot, &mut faults);
    faults
}

type Faults = Vec<Violation>;

fn fault(faults: &mut Faults, invariant: &'static str, what: String) {
    faults.push(Violation { invariant, what });
}

/// I3: an index is fresh, waiting, active or ended, and the counts say so.
fn one_place_per_index(id: JobId, job: &Job, faults: &mut Faults) {
    let waiting: BTreeSet<u32> = job.waiting.iter().flat_map(|w| w.keys().copied()).collect();
    if job.waiting.is_some() && waiting.is_empty() {
        fault(faults, "I3", format!("{id}: an empty box of waiting indexes"));
    }
    for index in waiting.iter().chain(job.active.keys()) {
        if job.fresh.contains(index) || *index >= job.count {
            fault(faults, "I3", format!("{id}/{index}: is fresh or beyond the job, and placed"));
        }
    }
    if let Some(index) = waiting.iter().find(|i| job.active.contains_key(i)) {
        fault(faults, "I3", format!("{id}/{index}: waits and is active"));
    }
    let c = &job.counts;
    let queued = job.fresh.len() + waiting.len();
    if c.queued as usize != queued || c.active as usize != job.active.len() {
        let active = job.active.len();
        fault(faults, "I3", format!("{id}: {queued} queued and {active} active, counts say {c:?}"));
    }
    let sum: u64 = [c.queued, c.active, c.succeeded, c.failed, c.cancelled, c.dead].map(u64::from).iter().sum();
    if sum != u64::from(job.count) || (c.queued, c.active) == (0, 0) {
        fault(faults, "I3", format!("{id}: of {} tasks, counts say {c:?}", job.count));
    }
    if job.untouched && (queued != job.count as usize || job.started_ms > 0 || job.cancel_requested) {
        fault(faults, "I9", format!("{id}: is called untouched, and counts say {c:?}"));
    }
    if job.cancel_requested && queued > 0 {
        fault(faults, "I3", format!("{id}: is cancelled and {queued} tasks wait"));
    }
    let started = job.active.len() + waiting.len() > 0 || sum > u64::from(c.queued) && !job.cancel_requested;
    if started && job.started_ms == 0 {
        fault(faults, "I3", format!("{id}: has placed tasks and no start time"));
    }
}

/// I7, and both sides of an assignment agree.
fn attempts_have_their_worker(hot: &Hot, id: JobId, job: &Job, faults: &mut Faults) {
    for (index, attempt) in &job.active {
        let task = TaskId { job: id, index: *index };
        match hot.workers.get(&attempt.worker) {
            Some(w) if w.state == WorkerState::Ready && w.active.contains(&task) => {}
            Some(_) | None => fault(
                faults,
                "I7",
                format!("{task}: lives on {}, which is not ready or does not know it", attempt.worker),
            ),
        }
        match attempt.state {
            AttemptState::Exited | AttemptState::Lost => {
                fault(faults, "I2", format!("{task}: an ended attempt is live"))
            }
            AttemptState::Assigned
            | AttemptState::Preparing
            | AttemptState::Running
            | AttemptState::Stopping
            | AttemptState::Storing => {}
        }
        if attempt.number == 0 || attempt.assigned_index == 0 {
            fault(faults, "I3", format!("{task}: an attempt without a number or a fence"));
        }
    }
}

/// I4: `used` is the sum of what lives there. That it fitted is checked when it is placed: a worker may register with less.
fn reservations_add_up(hot: &Hot, worker: &Worker, faults: &mut Faults) {
    let mut sum = Resources::default();
    for task in &worker.active {
        let job = hot.jobs.get(&task.job);
        let attempt = job.and_then(|job| job.active.get(&task.index));
        match (attempt, job.and_then(|job| hot.shapes.get(job.shape))) {
            (Some(attempt), Some(shape)) => {
                if attempt.released && attempt.state < AttemptState::Storing {
                    fault(faults, "I4", format!("{task}: is {:?} and holds nothing", attempt.state));
                }
                if !attempt.released {
                    sum = sum.plus(&shape.resources);
                }
            }
            (_, None) | (None, _) => fault(faults, "I3", format!("{task}: is on {} and not active", worker.name)),
        }
    }
    if sum != worker.used {
        fault(faults, "I4", format!("{}: uses {sum}, its record says {}", worker.name, worker.used));
    }
}

fn queue_holds_the_ready(hot: &Hot, faults: &mut Faults) {
    let mut queued = BTreeSet::new();
    for (priority, shapes) in hot.queue.levels() {
        for (shape, jobs) in shapes {
            queued.extend(jobs.iter().map(|id| (priority, *shape, *id)));
        }
    }
    let ready: BTreeSet<(i32, ShapeId, JobId)> =
        hot.jobs.iter().filter(|(_, job)| job.has_ready()).map(|(id, job)| (job.priority, job.shape, *id)).collect();
    if let Some(odd) = ready.symmetric_difference(&queued).next() {
        fault(
            faults,
            "queue",
            format!("{}: is {}queued", odd.2, if queued.contains(odd) { "not ready and " } else { "ready and not " }),
        );
    }
}

fn delayed_is_what_waits_for_time(hot: &Hot, faults: &mut Faults) {
    let mut delayed = BTreeSet::new();
    for (id, job) in &hot.jobs {
        let before = delayed.len();
        for (index, w) in job.waiting.iter().flat_map(|w| w.iter()) {
            if w.not_before_ms > hot.clock_ms {
                delayed.insert((w.not_before_ms, *id, *index));
            }
        }
        if delayed.len() - before != job.delayed as usize {
            fault(faults, "delayed", format!("{id}: says {} delayed, has {}", job.delayed, delayed.len() - before));
        }
    }
    if delayed != hot.delayed {
        fault(faults, "delayed", format!("{:?} are delayed, the index says {:?}", delayed, hot.delayed));
    }
}

fn shapes_are_counted(hot: &Hot, faults: &mut Faults) {
    let mut users: BTreeMap<ShapeId, u32> = BTreeMap::new();
    for job in hot.jobs.values() {
        *users.entry(job.shape).or_default() += 1;
    }
    let counted: BTreeMap<ShapeId, u32> = hot.shapes.by_id.iter().map(|(id, (_, n))| (*id, *n)).collect();
    let known: BTreeSet<ShapeId> = hot.shapes.by_shape.values().copied().collect();
    if users != counted || known != counted.keys().copied().collect() {
        fault(faults, "shapes", format!("jobs use {users:?}, counted are {counted:?}"));
    }
}

fn the_backlog_is_counted(hot: &Hot, faults: &mut Faults) {
    let mut counted = Backlog::default();
    for job in hot.jobs.values() {
        counted.moved(job.priority, job.shape, i64::from(job.counts.queued), i64::from(job.counts.active));
    }
    if counted != hot.backlog {
        fault(faults, "backlog", format!("jobs have {counted:?}, kept is {:?}", hot.backlog));
    }
}

fn names_lead_to_workers(hot: &Hot, faults: &mut Faults) {
    let names: BTreeMap<_, _> = hot.workers.iter().map(|(id, w)| (w.name.clone(), *id)).collect();
    if names != hot.worker_names || names.len() != hot.workers.len() {
        fault(faults, "names", format!("workers are {names:?}, the index says {:?}", hot.worker_names));
    }
}
