//! Attempts make room for a task of a higher priority. Comes in: for which job, and which attempts. Goes out: those are told to stop, and their
//! tasks wait again, at no cost. The leader chose them on an older state, so each is looked at again: of the same namespace, which allows it,
//! of a lower priority, of a job that says it may be restarted, and still running.

use cloudai_types::{AttemptId, JobId};

use super::out::Out;
use crate::command::{AttemptState, PreemptTasks};
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::Reply;
use crate::rows::{Family, task_key};

/// Again for the same: they stop already.
pub fn preempt_tasks(hot: &mut Hot, out: &mut Out, command: &PreemptTasks) -> Reply {
    let (mut stopped, mut refused) = (0, 0);
    for victim in &command.victims {
        let id = AttemptId::new(JobId(victim.job), victim.index, victim.number);
        *(if preempt(hot, out, JobId(command.job), id) { &mut stopped } else { &mut refused }) += 1;
    }
    Reply::Preempted { stopped, refused }
}

fn preempt(hot: &mut Hot, out: &mut Out, by: JobId, id: AttemptId) -> bool {
    let Some(first) = hot.jobs.get(&by).filter(|job| job.counts.queued > 0) else { return false };
    let (namespace, priority) = (first.namespace, first.priority);
    let AttemptId { task, number } = id;
    let allows = hot.tenants.get(namespace).is_some_and(|tenant| tenant.quota.preempt);
    if !allows || !hot.preemptible.contains(&task.job) {
        return false;
    }
    let Some(job) = hot.jobs.get_mut(&task.job).filter(|job| job.namespace == namespace && job.priority < priority)
    else {
        return false;
    };
    let may_stop = !job.cancel_requested;
    let Some(attempt) = job.active.get_mut(&task.index).filter(|attempt| may_stop && attempt.number == number) else {
        return false;
    };
    if attempt.preempted || attempt.state >= AttemptState::Storing {
        return false;
    }
    attempt.preempted = true;
    let (worker, row) = (attempt.worker, attempt.row());
    out.put(Family::Attempt, &task_key(namespace, task), &row);
    out.withdrawn(worker, id);
    out.news(News::of_task(namespace, task, number, What::Preempted { by: Some(by) }).on(worker));
    out.job_changed(task.job);
    true
}
