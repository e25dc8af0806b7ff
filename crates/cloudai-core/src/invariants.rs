//! What must hold after every entry, checked on the whole of hot state. For tests, the simulation and a debugging command: it
//! walks everything. Comes in: hot state. Goes out: what is wrong with it; nothing, if `apply` is right.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{Domain, JobId, NamespaceId, Resources, TaskId, WaitCause, limits};
use prost::Message;

use crate::backlog::Backlog;
use crate::command::AttemptState;
use crate::hot::{Hot, Job, ShapeId, Worker};
use crate::rows::{Family, JobNotesRow, RowScan, Rows, WaitNote, WorkerState};
use crate::users::UserId;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Violation {
    /// Its number in the crate's list.
    pub invariant: &'static str,
    pub what: String,
}

/// Every violation that can be seen in one state. I1, I2, I5, I6, I8 and I9 are about histories: tests watch them.
pub fn check(hot: &Hot) -> Vec<Violation> {
    let mut faults = vec![];
    for (id, job) in &hot.jobs {
        let tasks = if hot.only.contains_key(id) { 1 } else { job.count };
        let blocked = hot.workflows.blocked(*id, tasks);
        one_place_per_index(*id, job, tasks, blocked, &mut faults);
        attempts_have_their_worker(hot, *id, job, &mut faults);
    }
    for worker in hot.workers.values() {
        reservations_add_up(hot, worker, &mut faults);
        tasks_stay_apart(hot, worker, &mut faults);
        jobs_stay_apart(hot, worker, &mut faults);
    }
    labels_are_of_the_living(hot, &mut faults);
    queue_holds_the_ready(hot, &mut faults);
    delayed_is_what_waits_for_time(hot, &mut faults);
    shapes_are_counted(hot, &mut faults);
    the_backlog_is_counted(hot, &mut faults);
    names_lead_to_workers(hot, &mut faults);
    apart_is_what_asks_for_something_else(hot, &mut faults);
    budgets_are_not_exceeded(hot, &mut faults);
    secrets_are_counted(hot, &mut faults);
    tenants_hold_what_their_attempts_hold(hot, &mut faults);
    users_have_what_their_jobs_say(hot, &mut faults);
    queue_limits_are_of_fresh_tasks(hot, &mut faults);
    drains_wait_for_their_deadline(hot, &mut faults);
    gates_hold_who_waits_for_the_living(hot, &mut faults);
    gangs_run_together(hot, &mut faults);
    templates_and_schedules_are_counted(hot, &mut faults);
    faults
}

/// Of rows that hot state knows nothing of: what is noted of a job goes with it, and is bounded. Walks over all of them.
pub fn check_notes(rows: &(impl Rows + RowScan)) -> Vec<Violation> {
    let mut faults = vec![];
    let scanned = rows.scan(Family::JobNotes, &[], &mut |key, value| {
        let row = JobNotesRow::decode(value).unwrap_or_default();
        let is_known = |note: &WaitNote| WaitCause::try_from(note.cause).is_ok_and(|c| c != WaitCause::Unspecified);
        if rows.get(Family::Job, key).is_none() {
            fault(&mut faults, "notes", format!("{key:02x?}: is noted of, and there is no such job"));
        }
        if row == JobNotesRow::default() || !row.notes.iter().all(is_known) {
            fault(&mut faults, "notes", format!("{key:02x?}: {row:?} says nothing"));
        }
        if row.notes.len() > limits::NOTES_OF_JOB_MAX || !row.notes.is_sorted_by_key(|note| note.at_ms) {
            fault(&mut faults, "I10", format!("{key:02x?}: {row:?}"));
        }
        true
    });
    if let Err(error) = scanned {
        fault(&mut faults, "notes", format!("cannot be read: {error}"));
    }
    faults
}

type Faults = Vec<Violation>;

fn fault(faults: &mut Faults, invariant: &'static str, what: String) {
    faults.push(Violation { invariant, what });
}

