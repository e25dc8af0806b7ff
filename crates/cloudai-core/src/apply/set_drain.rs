//! An operator stops or resumes placements on a worker. What runs there keeps running.

use super::cut;
use super::out::Out;
use crate::command::SetDrain;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};

/// Again: no change.
pub fn set_drain(hot: &mut Hot, out: &mut Out, command: SetDrain) -> Result<Reply, Refusal> {
    let SetDrain { name, draining } = command;
    let Some(&id) = hot.worker_names.get(&name) else { return Err(Refusal::NoSuchWorker(cut(name))) };
    let Some(worker) = hot.workers.get_mut(&id) else { return Err(Refusal::NoSuchWorker(cut(name))) };
    if worker.draining != draining {
        worker.draining = draining;
        out.worker_changed(hot, id);
        if !draining {
            out.capacity_changed();
        }
    }
    Ok(Reply::Done)
}
