//! What has really happened in a run. Comes in: every entry of the log, whole states now and then. Goes out: a count for each thing that an invariant
//! is about: one that holds because nothing happened says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cloudai_core::Hot;
use cloudai_core::rows::{
    AttemptRow, Family, JobRow, JobSpecRow, NamespaceRow, ScheduleRow, TaskState, WorkerRow, WorkflowRow,
};
use cloudai_types::{JobId, Quota, ReasonKind, RunOutcome, TaskId};

use crate::history::Entry;

/// What is counted, in the order in which it is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Seen {
    WorkflowsSucceeded,
    WorkflowsFailed,
    WorkflowsCancelled,
    JobsSkipped,
    JobsWithoutWhatTheyWaitedFor,
    JobsTriedAgain,
    QuotasChanged,
    HeldBackByAQuota,
    Preempted,
    DeadReplayed,
    Tainted,
    TaintsTaken,
    PlacedApart,
    PlacedSpread,
    PlacedByLabel,
    ScheduleRan,
    ScheduleRanLate,
    ScheduleOverlapped,
    ScheduleMissed,
    SchedulePaused,
    ScheduleByHand,
}

impl Seen {
    pub const ALL: [Seen; 21] = [
        Seen::WorkflowsSucceeded,
        Seen::WorkflowsFailed,
        Seen::WorkflowsCancelled,
        Seen::JobsSkipped,
        Seen::JobsWithoutWhatTheyWaitedFor,
        Seen::JobsTriedAgain,
        Seen::QuotasChanged,
        Seen::HeldBackByAQuota,
        Seen::Preempted,
        Seen::DeadReplayed,
        Seen::Tainted,
        Seen::TaintsTaken,
        Seen::PlacedApart,
        Seen::PlacedSpread,
        Seen::PlacedByLabel,
        Seen::ScheduleRan,
        Seen::ScheduleRanLate,
        Seen::ScheduleOverlapped,
        Seen::ScheduleMissed,
        Seen::SchedulePaused,
        Seen::ScheduleByHand,
    ];

    /// One word, for people and for `sweep`.
    pub fn name(self) -> &'static str {
        match self {
            Seen::WorkflowsSucceeded => "workflows-succeeded",
            Seen::WorkflowsFailed => "workflows-failed",
            Seen::WorkflowsCancelled => "workflows-cancelled",
            Seen::JobsSkipped => "jobs-skipped",
            Seen::JobsWithoutWhatTheyWaitedFor => "jobs-unmet",
            Seen::JobsTriedAgain => "jobs-tried-again",
            Seen::QuotasChanged => "quotas-changed",
            Seen::HeldBackByAQuota => "held-back-by-quota",
            Seen::Preempted => "preempted",
            Seen::DeadReplayed => "dead-replayed",
            Seen::Tainted => "tainted",
            Seen::TaintsTaken => "taints-taken",
            Seen::PlacedApart => "placed-apart",
            Seen::PlacedSpread => "placed-spread",
            Seen::PlacedByLabel => "placed-by-label",
            Seen::ScheduleRan => "schedule-ran",
            Seen::ScheduleRanLate => "schedule-ran-late",
            Seen::ScheduleOverlapped => "schedule-overlapped",
            Seen::ScheduleMissed => "schedule-missed",
            Seen::SchedulePaused => "schedule-paused",
            Seen::ScheduleByHand => "schedule-by-hand",
        }
    }
}

/// How often.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts(BTreeMap<Seen, u64>);

impl Counts {
    pub fn of(&self, seen: Seen) -> u64 {
        self.0.get(&seen).copied().unwrap_or(0)
    }

    fn add(&mut self, seen: Seen, times: u64) {
        *self.0.entry(seen).or_default() += times;
    }

