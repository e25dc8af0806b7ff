//! A4: two executions of one task overlap only after the older attempt was lost by a logged command, and never for a task with
//! `on_disconnect: stop`. One attempt never runs twice at a time.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_proto::v1::{AttemptInfo, AttemptPhase};
use cloudai_types::{JobId, TaskId};

use super::facts::{Execution, Job};
use super::{Check, Violation};

pub fn check(
    jobs: &[Job],
    executions: &[Execution],
    stop_jobs: &BTreeSet<JobId>,
    clocks_agree: bool,
) -> Vec<Violation> {
    let committed: BTreeMap<TaskId, &[AttemptInfo]> = jobs
        .iter()
        .flat_map(|j| j.tasks.iter().map(|t| (TaskId { job: j.id, index: t.index }, t.attempts.as_slice())))
        .collect();
    let mut by_task: BTreeMap<TaskId, Vec<&Execution>> = BTreeMap::new();
    for e in executions {
        by_task.entry(e.task()).or_default().push(e);
    }
    let mut wrong = vec![];
    for (task, mut runs) in by_task {
        runs.sort_by_key(|e| (e.attempt.number, e.start));
        let attempts = committed.get(&task).copied().unwrap_or_default();
        for (at, older) in runs.iter().enumerate() {
            for newer in &runs[at + 1..] {
                if let Some(what) = pair(older, newer, attempts, stop_jobs.contains(&task.job), clocks_agree) {
                    wrong.push(Violation::new(Check::A4, what));
                }
            }
        }
    }
    wrong
}

/// `older` has the smaller attempt number, or the same one and the earlier start.
fn pair(
    older: &Execution,
    newer: &Execution,
    attempts: &[AttemptInfo],
    stop: bool,
    clocks_agree: bool,
) -> Option<String> {
    let names = || format!("{} on {} and {} on {}", older.attempt, older.worker, newer.attempt, newer.worker);
    let overlap_ms = || (older.end().min(newer.end()).saturating_sub(older.start.max(newer.start))) / 1_000_000;
    if older.attempt.number == newer.attempt.number {
        return older.overlaps(newer).then(|| format!("one attempt ran twice at a time: {}", names()));
    }
    if newer.start < older.start {
        return Some(format!("an older attempt was started after a newer one: {}", names()));
    }
    if !older.overlaps(newer) {
        return None;
    }
    if stop {
        return Some(format!("'stop' attempts overlap by {} ms: {}", overlap_ms(), names()));
    }
    let find = |number| attempts.iter().find(|a| a.number == number);
    let (Some(lost), Some(next)) = (find(older.attempt.number), find(newer.attempt.number)) else {
        return Some(format!("overlapping attempts that the cluster does not know: {}", names()));
    };
    if lost.phase() != AttemptPhase::Lost {
        return Some(format!("the older attempt is {:?} and not Lost, and they overlap: {}", lost.phase(), names()));
    }
    if next.assigned_ms < lost.ended_ms {
        return Some(format!("the newer one was assigned before the older one was lost: {}", names()));
    }
    if clocks_agree && newer.start_wall_ms < lost.ended_ms {
        return Some(format!("the newer one was started before the older one was lost: {}", names()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::facts::Until;
    use cloudai_proto::v1::TaskInfo;
    use cloudai_types::AttemptId;

    const MS: u64 = 1_000_000;

    fn ran(number: u32, from_ms: u64, to_ms: Option<u64>) -> Execution {
        Execution {
            attempt: AttemptId::new(JobId(1), 0, number),
            worker: format!("w{number}"),
            start: from_ms * MS,
            until: to_ms.map_or(Until::Running, |ms| Until::Ended(ms * MS)),
            start_wall_ms: from_ms,
        }
    }
    /// Attempt 1, then attempt 2: assigned at 100.
    fn job(first: AttemptPhase, ended_ms: u64) -> Vec<Job> {
        let one = AttemptInfo { number: 1, phase: first as i32, ended_ms, ..AttemptInfo::default() };
        let two = AttemptInfo { number: 2, assigned_ms: 100, ..AttemptInfo::default() };
        let task = TaskInfo { job_id: 1, attempts: vec![one, two], ..TaskInfo::default() };
        vec![Job { id: JobId(1), count: 1, tasks: vec![task], ..Job::default() }]
    }
    fn wrong(jobs: &[Job], runs: &[Execution], stop: bool) -> usize {
        let stop_jobs = stop.then_some(JobId(1)).into_iter().collect();
        check(jobs, runs, &stop_jobs, true).len()
    }

    #[test]
    fn one_after_the_other_is_fine_and_so_is_an_overlap_after_the_loss() {
        let runs = [ran(1, 10, Some(100)), ran(2, 100, Some(200))];
        assert_eq!(wrong(&job(AttemptPhase::Exited, 99), &runs, true), 0);
        let runs = [ran(1, 10, Some(150)), ran(2, 101, Some(200))];
        assert_eq!(wrong(&job(AttemptPhase::Lost, 100), &runs, false), 0);
    }

    #[test]
    fn an_overlap_without_a_loss_before_it_is_found() {
        let runs = [ran(1, 10, None), ran(2, 101, Some(200))];
        assert_eq!(wrong(&job(AttemptPhase::Exited, 99), &runs, false), 1);
        assert_eq!(wrong(&job(AttemptPhase::Lost, 150), &runs, false), 1);
        assert_eq!(wrong(&job(AttemptPhase::Lost, 100), &[ran(1, 10, None), ran(2, 90, Some(95))], false), 1);
        assert_eq!(wrong(&[], &runs, false), 1);
    }

    #[test]
    fn stop_tasks_never_overlap_and_one_attempt_never_with_itself() {
        assert_eq!(wrong(&job(AttemptPhase::Lost, 99), &[ran(1, 10, Some(102)), ran(2, 101, None)], true), 1);
        assert_eq!(wrong(&job(AttemptPhase::Lost, 99), &[ran(1, 10, Some(20)), ran(1, 15, Some(30))], false), 1);
        assert_eq!(wrong(&job(AttemptPhase::Lost, 99), &[ran(1, 10, Some(20)), ran(1, 20, Some(30))], false), 0);
        assert_eq!(wrong(&job(AttemptPhase::Lost, 99), &[ran(1, 200, Some(210)), ran(2, 101, Some(110))], false), 1);
    }
}
