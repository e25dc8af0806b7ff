//! I5: a stale report changes nothing. What was recorded of an ended attempt stays; an exit code that a master recorded is one that
//! the engine of that attempt's own worker saw, and a success that leaves results is one whose results are stored.

use std::collections::BTreeMap;

use cloudai_core::command::AttemptState;
use cloudai_core::rows::{EndedAttempt, Family, TaskRow, TaskState, WorkerRow, task_of_key};
use cloudai_types::{AttemptId, ReasonKind, TaskId};
use prost::Message;

use super::{Invariant, Verdict, View};
use crate::rows::Commit;

#[derive(Default)]
pub struct Stale {
    names: BTreeMap<u32, String>,
    rows: BTreeMap<Vec<u8>, TaskRow>,
}

impl Invariant for Stale {
    fn name(&self) -> &'static str {
        "I5"
    }

    /// As with I2, a commit may begin with entries that others have applied before: each row must follow from the one before it in the
    /// commit, and what the commit ends with from what was seen before.
    fn on_commit(&mut self, commit: &Commit, is_first: bool, view: &View) -> Verdict {
        if !is_first {
            return Ok(());
        }
        let mut within = BTreeMap::<&[u8], TaskRow>::new();
        for write in commit.writes.iter() {
            let Some(value) = &write.value else { continue };
            match write.family {
                Family::Worker => {
                    let row = WorkerRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
                    let id = write.key.as_slice().try_into().map_or(0, u32::from_be_bytes);
                    self.names.insert(id, row.name);
                }
                Family::Task => {
                    let row = TaskRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
                    if let Some(before) = within.get(write.key.as_slice()) {
                        follows(task_of(&write.key)?, before, &row)?;
                    }
                    within.insert(&write.key, row);
                }
                _ => {}
            }
        }
        for (key, row) in within {
            self.changed(key, row, view)?;
        }
        Ok(())
    }
}

fn task_of(key: &[u8]) -> Result<TaskId, String> {
    task_of_key(key).map(|(_, task)| task).ok_or_else(|| "a task's key is damaged".to_owned())
}

fn has_ended(state: i32) -> bool {
    !matches!(TaskState::try_from(state), Ok(TaskState::Blocked | TaskState::Queued | TaskState::Active))
}

/// A replay or a retry gives it a new budget, before anything else happens to it. What has succeeded never gets one.
fn lives_again(before: &TaskRow, row: &TaskRow) -> bool {
    let is_new = row.budget_from > before.budget_from || !has_ended(row.state);
    before.state != TaskState::Succeeded as i32 && row.attempts == before.attempts && is_new
}

/// What was recorded of ended attempts is kept.
fn follows(task: TaskId, before: &TaskRow, row: &TaskRow) -> Verdict {
    if !before.attempts.is_empty() && has_ended(before.state) && before != row && !lives_again(before, row) {
        return Err(format!("{task} had ended and changed: {before:?} became {row:?}"));
    }
    if row.attempts.get(..before.attempts.len()) != Some(&before.attempts) {
        return Err(format!("{task}: recorded attempts changed: {:?} became {:?}", before.attempts, row.attempts));
    }
    Ok(())
}

impl Stale {
    fn changed(&mut self, key: &[u8], row: TaskRow, view: &View) -> Verdict {
        let task = task_of(key)?;
        let before = self.rows.insert(key.to_vec(), row.clone()).unwrap_or_default();
        follows(task, &before, &row)?;
        for ended in row.attempts.iter().skip(before.attempts.len()) {
            self.was_seen(AttemptId { task, number: ended.number }, ended, view)?;
        }
        Ok(())
    }

