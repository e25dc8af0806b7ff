//! An attempt ends, and what that means for its task and its job. Comes in: a live attempt and its ending. Goes out: the
//! task ended or waiting again, the job ended when nothing of it is left. Who found the ending out is not known here.

use cloudai_types::{EndReason, JobId, TaskId, limits};

use super::out::Out;
use crate::command::AttemptState;
use crate::hot::{ActiveAttempt, Hot, Waiting};
use crate::rows::{Counts, EndedAttempt, Family, TaskRow, TaskState, alive_key, job_key, task_key};

/// How an attempt ended.
pub(super) struct Ending {
    /// `Exited`: its worker said so. `Lost`: its worker is gone.
    pub state: AttemptState,
    pub reason: EndReason,
    /// The worker's clock; 0: not told.
    pub started_ms: u64,
    pub ended_ms: u64,
}

/// What becomes of the task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Ends(TaskState),
    Waits(Waiting),
}

/// The rules of retrying. The user's budget pays for the task's own faults; infrastructure losses have a cap of their own.
fn next(cancel_requested: bool, max_attempts: u32, attempt: &ActiveAttempt, ending: &Ending, clock_ms: u64) -> Next {
    let lost = ending.state == AttemptState::Lost;
    if !lost && ending.reason.is_success() {
        return Next::Ends(TaskState::Succeeded);
    }
    if cancel_requested {
        return Next::Ends(TaskState::Cancelled);
    }
    let kind = ending.reason.kind();
    let mut waiting = Waiting {
        not_before_ms: clock_ms,
        next_number: attempt.number.saturating_add(1),
        attempts_used: attempt.attempts_used,
        avoid_worker: attempt.worker.0,
        losses: attempt.losses,
    };
    if lost || kind.is_infrastructure() {
        waiting.losses = waiting.losses.saturating_add(1);
        if waiting.losses >= limits::LOSSES_MAX {
            return Next::Ends(TaskState::Dead);
        }
        // A worker that died takes nothing else with it: the first time, its task waits for nobody.
        let failures = if lost { waiting.losses - 1 } else { waiting.losses };
        waiting.not_before_ms = clock_ms.saturating_add(backoff_ms(failures));
        return Next::Waits(waiting);
    }
    if kind.forbids_retry() {
        return Next::Ends(TaskState::Failed);
    }
    waiting.attempts_used = waiting.attempts_used.saturating_add(1);
    if waiting.attempts_used >= max_attempts {
        return Next::Ends(if max_attempts <= 1 { TaskState::Failed } else { TaskState::Dead });
    }
    waiting.not_before_ms = clock_ms.saturating_add(backoff_ms(waiting.attempts_used));
    Next::Waits(waiting)
}

/// Zero for no failure; then doubled with each, up to the cap.
fn backoff_ms(failures: u32) -> u64 {
    match failures {
        0 => 0,
        n => limits::RETRY_BACKOFF_FIRST.0.saturating_mul(1 << (n - 1).min(20)).min(limits::RETRY_BACKOFF_MAX.0),
    }
}

/// Ends the live attempt of `task`. Without one: no change.
pub(super) fn end_attempt(hot: &mut Hot, out: &mut Out, task: TaskId, ending: Ending) {
    let Some(job) = hot.jobs.get_mut(&task.job) else { return };
    let Some(attempt) = job.active.remove(&task.index) else { return };
    if let Some(worker) = hot.workers.get_mut(&attempt.worker) {
        worker.active.remove(&task);
        if let Some(shape) = hot.shapes.get(job.shape)
            && !attempt.released
        {
            worker.used = worker.used.minus(&shape.resources);
        }
        if worker.is_schedulable() {
            out.capacity_changed();
        }
    }
    let key = task_key(job.namespace, task);
    out.delete(Family::Attempt, &key);
    hot.backlog.moved(job.priority, job.shape, 0, -1);
    job.counts.active = job.counts.active.saturating_sub(1);
    let next = next(job.cancel_requested, job.max_attempts, &attempt, &ending, out.clock_ms);
    let (state, ended_ms) = match next {
        Next::Ends(state) => {
            count_ended(&mut job.counts, state);
            (state, out.clock_ms)
        }
        Next::Waits(waiting) => {
            hot.backlog.moved(job.priority, job.shape, 1, 0);
            job.counts.queued = job.counts.queued.saturating_add(1);
            job.waiting.get_or_insert_default().insert(task.index, waiting);
            out.put(Family::Waiting, &key, &waiting.row());
            if waiting.not_before_ms > out.clock_ms {
                hot.delayed.insert((waiting.not_before_ms, task.job, task.index));
                job.delayed = job.delayed.saturating_add(1);
            } else {
                hot.queue.insert(job.priority, job.shape, task.job);
                out.tasks_ready();
            }
            (TaskState::Queued, 0)
        }
    };
    // Every ended attempt is kept; the first one has no row to read.
    let earlier = if attempt.number > 1 { out.read::<TaskRow>(Family::Task, &key) } else { None };
    let mut attempts = earlier.map(|row| row.attempts).unwrap_or_default();
    attempts.push(EndedAttempt {
        number: attempt.number,
        worker: attempt.worker.0,
        state: ending.state as i32,
        reason: ending.reason,
        assigned_ms: attempt.assigned_ms,
        started_ms: if ending.started_ms > 0 { ending.started_ms } else { attempt.started_ms },
        ended_ms: if ending.ended_ms > 0 { ending.ended_ms } else { out.clock_ms },
    });
    out.put(Family::Task, &key, &TaskRow { state: state as i32, attempts, ended_ms });
    out.job_changed(task.job);
    end_job_if_done(hot, out, task.job);
}

