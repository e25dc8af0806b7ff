//! A worker's lease ran out: its attempts are lost, and their tasks wait again at once or are dead.

use cloudai_types::{AttemptId, EndReason, ReasonKind, WorkerId};

use super::ending::{Ending, end_attempt};
use super::out::Out;
use crate::command::{AttemptState, LoseWorker};
use crate::event::Event;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::WorkerState;

pub fn lose_worker(hot: &mut Hot, out: &mut Out, command: LoseWorker) -> Result<Reply, Refusal> {
    let id = WorkerId(command.worker);
    let Some(worker) = hot.workers.get_mut(&id) else { return Err(Refusal::NoSuchWorker(id.to_string())) };
    if worker.session != command.session || worker.state != WorkerState::Ready {
        return Err(Refusal::StaleSession);
    }
    worker.state = WorkerState::Lost;
    let attempts = worker.active.len() as u32;
    out.put_worker(hot, id);
    out.event(Event::WorkerLost { worker: id });
    out.news(News::of_worker(id, What::WorkerLost { attempts }));
    let attempts = lose_attempts(hot, out, id, "the worker was not heard of for the length of its lease");
    Ok(Reply::WorkerLost { attempts })
}

/// Ends every live attempt of the worker as lost, and withdraws them, so that a session that returns stops them. How many.
pub(super) fn lose_attempts(hot: &mut Hot, out: &mut Out, id: WorkerId, detail: &str) -> u32 {
    out.worker_gone(id);
    let Some(worker) = hot.workers.get_mut(&id) else { return 0 };
    let tasks = std::mem::take(&mut worker.active);
    let lost = tasks.len() as u32;
    for task in tasks {
        let Some(number) = hot.attempt(task).map(|attempt| attempt.number) else { continue };
        out.withdrawn(id, AttemptId { task, number });
        let reason = EndReason::new(ReasonKind::WorkerLost, detail);
        end_attempt(hot, out, task, Ending { state: AttemptState::Lost, reason, started_ms: 0, ended_ms: 0 });
    }
    lost
}
