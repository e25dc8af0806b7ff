//! P2: a task that makes room for another waits again, at no cost; and only those are told to that have agreed.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::rows::{AttemptRow, Family, JobRow, JobSpecRow, NamespaceRow, TaskState, WaitingRow};
use cloudai_types::{JobId, NamespaceId, ReasonKind, TaskId};

use super::{Invariant, Verdict};
use crate::history::Entry;

#[derive(Default)]
pub struct Preemption {
    /// Namespaces that allow it.
    allows: BTreeSet<NamespaceId>,
    /// Jobs that may be stopped.
    preemptible: BTreeSet<JobId>,
    cancelled: BTreeSet<JobId>,
    live: BTreeMap<TaskId, AttemptRow>,
}

impl Invariant for Preemption {
    fn name(&self) -> &'static str {
        "P2"
    }

    fn on_entry(&mut self, entry: &Entry) -> Verdict {
        for (_, job, row) in entry.job_rows::<JobSpecRow>(Family::JobSpec) {
            if row.spec.preemptible {
                self.preemptible.insert(JobId(job));
            }
        }
        for (_, job, row) in entry.job_rows::<JobRow>(Family::Job) {
            if row.cancel_requested {
                self.cancelled.insert(JobId(job));
            }
        }
        // In one entry it may have been allowed and be forbidden at the end: nobody forbids it here.
        for (key, row) in entry.rows::<NamespaceRow>(Family::Namespace) {
            let id = NamespaceId(key.first_chunk::<4>().map_or(0, |key| u32::from_be_bytes(*key)));
            if row.and_then(|row| row.quota).is_some_and(|quota| quota.preempt) {
                self.allows.insert(id);
            }
        }
        let waits: BTreeMap<TaskId, WaitingRow> =
            entry.task_rows::<WaitingRow>(Family::Waiting).filter_map(|(_, task, row)| Some((task, row?))).collect();
        for (_, task, row) in entry.tasks() {
            let Some(ended) = row.attempts.last() else { continue };
            let Some(had) = self.live.get(&task).filter(|had| had.number == ended.number && had.preempted) else {
                continue;
            };
            if ended.reason.kind() != ReasonKind::Preempted {
                continue;
            }
            if row.state() != TaskState::Queued && !self.cancelled.contains(&task.job) {
                return Err(format!("{task} made room for another, and is {:?}", row.state()));
            }
            if let Some(waits) = waits.get(&task)
                && (waits.attempts_used, waits.losses) != (had.attempts_used, had.losses)
            {
                return Err(format!("{task} made room for another, and paid for it: {had:?}, then {waits:?}"));
            }
        }
        for (ns, task, row) in entry.task_rows::<AttemptRow>(Family::Attempt) {
            let Some(row) = row else {
                self.live.remove(&task);
                continue;
            };
            if row.preempted && !(self.allows.contains(&ns) && self.preemptible.contains(&task.job)) {
                return Err(format!("{task}.{} makes room, and nobody has allowed that", row.number));
            }
            self.live.insert(task, row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cloudai_core::rows::{EndedAttempt, TaskRow, Write, namespace_key, task_key};
    use cloudai_types::{EndReason, JobSpec, Quota};

    use super::super::told::{NS, attempt, ended, job, judge, only_the_last_is_wrong, put, task};
    use super::*;

    fn agreed(preemptible: bool, preempt: bool) -> Vec<Write> {
        let quota = Some(Quota { preempt, ..Quota::default() });
        vec![
            job(1, JobSpec { preemptible, ..JobSpec::default() }),
            put(Family::Namespace, &namespace_key(NS), &NamespaceRow { quota, ..NamespaceRow::default() }),
        ]
    }

    fn told_to_stop() -> Vec<Write> {
        let row = AttemptRow { number: 1, preempted: true, attempts_used: 1, ..AttemptRow::default() };
        vec![put(Family::Attempt, &task_key(NS, task(1, 0)), &row)]
    }

    fn stopped(state: TaskState, attempts_used: u32) -> Vec<Write> {
        let reason = EndReason::new(ReasonKind::Preempted, "");
        let attempts = vec![EndedAttempt { number: 1, reason, ..EndedAttempt::default() }];
        let key = task_key(NS, task(1, 0));
        vec![
            ended(task(1, 0)),
            put(Family::Task, &key, &TaskRow { state: state as i32, attempts, ..TaskRow::default() }),
            put(Family::Waiting, &key, &WaitingRow { next_number: 2, attempts_used, ..WaitingRow::default() }),
        ]
    }

    #[test]
    fn to_make_room_costs_nothing() {
        let until = |end| [agreed(true, true), vec![attempt(task(1, 0), 1, 7)], told_to_stop(), end];
        assert!(judge(&mut Preemption::default(), &until(stopped(TaskState::Queued, 1))).iter().all(Result::is_ok));
        only_the_last_is_wrong(&mut Preemption::default(), &until(stopped(TaskState::Queued, 2)), "paid for it");
        only_the_last_is_wrong(&mut Preemption::default(), &until(stopped(TaskState::Dead, 1)), "is Dead");
    }

    #[test]
    fn both_sides_have_to_agree() {
        for (preemptible, preempt) in [(true, false), (false, true)] {
            let entries = [agreed(preemptible, preempt), vec![attempt(task(1, 0), 1, 7)], told_to_stop()];
            only_the_last_is_wrong(&mut Preemption::default(), &entries, "nobody has allowed");
        }
    }
}
