//! F1: no task of a workflow starts before what it waits for has come; each succeeds once at most; and at the end everybody has run whose dependencies
//! were met, and nobody else.
//!
//! A dependency counts as met from the entry on in which it was, until its own job lives again after a retry: who has been released stays so.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::command::AttemptState;
use cloudai_core::rows::{AttemptRow, EndedAttempt, Family, JobRow, TaskRow, TaskState, WorkflowNodesRow};
use cloudai_types::workflow::Outcome;
use cloudai_types::{Condition, JobId, TaskId, WorkflowId};

use super::{Invariant, Verdict, View};
use crate::history::Entry;

#[derive(Default)]
pub struct Gates {
    nodes: BTreeMap<JobId, Vec<Edge>>,
    jobs: BTreeMap<JobId, JobRow>,
    tasks: BTreeMap<TaskId, TaskRow>,
    /// (who waits, for whom): met as a whole.
    met: BTreeSet<(JobId, JobId)>,
    /// The same of tasks, index by index.
    met_each: BTreeSet<(TaskId, JobId)>,
    /// Of each task, the newest attempt that was judged.
    judged: BTreeMap<TaskId, u32>,
    /// Jobs of workflows of which something was tried again.
    retried: BTreeSet<WorkflowId>,
    workflow_of: BTreeMap<JobId, WorkflowId>,
}

#[derive(Clone, Copy)]
struct Edge {
    parent: JobId,
    on: Condition,
    each: bool,
}

impl Invariant for Gates {
    fn name(&self) -> &'static str {
        "F1"
    }

    fn on_entry(&mut self, entry: &Entry) -> Verdict {
        for (_, id, row) in entry.job_rows::<WorkflowNodesRow>(Family::WorkflowNodes) {
            self.learn(WorkflowId(id), &row);
        }
        let mut touched = BTreeSet::new();
        for (_, id, row) in entry.job_rows::<JobRow>(Family::Job) {
            let Some(workflow) = self.workflow_of.get(&JobId(id)).copied() else { continue };
            touched.insert(workflow);
            let before = self.jobs.insert(JobId(id), row);
            if before.is_some_and(|before| before.ended_ms > 0) {
                self.retried.insert(workflow);
                self.met.retain(|(child, _)| *child != JobId(id));
                self.met_each.retain(|(child, _)| child.job != JobId(id));
            }
        }
        for (_, task, row) in entry.tasks() {
            let Some(workflow) = self.workflow_of.get(&task.job) else { continue };
            touched.insert(*workflow);
            let succeeded = row.attempts.iter().filter(|ended| is_success(ended)).count();
            if succeeded > 1 {
                return Err(format!("{task} has succeeded {succeeded} times"));
            }
            self.tasks.insert(task, row);
        }
        for workflow in touched {
            self.note_met(workflow);
        }
        for (_, task, row) in entry.task_rows::<AttemptRow>(Family::Attempt) {
            let (Some(row), Some(edges)) = (row, self.nodes.get(&task.job)) else { continue };
            if self.judged.insert(task, row.number) == Some(row.number) {
                continue;
            }
            if let Some(edge) = edges.iter().find(|edge| !self.is_met(task, edge)) {
                let (number, on) = (row.number, edge.on.name());
                let as_a_whole = if edge.each { ", index by index" } else { "" };
                return Err(format!("{task}.{number} was placed before the {on} of {}{as_a_whole}", edge.parent));
            }
        }
        Ok(())
    }

    fn at_end(&mut self, _: &View) -> Verdict {
        self.nodes.iter().try_for_each(|(id, edges)| self.ran_if_it_had_to(*id, edges))
    }
}

/// Said here once more, so that no mistake of the product's is shared.
fn is_met(on: Condition, outcome: Outcome) -> bool {
    match on {
        Condition::Completion => true,
        Condition::Success => outcome == Outcome::Succeeded,
        Condition::Failure => outcome == Outcome::Failed,
    }
}

fn is_success(ended: &EndedAttempt) -> bool {
    ended.state == AttemptState::Exited as i32 && ended.reason.is_success()
}

