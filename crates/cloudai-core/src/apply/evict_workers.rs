//! The deadline of a drain has passed: what still runs there is told to stop. Its worker says how each one ended, and its task waits again as
//! after any loss that is not its own fault.

use cloudai_types::{AttemptId, WorkerId, limits};

use super::out::Out;
use crate::command::AttemptState;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::Reply;

pub fn evict_workers(hot: &mut Hot, out: &mut Out) -> Reply {
    let (mut workers, mut attempts) = (0, 0);
    while workers < limits::EVICT_WORKERS_MAX
        && let Some((deadline_ms, id)) = hot.drains.first().copied()
        && deadline_ms <= out.clock_ms
    {
        attempts += evict(hot, out, id);
        workers += 1;
    }
    Reply::Evicted { workers, attempts }
}

/// How many attempts it concerns: not those that only store their results.
pub(super) fn evict(hot: &mut Hot, out: &mut Out, id: WorkerId) -> u32 {
    let Some(worker) = hot.workers.get_mut(&id) else { return 0 };
    hot.drains.remove(&(worker.drain_deadline_ms, id));
    worker.evicting = true;
    let mut told = 0;
    for task in &worker.active {
        let Some(job) = hot.jobs.get(&task.job) else { continue };
        let Some(attempt) = job.active.get(&task.index) else { continue };
        // A cancel has withdrawn them already.
        if attempt.state < AttemptState::Storing && !job.cancel_requested {
            out.withdrawn(id, AttemptId { task: *task, number: attempt.number });
            told += 1;
        }
    }
    out.worker_changed(hot, id);
    out.news(News::of_worker(id, What::WorkerEvicted { attempts: told }));
    told
}
