//! The scheduler's placements, checked against the exact state: check and change are one step, so that a plan made on an
//! older state can never over-commit a worker (I4), start a task twice (I3), send one where its rules forbid, beside its siblings or near
//! jobs that it or they stay apart from, or give a namespace or one of its users more than its quota. Refused ones only count:
//! the next pass sees why.

use std::collections::BTreeSet;

use cloudai_types::{AttemptId, JobId, TaskId, WorkerId, limits};

use super::gang;
use super::out::Out;
use crate::command::{AttemptState, PlaceGroup, PlaceTasks};
use crate::hot::{ActiveAttempt, Hot, Job, Waiting, raised};
use crate::nearby::Nearby;
use crate::reply::Reply;
use crate::rows::{Family, task_key};
use crate::whereabouts::Siblings;

pub fn place_tasks(hot: &mut Hot, out: &mut Out, command: PlaceTasks) -> Reply {
    let (mut accepted, mut refused) = (0u32, 0u32);
    let (mut siblings, mut nearby) = (Siblings::default(), Nearby::default());
    let mut gangs = BTreeSet::new();
    for (at, group) in command.groups.iter().enumerate() {
        let id = JobId(group.job);
        let is_gang = hot.is_gang(id);
        if is_gang && !gangs.insert(id) {
            continue;
        }
        // All of a gang at its first group: nobody else takes its room before it is whole.
        let more = if is_gang { command.groups.len() - at } else { 1 };
        let groups: Vec<&PlaceGroup> =
            command.groups.iter().skip(at).take(more).filter(|g| g.job == group.job).collect();
        let asked: usize = groups.iter().map(|group| group.indexes.len()).sum();
        let placed = if !is_gang || gang::may_start(hot, out.clock_ms, id, &groups, &mut nearby) {
            groups.into_iter().map(|group| place_group(hot, out, (&mut siblings, &mut nearby), group)).sum()
        } else {
            0
        };
        accepted = accepted.saturating_add(placed);
        refused = refused.saturating_add((asked as u32).saturating_sub(placed));
    }
    Reply::Placed { accepted, refused }
}

