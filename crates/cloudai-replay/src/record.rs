//! A live cluster's history as a trace. Comes in: tasks that ran, with their times and whom their jobs waited for. Goes out: a trace that
//! replays them as jobs of one processor or more. Where they ran is left out: that is what a replay decides anew. Nobody is asked here for any of it.

use std::collections::BTreeMap;

use crate::trace::{Draft, Job, ReadError, Trace};

/// A task that has run; times in milliseconds since any one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    pub job: u64,
    pub index: u32,
    /// Whose it was.
    pub user: u64,
    pub submitted_ms: u64,
    /// Of its last attempt.
    pub started_ms: u64,
    pub ended_ms: u64,
    /// How long it might have run; 0: for ever.
    pub limit_ms: u64,
    pub cpu_milli: u64,
    pub waits_for: Vec<WaitsFor>,
}

/// A job of the same workflow that had to end first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitsFor {
    pub job: u64,
    /// Only its task of the same index.
    pub each: bool,
}

/// Whole seconds from the first submit on; what ran for less than one ran for one. Parts of a CPU are one processor. Parents that were not
/// recorded are left out.
///
/// # Errors
/// [`ReadError::Empty`] without any task that ran.
pub fn trace_of(recorded: &[Recorded]) -> Result<Trace, ReadError> {
    let first_ms = recorded.iter().map(|task| task.submitted_ms).min().unwrap_or(0);
    let ids: BTreeMap<(u64, u32), u64> =
        recorded.iter().zip(1..).map(|(task, id)| ((task.job, task.index), id)).collect();
    let drafts = recorded.iter().zip(1..).map(|(task, id)| {
        let run_s = task.ended_ms.saturating_sub(task.started_ms).div_ceil(1_000).max(1);
        let parents = task.waits_for.iter().flat_map(|of| {
            let indexes = if of.each { task.index..=task.index } else { 0..=u32::MAX };
            ids.range((of.job, *indexes.start())..=(of.job, *indexes.end())).map(|(_, id)| *id)
        });
        let job = Job {
            id,
            submit_s: task.submitted_ms.saturating_sub(first_ms) / 1_000,
            run_s,
            requested_s: task.limit_ms.div_ceil(1_000).max(run_s),
            processors: u32::try_from(task.cpu_milli.div_ceil(1_000)).unwrap_or(u32::MAX).max(1),
            user: task.user,
            deadline_s: None,
            parents: vec![],
        };
        Draft { job, parents: parents.collect() }
    });
    Trace::of(drafts.collect(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(job: u64, index: u32, submitted_ms: u64, ran_ms: u64) -> Recorded {
        Recorded {
            job,
            index,
            user: 0,
            submitted_ms,
            started_ms: submitted_ms + 500,
            ended_ms: submitted_ms + 500 + ran_ms,
            limit_ms: 0,
            cpu_milli: 2_500,
            waits_for: vec![],
        }
    }

    #[test]
    fn times_are_whole_seconds_from_the_first_submit_on() {
        let limited = Recorded { limit_ms: 60_000, cpu_milli: 0, ..task(8, 0, 1_700_000_005_400, 10) };
        let trace = trace_of(&[task(7, 0, 1_700_000_000_000, 2_001), limited]).expect("two jobs");
        let told: Vec<_> = trace.jobs.iter().map(|j| (j.submit_s, j.run_s, j.requested_s, j.processors)).collect();
        assert_eq!(told, [(0, 3, 3, 3), (5, 1, 60, 1)]);
        assert!(matches!(trace_of(&[]), Err(ReadError::Empty)));
    }

    #[test]
    fn who_waited_for_whom_is_kept() {
        let after = |each| vec![WaitsFor { job: 7, each }, WaitsFor { job: 99, each }];
        let recorded = [
            task(7, 0, 0, 1),
            task(7, 1, 0, 1),
            Recorded { waits_for: after(true), ..task(8, 1, 0, 1) },
            Recorded { waits_for: after(false), ..task(9, 0, 0, 1) },
        ];
        let trace = trace_of(&recorded).expect("four jobs");
        let parents: Vec<_> = trace.jobs.iter().map(|job| job.parents.clone()).collect();
        assert_eq!(parents, [vec![], vec![], vec![1], vec![0, 1]]);
    }
}
