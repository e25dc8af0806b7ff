//! I5: a stale report changes nothing. What was recorded of an ended attempt stays; an exit code that a master recorded is one that
//! the engine of that attempt's own worker saw, and a success that leaves results is one whose results are stored.

use std::collections::BTreeMap;

use cloudai_core::command::AttemptState;
use cloudai_core::rows::{EndedAttempt, Family, TaskRow, TaskState, WorkerRow, task_of_key};
use cloudai_types::{AttemptId, ReasonKind};
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

    fn on_commit(&mut self, commit: &Commit, is_first: bool, view: &View) -> Verdict {
        for write in commit.writes.iter().filter(|_| is_first) {
            let Some(value) = &write.value else { continue };
            match write.family {
                Family::Worker => {
                    let row = WorkerRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
                    let id = write.key.as_slice().try_into().map_or(0, u32::from_be_bytes);
                    self.names.insert(id, row.name);
                }
                Family::Task => {
                    let row = TaskRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
                    self.changed(&write.key, row, view)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn has_ended(state: i32) -> bool {
    !matches!(TaskState::try_from(state), Ok(TaskState::Blocked | TaskState::Queued | TaskState::Active))
}

impl Stale {
    fn changed(&mut self, key: &[u8], row: TaskRow, view: &View) -> Verdict {
        let Some((_, task)) = task_of_key(key) else { return Err("a task's key is damaged".into()) };
        let before = self.rows.insert(key.to_vec(), row.clone()).unwrap_or_default();
        if !before.attempts.is_empty() && has_ended(before.state) && before != row {
            return Err(format!("{task} had ended and changed: {before:?} became {row:?}"));
        }
        let kept = row.attempts.get(..before.attempts.len());
        if kept != Some(&before.attempts) {
            return Err(format!("{task}: recorded attempts changed: {:?} became {:?}", before.attempts, row.attempts));
        }
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
