//! Waiting and blocked tasks of a job are cancelled at once; active ones when their worker says that nothing runs any more.

use cloudai_types::{AttemptId, JobId, NamespaceId, TaskId};

use super::ending::end_job_if_done;
use super::out::Out;
use super::release;
use crate::command::{CancelJob, NOTES_SINCE};
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, JobNotesRow, TaskRow, TaskState, job_key, task_key};

/// Again for the same job: no change, the answer says what is still to stop.
pub fn cancel_job(hot: &mut Hot, out: &mut Out, command: CancelJob) -> Result<Reply, Refusal> {
    let id = JobId(command.job);
    let stopping = cancel(hot, out, id).ok_or(Refusal::NoSuchJob(id))?;
    end_job_if_done(hot, out, id);
    Ok(Reply::CancelRequested { job: id, stopping })
}

/// How many attempts are still to stop; `None`: it is not alive. That it may have ended by this is the caller's to see.
pub(super) fn cancel(hot: &mut Hot, out: &mut Out, id: JobId) -> Option<u32> {
    let job = hot.jobs.get_mut(&id)?;
    let stopping = job.active.len() as u32;
    if job.cancel_requested {
        return Some(stopping);
    }
    job.cancel_requested = true;
    hot.queue.remove(job, job.shape, id);
    hot.queue_limits.settle(id);
    for (index, waiting) in job.waiting.take().map(|w| *w).unwrap_or_default() {
        hot.delayed.remove(&(waiting.not_before_ms, id, index));
        let task = TaskId { job: id, index };
        let mut shape = job.shape;
        if waiting.is_apart() {
            shape = hot.apart.remove(&mut hot.shapes, task, waiting.memory_mib).unwrap_or(shape);
            hot.queue.remove(job, shape, id);
        }
        hot.backlog.moved(job.priority, shape, -1, 0);
        let key = task_key(job.namespace, task);
        let row = out.read::<TaskRow>(Family::Task, &key).unwrap_or_default();
        let cancelled = TaskRow { state: TaskState::Cancelled as i32, ended_ms: out.clock_ms, ..row };
        out.put(Family::Task, &key, &cancelled);
        out.delete(Family::Waiting, &key);
    }
    (job.delayed, job.apart_ready) = (0, 0);
    // Fresh indexes have no rows of their own: the job's `next_fresh` tells them.
    hot.backlog.moved(job.priority, job.shape, -i64::from(job.fresh.end.saturating_sub(job.fresh.start)), 0);
    job.fresh.end = job.fresh.start;
    if job.counts.queued > 0 {
        // A worker may have been kept for them: others may have it.
        out.capacity_changed();
    }
    let waited = std::mem::take(&mut job.counts.queued);
    hot.tenants.waits(job.namespace, job.user, -i64::from(waited));
    job.counts.cancelled = job.counts.cancelled.saturating_add(waited);
    for (index, attempt) in &job.active {
        out.withdrawn(attempt.worker, AttemptId::new(id, *index, attempt.number));
    }
    out.job_changed(id);
    let (namespace, tasks) = (job.namespace, waited.saturating_add(hot.workflows.blocked(id, job.count)));
    remember(hot.version, out, namespace, id);
    let cancelled = What::Cancelled { tasks, stopping, actor: out.actor.clone(), unmet: None };
    out.news(News::of_job(namespace, id, cancelled));
    release::cancel_blocked(hot, out, id, None);
    Some(stopping)
}

/// Who asked, and when: for people who look at the job later.
fn remember(version: u32, out: &mut Out, namespace: NamespaceId, id: JobId) {
    if version < NOTES_SINCE {
        return;
    }
    let key = job_key(namespace, id);
    let mut row: JobNotesRow = out.read(Family::JobNotes, &key).unwrap_or_default();
    (row.cancelled_by, row.cancelled_ms) = (out.actor.clone(), out.clock_ms);
    out.put(Family::JobNotes, &key, &row);
}
