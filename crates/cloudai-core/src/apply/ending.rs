//! An attempt ends, and what that means for its task and its job. Comes in: a live attempt and its ending. Goes out: the
//! task ended or waiting again, the job ended when nothing of it is left. Who found the ending out is not known here.

use cloudai_types::workflow::Outcome;
use cloudai_types::{EndReason, JobId, Resources, TaskId};

use super::gang;
use super::next_try::{self, Next, Terms};
use super::out::Out;
use super::release::{self, Ended};
use super::workflow_record;
use crate::command::{AttemptState, DEAD_SINCE};
use crate::hot::{Hot, raised};
use crate::news::{News, What};
use crate::rows::{Counts, DeadRow, EndedAttempt, Family, TaskRow, TaskState, alive_key, job_key, task_key};

/// How an attempt ended.
pub(super) struct Ending {
    /// `Exited`: its worker said so. `Lost`: its worker is gone.
    pub state: AttemptState,
    pub reason: EndReason,
    /// The worker's clock; 0: not told.
    pub started_ms: u64,
    pub ended_ms: u64,
}

/// Ends the live attempt of `task`. Without one: no change.
pub(super) fn end_attempt(hot: &mut Hot, out: &mut Out, task: TaskId, ending: Ending) {
    let remembering_ms = hot.remembering_ms();
    let Some(job) = hot.jobs.get_mut(&task.job) else { return };
    let Some(attempt) = job.active.remove(&task.index) else { return };
    let (asked, is_gang) =
        hot.shapes.get(job.shape).map_or((Resources::default(), false), |shape| (shape.resources, shape.gang > 0));
    let had = raised(&asked, attempt.memory_mib);
    if let Some(worker) = hot.workers.get_mut(&attempt.worker) {
        worker.active.remove(&task);
        if !attempt.released {
            worker.used = worker.used.minus(&had);
        }
        if worker.is_schedulable() {
            out.capacity_changed();
        }
    }
    if !attempt.released
        && let Some(tenant) = hot.tenants.get_mut(job.namespace)
    {
        tenant.give_back(job.user, &had, remembering_ms);
        out.tenant_gave_back(job.namespace, tenant);
    }
    let namespace = job.namespace;
    if job.active.is_empty() {
        hot.job_labels.end(namespace, task.job);
    }
    let key = task_key(namespace, task);
    out.delete(Family::Attempt, &key);
    hot.backlog.moved(job.priority, job.shape, 0, -1);
    job.counts.active = job.counts.active.saturating_sub(1);
    // Every ended attempt is kept; the first one has no row to read.
    let earlier = if attempt.number > 1 { out.read::<TaskRow>(Family::Task, &key) } else { None };
    let mut row = earlier.unwrap_or_default();
    let terms = Terms {
        task,
        cancel_requested: job.cancel_requested,
        max_attempts: job.max_attempts.into(),
        rules: hot.retry.get(&task.job),
        memory_bytes: had.memory_bytes,
        earlier: row.of_budget(),
        clock_ms: out.clock_ms,
    };
    let fall = hot.gangs.fall(task.job);
    let next = gang::next(fall, &attempt, next_try::next(&terms, &attempt, &ending));
    let reason = gang::reason(fall, task.job, ending.reason);
    if next == Next::Ends(TaskState::Dead) && hot.version >= DEAD_SINCE {
        let (kind, exit_code) = (reason.kind, reason.exit_code);
        out.put(
            Family::Dead,
            &key,
            &DeadRow { reason: kind, exit_code, attempts: attempt.number, dead_ms: out.clock_ms },
        );
    }
    (row.state, row.ended_ms) = match next {
        Next::Ends(state) => {
            count_ended(&mut job.counts, state);
            (state as i32, out.clock_ms)
        }
        Next::Waits(waiting) => {
            job.counts.queued = job.counts.queued.saturating_add(1);
            hot.tenants.waits(job.namespace, job.user, 1);
            out.put(Family::Waiting, &key, &waiting.row());
            if hot.add_waiting(task, waiting) {
                out.tasks_ready();
            }
            (TaskState::Queued as i32, 0)
        }
    };
    let state = match next {
        Next::Ends(state) => state,
        Next::Waits(_) => TaskState::Queued,
    };
    let lost = ending.state == AttemptState::Lost;
    let ended = What::Ended { lost, ending: (&reason).into(), state: Some(state) };
    out.news(News::of_task(namespace, task, attempt.number, ended).on(attempt.worker));
    if state == TaskState::Dead {
        out.news(News::of_task(namespace, task, attempt.number, What::Dead));
    }
    if is_gang {
        gang::follow(hot, out, task, &reason, next);
    }
    row.attempts.push(EndedAttempt {
        number: attempt.number,
        worker: attempt.worker.0,
        state: ending.state as i32,
        reason,
        assigned_ms: attempt.assigned_ms,
        started_ms: if ending.started_ms > 0 { ending.started_ms } else { attempt.started_ms },
        ended_ms: if ending.ended_ms > 0 { ending.ended_ms } else { out.clock_ms },
    });
    out.put(Family::Task, &key, &row);
    out.job_changed(task.job);
    if let Next::Ends(state) = next {
        let outcome = if state == TaskState::Succeeded { Outcome::Succeeded } else { Outcome::Failed };
        release::follow(hot, out, Ended::Task(task, outcome));
    }
    end_job_if_done(hot, out, task.job);
}

fn count_ended(counts: &mut Counts, state: TaskState) {
    let count = match state {
        TaskState::Succeeded => &mut counts.succeeded,
        TaskState::Failed => &mut counts.failed,
        TaskState::Cancelled => &mut counts.cancelled,
        TaskState::Dead => &mut counts.dead,
        // `next` ends a task in one of the four above.
        TaskState::Blocked | TaskState::Queued | TaskState::Active => return,
    };
    *count = count.saturating_add(1);
}

/// A job with nothing queued, active or blocked leaves hot state; its rows stay. Whoever waits for it goes on, or never can.
pub(super) fn end_job_if_done(hot: &mut Hot, out: &mut Out, id: JobId) {
    if let Some(outcome) = leave_if_done(hot, out, id) {
        release::follow(hot, out, Ended::Job(id, outcome));
    }
}

/// The same, and nobody who waits for it is told; `None`: it lives.
pub(super) fn leave_if_done(hot: &mut Hot, out: &mut Out, id: JobId) -> Option<Outcome> {
    let counts = hot.jobs.get(&id)?.counts;
    if counts.queued > 0 || counts.active > 0 || hot.workflows.gate(id).is_some() {
        return None;
    }
    let job = hot.jobs.remove(&id)?;
    hot.shapes.release(job.shape);
    if let Some(tenant) = hot.tenants.get_mut(job.namespace) {
        tenant.users.leave(job.user);
    }
    hot.retry.remove(&id);
    hot.only.remove(&id);
    let expired_ms = hot.queue_limits.get(id).expired_ms;
    hot.queue_limits.remove(id);
    hot.time_limits.remove(&id);
    hot.gangs.end_fall(id);
    hot.preemptible.remove(&id);
    hot.job_labels.remove(id);
    let row = hot.workflows.complete(id, job.row(0, out.clock_ms, expired_ms));
    out.put(Family::Job, &job_key(job.namespace, id), &row);
    out.delete(Family::Alive, &alive_key(id));
    out.job_ended(job.namespace, id, row.state());
    if let Some(member) = hot.workflows.leave(id) {
        workflow_record::job_ended(out, job.namespace, member.workflow, &row);
    }
    Some(row.outcome())
}