impl Gates {
    fn learn(&mut self, workflow: WorkflowId, row: &WorkflowNodesRow) {
        for (place, node) in row.nodes.iter().enumerate() {
            let job = WorkflowNodesRow::job(workflow, place);
            let parent = |node: u32| WorkflowNodesRow::job(workflow, node as usize);
            let edges = node.waits_for.iter().map(|e| Edge { parent: parent(e.node), on: e.on(), each: e.each });
            self.nodes.insert(job, edges.collect());
            self.workflow_of.insert(job, workflow);
        }
    }

    /// `None`: it lives.
    fn outcome(&self, job: JobId) -> Option<Outcome> {
        self.jobs.get(&job).filter(|row| row.ended_ms > 0).map(JobRow::outcome)
    }

    /// The same of a task. One without a row has never run, and shares what became of its job.
    fn task_outcome(&self, task: TaskId) -> Option<Outcome> {
        let of_job = || self.outcome(task.job).map(|o| if o == Outcome::Skipped { o } else { Outcome::Failed });
        let Some(row) = self.tasks.get(&task) else { return of_job() };
        match row.state() {
            TaskState::Succeeded => Some(Outcome::Succeeded),
            TaskState::Failed | TaskState::Dead => Some(Outcome::Failed),
            TaskState::Cancelled if row.unmet.is_some_and(|unmet| unmet.skipped) => Some(Outcome::Skipped),
            TaskState::Cancelled => Some(Outcome::Failed),
            TaskState::Blocked | TaskState::Queued | TaskState::Active => None,
        }
    }

    fn note_met(&mut self, workflow: WorkflowId) {
        let children: Vec<JobId> = self
            .workflow_of
            .range(JobId(workflow.0)..)
            .take_while(|(_, of)| **of == workflow)
            .map(|(id, _)| *id)
            .collect();
        for child in children {
            for edge in self.nodes.get(&child).cloned().unwrap_or_default() {
                if !edge.each {
                    if self.outcome(edge.parent).is_some_and(|outcome| is_met(edge.on, outcome)) {
                        self.met.insert((child, edge.parent));
                    }
                    continue;
                }
                for index in 0..self.count(edge.parent) {
                    let outcome = self.task_outcome(TaskId { job: edge.parent, index });
                    if outcome.is_some_and(|outcome| is_met(edge.on, outcome)) {
                        self.met_each.insert((TaskId { job: child, index }, edge.parent));
                    }
                }
            }
        }
    }

    fn is_met(&self, task: TaskId, edge: &Edge) -> bool {
        if edge.each {
            self.met_each.contains(&(task, edge.parent))
        } else {
            self.met.contains(&(task.job, edge.parent))
        }
    }

    fn count(&self, job: JobId) -> u32 {
        let sum = |row: &JobRow| {
            let c = &row.counts;
            c.queued + c.active + c.succeeded + c.failed + c.cancelled + c.dead + row.blocked
        };
        self.jobs.get(&job).map_or(0, sum)
    }

