//! A gang starts together, and ends together where one of it fails. Comes in: the placements of a command, and each attempt of a gang that
//! ends. Goes out: whether all of it may start, and who else has to stop.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{AttemptId, EndReason, JobId, ReasonKind, Resources, TaskId, WorkerId, limits};

use super::next_try::Next;
use super::out::Out;
use super::place_tasks::due;
use crate::command::{AttemptState, PlaceGroup};
use crate::gangs::Fall;
use crate::hot::{ActiveAttempt, Hot, Waiting, raised};
use crate::nearby::Nearby;
use crate::rows::TaskState;
use crate::whereabouts::Siblings;

/// True when these groups together place every task of the gang that has not ended, and each of them is allowed.
pub(super) fn may_start(hot: &Hot, clock_ms: u64, id: JobId, groups: &[&PlaceGroup], nearby: &mut Nearby) -> bool {
    let Some(job) = hot.jobs.get(&id).filter(|job| !job.cancel_requested && job.active.is_empty()) else {
        return false;
    };
    let (Some(shape), Some(tenant)) = (hot.shapes.get(job.shape), hot.tenants.get(job.namespace)) else { return false };
    let mut placed: BTreeSet<u32> = BTreeSet::new();
    let mut taken: BTreeMap<u32, (Resources, usize)> = BTreeMap::new();
    let (mut used, mut holding) = (tenant.used, tenant.holding);
    let mut fresh = job.fresh.clone();
    let mut siblings = Siblings::default();
    let mut known = None;
    if let Some(rules) = shape.rules.as_deref().filter(|_| shape.looks_at_siblings()) {
        known = Some((rules, siblings.of(&hot.workers, id, job, shape)));
    }
    for group in groups {
        let Some(worker) = hot.workers.get(&WorkerId(group.worker)) else { return false };
        if !worker.is_schedulable() || !shape.accepts(worker) || nearby.forbids(hot, id, WorkerId(group.worker)) {
            return false;
        }
        let here = taken.entry(group.worker).or_default();
        for index in &group.indexes {
            let past = if fresh.start == *index {
                fresh.next().map(|_| Waiting::default())
            } else {
                due(job, *index, clock_ms)
            };
            let Some(past) = past else { return false };
            let needs = raised(&shape.resources, past.memory_mib);
            if let Some((rules, whereabouts)) = &mut known {
                if whereabouts.forbid(rules, WorkerId(group.worker), worker).is_some() {
                    return false;
                }
                whereabouts.add(rules, WorkerId(group.worker), worker);
            }
            let fits = needs.fits(&worker.free().minus(&here.0))
                && worker.active.len() + here.1 < limits::WORKER_ATTEMPTS_MAX
                && !past.never().contains(&group.worker)
                && tenant.quota.room_for(&needs, holding, &used, 1) > 0
                && tenant.room_for_user(job.user, placed.len() as u32) > 0;
            if !fits || !placed.insert(*index) {
                return false;
            }
            *here = (here.0.plus(&needs), here.1 + 1);
            (used, holding) = (used.plus(&needs), holding.saturating_add(1));
        }
    }
    placed.len() == job.counts.queued as usize
}

/// What becomes of a task of a gang: what its fall says, once one has begun.
pub(super) fn next(fall: Option<&Fall>, attempt: &ActiveAttempt, own: Next) -> Next {
    match (fall, own) {
        // A success is honest, and a cancel is what its user wants.
        (_, Next::Ends(TaskState::Succeeded | TaskState::Cancelled)) | (None, _) => own,
        (Some(fall), Next::Ends(_) | Next::Waits(_)) => fate(fall, attempt),
    }
}

/// Somebody who was told to stop is told about by what the others did.
pub(super) fn reason(fall: Option<&Fall>, job: JobId, mut reason: EndReason) -> EndReason {
    if let Some(fall) = fall
        && reason.kind() == ReasonKind::Preempted
    {
        reason.detail = fall.why(job);
    }
    reason
}