/// I3: an index is fresh, waiting, active, blocked or ended, and the counts say so.
fn one_place_per_index(id: JobId, job: &Job, tasks: u32, blocked: u32, faults: &mut Faults) {
    let waiting: BTreeSet<u32> = job.waiting.iter().flat_map(|w| w.keys().copied()).collect();
    if job.waiting.is_some() && waiting.is_empty() {
        fault(faults, "I3", format!("{id}: an empty box of waiting indexes"));
    }
    for index in waiting.iter().chain(job.active.keys()) {
        if job.fresh.contains(index) || *index >= job.count {
            fault(faults, "I3", format!("{id}/{index}: is fresh or beyond the job, and placed"));
        }
    }
    if let Some(index) = waiting.iter().find(|i| job.active.contains_key(i)) {
        fault(faults, "I3", format!("{id}/{index}: waits and is active"));
    }
    let c = &job.counts;
    let queued = job.fresh.len() + waiting.len();
    if c.queued as usize != queued || c.active as usize != job.active.len() {
        let active = job.active.len();
        fault(faults, "I3", format!("{id}: {queued} queued and {active} active, counts say {c:?}"));
    }
    let ended = [c.succeeded, c.failed, c.cancelled, c.dead];
    let sum: u64 = ended.into_iter().chain([c.queued, c.active, blocked]).map(u64::from).sum();
    if sum != u64::from(tasks) || (c.queued, c.active, blocked) == (0, 0, 0) {
        fault(faults, "I3", format!("{id}: of {tasks} tasks, {blocked} are blocked, counts say {c:?}"));
    }
    if job.untouched && (queued != tasks as usize || job.started_ms > 0 || job.cancel_requested) {
        fault(faults, "I9", format!("{id}: is called untouched, and counts say {c:?}"));
    }
    if job.cancel_requested && (queued > 0 || blocked > 0) {
        fault(faults, "I3", format!("{id}: is cancelled and {queued} tasks wait"));
    }
    // What a workflow has released, or given up, may never have been placed.
    let waits_again = job.waiting.iter().flat_map(|w| w.values()).any(|past| past.next_number > 1);
    let started = !job.active.is_empty() || waits_again || u64::from(c.succeeded) + u64::from(c.dead) > 0;
    if started && job.started_ms == 0 {
        fault(faults, "I3", format!("{id}: has placed tasks and no start time"));
    }
}

/// I7, and both sides of an assignment agree.
fn attempts_have_their_worker(hot: &Hot, id: JobId, job: &Job, faults: &mut Faults) {
    for (index, attempt) in &job.active {
        let task = TaskId { job: id, index: *index };
        match hot.workers.get(&attempt.worker) {
            Some(w) if w.state == WorkerState::Ready && w.active.contains(&task) => {}
            Some(_) | None => fault(
                faults,
                "I7",
                format!("{task}: lives on {}, which is not ready or does not know it", attempt.worker),
            ),
        }
        match attempt.state {
            AttemptState::Exited | AttemptState::Lost => {
                fault(faults, "I2", format!("{task}: an ended attempt is live"))
            }
            AttemptState::Assigned
            | AttemptState::Preparing
            | AttemptState::Running
            | AttemptState::Stopping
            | AttemptState::Storing => {}
        }
        if attempt.number == 0 || attempt.assigned_index == 0 {
            fault(faults, "I3", format!("{task}: an attempt without a number or a fence"));
        }
    }
}

/// I4: `used` is the sum of what lives there. That it fitted is checked when it is placed: a worker may register with less.
fn reservations_add_up(hot: &Hot, worker: &Worker, faults: &mut Faults) {
    let mut sum = Resources::default();
    for task in &worker.active {
        let attempt = hot.jobs.get(&task.job).and_then(|job| Some((job, job.active.get(&task.index)?)));
        match attempt {
            Some((_, attempt)) if attempt.released => {
                if attempt.state < AttemptState::Storing {
                    fault(faults, "I4", format!("{task}: is {:?} and holds nothing", attempt.state));
                }
            }
            Some((job, attempt)) => sum = sum.plus(&hot.needs(job, attempt.memory_mib)),
            None => fault(faults, "I3", format!("{task}: is on {} and not active", worker.name)),
        }
    }
    if sum != worker.used {
        fault(faults, "I4", format!("{}: uses {sum}, its record says {}", worker.name, worker.used));
    }
}

