//! A worker is about to end: it gets no new tasks. What it has is its own affair: it reports each ending, as ever.

use cloudai_types::WorkerId;

use super::out::Out;
use crate::command::WorkerLeaves;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::WorkerState;

/// Again: no change.
pub fn worker_leaves(hot: &mut Hot, out: &mut Out, command: WorkerLeaves) -> Result<Reply, Refusal> {
    let id = WorkerId(command.worker);
    match hot.workers.get_mut(&id) {
        Some(worker) if worker.session == command.session && worker.state == WorkerState::Ready => {
            if !std::mem::replace(&mut worker.leaving, true) {
                out.worker_changed(hot, id);
                out.news(News::of_worker(id, What::WorkerLeaves));
            }
            Ok(Reply::Done)
        }
        Some(_) | None => Err(Refusal::StaleSession),
    }
}
