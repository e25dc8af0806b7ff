//! What the end of a job or a task means for those that wait for it: they are released, or can never run and are cancelled, and so on for those
//! that wait for them. Comes in: who has ended, and how. Goes out: changes of the waiting jobs. It walks a list and never calls itself, so that
//! a chain of any length costs no stack. Why somebody has ended is not known here.

use std::collections::VecDeque;

use cloudai_types::workflow::Outcome;
use cloudai_types::{Condition, JobId, TaskId};

use super::ending::leave_if_done;
use super::out::Out;
use crate::hot::{Hot, Waiting};
use crate::news::{News, What};
use crate::rows::{Family, TaskRow, TaskState, Unmet, task_key};

#[derive(Clone, Copy)]
pub(super) enum Ended {
    /// It is in hot state no more.
    Job(JobId, Outcome),
    /// Its job lives still.
    Task(TaskId, Outcome),
}

/// Tells everybody who waits for it, and so on.
pub(super) fn follow(hot: &mut Hot, out: &mut Out, first: Ended) {
    let mut left = VecDeque::from([first]);
    while let Some(ended) = left.pop_front() {
        let parent = match ended {
            Ended::Job(job, _) | Ended::Task(TaskId { job, .. }, _) => job,
        };
        let children: Vec<JobId> = hot.workflows.dependents(parent).collect();
        for child in children {
            match ended {
                Ended::Job(_, outcome) => job_has_ended(hot, out, child, parent, outcome, &mut left),
                Ended::Task(task, outcome) => task_has_ended(hot, out, child, task, outcome, &mut left),
            }
            if let Some(outcome) = leave_if_done(hot, out, child) {
                left.push_back(Ended::Job(child, outcome));
            }
        }
    }
}

/// One hold of `child` is gone.
fn job_has_ended(
    hot: &mut Hot,
    out: &mut Out,
    child: JobId,
    parent: JobId,
    outcome: Outcome,
    left: &mut VecDeque<Ended>,
) {
    let Some(hold) = hot.workflows.take_hold(child, parent) else { return };
    out.hold_changed(child, parent);
    let Some(met) = hold.met else {
        if hold.on.is_met(outcome) {
            release_what_is_open(hot, out, child);
        } else {
            cancel_blocked(hot, out, child, Some(unmet(parent, hold.on, outcome)));
        }
        return;
    };
    // Of the parent's tasks, those that nobody has told of: they were cancelled or have failed without ever running.
    let outcome = if outcome == Outcome::Skipped { outcome } else { Outcome::Failed };
    if !hold.on.is_met(outcome) {
        for index in blocked_indexes(hot, child).into_iter().filter(|index| !met.get(*index)) {
            let task = TaskId { job: child, index };
            cancel_one(hot, out, task, unmet(parent, hold.on, outcome));
            left.push_back(Ended::Task(task, hold.on.missed(outcome)));
        }
        close_if_empty(hot, out, child);
    }
    release_what_is_open(hot, out, child);
}

/// Of a hold index by index, one is decided. Of one as a whole: nothing happens before the job's end.
fn task_has_ended(
    hot: &mut Hot,
    out: &mut Out,
    child: JobId,
    parent: TaskId,
    outcome: Outcome,
    left: &mut VecDeque<Ended>,
) {
    let index = parent.index;
    let Some(gate) = hot.workflows.gate_mut(child) else { return };
    let is_blocked = gate.holds_back(index);
    let Some(hold) = gate.holds.get_mut(&parent.job) else { return };
    let on = hold.on;
    // Decided before: its parent was replayed.
    if !hold.met.as_mut().is_some_and(|met| met.set(index)) {
        return;
    }
    out.hold_changed(child, parent.job);
    let is_open = gate.is_open_for(index);
    let task = TaskId { job: child, index };
    if !is_blocked {
        return;
    }
    if !on.is_met(outcome) {
        cancel_one(hot, out, task, unmet(parent.job, on, outcome));
        left.push_back(Ended::Task(task, on.missed(outcome)));
    } else if is_open {
        release_one(hot, out, task);
    }
    close_if_empty(hot, out, child);
}

fn unmet(parent: JobId, on: Condition, outcome: Outcome) -> Unmet {
    Unmet { job: parent.0, on: on as i32, skipped: on.missed(outcome) == Outcome::Skipped }
}

/// Nobody asked for it.
fn in_vain(tasks: u32, unmet: Unmet) -> What {
    What::Cancelled { tasks, stopping: 0, actor: String::new(), unmet: Some(unmet) }
}

/// Tasks that leave one by one and wait still.
fn blocked_indexes(hot: &Hot, id: JobId) -> Vec<u32> {
    let settled = hot.workflows.gate(id).and_then(|gate| gate.settled.as_ref());
    settled.map_or(vec![], |settled| settled.zeros().collect())
}

/// Whatever no hold holds back any more comes into the queue.
pub(super) fn release_what_is_open(hot: &mut Hot, out: &mut Out, id: JobId) {
    let Some(gate) = hot.workflows.gate(id) else { return };
    match &gate.settled {
        None if gate.holds.is_empty() => release_all(hot, out, id),
        None => {}
        Some(settled) => {
            let open: Vec<u32> = settled.zeros().filter(|index| gate.is_open_for(*index)).collect();
            for index in open {
                release_one(hot, out, TaskId { job: id, index });
            }
            close_if_empty(hot, out, id);
        }
    }
}

/// The whole job, none of whose tasks was ever released.
fn release_all(hot: &mut Hot, out: &mut Out, id: JobId) {
    hot.workflows.open(id);
    let Some(job) = hot.jobs.get_mut(&id) else { return };
    job.fresh = 0..job.count;
    job.counts.queued = job.count;
    hot.backlog.moved(job.priority, job.shape, i64::from(job.count), 0);
    hot.queue.insert(job, job.shape, id);
    out.news(News::of_job(job.namespace, id, What::Released));
    is_in_the_queue(hot, out, id);
}