    /// What has become of it follows from what has become of those that it waited for.
    fn ran_if_it_had_to(&self, id: JobId, edges: &[Edge]) -> Verdict {
        let Some(row) = self.jobs.get(&id).filter(|row| row.ended_ms > 0) else {
            return Err(format!("{id} of a workflow has not ended"));
        };
        if row.cancel_requested {
            return Ok(());
        }
        let is_retried = self.workflow_of.get(&id).is_some_and(|workflow| self.retried.contains(workflow));
        for index in 0..self.count(id) {
            let task = TaskId { job: id, index };
            let unmet = edges.iter().find(|edge| {
                let outcome = if edge.each {
                    self.task_outcome(TaskId { job: edge.parent, index })
                } else {
                    self.outcome(edge.parent)
                };
                !outcome.is_some_and(|outcome| is_met(edge.on, outcome))
            });
            let has_run = self.tasks.get(&task).is_some_and(|row| !row.attempts.is_empty());
            match unmet {
                None if !has_run => {
                    return Err(format!("{task}: all that it waits for has come, and it never ran: {row:?}"));
                }
                // What cleans up after a failure may have run before the retry that made it good.
                Some(edge) if has_run && !(is_retried && edge.on == Condition::Failure) => {
                    return Err(format!("{task} has run, and waited for the {} of {}", edge.on.name(), edge.parent));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cloudai_core::rows::{Counts, WaitsForRow, WorkflowNodeRow, Write, job_key, task_key, workflow_key};
    use cloudai_types::EndReason;

    use super::super::told::{NS, attempt, judge, only_the_last_is_wrong, put, task};
    use super::*;

    /// Job 1, and job 2 that waits for it.
    fn workflow(on: Condition) -> Vec<Write> {
        let waits_for = vec![WaitsForRow { node: 0, on: on as i32, each: false }];
        let nodes = vec![WorkflowNodeRow::default(), WorkflowNodeRow { waits_for, ..WorkflowNodeRow::default() }];
        vec![
            job(1, Counts { queued: 1, ..Counts::default() }),
            job(2, Counts::default()),
            put(Family::WorkflowNodes, &workflow_key(NS, WorkflowId(1)), &WorkflowNodesRow { nodes }),
        ]
    }

    /// It has ended when nothing of it waits.
    fn job(id: u64, counts: Counts) -> Write {
        use cloudai_core::rows::JobState::{Blocked, Failed, Queued, Succeeded};
        let (state, blocked) = match (counts.queued, counts.succeeded, counts.failed) {
            (0, 0, 0) => (Blocked, 1),
            (0, _, 0) => (Succeeded, 0),
            (0, ..) => (Failed, 0),
            _ => (Queued, 0),
        };
        let ended_ms = u64::from(matches!(state, Succeeded | Failed));
        let row = JobRow { state: state as i32, counts, blocked, ended_ms, ..JobRow::default() };
        put(Family::Job, &job_key(NS, JobId(id)), &row)
    }

    fn succeeded() -> Vec<Write> {
        vec![job(1, Counts { succeeded: 1, ..Counts::default() })]
    }

    fn failed() -> Vec<Write> {
        vec![job(1, Counts { failed: 1, ..Counts::default() })]
    }

    #[test]
    fn nobody_starts_before_what_it_waits_for() {
        let starts = |number| vec![attempt(task(2, 0), number, 7)];
        let first = vec![attempt(task(1, 0), 1, 7)];
        let good = [workflow(Condition::Success), first.clone(), succeeded(), starts(1), starts(2)];
        assert!(judge(&mut Gates::default(), &good).iter().all(Result::is_ok));
        let early = [workflow(Condition::Completion), first, starts(1)];
        only_the_last_is_wrong(&mut Gates::default(), &early, "before the completion");
        let in_vain = [workflow(Condition::Success), failed(), starts(1)];
        only_the_last_is_wrong(&mut Gates::default(), &in_vain, "before the success");
    }

    #[test]
    fn who_lives_again_waits_again() {
        let starts = |number| vec![attempt(task(2, 0), number, 7)];
        let child_failed = vec![job(2, Counts { failed: 1, ..Counts::default() })];
        // Both live again, and the first one succeeds this time: whoever cleans up after its failure has nothing to do.
        let again = vec![job(1, Counts { queued: 1, ..Counts::default() }), job(2, Counts::default())];
        let entries = [workflow(Condition::Failure), failed(), starts(1), child_failed, again, succeeded(), starts(2)];
        only_the_last_is_wrong(&mut Gates::default(), &entries, "before the failure");
    }

    #[test]
    fn a_task_succeeds_once() {
        let ended = |number| EndedAttempt {
            number,
            state: AttemptState::Exited as i32,
            reason: EndReason::exit(0),
            ..EndedAttempt::default()
        };
        let row = |attempts| {
            let row = TaskRow { state: TaskState::Succeeded as i32, attempts, ..TaskRow::default() };
            vec![put(Family::Task, &task_key(NS, task(1, 0)), &row)]
        };
        let entries = [workflow(Condition::Success), row(vec![ended(1)]), row(vec![ended(1), ended(2)])];
        only_the_last_is_wrong(&mut Gates::default(), &entries, "succeeded 2 times");
    }
}
