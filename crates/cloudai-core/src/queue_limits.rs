//! Jobs whose tasks may wait only for so long before their first attempt. Comes in: submits, and each job whose last fresh task is placed,
//! cancelled or expired. Goes out: the next job whose time is over, at no cost that grows with the queue: a job has one place here, however
//! many tasks it has, and a job without a queue time-out has none.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{EndReason, JobId, ReasonKind};

/// Of one job. A task that had an attempt is not meant: it waits as its retry rules say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueLimit {
    pub timeout_ms: u64,
    /// Replicated time: its submit, or its release from a workflow, and the time-out; 0: it waits for other jobs.
    pub due_ms: u64,
    /// When it took what was fresh then; 0: it did not.
    pub expired_ms: u64,
}

/// Those of live jobs. Written by `apply` and `load` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueLimits {
    limits: BTreeMap<JobId, QueueLimit>,
    /// (due, job): exactly those that have a fresh task.
    due: BTreeSet<(u64, JobId)>,
}

impl QueueLimits {
    /// A job as it is before its first placement. Without a time-out: no change.
    pub(crate) fn insert(&mut self, job: JobId, submitted_ms: u64, timeout_ms: u64) {
        if timeout_ms > 0 {
            let due_ms = submitted_ms.saturating_add(timeout_ms);
            self.limits.insert(job, QueueLimit { timeout_ms, due_ms, expired_ms: 0 });
            self.due.insert((due_ms, job));
        }
    }

    /// A job whose tasks are not in the queue yet: its time has not begun.
    pub(crate) fn hold(&mut self, job: JobId, timeout_ms: u64) {
        if timeout_ms > 0 {
            self.limits.insert(job, QueueLimit { timeout_ms, due_ms: 0, expired_ms: 0 });
        }
    }

    /// Its fresh tasks are in the queue since then.
    pub(crate) fn begin(&mut self, job: JobId, from_ms: u64) {
        if let Some(limit) = self.limits.get_mut(&job) {
            self.due.remove(&(limit.due_ms, job));
            limit.due_ms = from_ms.saturating_add(limit.timeout_ms);
            self.due.insert((limit.due_ms, job));
        }
    }

    /// It has no fresh task any more.
    pub(crate) fn settle(&mut self, job: JobId) {
        if let Some(limit) = self.limits.get(&job) {
            self.due.remove(&(limit.due_ms, job));
        }
    }

    /// Its fresh tasks have waited for too long.
    pub(crate) fn expire(&mut self, job: JobId, at_ms: u64) {
        if let Some(limit) = self.limits.get_mut(&job) {
            limit.expired_ms = at_ms;
            self.due.remove(&(limit.due_ms, job));
        }
    }

    /// It has ended.
    pub(crate) fn remove(&mut self, job: JobId) {
        if let Some(limit) = self.limits.remove(&job) {
            self.due.remove(&(limit.due_ms, job));
        }
    }

    /// The one that was due first, if its time is over.
    pub(crate) fn next_over(&self, clock_ms: u64) -> Option<JobId> {
        self.due.first().filter(|(due_ms, _)| *due_ms <= clock_ms).map(|(_, job)| *job)
    }

    /// When the next one is due.
    pub fn first_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Of a job without a queue time-out: all zero.
    pub fn get(&self, job: JobId) -> QueueLimit {
        self.limits.get(&job).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (JobId, QueueLimit)> {
        self.limits.iter().map(|(job, limit)| (*job, *limit))
    }

    /// Those that have a fresh task.
    pub fn is_due(&self, job: JobId) -> bool {
        self.due.contains(&(self.get(job).due_ms, job))
    }

    /// Of those with a fresh task.
    pub fn due_len(&self) -> usize {
        self.due.len()
    }
}

/// How a task ended that waited for too long, and never ran.
pub fn waited_too_long(submitted_ms: u64, timeout_ms: u64, expired_ms: u64) -> EndReason {
    let seconds = |ms: u64| format!("{}.{:03} s", ms / 1_000, ms % 1_000);
    let (waited, most) = (seconds(expired_ms.saturating_sub(submitted_ms)), seconds(timeout_ms));
    EndReason::new(ReasonKind::Timeout, format!("waited {waited} in the queue, more than its queue_timeout of {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_due_while_it_has_fresh_tasks_and_only_with_a_time_out() {
        let mut q = QueueLimits::default();
        q.insert(JobId(1), 100, 0);
        assert_eq!(q, QueueLimits::default());
        q.insert(JobId(2), 100, 50);
        q.insert(JobId(3), 100, 20);
        assert_eq!((q.first_due_ms(), q.next_over(119), q.next_over(120)), (Some(120), None, Some(JobId(3))));
        q.expire(JobId(3), 125);
        assert_eq!((q.get(JobId(3)).expired_ms, q.is_due(JobId(3)), q.first_due_ms()), (125, false, Some(150)));
        q.settle(JobId(2));
        assert_eq!((q.due_len(), q.first_due_ms(), q.get(JobId(2)).timeout_ms), (0, None, 50));
        q.remove(JobId(2));
        q.remove(JobId(3));
        assert_eq!(q, QueueLimits::default());
    }

    #[test]
    fn a_job_that_waits_for_others_is_due_from_its_release_on() {
        let mut q = QueueLimits::default();
        q.hold(JobId(1), 0);
        assert_eq!(q, QueueLimits::default());
        q.hold(JobId(1), 50);
        assert_eq!((q.first_due_ms(), q.get(JobId(1)).timeout_ms), (None, 50));
        q.begin(JobId(1), 1_000);
        assert_eq!((q.first_due_ms(), q.is_due(JobId(1))), (Some(1_050), true));
        q.begin(JobId(1), 2_000);
        assert_eq!((q.first_due_ms(), q.due_len()), (Some(2_050), 1));
    }

    #[test]
    fn the_reason_says_how_long_it_waited() {
        let reason = waited_too_long(1_000, 30_000, 31_250);
        assert_eq!(
            reason.to_string(),
            "timeout: waited 30.250 s in the queue, more than its queue_timeout of 30.000 s"
        );
        assert!(!reason.is_success());
    }
}
