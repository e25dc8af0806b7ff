//! The scheduler's placements, checked against the exact state: check and change are one step, so that a plan made on an
//! older state can never over-commit a worker (I4) or start a task twice (I3). Refused ones only count: the next pass sees why.

use std::collections::BTreeMap;

use cloudai_types::{AttemptId, JobId, TaskId, WorkerId, limits};

use super::out::Out;
use crate::command::{AttemptState, PlaceGroup, PlaceTasks};
use crate::hot::{ActiveAttempt, Hot, Job};
use crate::reply::Reply;
use crate::rows::{Family, task_key};

pub fn place_tasks(hot: &mut Hot, out: &mut Out, command: PlaceTasks) -> Reply {
    let (mut accepted, mut refused) = (0u32, 0u32);
    for group in &command.groups {
        let placed = place_group(hot, out, group);
        accepted = accepted.saturating_add(placed);
        refused = refused.saturating_add((group.indexes.len() as u32).saturating_sub(placed));
    }
    Reply::Placed { accepted, refused }
}

/// How many of the group were accepted.
fn place_group(hot: &mut Hot, out: &mut Out, group: &PlaceGroup) -> u32 {
    let (id, worker_id) = (JobId(group.job), WorkerId(group.worker));
    let Some(job) = hot.jobs.get_mut(&id) else { return 0 };
    let Some(worker) = hot.workers.get_mut(&worker_id) else { return 0 };
    let Some(shape) = hot.shapes.get(job.shape) else { return 0 };
    if job.cancel_requested || !worker.is_schedulable() || !shape.accepts(&worker.labels) {
        return 0;
    }
    let mut accepted = 0;
    for &index in &group.indexes {
        if worker.active.len() >= limits::WORKER_ATTEMPTS_MAX || !shape.resources.fits(&worker.free()) {
            break;
        }
        let Some(past) = take_ready(job, index, out.clock_ms) else { continue };
        let attempt = ActiveAttempt {
            number: past.next_number,
            worker: worker_id,
            state: AttemptState::Assigned,
            assigned_index: out.index,
            assigned_ms: out.clock_ms,
            started_ms: 0,
            attempts_used: past.attempts_used,
            losses: past.losses,
            released: false,
        };
        let task = TaskId { job: id, index };
        let key = task_key(job.namespace, task);
        out.put(Family::Attempt, &key, &attempt.row());
        if past.has_row {
            out.delete(Family::Waiting, &key);
        }
        job.active.insert(index, attempt);
        worker.active.insert(task);
        worker.used = worker.used.plus(&shape.resources);
        out.assigned(worker_id, AttemptId { task, number: attempt.number });
        accepted += 1;
    }
    if accepted > 0 {
        let moved = i64::from(accepted);
        hot.backlog.moved(job.priority, job.shape, -moved, moved);
        job.counts.queued = job.counts.queued.saturating_sub(accepted);
        job.counts.active = job.counts.active.saturating_add(accepted);
        if job.started_ms == 0 {
            // Zero means "not yet", also for a leader whose clock stands at the epoch.
            job.started_ms = out.clock_ms.max(1);
        }
        if !job.has_ready() {
            hot.queue.remove(job.priority, job.shape, id);
        }
        out.job_changed(id);
    }
    accepted
}

/// What an index brings along from earlier attempts.
struct Past {
    next_number: u32,
    attempts_used: u32,
    losses: u32,
    has_row: bool,
}

/// Takes an index that may be placed now out of its place. Fresh ones go in order, from the front of their range.
fn take_ready(job: &mut Job, index: u32, clock_ms: u64) -> Option<Past> {
    if !job.fresh.is_empty() && index == job.fresh.start {
        job.fresh.start += 1;
        return Some(Past { next_number: 1, attempts_used: 0, losses: 0, has_row: false });
    }
    let due = |w: &BTreeMap<u32, crate::hot::Waiting>| w.get(&index).is_some_and(|w| w.not_before_ms <= clock_ms);
    if !job.waiting.as_ref().is_some_and(|w| due(w)) {
        return None;
    }
    let waiting = job.take_waiting(index)?;
    Some(Past {
        next_number: waiting.next_number,
        attempts_used: waiting.attempts_used,
        losses: waiting.losses,
        has_row: true,
    })
}