    /// The line that [`Counts`] prints as, in the words of another process; `None`: it is no such line.
    pub fn parse(line: &str) -> Option<Counts> {
        let mut counts = Counts::default();
        for word in line.strip_prefix(PREFIX)?.split_whitespace() {
            let (name, times) = word.split_once('=')?;
            counts.add(Seen::ALL.into_iter().find(|seen| seen.name() == name)?, times.parse().ok()?);
        }
        Some(counts)
    }

    pub fn plus(&mut self, other: &Counts) {
        Seen::ALL.into_iter().for_each(|seen| self.add(seen, other.of(seen)));
    }
}

const PREFIX: &str = "  seen:";

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        Seen::ALL.into_iter().try_for_each(|seen| write!(f, " {}={}", seen.name(), self.of(seen)))
    }
}

/// Watches one run.
#[derive(Default)]
pub struct Coverage {
    pub counts: Counts,
    specs: BTreeMap<JobId, JobSpecRow>,
    jobs: BTreeMap<JobId, JobRow>,
    /// Of each task that has ended attempts: its state, and how many they are.
    tasks: BTreeMap<TaskId, (TaskState, usize)>,
    attempts: BTreeMap<TaskId, (u32, bool)>,
    workflows: BTreeMap<u64, WorkflowRow>,
    quotas: BTreeMap<Vec<u8>, Quota>,
    taints: BTreeMap<Vec<u8>, usize>,
    schedules: BTreeMap<Vec<u8>, ScheduleRow>,
    /// Schedules of which a time is open, and since when somebody could have seen it.
    due_since_ms: BTreeMap<Vec<u8>, u64>,
    /// Jobs that have waited under a cap that was reached.
    held_back: BTreeSet<JobId>,
}

impl Coverage {
    pub fn on_entry(&mut self, entry: &Entry) {
        for (_, job, row) in entry.job_rows::<JobSpecRow>(Family::JobSpec) {
            self.specs.insert(JobId(job), row);
        }
        self.workflows(entry);
        self.tasks(entry);
        self.operators(entry);
        self.schedules(entry);
    }

    /// A queue that waits while its namespace runs as many as it may.
    pub fn on_state(&mut self, hot: &Hot) {
        for (id, tenant) in hot.tenants.iter() {
            if tenant.quota.tasks_max.is_none_or(|most| tenant.holding < most) {
                continue;
            }
            for (_, level) in hot.queue.of(id).into_iter().flat_map(|levels| levels.iter()) {
                for job in level.lines().flat_map(|(_, line)| line.users()).flat_map(|(_, jobs)| jobs) {
                    if self.held_back.insert(*job) {
                        self.counts.add(Seen::HeldBackByAQuota, 1);
                    }
                }
            }
        }
    }

    fn workflows(&mut self, entry: &Entry) {
        for (_, job, row) in entry.job_rows::<JobRow>(Family::Job) {
            let before = self.jobs.insert(JobId(job), row.clone()).unwrap_or_default();
            if before.ended_ms > 0 && row.ended_ms == 0 && row.workflow > 0 {
                self.counts.add(Seen::JobsTriedAgain, 1);
            }
            if let (0, Some(unmet), true) = (before.ended_ms, row.unmet, row.ended_ms > 0) {
                let seen = if unmet.skipped { Seen::JobsSkipped } else { Seen::JobsWithoutWhatTheyWaitedFor };
                self.counts.add(seen, 1);
            }
        }
        for (_, id, row) in entry.job_rows::<WorkflowRow>(Family::Workflow) {
            let before = self.workflows.insert(id, row.clone()).unwrap_or_default();
            if before.ended_ms == 0 && row.ended_ms > 0 {
                self.counts.add(
                    match (row.ended.failed, row.ended.cancelled) {
                        (0, 0) => Seen::WorkflowsSucceeded,
                        (0, _) => Seen::WorkflowsCancelled,
                        (..) => Seen::WorkflowsFailed,
                    },
                    1,
                );
            }
        }
    }

