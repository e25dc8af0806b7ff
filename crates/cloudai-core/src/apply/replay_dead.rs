//! Dead tasks wait again, as they are: a new budget, no pause, no worker to avoid, the memory of their spec; their attempts go on being
//! counted (I3). A job that had ended lives again, with what its rows say of it.

use cloudai_types::{JobId, NamespaceId, TaskId, limits};

use super::out::Out;
use super::submit_job::{alive_as_submitted, new_job};
use super::workflow_record;
use crate::command::{DeadGroup, ReplayDead};
use crate::hot::{Hot, Waiting};
use crate::news::{News, What};
use crate::reply::Reply;
use crate::rows::{AliveRow, DeadRow, Family, JobRow, JobSpecRow, TaskRow, TaskState, alive_key, job_key, task_key};

/// Again for the same: they are refused, because they are not dead any more.
pub fn replay_dead(hot: &mut Hot, out: &mut Out, command: ReplayDead) -> Reply {
    let (mut replayed, mut refused) = (0, 0);
    for (namespace, task) in DeadGroup::tasks(&command.groups) {
        *(if replay(hot, out, namespace, task) { &mut replayed } else { &mut refused }) += 1;
    }
    Reply::DeadReplayed { replayed, refused }
}

/// False: nothing was changed.
fn replay(hot: &mut Hot, out: &mut Out, namespace: NamespaceId, task: TaskId) -> bool {
    let key = task_key(namespace, task);
    if out.read::<DeadRow>(Family::Dead, &key).is_none() {
        return false;
    }
    let Some(row) = out.read::<TaskRow>(Family::Task, &key) else { return false };
    let last = row.attempts.last().map_or(0, |attempt| attempt.number);
    if row.state != TaskState::Dead as i32
        || last >= limits::REPLAYED_ATTEMPTS_MAX
        || !is_alive_again(hot, out, namespace, task.job)
    {
        return false;
    }
    let next_number = last.saturating_add(1);
    out.delete(Family::Dead, &key);
    out.put(
        Family::Task,
        &key,
        &TaskRow { state: TaskState::Queued as i32, ended_ms: 0, budget_from: next_number, ..row },
    );
    let waiting = Waiting { not_before_ms: out.clock_ms, next_number, ..Waiting::default() };
    out.put(Family::Waiting, &key, &waiting.row());
    if let Some(job) = hot.jobs.get_mut(&task.job) {
        job.counts.dead = job.counts.dead.saturating_sub(1);
        job.counts.queued = job.counts.queued.saturating_add(1);
        hot.tenants.waits(job.namespace, job.user, 1);
    }
    hot.add_waiting(task, waiting);
    out.tasks_ready();
    out.job_changed(task.job);
    out.news(News::of_task(namespace, task, 0, What::Replayed { tasks: 1 }));
    true
}

/// True when the job lives, now at the latest, and may have tasks that wait. A job that lives again has nothing queued yet: the caller
/// gives it something.
fn is_alive_again(hot: &mut Hot, out: &mut Out, namespace: NamespaceId, id: JobId) -> bool {
    if let Some(job) = hot.jobs.get(&id) {
        // What runs of a gang runs without it, or is about to share its fate.
        return !job.cancel_requested && (job.active.is_empty() || !hot.is_gang(id));
    }
    let key = job_key(namespace, id);
    let Some(row) = out.read::<JobRow>(Family::Job, &key) else { return false };
    let Some(JobSpecRow { spec, submitted_ms, replay_of, workflow, actor, .. }) = out.read(Family::JobSpec, &key)
    else {
        return false;
    };
    if row.cancel_requested || hot.jobs.len() >= limits::LIVE_JOBS_MAX {
        return false;
    }
    let alive = AliveRow { workflow, ..alive_as_submitted(hot, namespace, &spec, submitted_ms, replay_of, &actor) };
    out.put(Family::Alive, &alive_key(id), &alive);
    let mut job = new_job(hot, id, alive);
    job.counts = row.counts;
    job.started_ms = row.started_ms;
    // All of them were placed before, or waited for too long.
    job.fresh.start = row.next_fresh.min(job.fresh.end);
    job.fresh.end = job.fresh.start;
    if row.released_ms > 0 {
        hot.queue_limits.begin(id, row.released_ms);
    }
    hot.queue_limits.expire(id, row.queue_expired_ms);
    workflow_record::job_lives_again(hot, out, namespace, id, &row);
    hot.jobs.insert(id, job);
    out.job_revived(id);
    true
}