/// I11: the tasks of a gang that have not ended all wait or all run, unless it falls; and it falls only while something of it runs.
fn gangs_run_together(hot: &Hot, faults: &mut Faults) {
    for (id, job) in &hot.jobs {
        let is_parted = job.counts.queued > 0 && job.counts.active > 0;
        if is_parted && hot.is_gang(*id) && hot.gangs.fall(*id).is_none() {
            fault(faults, "I11", format!("{id}: is a gang, and counts say {:?}", job.counts));
        }
    }
    for (id, _) in hot.gangs.falling() {
        if !hot.is_gang(id) || hot.jobs.get(&id).is_none_or(|job| job.active.is_empty()) {
            fault(faults, "I11", format!("{id}: falls, and nothing of it runs"));
        }
    }
}

/// Of a job whose tasks stay apart by worker, no two live on one. By a label nothing can be said afterwards: an operator may change it under
/// what runs.
fn tasks_stay_apart(hot: &Hot, worker: &Worker, faults: &mut Faults) {
    // In order of their job.
    let mut last = None;
    for task in &worker.active {
        let shape = hot.jobs.get(&task.job).and_then(|job| hot.shapes.get(job.shape));
        let rules = shape.and_then(|shape| shape.rules.as_deref());
        if rules.is_some_and(|rules| rules.apart == Some(Domain::Worker)) && last.replace(task.job) == Some(task.job) {
            fault(faults, "apart", format!("{}: two of its tasks are on {}", task.job, worker.name));
        }
    }
}

/// The same of jobs that stay apart from others by worker, whoever of both came first: labels of jobs do not change.
fn jobs_stay_apart(hot: &Hot, worker: &Worker, faults: &mut Faults) {
    let here: BTreeSet<JobId> = worker.active.iter().map(|task| task.job).collect();
    for (id, job) in here.iter().filter_map(|id| Some((*id, hot.jobs.get(id)?))) {
        let rules = hot.shapes.get(job.shape).and_then(|shape| shape.rules.as_deref());
        let by_worker =
            rules.into_iter().flat_map(|rules| &rules.apart_from).filter(|near| near.over == Domain::Worker);
        for near in by_worker {
            let is_meant = |other: &&JobId| {
                let is_ours = hot.jobs.get(other).is_some_and(|other| other.namespace == job.namespace);
                **other != id && is_ours && hot.job_labels.get(**other).is_some_and(|l| near.jobs.is_met_by(l))
            };
            if let Some(other) = here.iter().find(is_meant) {
                fault(faults, "apart_from", format!("{id} stays apart from {near}, and {other} is on {}", worker.name));
            }
        }
    }
}

/// Labels are of live jobs, and who has attempts is who is known to have some.
fn labels_are_of_the_living(hot: &Hot, faults: &mut Faults) {
    let (mut sets, mut placed, mut keepers) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for (id, labels) in hot.job_labels.iter() {
        *sets.entry(labels).or_default() += 1;
        match hot.jobs.get(&id) {
            None => fault(faults, "labels", format!("{id}: has labels, and is not alive")),
            Some(job) if !job.active.is_empty() => _ = placed.insert((job.namespace, id)),
            Some(_) => {}
        }
    }
    for (id, job) in hot.jobs.iter().filter(|(_, job)| !job.active.is_empty()) {
        if hot.shapes.get(job.shape).is_some_and(|shape| shape.keeps_others_away()) {
            keepers.insert((job.namespace, *id));
        }
    }
    if hot.job_labels.kept() != (sets, &placed, &keepers) {
        let known = hot.job_labels.kept();
        fault(faults, "labels", format!("{placed:?} are placed, {keepers:?} keep others away, known is {known:?}"));
    }
}

