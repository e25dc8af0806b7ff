//! Tasks that were never placed, and waited for longer than their job's queue time-out, have failed. However many they are, that is one row:
//! the job's own says when it happened, and indexes from its `next_fresh` on without a row of their own are those.

use cloudai_types::{JobId, limits};

use super::ending::end_job_if_done;
use super::out::Out;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::Reply;

pub fn expire_queued(hot: &mut Hot, out: &mut Out) -> Reply {
    let (mut jobs, mut tasks) = (0, 0);
    while jobs < limits::EXPIRE_QUEUED_JOBS_MAX
        && let Some(id) = hot.queue_limits.next_over(out.clock_ms)
    {
        tasks += expire(hot, out, id);
        jobs += 1;
    }
    Reply::QueueExpired { jobs, tasks }
}

/// How many of its tasks.
fn expire(hot: &mut Hot, out: &mut Out, id: JobId) -> u64 {
    hot.queue_limits.expire(id, out.clock_ms);
    let Some(job) = hot.jobs.get_mut(&id) else { return 0 };
    let tasks = job.fresh.end.saturating_sub(job.fresh.start);
    job.fresh.end = job.fresh.start;
    job.counts.queued = job.counts.queued.saturating_sub(tasks);
    job.counts.failed = job.counts.failed.saturating_add(tasks);
    // A worker may have been kept for them: others may have it.
    out.capacity_changed();
    hot.backlog.moved(job.priority, job.shape, -i64::from(tasks), 0);
    hot.tenants.waits(job.namespace, job.user, -i64::from(tasks));
    if !job.has_ready() && !hot.apart.is_ready(id, 0) {
        hot.queue.remove(job, job.shape, id);
    }
    out.job_changed(id);
    out.news(News::of_job(job.namespace, id, What::Expired { tasks }));
    end_job_if_done(hot, out, id);
    u64::from(tasks)
}
