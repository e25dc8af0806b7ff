//! Virtual time. Comes in: jobs, the machine's size, how the queue is ordered and who may pass. Goes out: when each job started.
//! Two protocols: [`replay`] takes a whole log as a live cluster would, [`replay_window`] repeats the event order of RLScheduler
//! (SC'20), so that its published numbers can be compared with. What the schedule is worth is deliberately not known here.

mod machine;
mod queue;
mod whole;
mod window;

use std::time::Instant;

use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order::Order;

use crate::check::Broken;
use crate::trace::Job;

pub use whole::{replay, replay_watched};
pub use window::{replay_window, replay_window_watched};

/// How a replay decides.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Processors of the machine.
    pub capacity: u32,
    pub order: &'a (dyn Order + Sync),
    pub backfill: Backfill,
    /// Expect run times from what has ended before, instead of the limit. Orders only; reservations keep to limits.
    pub predict: bool,
}

/// What happened. The vectors have one entry per job, in the order of the jobs that came in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Run {
    pub start_s: Vec<u64>,
    /// When it could have started at the earliest: submitted, and its parents ended.
    pub ready_s: Vec<u64>,
    /// Whether it passed another job.
    pub backfilled: Vec<bool>,
    /// How long each decision took on this machine, in nanoseconds. Measured: the only part that differs from run to run.
    pub decisions_ns: Vec<u64>,
}

/// Why there is no schedule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("job {job} needs {processors} processors, and the machine has {capacity}")]
    TooWide { job: u64, processors: u32, capacity: u32 },
    #[error("a window of {length} jobs from job {start} on does not lie within a trace of {jobs} jobs")]
    NoSuchWindow { start: usize, length: usize, jobs: usize },
    #[error("windows cut through workflows, whose jobs wait for each other")]
    WindowOfWorkflow,
    /// A mistake in CloudAI, found by the checks at every event or by the one at the end.
    #[error("the schedule breaks a rule: {0}")]
    Broken(#[from] Broken),
}

impl Setup<'_> {
    fn refuse_too_wide(&self, jobs: &[Job]) -> Result<(), ReplayError> {
        match jobs.iter().find(|job| job.processors > self.capacity) {
            Some(job) => Err(ReplayError::TooWide { job: job.id, processors: job.processors, capacity: self.capacity }),
            None => Ok(()),
        }
    }
}

/// Runs one decision and notes how long it took.
fn timed<T>(decisions_ns: &mut Vec<u64>, decide: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let decided = decide();
    decisions_ns.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    decided
}
