//! Jobs of a workflow that ended, and not well, run again. Comes in: which workflow, and from which of its jobs downwards. Goes out: those jobs
//! live again, with a new budget for each task that has not succeeded; who waits for somebody that lives is blocked. What has succeeded never
//! runs twice, what lives is left alone but for whom it waits, and so is who could never run (it waits for a failure that did not come).

use std::collections::BTreeSet;

use cloudai_types::workflow::Outcome;
use cloudai_types::{Condition, JobId, NamespaceId, TaskId, WorkflowId, limits};

use super::out::Out;
use super::release::{is_in_the_queue, release_what_is_open};
use super::submit_job::{alive_as_submitted, new_job};
use super::{cut, workflow_record};
use crate::bits::Bits;
use crate::command::RetryWorkflow;
use crate::hot::{Hot, Waiting};
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{
    AliveRow, Counts, Family, JobRow, JobSpecRow, TaskRow, TaskState, WaitsForRow, WorkflowNodesRow, alive_key,
    job_key, task_key, workflow_key,
};
use crate::workflows::Hold;

/// Again for the same: what lives already is left alone.
pub fn retry_workflow(hot: &mut Hot, out: &mut Out, command: RetryWorkflow) -> Result<Reply, Refusal> {
    let RetryWorkflow { namespace, workflow, from } = command;
    let (namespace, workflow) = (NamespaceId(namespace), WorkflowId(workflow));
    let nodes: Option<WorkflowNodesRow> = out.read(Family::WorkflowNodes, &workflow_key(namespace, workflow));
    let nodes = nodes.ok_or(Refusal::NoSuchWorkflow(workflow))?;
    let wanted = wanted(&nodes, &from)?;
    let candidates: Vec<Candidate> = nodes
        .nodes
        .iter()
        .enumerate()
        .filter(|(place, _)| wanted[*place])
        .filter_map(|(place, node)| candidate(hot, out, namespace, workflow, place, &node.waits_for))
        .collect();
    let looks: u64 = candidates.iter().map(|c| u64::from(c.looks())).sum();
    if looks > limits::WORKFLOW_RETRY_TASKS_MAX {
        return Err(Refusal::RetryTooLarge(looks));
    }
    if hot.jobs.len().saturating_add(candidates.len()) > limits::LIVE_JOBS_MAX {
        return Err(Refusal::TooMany(hot.jobs.len()));
    }
    // In the order of the workflow: each sees what became of those that it waits for.
    let (mut lives_again, mut tasks) = (BTreeSet::new(), 0);
    for candidate in candidates {
        let revived = revive(hot, out, namespace, &candidate);
        if revived > 0 {
            lives_again.insert(candidate.job);
        }
        tasks += u64::from(revived);
    }
    wait_again(hot, out, workflow, &nodes, &lives_again);
    let jobs = lives_again.len() as u32;
    Ok(Reply::WorkflowRetried { jobs, tasks })
}

/// Who has waited all the time for others as well, and not for these any more: they live again, and nobody runs before who it waits for.
fn wait_again(
    hot: &mut Hot,
    out: &mut Out,
    workflow: WorkflowId,
    nodes: &WorkflowNodesRow,
    lives_again: &BTreeSet<JobId>,
) {
    for (place, node) in nodes.nodes.iter().enumerate() {
        let child = WorkflowNodesRow::job(workflow, place);
        for edge in &node.waits_for {
            let parent = WorkflowNodesRow::job(workflow, edge.node as usize);
            let Some(gate) = hot.workflows.gate(child).filter(|gate| !gate.holds.contains_key(&parent)) else {
                continue;
            };
            if !lives_again.contains(&parent) {
                continue;
            }
            let count = hot.jobs.get(&child).map_or(0, |job| job.count);
            let met = edge.each.then(|| {
                let mut met = Bits::new(count);
                for index in 0..count {
                    // Decided already, or not among those that live again.
                    if !gate.holds_back(index) || hot.live_task_state(TaskId { job: parent, index }).is_none() {
                        met.set(index);
                    }
                }
                met
            });
            hot.workflows.hold(child, parent, Hold { on: edge.on(), met });
            out.hold_changed(child, parent);
        }
    }
}

/// The named one and whoever waits for it; without a name: all.
fn wanted(nodes: &WorkflowNodesRow, from: &str) -> Result<Vec<bool>, Refusal> {
    let mut wanted: Vec<bool> = nodes.nodes.iter().map(|node| from.is_empty() || node.name == from).collect();
    if !wanted.contains(&true) {
        return Err(Refusal::NoSuchNode(cut(from.to_owned())));
    }
    for (place, node) in nodes.nodes.iter().enumerate() {
        if node.waits_for.iter().any(|edge| wanted.get(edge.node as usize) == Some(&true)) {
            wanted[place] = true;
        }
    }
    Ok(wanted)
}

/// A job that has ended, and not well.
struct Candidate {
    job: JobId,
    row: JobRow,
    spec: JobSpecRow,
    /// Whom it waits for, and how.
    waits_for: Vec<(JobId, Condition, bool)>,
}