fn queue_holds_the_ready(hot: &Hot, faults: &mut Faults) {
    let mut queued = BTreeSet::new();
    for (namespace, levels) in hot.queue.namespaces() {
        for (priority, level) in levels.iter() {
            for (shape, line) in level.lines() {
                for (user, jobs) in line.users() {
                    queued.extend(jobs.iter().map(|id| (namespace, priority, shape, user, *id)));
                }
            }
        }
    }
    let place = |id: &JobId, job: &Job, shape| (job.namespace, job.priority, shape, job.user, *id);
    let ready = hot.jobs.iter().filter(|(_, job)| job.has_ready());
    let mut ready: BTreeSet<(NamespaceId, i16, ShapeId, UserId, JobId)> =
        ready.map(|(id, job)| place(id, job, job.shape)).collect();
    for (id, _, group) in hot.apart.iter().filter(|(_, _, group)| !group.ready.is_empty()) {
        ready.extend(hot.jobs.get(&id).map(|job| place(&id, job, group.shape)));
    }
    if let Some(odd) = ready.symmetric_difference(&queued).next() {
        fault(
            faults,
            "queue",
            format!("{}: is {}queued", odd.4, if queued.contains(odd) { "not ready and " } else { "ready and not " }),
        );
    }
}

fn delayed_is_what_waits_for_time(hot: &Hot, faults: &mut Faults) {
    let mut delayed = BTreeSet::new();
    for (id, job) in &hot.jobs {
        let before = delayed.len();
        for (index, w) in job.waiting.iter().flat_map(|w| w.iter()) {
            if w.not_before_ms > hot.clock_ms {
                delayed.insert((w.not_before_ms, *id, *index));
            }
        }
        if delayed.len() - before != job.delayed as usize {
            fault(faults, "delayed", format!("{id}: says {} delayed, has {}", job.delayed, delayed.len() - before));
        }
    }
    if delayed != hot.delayed {
        fault(faults, "delayed", format!("{:?} are delayed, the index says {:?}", delayed, hot.delayed));
    }
}

fn shapes_are_counted(hot: &Hot, faults: &mut Faults) {
    let mut users: BTreeMap<ShapeId, u32> = BTreeMap::new();
    for job in hot.jobs.values() {
        *users.entry(job.shape).or_default() += 1;
    }
    for (_, _, group) in hot.apart.iter().filter(|(_, memory_mib, _)| *memory_mib > 0) {
        *users.entry(group.shape).or_default() += 1;
    }
    let counted: BTreeMap<ShapeId, u32> = hot.shapes.by_id.iter().map(|(id, (_, n))| (*id, *n)).collect();
    let known: BTreeSet<ShapeId> = hot.shapes.by_shape.values().copied().collect();
    if users != counted || known != counted.keys().copied().collect() {
        fault(faults, "shapes", format!("jobs use {users:?}, counted are {counted:?}"));
    }
    let near = hot.shapes.by_shape.keys().filter(|shape| shape.looks_at_others()).count();
    if near != hot.shapes.near {
        fault(faults, "shapes", format!("{near} have rules about other jobs, counted are {}", hot.shapes.near));
    }
}

fn the_backlog_is_counted(hot: &Hot, faults: &mut Faults) {
    let mut counted = Backlog::default();
    for job in hot.jobs.values() {
        counted.moved(job.priority, job.shape, i64::from(job.counts.queued), i64::from(job.counts.active));
    }
    for (id, _, group) in hot.apart.iter() {
        let Some(job) = hot.jobs.get(&id) else { continue };
        counted.moved(job.priority, job.shape, -i64::from(group.waiting), 0);
        counted.moved(job.priority, group.shape, i64::from(group.waiting), 0);
    }
    if counted != hot.backlog {
        fault(faults, "backlog", format!("jobs have {counted:?}, kept is {:?}", hot.backlog));
    }
}

fn names_lead_to_workers(hot: &Hot, faults: &mut Faults) {
    let names: BTreeMap<_, _> = hot.workers.iter().map(|(id, w)| (w.name.clone(), *id)).collect();
    if names != hot.worker_names || names.len() != hot.workers.len() {
        fault(faults, "names", format!("workers are {names:?}, the index says {:?}", hot.worker_names));
    }
}