/// How many of the group were accepted. `siblings`, `nearby`: of jobs whose rules ask for them, as far as this command has come to them.
fn place_group(
    hot: &mut Hot,
    out: &mut Out,
    (siblings, nearby): (&mut Siblings, &mut Nearby),
    group: &PlaceGroup,
) -> u32 {
    let (id, worker_id) = (JobId(group.job), WorkerId(group.worker));
    // Other jobs' tasks stay where they are while these are placed.
    if nearby.forbids(hot, id, worker_id) {
        return 0;
    }
    let remembering_ms = hot.remembering_ms();
    let Some(job) = hot.jobs.get_mut(&id) else { return 0 };
    let Some(shape) = hot.shapes.get(job.shape) else { return 0 };
    let (asked, is_keeper) = (shape.resources, shape.keeps_others_away());
    let particular = Some(shape).filter(|shape| shape.looks_at_siblings()).cloned();
    let mut known = None;
    if let Some(shape) = &particular
        && let Some(rules) = shape.rules.as_deref()
    {
        known = Some((rules, siblings.of(&hot.workers, id, job, shape)));
    }
    let Some(worker) = hot.workers.get_mut(&worker_id) else { return 0 };
    let Some(tenant) = hot.tenants.get_mut(job.namespace) else { return 0 };
    if job.cancel_requested || !worker.is_schedulable() || !shape.accepts(worker) {
        return 0;
    }
    // `alike`: of them, those that ask for what their siblings do.
    let (mut accepted, mut alike) = (0, 0);
    for &index in &group.indexes {
        if worker.active.len() >= limits::WORKER_ATTEMPTS_MAX {
            break;
        }
        let Some(ready) = ready(job, index, out.clock_ms) else { continue };
        let past = ready.past();
        let needs = raised(&asked, past.memory_mib);
        if past.never().contains(&worker_id.0) || !needs.fits(&worker.free()) {
            continue;
        }
        if tenant.quota.room_for(&needs, tenant.holding, &tenant.used, 1) == 0 || tenant.room_for_user(job.user, 0) == 0
        {
            continue;
        }
        if let Some((rules, whereabouts)) = &mut known {
            if whereabouts.forbid(rules, worker_id, worker).is_some() {
                break;
            }
            whereabouts.add(rules, worker_id, worker);
        }
        let attempt = ActiveAttempt {
            number: past.next_number,
            worker: worker_id,
            state: AttemptState::Assigned,
            assigned_index: out.index,
            assigned_ms: out.clock_ms,
            started_ms: 0,
            attempts_used: past.attempts_used,
            losses: past.losses,
            memory_mib: past.memory_mib,
            released: false,
            preempted: false,
        };
        let task = TaskId { job: id, index };
        let key = task_key(job.namespace, task);
        out.put(Family::Attempt, &key, &attempt.row());
        match ready {
            Ready::Fresh => {
                job.fresh.start += 1;
                alike += 1;
            }
            Ready::Waiting(past) => {
                job.take_waiting(index);
                out.delete(Family::Waiting, &key);
                if past.is_apart() {
                    job.apart_ready = job.apart_ready.saturating_sub(1);
                    let shape = hot.apart.remove(&mut hot.shapes, task, past.memory_mib).unwrap_or(job.shape);
                    hot.backlog.moved(job.priority, shape, -1, 0);
                    hot.backlog.moved(job.priority, job.shape, 0, 1);
                    if past.memory_mib > 0 && !hot.apart.is_ready(id, past.memory_mib) {
                        hot.queue.remove(job, shape, id);
                    }
                } else {
                    alike += 1;
                }
            }
        }
        job.active.insert(index, attempt);
        worker.active.insert(task);
        worker.used = worker.used.plus(&needs);
        tenant.take(job.user, &needs, remembering_ms);
        out.assigned(job.namespace, worker_id, AttemptId { task, number: attempt.number });
        accepted += 1;
    }
    if accepted > 0 {
        hot.backlog.moved(job.priority, job.shape, -alike, alike);
        hot.tenants.waits(job.namespace, job.user, -i64::from(accepted));
        job.counts.queued = job.counts.queued.saturating_sub(accepted);
        job.counts.active = job.counts.active.saturating_add(accepted);
        if job.started_ms == 0 {
            // Zero means "not yet", also for a leader whose clock stands at the epoch.
            job.started_ms = out.clock_ms.max(1);
        }
        if job.fresh.is_empty() {
            hot.queue_limits.settle(id);
        }
        if !job.has_ready() && !hot.apart.is_ready(id, 0) {
            hot.queue.remove(job, job.shape, id);
        }
        hot.job_labels.begin(job.namespace, id, is_keeper);
        out.job_changed(id);
        out.tenant_changed(job.namespace);
        nearby.add(hot, id, worker_id);
    }
    accepted
}

/// An index that may be placed now.
#[derive(Clone, Copy)]
enum Ready {
    /// For the first time.
    Fresh,
    Waiting(Waiting),
}

impl Ready {
    /// What it brings along from earlier attempts.
    fn past(self) -> Waiting {
        match self {
            Ready::Fresh => Waiting { next_number: 1, ..Waiting::default() },
            Ready::Waiting(past) => past,
        }
    }
}

/// Fresh ones go in order, from the front of their range.
fn ready(job: &Job, index: u32, clock_ms: u64) -> Option<Ready> {
    if !job.fresh.is_empty() && index == job.fresh.start {
        return Some(Ready::Fresh);
    }
    due(job, index, clock_ms).map(Ready::Waiting)
}

/// One with a past whose time has come.
pub(super) fn due(job: &Job, index: u32, clock_ms: u64) -> Option<Waiting> {
    let past = job.waiting.as_ref()?.get(&index)?;
    (past.not_before_ms <= clock_ms).then_some(*past)
}
