//! An operator stops or resumes placements on a worker. What runs there keeps running, until the drain's deadline if it has one.

use super::cut;
use super::evict_workers::evict;
use super::out::Out;
use crate::command::{DRAIN_DEADLINE_SINCE, SetDrain};
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};

/// Again: no change. With another deadline, or none: that one counts from now on; what was told to stop stops all the same.
pub fn set_drain(hot: &mut Hot, out: &mut Out, command: SetDrain) -> Result<Reply, Refusal> {
    let SetDrain { name, draining, deadline_ms } = command;
    let Some(&id) = hot.worker_names.get(&name) else { return Err(Refusal::NoSuchWorker(cut(name))) };
    let Some(worker) = hot.workers.get_mut(&id) else { return Err(Refusal::NoSuchWorker(cut(name))) };
    let deadline_ms = if draining && hot.version >= DRAIN_DEADLINE_SINCE { deadline_ms } else { 0 };
    if worker.draining == draining && worker.drain_deadline_ms == deadline_ms {
        return Ok(Reply::Done);
    }
    if let Some(at_ms) = worker.evicts_at_ms() {
        hot.drains.remove(&(at_ms, id));
    }
    let resumes = worker.draining && !draining;
    (worker.draining, worker.drain_deadline_ms, worker.evicting) = (draining, deadline_ms, false);
    if let Some(at_ms) = worker.evicts_at_ms() {
        hot.drains.insert((at_ms, id));
    }
    out.worker_changed(hot, id);
    let actor = out.actor.clone();
    let what = if draining { What::WorkerDrained { deadline_ms, actor } } else { What::WorkerResumed { actor } };
    out.news(News::of_worker(id, what));
    if resumes {
        out.capacity_changed();
    }
    if deadline_ms > 0 && deadline_ms <= out.clock_ms {
        evict(hot, out, id);
    }
    Ok(Reply::Done)
}