/// Groups, their shapes and what is ready of them follow from the jobs.
fn apart_is_what_asks_for_something_else(hot: &Hot, faults: &mut Faults) {
    let mut wanted: BTreeMap<(JobId, u32), (u32, BTreeSet<u32>)> = BTreeMap::new();
    for (id, job) in &hot.jobs {
        let mut ready = 0;
        for (index, past) in job.waiting.iter().flat_map(|w| w.iter()).filter(|(_, past)| past.is_apart()) {
            let group = wanted.entry((*id, past.memory_mib)).or_default();
            group.0 += 1;
            if past.not_before_ms <= hot.clock_ms {
                group.1.insert(*index);
                ready += 1;
            }
        }
        if ready != job.apart_ready {
            fault(faults, "apart", format!("{id}: says {} ready apart, has {ready}", job.apart_ready));
        }
    }
    let kept: BTreeMap<(JobId, u32), (u32, BTreeSet<u32>)> =
        hot.apart.iter().map(|(id, mib, group)| ((id, mib), (group.waiting, group.ready.clone()))).collect();
    if kept != wanted {
        fault(faults, "apart", format!("jobs have {wanted:?}, kept is {kept:?}"));
    }
    for (id, memory_mib, group) in hot.apart.iter() {
        let asks = hot.jobs.get(&id).map(|job| hot.needs(job, memory_mib));
        let kept = hot.shapes.get(group.shape).map(|shape| shape.resources);
        if asks != kept {
            fault(faults, "apart", format!("{id}: {asks:?} are asked for, its shape says {kept:?}"));
        }
    }
}

/// Each namespace is a tenant, and holds the sum of what its attempts hold. That this was within its quota is checked at each placement: a
/// quota may be lowered under what runs.
fn tenants_hold_what_their_attempts_hold(hot: &Hot, faults: &mut Faults) {
    let mut held: BTreeMap<NamespaceId, (u32, Resources)> = BTreeMap::new();
    for job in hot.jobs.values() {
        let sum = held.entry(job.namespace).or_default();
        for attempt in job.active.values().filter(|attempt| !attempt.released) {
            *sum = (sum.0 + 1, sum.1.plus(&hot.needs(job, attempt.memory_mib)));
        }
    }
    let named: BTreeSet<(&str, NamespaceId)> = hot.namespaces.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    let known: BTreeSet<(&str, NamespaceId)> =
        hot.tenants.iter().map(|(id, tenant)| (tenant.name.as_str(), id)).collect();
    if named != known || held.keys().any(|id| hot.tenants.get(*id).is_none()) {
        fault(faults, "tenants", format!("namespaces are {named:?}, tenants {known:?}, and {held:?} hold something"));
    }
    for (id, tenant) in hot.tenants.iter() {
        let (attempts, sum) = held.get(&id).copied().unwrap_or_default();
        if (tenant.holding, tenant.used) != (attempts, sum) {
            let (holding, used) = (tenant.holding, tenant.used);
            fault(faults, "tenants", format!("{}: {attempts} hold {sum}, kept is {holding} and {used}", tenant.name));
        }
    }
}

/// What waits of a namespace, and what each of its users has, is the sum over its jobs; a user is known while a job of it lives.
fn users_have_what_their_jobs_say(hot: &Hot, faults: &mut Faults) {
    let mut waiting: BTreeMap<NamespaceId, u64> = BTreeMap::new();
    // (jobs, tasks that wait, attempts that hold something)
    let mut users: BTreeMap<(NamespaceId, UserId), (u32, u64, u32)> = BTreeMap::new();
    for (id, job) in &hot.jobs {
        let tasks = if hot.only.contains_key(id) { 1 } else { job.count };
        let waits = u64::from(job.counts.queued) + u64::from(hot.workflows.blocked(*id, tasks));
        *waiting.entry(job.namespace).or_default() += waits;
        if job.user != UserId::NOBODY {
            let holding = job.active.values().filter(|attempt| !attempt.released).count() as u32;
            let user = users.entry((job.namespace, job.user)).or_default();
            *user = (user.0 + 1, user.1 + waits, user.2 + holding);
        }
    }
    for (id, tenant) in hot.tenants.iter() {
        let sum = waiting.get(&id).copied().unwrap_or_default();
        if sum != tenant.waiting {
            fault(faults, "users", format!("{}: {sum} tasks wait, kept is {}", tenant.name, tenant.waiting));
        }
        let kept = tenant.users.iter().filter_map(|user| Some((tenant.users.named(&user.name)?.0, user)));
        let kept: BTreeMap<UserId, (u32, u64, u32)> =
            kept.map(|(user, counts)| (user, (counts.jobs, counts.waiting, counts.holding))).collect();
        let of_jobs =
            users.range((id, UserId::NOBODY)..=(id, UserId(u32::MAX))).map(|((_, user), counts)| (*user, *counts));
        let of_jobs: BTreeMap<UserId, (u32, u64, u32)> = of_jobs.collect();
        if kept != of_jobs || kept.len() != tenant.users.len() {
            fault(faults, "users", format!("{}: jobs say {of_jobs:?}, kept is {kept:?}", tenant.name));
        }
    }
}

