//! A2: a result that somebody has read is never lost, and never another one. Comes in: what readers saw of ended tasks, and how
//! the tasks stand in the end.

use std::collections::BTreeMap;

use cloudai_proto::v1::{JobState, TaskInfo, TaskState};
use cloudai_types::{JobId, TaskId};

use super::facts::{Asked, Job, Op, Seen, Told};
use super::{Check, Violation};

/// What of an ended task may never change: how it ended, by which attempt, when.
#[derive(Debug, Clone, PartialEq)]
struct Result {
    state: TaskState,
    attempts: usize,
    number: u32,
    worker: String,
    reason: String,
    ended_ms: u64,
}

pub fn has_ended(task: &TaskInfo) -> bool {
    match task.state() {
        TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled | TaskState::Dead => true,
        TaskState::Blocked | TaskState::Queued | TaskState::Active => false,
    }
}

fn result(task: &TaskInfo) -> Result {
    let last = task.attempts.last();
    Result {
        state: task.state(),
        attempts: task.attempts.len(),
        number: last.map_or(0, |a| a.number),
        worker: last.map_or(String::new(), |a| a.worker.clone()),
        reason: last
            .and_then(|a| a.reason.clone())
            .map_or(String::new(), |r| format!("{:?} {:?}", r.kind, r.exit_code)),
        ended_ms: task.ended_ms,
    }
}

pub fn job_has_ended(state: JobState) -> bool {
    match state {
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => true,
        JobState::Blocked | JobState::Queued | JobState::Running => false,
    }
}

fn seen(op: &Op) -> Option<(JobId, &Seen)> {
    match (&op.asked, &op.told) {
        (Asked::Get { job }, Told::Job { job: Some(seen), .. }) => Some((*job, seen)),
        _ => None,
    }
}

pub fn check(ops: &[Op], jobs: &[Job]) -> Vec<Violation> {
    let mut wrong = vec![];
    let mut read: BTreeMap<TaskId, Result> = BTreeMap::new();
    let mut jobs_read: BTreeMap<JobId, JobState> = BTreeMap::new();
    let seen: Vec<(JobId, &Seen)> = ops.iter().filter_map(seen).collect();
    for (job, seen) in &seen {
        if !job_has_ended(seen.state) {
            continue;
        }
        let before = *jobs_read.entry(*job).or_insert(seen.state);
        if before != seen.state {
            wrong.push(format!("job {job} was read as {before:?} and as {:?}", seen.state));
        }
    }
    let last_of: BTreeMap<JobId, JobState> = jobs.iter().map(|j| (j.id, j.state)).collect();
    for (job, before) in &jobs_read {
        if last_of.get(job) != Some(before) {
            wrong.push(format!("job {job} was read as {before:?} and is {:?} in the end", last_of.get(job)));
        }
    }
    for task in seen.iter().flat_map(|(_, seen)| &seen.ended).filter(|t| has_ended(t)) {
        let id = TaskId { job: JobId(task.job_id), index: task.index };
        let now = result(task);
        let before = read.entry(id).or_insert_with(|| now.clone());
        if *before != now {
            wrong.push(format!("task {id} was read as {before:?} and as {now:?}"));
        }
    }
    let last: BTreeMap<TaskId, &TaskInfo> =
        jobs.iter().flat_map(|job| job.tasks.iter().map(|t| (TaskId { job: job.id, index: t.index }, t))).collect();
    for (id, before) in &read {
        match last.get(id) {
            None => wrong.push(format!("task {id} was read as {before:?} and is missing")),
            Some(task) if !has_ended(task) => {
                wrong.push(format!("task {id} was read as {before:?} and is {:?} in the end", task.state()));
            }
            Some(task) if result(task) != *before => {
                wrong.push(format!("task {id} was read as {before:?} and is {:?} in the end", result(task)));
            }
            Some(_) => {}
        }
    }
    wrong.into_iter().map(|what| Violation::new(Check::A2, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::{AttemptInfo, AttemptPhase};

    fn task(state: TaskState, number: u32) -> TaskInfo {
        let attempt =
            AttemptInfo { number, worker: "w".into(), phase: AttemptPhase::Exited as i32, ..AttemptInfo::default() };
        TaskInfo { job_id: 1, state: state as i32, attempts: vec![attempt], ended_ms: 9, ..TaskInfo::default() }
    }
    fn seen(state: JobState, ended: Vec<TaskInfo>) -> Op {
        let told = Told::Job { index: 1, job: Some(Seen { state, ended }) };
        Op { client: 0, call: 1, back: 2, asked: Asked::Get { job: JobId(1) }, told }
    }
    fn read(ended: Vec<TaskInfo>) -> Op {
        seen(JobState::Running, ended)
    }
    fn job(task: TaskInfo) -> Job {
        Job { id: JobId(1), state: JobState::Succeeded, count: 1, tasks: vec![task], ..Job::default() }
    }

    #[test]
    fn the_same_result_every_time_is_fine() {
        let done = || task(TaskState::Succeeded, 1);
        assert_eq!(check(&[read(vec![]), read(vec![done()]), read(vec![done()])], &[job(done())]), []);
    }

    #[test]
    fn an_ended_job_stays_as_it_ended() {
        let done = || job(task(TaskState::Succeeded, 1));
        let ended = |state| seen(state, vec![]);
        assert_eq!(check(&[read(vec![]), ended(JobState::Succeeded)], &[done()]), []);
        assert_eq!(check(&[ended(JobState::Failed)], &[done()]).len(), 1);
        assert_eq!(check(&[ended(JobState::Succeeded), ended(JobState::Failed)], &[done()]).len(), 1);
        assert_eq!(check(&[ended(JobState::Succeeded)], &[]).len(), 1);
    }

    #[test]
    fn another_result_and_none_are_found() {
        let done = || task(TaskState::Succeeded, 1);
        assert_eq!(check(&[read(vec![done()])], &[job(task(TaskState::Failed, 1))]).len(), 1);
        assert_eq!(check(&[read(vec![done()])], &[job(task(TaskState::Succeeded, 2))]).len(), 1);
        assert_eq!(check(&[read(vec![done()])], &[job(task(TaskState::Active, 1))]).len(), 1);
        assert_eq!(check(&[read(vec![done()])], &[]).len(), 1);
        let other = task(TaskState::Failed, 2);
        assert_eq!(check(&[read(vec![done()]), read(vec![other])], &[job(done())]).len(), 1);
    }
}