impl Candidate {
    /// Tasks whose rows say what became of them. The others never ran.
    fn looks(&self) -> u32 {
        if self.leaves_one_by_one() { self.spec.spec.count } else { self.row.next_fresh }
    }

    /// Its tasks have different pasts, or wait for different tasks.
    fn leaves_one_by_one(&self) -> bool {
        self.row.next_fresh > 0 || self.waits_for.iter().any(|(_, _, each)| *each)
    }
}

fn candidate(
    hot: &Hot,
    out: &Out,
    namespace: NamespaceId,
    workflow: WorkflowId,
    place: usize,
    waits_for: &[WaitsForRow],
) -> Option<Candidate> {
    let job = WorkflowNodesRow::job(workflow, place);
    let key = job_key(namespace, job);
    let row: JobRow = out.read(Family::Job, &key).filter(|_| !hot.jobs.contains_key(&job))?;
    if row.outcome() == Outcome::Succeeded {
        return None;
    }
    let spec: JobSpecRow = out.read(Family::JobSpec, &key)?;
    let edge = |edge: &WaitsForRow| (WorkflowNodesRow::job(workflow, edge.node as usize), edge.on(), edge.each);
    Some(Candidate { job, row, spec, waits_for: waits_for.iter().map(edge).collect() })
}

/// How a job stands that is waited for.
enum Standing {
    Lives,
    Ended(Outcome),
}

fn standing(hot: &Hot, out: &Out, namespace: NamespaceId, job: JobId) -> Standing {
    if hot.jobs.contains_key(&job) {
        return Standing::Lives;
    }
    let row: Option<JobRow> = out.read(Family::Job, &job_key(namespace, job));
    Standing::Ended(row.map_or(Outcome::Failed, |row| row.outcome()))
}

/// The same of one task.
fn standing_of_task(hot: &Hot, out: &Out, namespace: NamespaceId, task: TaskId) -> Standing {
    if hot.live_task_state(task).is_some() {
        return Standing::Lives;
    }
    let row: Option<TaskRow> = out.read(Family::Task, &task_key(namespace, task));
    let (succeeded, skipped) = row.map_or((false, false), |row| {
        (row.state == TaskState::Succeeded as i32, row.unmet.is_some_and(|unmet| unmet.skipped))
    });
    Standing::Ended(match (succeeded, skipped) {
        (true, _) => Outcome::Succeeded,
        (false, true) => Outcome::Skipped,
        (false, false) => Outcome::Failed,
    })
}

/// A task that runs again.
struct Revived {
    index: u32,
    /// Its row, if it has one.
    row: Option<TaskRow>,
    state: TaskState,
}

/// How many of its tasks live again; 0: it is left as it is.
fn revive(hot: &mut Hot, out: &mut Out, namespace: NamespaceId, candidate: &Candidate) -> u32 {
    let Candidate { job: id, row, spec, waits_for } = candidate;
    let (id, count) = (*id, spec.spec.count);
    let mut holds: Vec<(JobId, Hold)> = vec![];
    for (parent, on, each) in waits_for {
        match standing(hot, out, namespace, *parent) {
            Standing::Lives => holds.push((*parent, Hold { on: *on, met: each.then(|| Bits::new(count)) })),
            // Its tasks are asked one by one.
            Standing::Ended(_) if *each => {}
            Standing::Ended(outcome) if on.is_met(outcome) => {}
            Standing::Ended(_) => return 0,
        }
    }
    let one_by_one = candidate.leaves_one_by_one() && (!holds.is_empty() || waits_for.iter().any(|(.., each)| *each));
    let looks = if one_by_one { count } else { row.next_fresh };
    let mut revived = vec![];
    for index in 0..looks {
        if meets_each(hot, out, namespace, candidate, index, &mut holds) {
            revived.extend(worth_a_try(out, namespace, candidate, index));
        }
    }
    // Those that never ran and have no row: they are fresh again, or wait with all others.
    let untried = if one_by_one { 0 } else { count.saturating_sub(row.next_fresh) };
    let total = untried.saturating_add(revived.len() as u32);
    if total == 0 {
        return 0;
    }

    if one_by_one {
        let mut settled = Bits::new(count);
        let mut waits = revived.iter().map(|r| r.index).peekable();
        for index in 0..count {
            if waits.next_if_eq(&index).is_none() {
                settled.set(index);
            }
        }
        hot.workflows.settle_one_by_one(id, settled);
        out.gate_changed(id);
    }
    for (parent, hold) in holds {
        hot.workflows.hold(id, parent, hold);
        out.hold_changed(id, parent);
    }
    let alive = alive_as_submitted(hot, namespace, &spec.spec, spec.submitted_ms, None, &spec.actor);
    let alive = AliveRow { workflow: spec.workflow, ..alive };
    out.put(Family::Alive, &alive_key(id), &alive);
    let mut job = new_job(hot, id, alive);
    job.started_ms = row.started_ms;
    job.counts = counts(row, untried, &revived);
    let is_blocked = hot.workflows.gate(id).is_some();
    if !is_blocked {
        job.fresh.start = row.next_fresh.min(job.fresh.end);
        job.counts.queued = total;
        hot.backlog.moved(job.priority, job.shape, i64::from(untried), 0);
        if untried > 0 {
            hot.queue.insert(&job, job.shape, id);
        }
    }
    // Blocked ones as well.
    hot.tenants.waits(job.namespace, job.user, total.into());
    hot.jobs.insert(id, job);
    workflow_record::job_lives_again(hot, out, namespace, id, row);
    if let Some(member) = hot.workflows.member_mut(id) {
        (member.released_ms, member.unmet) = (0, None);
    }
    out.job_revived(id);
    out.news(News::of_job(namespace, id, What::Replayed { tasks: total }));
    if is_blocked {
        out.news(News::of_job(namespace, id, What::Blocked));
    }
    for task in revived {
        live_again(hot, out, namespace, TaskId { job: id, index: task.index }, task, is_blocked);
    }
    if is_blocked {
        release_what_is_open(hot, out, id);
    } else {
        is_in_the_queue(hot, out, id);
    }
    total
}