/// An attempt of a gang has ended. The first that fails takes the others with it; with the last one the fall is over.
pub(super) fn follow(hot: &mut Hot, out: &mut Out, task: TaskId, reason: &EndReason, next: Next) {
    let Some(job) = hot.jobs.get(&task.job) else { return };
    if job.active.is_empty() {
        if hot.gangs.end_fall(task.job) && job.counts.queued > 0 {
            out.tasks_ready();
        }
        return;
    }
    let failed = !matches!(next, Next::Ends(TaskState::Succeeded | TaskState::Cancelled));
    if failed && hot.gangs.fall(task.job).is_none() {
        hot.gangs.begin_fall(task.job, fall_of(task, reason, next));
        for (index, attempt) in job.active.iter().filter(|(_, attempt)| attempt.state < AttemptState::Storing) {
            out.withdrawn(attempt.worker, AttemptId::new(task.job, *index, attempt.number));
        }
    }
}

/// The first attempt that ended, and what that means for its task.
fn fall_of(task: TaskId, reason: &EndReason, next: Next) -> Fall {
    let fall = Fall { by: task.index, reason: reason.kind, exit_code: reason.exit_code, ..Fall::default() };
    match next {
        Next::Ends(state) => Fall { state: state as i32, ..fall },
        Next::Waits(waiting) => Fall {
            state: TaskState::Queued as i32,
            not_before_ms: waiting.not_before_ms,
            attempts_used: waiting.attempts_used.into(),
            losses: waiting.losses.into(),
            ..fall
        },
    }
}

/// What becomes of another task of the gang, when its attempt ends.
fn fate(fall: &Fall, attempt: &ActiveAttempt) -> Next {
    if fall.state() != TaskState::Queued {
        return Next::Ends(fall.state());
    }
    Next::Waits(Waiting {
        not_before_ms: fall.not_before_ms,
        next_number: attempt.number.saturating_add(1),
        memory_mib: attempt.memory_mib,
        attempts_used: u16::try_from(fall.attempts_used).unwrap_or(u16::MAX).max(attempt.attempts_used),
        losses: u8::try_from(fall.losses).unwrap_or(u8::MAX).max(attempt.losses),
        ..Waiting::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(attempts_used: u16, losses: u8, memory_mib: u32) -> ActiveAttempt {
        ActiveAttempt {
            number: 3,
            worker: WorkerId(1),
            state: AttemptState::Running,
            assigned_index: 1,
            assigned_ms: 0,
            started_ms: 0,
            attempts_used,
            losses,
            memory_mib,
            released: false,
            preempted: false,
        }
    }

    #[test]
    fn budgets_are_spent_together() {
        let task = TaskId { job: JobId(1), index: 3 };
        let first = Waiting { not_before_ms: 70, attempts_used: 2, losses: 1, next_number: 4, ..Waiting::default() };
        let fall = fall_of(task, &EndReason::exit(3), Next::Waits(first));
        let told = |next| match next {
            Next::Waits(w) => (w.not_before_ms, w.next_number, w.attempts_used, w.losses, w.memory_mib),
            Next::Ends(state) => panic!("ends as {state:?}"),
        };
        assert_eq!(told(fate(&fall, &attempt(1, 0, 48))), (70, 4, 2, 1, 48), "what it was given it keeps");
        assert_eq!(told(fate(&fall, &attempt(1, 3, 0))), (70, 4, 2, 3, 0));
        assert!(fall.why(JobId(1)).contains("/3 of its gang ended first (exit_code 3)"), "{}", fall.why(JobId(1)));
        let over = fall_of(task, &EndReason::exit(3), Next::Ends(TaskState::Dead));
        assert_eq!(fate(&over, &attempt(0, 0, 0)), Next::Ends(TaskState::Dead));
    }

    #[test]
    fn a_success_and_a_cancel_are_nobodys_fate() {
        let task = TaskId { job: JobId(1), index: 0 };
        let fall = fall_of(task, &EndReason::exit(3), Next::Ends(TaskState::Failed));
        for honest in [TaskState::Succeeded, TaskState::Cancelled] {
            assert_eq!(next(Some(&fall), &attempt(0, 0, 0), Next::Ends(honest)), Next::Ends(honest));
        }
        let own = Next::Waits(Waiting::default());
        assert_eq!(next(Some(&fall), &attempt(0, 0, 0), own), Next::Ends(TaskState::Failed));
        assert_eq!(next(None, &attempt(0, 0, 0), own), own);
    }
}