fn count_ended(counts: &mut Counts, state: TaskState) {
    let count = match state {
        TaskState::Succeeded => &mut counts.succeeded,
        TaskState::Failed => &mut counts.failed,
        TaskState::Cancelled => &mut counts.cancelled,
        TaskState::Dead => &mut counts.dead,
        // `next` ends a task in one of the four above.
        TaskState::Blocked | TaskState::Queued | TaskState::Active => return,
    };
    *count = count.saturating_add(1);
}

/// A job with nothing queued and nothing active leaves hot state; its rows stay.
pub(super) fn end_job_if_done(hot: &mut Hot, out: &mut Out, id: JobId) {
    match hot.jobs.get(&id) {
        Some(job) if job.counts.queued == 0 && job.counts.active == 0 => {}
        Some(_) | None => return,
    }
    let Some(job) = hot.jobs.remove(&id) else { return };
    hot.shapes.release(job.shape);
    out.put(Family::Job, &job_key(job.namespace, id), &job.row(out.clock_ms));
    out.delete(Family::Alive, &alive_key(id));
    out.job_ended(id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{ReasonKind, WorkerId};

    fn attempt(attempts_used: u32, losses: u32) -> ActiveAttempt {
        ActiveAttempt {
            number: 1 + attempts_used + losses,
            worker: WorkerId(7),
            state: AttemptState::Running,
            assigned_index: 1,
            assigned_ms: 0,
            started_ms: 0,
            attempts_used,
            losses,
            released: false,
        }
    }

    fn exited(reason: EndReason) -> Ending {
        Ending { state: AttemptState::Exited, reason, started_ms: 0, ended_ms: 0 }
    }

    fn of(kind: ReasonKind) -> Ending {
        exited(EndReason::new(kind, ""))
    }

    fn lost() -> Ending {
        Ending { state: AttemptState::Lost, ..of(ReasonKind::WorkerLost) }
    }

    fn waits(next: Next) -> (u64, u32, u32, u32) {
        match next {
            Next::Waits(w) => (w.not_before_ms, w.next_number, w.attempts_used, w.losses),
            Next::Ends(state) => panic!("ends as {state:?}"),
        }
    }

    #[test]
    fn a_success_is_honest_even_when_a_cancel_was_asked() {
        assert_eq!(next(true, 1, &attempt(0, 0), &exited(EndReason::exit(0)), 0), Next::Ends(TaskState::Succeeded));
        assert_eq!(next(true, 9, &attempt(0, 0), &exited(EndReason::exit(1)), 0), Next::Ends(TaskState::Cancelled));
        assert_eq!(next(true, 9, &attempt(0, 0), &lost(), 0), Next::Ends(TaskState::Cancelled));
    }

    #[test]
    fn the_users_budget_is_failed_with_one_try_and_dead_with_more() {
        let failure = exited(EndReason::exit(3));
        assert_eq!(next(false, 1, &attempt(0, 0), &failure, 0), Next::Ends(TaskState::Failed));
        assert_eq!(waits(next(false, 3, &attempt(0, 0), &failure, 50)), (1_050, 2, 1, 0));
        assert_eq!(waits(next(false, 3, &attempt(1, 0), &failure, 50)), (2_050, 3, 2, 0));
        assert_eq!(next(false, 3, &attempt(2, 0), &failure, 50), Next::Ends(TaskState::Dead));
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        for kind in ReasonKind::ALL {
            let got = next(false, 9, &attempt(0, 0), &of(kind), 0);
            assert_eq!(got == Next::Ends(TaskState::Failed), kind.forbids_retry(), "{kind:?}");
        }
    }

    #[test]
    fn losses_cost_no_attempt_and_have_their_own_cap() {
        assert_eq!(waits(next(false, 1, &attempt(0, 0), &lost(), 50)), (50, 2, 0, 1));
        assert_eq!(waits(next(false, 1, &attempt(0, 1), &lost(), 50)), (1_050, 3, 0, 2));
        assert_eq!(waits(next(false, 1, &attempt(0, 0), &of(ReasonKind::EngineError), 50)), (1_050, 2, 0, 1));
        assert_eq!(next(false, 9, &attempt(0, limits::LOSSES_MAX - 1), &lost(), 50), Next::Ends(TaskState::Dead));
    }

    #[test]
    fn the_backoff_doubles_up_to_its_cap() {
        assert_eq!([0, 1, 2, 3, 4].map(backoff_ms), [0, 1_000, 2_000, 4_000, 8_000]);
        assert_eq!(backoff_ms(30), limits::RETRY_BACKOFF_MAX.0);
        assert_eq!(backoff_ms(u32::MAX), limits::RETRY_BACKOFF_MAX.0);
    }
}
