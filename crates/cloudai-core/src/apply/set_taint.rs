//! An operator taints a worker, or takes a taint away. Only placements look at it: what runs there goes on.

use cloudai_types::limits;
use cloudai_types::placement::check_taint;

use super::cut;
use super::out::Out;
use crate::command::SetTaint;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};

/// Again: no change.
pub fn set_taint(hot: &mut Hot, out: &mut Out, command: SetTaint) -> Result<Reply, Refusal> {
    let SetTaint { name, key, value, tainted } = command;
    check_taint(&key, &value).map_err(|problem| Refusal::InvalidValue(cut(problem)))?;
    let Some(&id) = hot.worker_names.get(&name) else { return Err(Refusal::NoSuchWorker(cut(name))) };
    let Some(worker) = hot.workers.get_mut(&id) else { return Err(Refusal::NoSuchWorker(cut(name))) };
    let now = tainted.then_some(&value);
    if worker.taints.get(&key) == now {
        return Ok(Reply::Done);
    }
    if tainted && !worker.taints.contains_key(&key) && worker.taints.len() >= limits::TAINTS_MAX {
        let held = worker.taints.len();
        return Err(Refusal::InvalidValue(cut(format!("{name} has {held} taints already, the most that are allowed"))));
    }
    let actor = out.actor.clone();
    let what = if tainted {
        worker.taints.insert(key.clone(), value.clone());
        What::WorkerTainted { key, value, actor }
    } else {
        worker.taints.remove(&key);
        What::WorkerUntainted { key, actor }
    };
    out.news(News::of_worker(id, what));
    out.worker_changed(hot, id);
    // Another value lets others go there as well.
    out.capacity_changed();
    Ok(Reply::Done)
}
