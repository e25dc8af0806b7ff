//! A3: at most one accepted result per task, its attempts in order, and no result that nobody produced.

use std::collections::BTreeSet;

use cloudai_proto::v1::{AttemptInfo, AttemptPhase, TaskInfo, TaskState};
use cloudai_types::{AttemptId, EndReason, ReasonKind, TaskId};

use super::facts::{Execution, Job};
use super::results::has_ended;
use super::{Check, Violation};

pub fn check(jobs: &[Job], executions: &[Execution]) -> Vec<Violation> {
    let ran: BTreeSet<AttemptId> = executions.iter().map(|e| e.attempt).collect();
    let mut wrong = vec![];
    for job in jobs {
        for task in &job.tasks {
            let id = TaskId { job: job.id, index: task.index };
            one_result(id, task, &mut wrong);
            if executions.is_empty() {
                continue;
            }
            for attempt in task.attempts.iter().filter(|a| exited_by_itself(a)) {
                let attempt = AttemptId { task: id, number: attempt.number };
                if !ran.contains(&attempt) {
                    wrong.push(format!("attempt {attempt} has a result, and no worker ever ran it"));
                }
            }
        }
    }
    wrong.into_iter().map(|what| Violation::new(Check::A3, what)).collect()
}

/// A program ended: only a worker that ran it can say so.
fn exited_by_itself(attempt: &AttemptInfo) -> bool {
    attempt.phase() == AttemptPhase::Exited && attempt.reason.as_ref().is_some_and(|r| r.kind() == ReasonKind::ExitCode)
}

fn succeeded(attempt: &AttemptInfo) -> bool {
    attempt.phase() == AttemptPhase::Exited && attempt.reason.as_ref().is_some_and(EndReason::is_success)
}

fn one_result(id: TaskId, task: &TaskInfo, wrong: &mut Vec<String>) {
    let good = task.attempts.iter().filter(|a| succeeded(a)).count();
    if good > 1 {
        wrong.push(format!("task {id} has {good} accepted successes"));
    }
    if !task.attempts.windows(2).all(|pair| pair[0].number < pair[1].number) {
        wrong.push(format!("task {id}: the attempts' numbers do not grow"));
    }
    // Only the last attempt may be alive or have decided the task.
    let earlier = task.attempts.split_last().map_or(&[][..], |(_, earlier)| earlier);
    for attempt in earlier {
        match attempt.phase() {
            AttemptPhase::Lost => {}
            AttemptPhase::Exited if !succeeded(attempt) => {}
            AttemptPhase::Exited => {
                wrong.push(format!("task {id} went on after attempt {} had succeeded", attempt.number));
            }
            AttemptPhase::Assigned
            | AttemptPhase::Preparing
            | AttemptPhase::Running
            | AttemptPhase::Stopping
            | AttemptPhase::Storing => {
                wrong.push(format!("task {id} has two live attempts, the older is {}", attempt.number));
            }
        }
    }
    let last = task.attempts.last();
    match task.state() {
        TaskState::Succeeded if !last.is_some_and(succeeded) => {
            wrong.push(format!("task {id} is Succeeded, and its last attempt did not succeed: {last:?}"));
        }
        TaskState::Failed | TaskState::Cancelled | TaskState::Dead if last.is_some_and(succeeded) => {
            wrong.push(format!("task {id} is {:?}, and its last attempt succeeded", task.state()));
        }
        TaskState::Queued | TaskState::Blocked | TaskState::Active if good > 0 => {
            wrong.push(format!("task {id} is {:?} although an attempt succeeded", task.state()));
        }
        TaskState::Succeeded
        | TaskState::Failed
        | TaskState::Cancelled
        | TaskState::Dead
        | TaskState::Queued
        | TaskState::Blocked
        | TaskState::Active => {}
    }
    let live = last.is_some_and(|a| !matches!(a.phase(), AttemptPhase::Exited | AttemptPhase::Lost));
    if has_ended(task) && live {
        wrong.push(format!("task {id} has ended with a live attempt"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::facts::Until;
    use cloudai_types::JobId;

    fn exited(number: u32, code: i32) -> AttemptInfo {
        let phase = AttemptPhase::Exited as i32;
        AttemptInfo { number, phase, reason: Some(EndReason::exit(code)), ..AttemptInfo::default() }
    }
    fn other(number: u32, phase: AttemptPhase) -> AttemptInfo {
        AttemptInfo { number, phase: phase as i32, ..AttemptInfo::default() }
    }
    fn job(state: TaskState, attempts: Vec<AttemptInfo>) -> Vec<Job> {
        let task = TaskInfo { job_id: 1, state: state as i32, attempts, ..TaskInfo::default() };
        vec![Job { id: JobId(1), count: 1, tasks: vec![task], ..Job::default() }]
    }
    fn wrong(state: TaskState, attempts: Vec<AttemptInfo>) -> usize {
        check(&job(state, attempts), &[]).len()
    }

    #[test]
    fn one_success_after_losses_and_failures_is_fine() {
        let attempts = vec![other(1, AttemptPhase::Lost), exited(2, 1), exited(4, 0)];
        assert_eq!(wrong(TaskState::Succeeded, attempts), 0);
        assert_eq!(wrong(TaskState::Failed, vec![exited(1, 3)]), 0);
        assert_eq!(wrong(TaskState::Cancelled, vec![]), 0);
        assert_eq!(wrong(TaskState::Active, vec![other(1, AttemptPhase::Lost), other(2, AttemptPhase::Running)]), 0);
    }

    #[test]
    fn two_successes_disorder_and_what_does_not_fit_are_found() {
        assert_eq!(wrong(TaskState::Succeeded, vec![exited(1, 0), exited(2, 0)]), 2);
        assert_eq!(wrong(TaskState::Succeeded, vec![exited(2, 1), exited(1, 0)]), 1);
        assert_eq!(wrong(TaskState::Succeeded, vec![exited(1, 1)]), 1);
        assert_eq!(wrong(TaskState::Succeeded, vec![]), 1);
        assert_eq!(wrong(TaskState::Failed, vec![exited(1, 0)]), 1);
        assert_eq!(wrong(TaskState::Queued, vec![exited(1, 0)]), 1);
        assert_eq!(wrong(TaskState::Active, vec![other(1, AttemptPhase::Running), other(2, AttemptPhase::Running)]), 1);
        assert_eq!(wrong(TaskState::Cancelled, vec![other(1, AttemptPhase::Running)]), 1);
    }

    #[test]
    fn a_result_that_nobody_produced_is_found() {
        let ran = |number| Execution {
            attempt: AttemptId::new(JobId(1), 0, number),
            worker: "w".into(),
            start: 1,
            until: Until::Ended(2),
            start_wall_ms: 1,
        };
        let jobs = job(TaskState::Succeeded, vec![exited(1, 0)]);
        assert_eq!(check(&jobs, &[ran(1)]), []);
        assert_eq!(check(&jobs, &[ran(2)]).len(), 1);
    }
}