/// Within what a namespace may hold. That the counts are those of the rows, I9 says.
fn secrets_are_counted(hot: &Hot, faults: &mut Faults) {
    let known: BTreeSet<NamespaceId> = hot.namespaces.values().copied().collect();
    for (namespace, held) in &hot.secrets {
        if !(1..=limits::SECRETS_OF_NAMESPACE_MAX).contains(held) || !known.contains(namespace) {
            fault(faults, "I10", format!("{namespace:?}: is said to have {held} secrets"));
        }
    }
}

/// Within what a namespace may have, and each schedule's time stands in the index.
fn templates_and_schedules_are_counted(hot: &Hot, faults: &mut Faults) {
    let known: BTreeSet<NamespaceId> = hot.namespaces.values().copied().collect();
    for (namespace, held) in &hot.templates {
        if !(1..=limits::TEMPLATES_OF_NAMESPACE_MAX).contains(held) || !known.contains(namespace) {
            fault(faults, "I10", format!("{namespace:?}: is said to have {held} templates"));
        }
    }
    for namespace in hot.schedules.iter().map(|(namespace, ..)| namespace).collect::<BTreeSet<_>>() {
        let held = hot.schedules.len_of(namespace);
        if held > limits::SCHEDULES_OF_NAMESPACE_MAX as usize || !known.contains(&namespace) {
            fault(faults, "I10", format!("{namespace:?}: is said to have {held} schedules"));
        }
    }
    if !hot.schedules.is_consistent() {
        fault(faults, "schedules", format!("{:?}", hot.schedules));
    }
}

/// Who may still wait for too long is exactly who has a queue time-out and a task that was never placed.
fn queue_limits_are_of_fresh_tasks(hot: &Hot, faults: &mut Faults) {
    let mut due = 0;
    for (id, limit) in hot.queue_limits.iter() {
        let Some(job) = hot.jobs.get(&id) else {
            fault(faults, "queue limit", format!("{id}: has a queue time-out, and is not alive"));
            continue;
        };
        due += usize::from(hot.queue_limits.is_due(id));
        if hot.queue_limits.is_due(id) == job.fresh.is_empty() {
            fault(faults, "queue limit", format!("{id}: has the fresh tasks {:?}, and {limit:?}", job.fresh));
        }
        let released_ms = hot.workflows.member(id).map_or(0, |member| member.released_ms);
        let from_ms = if released_ms > 0 { released_ms } else { job.submitted_ms };
        let is_held = released_ms == 0 && hot.workflows.gate(id).is_some();
        let due_ms = if is_held { 0 } else { from_ms.saturating_add(limit.timeout_ms) };
        if limit.timeout_ms == 0 || limit.due_ms != due_ms {
            fault(faults, "queue limit", format!("{id}: waits since {from_ms}, and {limit:?}"));
        }
        if limit.expired_ms > 0 && (limit.expired_ms < limit.due_ms || !job.fresh.is_empty()) {
            fault(faults, "queue limit", format!("{id}: {limit:?} has expired, and {:?} are fresh", job.fresh));
        }
    }
    if due != hot.queue_limits.due_len() {
        fault(
            faults,
            "queue limit",
            format!("{due} jobs may wait for too long, {} are due", hot.queue_limits.due_len()),
        );
    }
}

fn drains_wait_for_their_deadline(hot: &Hot, faults: &mut Faults) {
    let wanted: BTreeSet<_> =
        hot.workers.iter().filter_map(|(id, worker)| Some((worker.evicts_at_ms()?, *id))).collect();
    if wanted != hot.drains {
        fault(faults, "drains", format!("workers drain until {wanted:?}, the index says {:?}", hot.drains));
    }
    for worker in hot.workers.values().filter(|w| w.evicting || w.drain_deadline_ms > 0) {
        if !worker.draining || worker.drain_deadline_ms == 0 {
            fault(faults, "drains", format!("{}: has a deadline or is evicted, and does not drain", worker.name));
        }
    }
}