/// One that leaves alone. What is missing of its gate is the caller's to see.
fn release_one(hot: &mut Hot, out: &mut Out, task: TaskId) {
    if !settle(hot, out, task) {
        return;
    }
    let Some(job) = hot.jobs.get_mut(&task.job) else { return };
    job.counts.queued = job.counts.queued.saturating_add(1);
    let key = task_key(job.namespace, task);
    let mut next_number = 1;
    // One that a retry has brought back.
    if let Some(row) = out.read::<TaskRow>(Family::Task, &key) {
        next_number = row.attempts.last().map_or(0, |attempt| attempt.number).saturating_add(1);
        out.put(Family::Task, &key, &TaskRow { state: TaskState::Queued as i32, ..row });
    }
    out.news(News::of_task(job.namespace, task, 0, What::Released));
    let waiting = Waiting { not_before_ms: out.clock_ms, next_number, ..Waiting::default() };
    out.put(Family::Waiting, &key, &waiting.row());
    hot.add_waiting(task, waiting);
    is_in_the_queue(hot, out, task.job);
}

/// Tasks of it are, now at the latest. Its queue time-out counts from here on, for those that were never placed.
pub(super) fn is_in_the_queue(hot: &mut Hot, out: &mut Out, id: JobId) {
    if let Some(member) = hot.workflows.member_mut(id)
        && member.released_ms == 0
    {
        // Zero means "not yet", also for a leader whose clock stands at the epoch.
        member.released_ms = out.clock_ms.max(1);
        hot.queue_limits.begin(id, member.released_ms);
        if hot.jobs.get(&id).is_none_or(|job| job.fresh.is_empty()) {
            hot.queue_limits.settle(id);
        }
    }
    out.tasks_ready();
    out.job_changed(id);
}

/// False: it did not wait.
fn settle(hot: &mut Hot, out: &mut Out, task: TaskId) -> bool {
    let settled = hot.workflows.gate_mut(task.job).and_then(|gate| gate.settled.as_mut());
    let is_new = settled.is_some_and(|settled| settled.set(task.index));
    if is_new {
        out.gate_changed(task.job);
    }
    is_new
}

/// The last task has left: the gate goes, with whatever of it is still to be decided.
fn close_if_empty(hot: &mut Hot, out: &mut Out, id: JobId) {
    if hot.jobs.get(&id).is_some_and(|job| hot.workflows.blocked(id, job.count) == 0) {
        close(hot, out, id);
    }
}

fn close(hot: &mut Hot, out: &mut Out, id: JobId) {
    let Some(gate) = hot.workflows.open(id) else { return };
    if gate.settled.is_some() {
        out.gate_changed(id);
    }
    for waits_for in gate.holds.into_keys() {
        out.hold_changed(id, waits_for);
    }
}

/// One that leaves alone can never run.
fn cancel_one(hot: &mut Hot, out: &mut Out, task: TaskId, unmet: Unmet) {
    if settle(hot, out, task) {
        cancel_settled(hot, out, task, Some(unmet));
        if let Some(job) = hot.jobs.get(&task.job) {
            out.news(News::of_task(job.namespace, task, 0, in_vain(1, unmet)));
        }
        note_unmet(hot, task.job, unmet);
        out.job_changed(task.job);
    }
}

fn cancel_settled(hot: &mut Hot, out: &mut Out, task: TaskId, unmet: Option<Unmet>) {
    let Some(job) = hot.jobs.get_mut(&task.job) else { return };
    job.counts.cancelled = job.counts.cancelled.saturating_add(1);
    hot.tenants.waits(job.namespace, job.user, -1);
    let key = task_key(job.namespace, task);
    let row = out.read::<TaskRow>(Family::Task, &key);
    // One that a user cancels, and that never ran, needs none.
    if row.is_some() || unmet.is_some() {
        let row = row.unwrap_or_default();
        let row = TaskRow { state: TaskState::Cancelled as i32, ended_ms: out.clock_ms, unmet, ..row };
        out.put(Family::Task, &key, &row);
    }
}

/// Somebody's failure is worth more to tell than that others did not have to run.
fn note_unmet(hot: &mut Hot, id: JobId, unmet: Unmet) {
    if let Some(member) = hot.workflows.member_mut(id)
        && member.unmet.is_none_or(|earlier| earlier.skipped)
    {
        member.unmet = Some(unmet);
    }
}

/// All that is blocked of a job will never run. `None`: a user says so. That the job may have ended by this is the caller's to see.
pub(super) fn cancel_blocked(hot: &mut Hot, out: &mut Out, id: JobId, unmet: Option<Unmet>) {
    let Some(gate) = hot.workflows.gate(id) else { return };
    let blocked = hot.jobs.get(&id).map(|job| (job.namespace, gate.blocked(job.count)));
    if gate.settled.is_some() {
        for index in blocked_indexes(hot, id) {
            cancel_settled(hot, out, TaskId { job: id, index }, unmet);
        }
    } else if let Some(job) = hot.jobs.get_mut(&id) {
        // None of them has a row: their job's own tells.
        job.counts.cancelled = job.counts.cancelled.saturating_add(job.count);
        hot.tenants.waits(job.namespace, job.user, -i64::from(job.count));
    }
    close(hot, out, id);
    if let Some(unmet) = unmet {
        note_unmet(hot, id, unmet);
        if let Some((namespace, tasks)) = blocked {
            out.news(News::of_job(namespace, id, in_vain(tasks, unmet)));
        }
    }
    out.job_changed(id);
}
