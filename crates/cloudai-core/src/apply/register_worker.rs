//! A worker's session begins. Its record and its live attempts stay its own: it comes back as itself.

use cloudai_types::WorkerId;
use cloudai_types::spec::check_labels;

use super::cut;
use super::out::Out;
use crate::command::{LEAVING_SINCE, RESERVED_SINCE, RegisterWorker};
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::WorkerState;

pub fn register_worker(hot: &mut Hot, out: &mut Out, command: RegisterWorker) -> Result<Reply, Refusal> {
    let RegisterWorker { worker: id, capacity, labels, software, reserved, leaving } = command;
    let id = WorkerId(id);
    let Some(worker) = hot.workers.get_mut(&id) else { return Err(Refusal::NoSuchWorker(id.to_string())) };
    if worker.state == WorkerState::Revoked {
        return Err(Refusal::Revoked(worker.name.clone()));
    }
    check_labels(&labels).map_err(|problem| Refusal::InvalidValue(cut(problem)))?;
    hot.next_session = hot.next_session.saturating_add(1);
    worker.state = WorkerState::Ready;
    worker.session = hot.next_session;
    worker.capacity = capacity;
    worker.reserved = reserved.filter(|_| hot.version >= RESERVED_SINCE);
    worker.leaving = leaving && hot.version >= LEAVING_SINCE;
    worker.labels = labels;
    worker.labels.extend(worker.assigned_labels.clone());
    worker.software = cut(software);
    worker.registered_ms = out.clock_ms;
    let session = worker.session;
    out.worker_changed(hot, id);
    out.capacity_changed();
    Ok(Reply::WorkerRegistered { worker: id, session })
}