    fn tasks(&mut self, entry: &Entry) {
        for (_, task, row) in entry.task_rows::<AttemptRow>(Family::Attempt) {
            let Some(row) = row else { continue };
            let before = self.attempts.insert(task, (row.number, row.preempted));
            let placement = self.specs.get(&task.job).and_then(|row| row.spec.placement.as_ref());
            if let Some(placement) = placement.filter(|_| before.is_none_or(|(number, _)| number != row.number)) {
                self.counts.add(Seen::PlacedApart, u64::from(!placement.apart.is_empty()));
                self.counts.add(Seen::PlacedSpread, u64::from(placement.max_skew > 0));
                self.counts.add(Seen::PlacedByLabel, u64::from(!placement.require.is_empty()));
            }
        }
        for (_, task, row) in entry.tasks() {
            let before = self.tasks.insert(task, (row.state(), row.attempts.len()));
            let (state, attempts) = before.unwrap_or((TaskState::Queued, 0));
            let is_replayed = state == TaskState::Dead && row.state() == TaskState::Queued;
            self.counts.add(Seen::DeadReplayed, u64::from(is_replayed));
            let made_room = row.attempts.last().is_some_and(|ended| ended.reason.kind() == ReasonKind::Preempted);
            self.counts.add(Seen::Preempted, u64::from(made_room && row.attempts.len() > attempts));
        }
    }

    fn operators(&mut self, entry: &Entry) {
        for (key, row) in entry.rows::<NamespaceRow>(Family::Namespace) {
            let quota = row.and_then(|row| row.quota).unwrap_or_default();
            let before = self.quotas.insert(key.to_vec(), quota).unwrap_or_default();
            self.counts.add(Seen::QuotasChanged, u64::from(before != quota));
        }
        for (key, row) in entry.rows::<WorkerRow>(Family::Worker) {
            let taints = row.map_or(0, |row| row.taints.len());
            let before = self.taints.insert(key.to_vec(), taints).unwrap_or(0);
            self.counts.add(Seen::Tainted, taints.saturating_sub(before) as u64);
            self.counts.add(Seen::TaintsTaken, before.saturating_sub(taints) as u64);
        }
    }

    fn schedules(&mut self, entry: &Entry) {
        for (key, row) in entry.rows::<ScheduleRow>(Family::Schedule) {
            let row = row.unwrap_or_default();
            let before = self.schedules.insert(key.to_vec(), row.clone()).unwrap_or_default();
            self.counts.add(Seen::SchedulePaused, u64::from(row.paused && !before.paused));
            for run in row.runs.iter().filter(|run| !before.runs.contains(run)) {
                let seen = match run.outcome() {
                    RunOutcome::Ran if run.by_hand => Seen::ScheduleByHand,
                    RunOutcome::Ran => Seen::ScheduleRan,
                    RunOutcome::Overlapped => Seen::ScheduleOverlapped,
                    RunOutcome::Missed | RunOutcome::Refused => Seen::ScheduleMissed,
                };
                self.counts.add(seen, 1);
                // A leader looks five times a second: the one that saw it come has not decided it.
                let since_ms = self.due_since_ms.remove(key);
                let is_late = since_ms.is_some_and(|since_ms| entry.clock_ms > since_ms + 1_000);
                self.counts.add(Seen::ScheduleRanLate, u64::from(seen == Seen::ScheduleRan && is_late));
            }
        }
        for (key, row) in &self.schedules {
            if row.due_ms().is_some_and(|due_ms| due_ms <= entry.clock_ms) {
                self.due_since_ms.entry(key.clone()).or_insert(entry.clock_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let mut counts = Counts::default();
        for (seen, times) in Seen::ALL.into_iter().zip(3..) {
            counts.add(seen, times);
        }
        assert_eq!(Counts::parse(&counts.to_string()), Some(counts.clone()));
        let mut sum = counts.clone();
        sum.plus(&counts);
        assert_eq!(sum.of(Seen::Preempted), 2 * counts.of(Seen::Preempted));
        assert_eq!(Counts::parse("seed 7: holds"), None);
        assert_eq!(Counts::parse("  seen: of-something-else=1"), None);
    }
}