/// Each hold is of a job that lives and has somebody blocked, and is for one that has not ended; each gate is needed.
fn gates_hold_who_waits_for_the_living(hot: &Hot, faults: &mut Faults) {
    let mut holds = 0;
    for (id, gate) in hot.workflows.gates() {
        let Some(job) = hot.jobs.get(&id).filter(|_| hot.workflows.member(id).is_some()) else {
            fault(faults, "gate", format!("{id}: waits for others, and is no live job of a workflow"));
            continue;
        };
        if gate.holds.is_empty() || gate.blocked(job.count) == 0 {
            fault(faults, "gate", format!("{id}: has a gate that holds nothing back: {gate:?}"));
        }
        if gate.settled.is_none() && (!job.fresh.is_empty() || job.waiting_len() > 0 || !job.active.is_empty()) {
            fault(faults, "gate", format!("{id}: has tasks that were released, and waits as a whole"));
        }
        if gate.settled.as_ref().is_some_and(|settled| settled.len() != job.count) {
            fault(faults, "gate", format!("{id}: has {} tasks, and {gate:?}", job.count));
        }
        for (waits_for, hold) in &gate.holds {
            holds += 1;
            if !hot.jobs.contains_key(waits_for) || !hot.workflows.dependents(*waits_for).any(|child| child == id) {
                fault(faults, "gate", format!("{id}: waits for {waits_for}, which is not alive or does not know it"));
            }
            if hold.met.as_ref().is_some_and(|met| met.len() != job.count || gate.settled.is_none()) {
                fault(faults, "gate", format!("{id}: waits for {waits_for} index by index: {hold:?}"));
            }
        }
        for index in (0..job.count.min(1_000)).filter(|index| gate.holds_back(*index)) {
            if gate.is_open_for(index) || job.active.contains_key(&index) {
                fault(faults, "gate", format!("{id}/{index}: is held back by nothing, or runs"));
            }
        }
    }
    if holds != hot.workflows.dependents_len() {
        let known = hot.workflows.dependents_len();
        fault(faults, "gate", format!("there are {holds} holds, and {known} are known to those that are waited for"));
    }
    if let Some((id, _)) = hot.workflows.members().find(|(id, _)| !hot.jobs.contains_key(id)) {
        fault(faults, "gate", format!("{id}: is called a live job of a workflow"));
    }
}

/// Nothing that waits or lives has spent its budget, and nothing was given more than its rules allow.
fn budgets_are_not_exceeded(hot: &Hot, faults: &mut Faults) {
    for (id, job) in &hot.jobs {
        let rules = hot.retry.get(id);
        let own = hot.needs(job, 0).memory_bytes;
        let waiting = job.waiting.iter().flat_map(|w| w.iter());
        let waiting = waiting.map(|(i, w)| (*i, u32::from(w.attempts_used), u32::from(w.losses), w.memory_mib));
        let active =
            job.active.iter().map(|(i, a)| (*i, u32::from(a.attempts_used), u32::from(a.losses), a.memory_mib));
        for (index, used, losses, memory_mib) in waiting.chain(active) {
            if used >= u32::from(job.max_attempts) || losses >= limits::LOSSES_MAX {
                fault(faults, "budget", format!("{id}/{index}: {used} attempts and {losses} losses, and not dead"));
            }
            let bytes = u64::from(memory_mib) << 20;
            let most = rules.map_or(0, |rules| rules.memory_max_bytes);
            if memory_mib > 0 && (bytes <= own || bytes > most) {
                fault(faults, "budget", format!("{id}/{index}: was given {bytes} bytes, of {own} to {most}"));
            }
        }
    }
    let of_few = hot.retry.keys().chain(hot.only.keys()).chain(hot.time_limits.keys());
    if let Some(id) = of_few.into_iter().find(|id| !hot.jobs.contains_key(id)) {
        fault(faults, "retry", format!("{id}: has rules, an only index or a time limit, and is not alive"));
    }
}
