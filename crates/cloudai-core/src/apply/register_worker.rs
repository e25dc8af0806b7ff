//! A worker's session begins. Its record and its live attempts stay its own: it comes back as itself.

use cloudai_types::spec::check_labels;
use cloudai_types::{HourlyPrice, WorkerId, limits};

use super::cut;
use super::out::Out;
use crate::command::{DISCOVERY_SINCE, LEAVING_SINCE, POLICIES_SINCE, RESERVED_SINCE, RegisterWorker};
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::WorkerState;

pub fn register_worker(hot: &mut Hot, out: &mut Out, command: RegisterWorker) -> Result<Reply, Refusal> {
    let RegisterWorker { worker: id, capacity, labels, software, reserved, leaving, price_micros, metrics_addr } =
        command;
    let id = WorkerId(id);
    let Some(worker) = hot.workers.get_mut(&id) else { return Err(Refusal::NoSuchWorker(id.to_string())) };
    if worker.state == WorkerState::Revoked {
        return Err(Refusal::Revoked(worker.name.clone()));
    }
    check_labels(&labels).map_err(|problem| Refusal::InvalidValue(cut(problem)))?;
    let price = if hot.version >= POLICIES_SINCE { HourlyPrice(price_micros) } else { HourlyPrice::default() };
    if price.0 > limits::PRICE_MICROS_MAX {
        let highest = HourlyPrice(limits::PRICE_MICROS_MAX);
        return Err(Refusal::InvalidValue(format!("price_per_hour: {price} is over {highest}")));
    }
    hot.next_session = hot.next_session.saturating_add(1);
    worker.state = WorkerState::Ready;
    worker.session = hot.next_session;
    worker.capacity = capacity;
    worker.reserved = reserved.filter(|_| hot.version >= RESERVED_SINCE);
    worker.leaving = leaving && hot.version >= LEAVING_SINCE;
    worker.price = price;
    let is_kept = hot.version >= DISCOVERY_SINCE && metrics_addr.len() <= limits::ADDRESS_BYTES_MAX;
    worker.metrics_addr = if is_kept { metrics_addr } else { String::new() };
    worker.labels = labels;
    worker.labels.extend(worker.assigned_labels.clone());
    worker.software = cut(software);
    worker.registered_ms = out.clock_ms;
    let session = worker.session;
    out.worker_changed(hot, id);
    out.news(News::of_worker(id, What::WorkerRegistered));
    out.capacity_changed();
    Ok(Reply::WorkerRegistered { worker: id, session })
}