/// Index by index: false when this task can never run. What is met already is noted in the holds.
fn meets_each(
    hot: &Hot,
    out: &Out,
    namespace: NamespaceId,
    candidate: &Candidate,
    index: u32,
    holds: &mut [(JobId, Hold)],
) -> bool {
    for (parent, on, _) in candidate.waits_for.iter().filter(|(.., each)| *each) {
        match standing_of_task(hot, out, namespace, TaskId { job: *parent, index }) {
            Standing::Lives => {}
            Standing::Ended(outcome) if on.is_met(outcome) => {
                let met = holds.iter_mut().find(|(of, _)| of == parent).and_then(|(_, hold)| hold.met.as_mut());
                if let Some(met) = met {
                    met.set(index);
                }
            }
            Standing::Ended(_) => return false,
        }
    }
    true
}

/// `None`: it has succeeded, or had too many attempts.
fn worth_a_try(out: &Out, namespace: NamespaceId, candidate: &Candidate, index: u32) -> Option<Revived> {
    let key = task_key(namespace, TaskId { job: candidate.job, index });
    let row: Option<TaskRow> = out.read(Family::Task, &key);
    let state = match &row {
        Some(row) => row.state(),
        None if candidate.row.queue_expired_ms > 0 => TaskState::Failed,
        None => TaskState::Cancelled,
    };
    let attempts = row.as_ref().and_then(|row| row.attempts.last()).map_or(0, |attempt| attempt.number);
    match state {
        TaskState::Failed | TaskState::Cancelled | TaskState::Dead if attempts < limits::REPLAYED_ATTEMPTS_MAX => {
            Some(Revived { index, row, state })
        }
        TaskState::Failed | TaskState::Cancelled | TaskState::Dead => None,
        // The last three are no states of a job that has ended.
        TaskState::Succeeded | TaskState::Blocked | TaskState::Queued | TaskState::Active => None,
    }
}

/// Of the job as it ended, without those that live again.
fn counts(row: &JobRow, untried: u32, revived: &[Revived]) -> Counts {
    let mut counts = row.counts;
    let untried_were = if row.queue_expired_ms > 0 { &mut counts.failed } else { &mut counts.cancelled };
    *untried_were = untried_were.saturating_sub(untried);
    for task in revived {
        let were = match task.state {
            TaskState::Failed => &mut counts.failed,
            TaskState::Dead => &mut counts.dead,
            TaskState::Cancelled => &mut counts.cancelled,
            // Nobody else lives again.
            TaskState::Blocked | TaskState::Queued | TaskState::Active | TaskState::Succeeded => continue,
        };
        *were = were.saturating_sub(1);
    }
    counts
}

/// With a new budget; its attempts go on being counted (I3).
fn live_again(hot: &mut Hot, out: &mut Out, namespace: NamespaceId, task: TaskId, was: Revived, is_blocked: bool) {
    let key = task_key(namespace, task);
    let last = was.row.as_ref().and_then(|row| row.attempts.last()).map_or(0, |attempt| attempt.number);
    let next_number = last.saturating_add(1);
    if was.state == TaskState::Dead {
        out.delete(Family::Dead, &key);
    }
    if let Some(row) = was.row {
        let state = if is_blocked { TaskState::Blocked } else { TaskState::Queued } as i32;
        let budget_from = if last > 0 { next_number } else { row.budget_from };
        out.put(Family::Task, &key, &TaskRow { state, ended_ms: 0, budget_from, unmet: None, ..row });
    }
    if !is_blocked {
        let waiting = Waiting { not_before_ms: out.clock_ms, next_number, ..Waiting::default() };
        out.put(Family::Waiting, &key, &waiting.row());
        hot.add_waiting(task, waiting);
    }
}