    fn was_seen(&self, attempt: AttemptId, ended: &EndedAttempt, view: &View) -> Verdict {
        if ended.state != AttemptState::Exited as i32 || ended.reason.kind() != ReasonKind::ExitCode {
            return Ok(());
        }
        let name = self.names.get(&ended.worker).cloned().unwrap_or_default();
        let worker = view.workers.iter().find(|w| w.name == name);
        let seen = worker.map(|w| w.engine.endings(attempt)).unwrap_or_default();
        if let Some(seen) = seen.iter().find(|s| Some(s.code) == ended.reason.exit_code) {
            let is_stored = ended.reason.results.is_some() && worker.is_some_and(|w| w.engine.has_stored(attempt));
            if ended.reason.is_success() && seen.leaves_results && !is_stored {
                return Err(format!("{attempt} is recorded as a success, and its results are not stored: {ended:?}"));
            }
            return Ok(());
        }
        Err(format!("{attempt} is recorded as '{}' on {name}, whose engine saw {seen:?}", ended.reason))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloudai_core::rows::{Write, task_key};
    use cloudai_types::{EndReason, JobId, NamespaceId};

    use super::*;
    use crate::network::Net;
    use crate::oracle::Oracle;

    /// One task's rows in a commit: the numbers of its ended attempts, and whether it has ended itself.
    type Rows<'a> = &'a [(&'a [u32], bool)];

    /// Of commits that each come further than any before.
    fn judged(commits: &[Rows]) -> Vec<bool> {
        let key = task_key(NamespaceId(1), TaskId { job: JobId(1), index: 0 });
        let ended = |number: &u32| EndedAttempt {
            number: *number,
            state: AttemptState::Exited as i32,
            reason: EndReason::new(ReasonKind::Timeout, ""),
            ..EndedAttempt::default()
        };
        let write = |(attempts, has_ended): &(&[u32], bool)| {
            let state = if *has_ended { TaskState::Dead } else { TaskState::Queued };
            let attempts = attempts.iter().map(ended).collect();
            let row = TaskRow { state: state as i32, attempts, ..TaskRow::default() };
            Write { family: Family::Task, key: key.to_vec(), value: Some(row.encode_to_vec()) }
        };
        let commit = |rows: Rows| Commit { master: 1, index: 1, writes: Arc::new(rows.iter().map(write).collect()) };
        let (oracle, net) = (Oracle::default(), Net::new(crate::dice::Dice::new(1)));
        let view = View { now_ms: 0, masters: &[], workers: &[], oracle: &oracle, net: &net };
        let mut stale = Stale::default();
        commits.iter().map(|rows| stale.on_commit(&commit(*rows), true, &view).is_ok()).collect()
    }

    #[test]
    fn a_commit_that_begins_with_what_was_applied_before_takes_nothing_back() {
        let again: Rows = &[(&[1], false), (&[1, 2], false), (&[1, 2, 3], true)];
        assert_eq!(judged(&[&[(&[1], false)], &[(&[1, 2], false)], again]), [true; 3]);
    }

    #[test]
    fn what_is_taken_back_is_seen_between_commits_and_within_one() {
        assert_eq!(judged(&[&[(&[1, 2], false)], &[(&[1], false)]]), [true, false]);
        assert_eq!(judged(&[&[(&[1], false)], &[(&[1, 2], false), (&[1], false)]]), [true, false]);
        assert_eq!(judged(&[&[(&[1], true)], &[(&[1, 2], true)]]), [true, false], "it had ended");
        assert_eq!(judged(&[&[(&[1], true), (&[1, 2], true)]]), [false]);
    }

    #[test]
    fn a_dead_task_may_live_again_and_one_that_has_succeeded_never() {
        let task = TaskId { job: JobId(1), index: 0 };
        let row = |state: TaskState, attempts: &[u32], budget_from| TaskRow {
            state: state as i32,
            attempts: attempts.iter().map(|n| EndedAttempt { number: *n, ..EndedAttempt::default() }).collect(),
            budget_from,
            ..TaskRow::default()
        };
        let dead = row(TaskState::Dead, &[1, 2], 0);
        assert!(follows(task, &dead, &row(TaskState::Queued, &[1, 2], 3)).is_ok());
        assert!(
            follows(task, &dead, &row(TaskState::Cancelled, &[1, 2], 3)).is_ok(),
            "and cancelled in the same entry"
        );
        assert!(follows(task, &dead, &row(TaskState::Queued, &[1], 3)).is_err(), "its past is lost");
        assert!(follows(task, &dead, &row(TaskState::Failed, &[1, 2], 0)).is_err(), "it had ended otherwise");
        let succeeded = row(TaskState::Succeeded, &[1], 0);
        assert!(follows(task, &succeeded, &row(TaskState::Queued, &[1], 2)).is_err());
    }
}
