//! One trace under several policies. Comes in: a trace, the names of policies, what they share. Goes out: one [`Report`] per policy, in
//! the order in which they were named. How reports are shown is deliberately not known here.

use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order::Order;
use serde::Serialize;

use crate::engine::{ReplayError, Run, Setup, replay, replay_window};
use crate::metrics::{Metrics, Summary, summary};
use crate::trace::{Job, Trace};

/// What the policies of one comparison share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Processors of the machine.
    pub capacity: u32,
    pub backfill: Backfill,
    /// Expect run times from history; see [`Setup::predict`].
    pub predict: bool,
    /// First jobs of windows that are replayed alone (in the event order of RLScheduler). None: the whole trace.
    pub windows: Vec<usize>,
    /// Jobs of each window.
    pub window_length: usize,
    /// Tell how long decisions took: the only figures that differ from run to run.
    pub timings: bool,
}

/// One policy's figures. In JSON the metrics stand beside the names.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    pub policy: &'static str,
    pub backfill: &'static str,
    /// 0: the whole trace.
    pub windows: u64,
    pub nodes: u32,
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Per look at the queue, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_ns: Option<Summary>,
}

/// Replays the trace under one policy.
///
/// # Errors
/// See [`replay`] and [`replay_window`].
pub fn report(trace: &Trace, order: &(dyn Order + Sync), plan: &Plan) -> Result<Report, ReplayError> {
    let setup = Setup { capacity: plan.capacity, order, backfill: plan.backfill, predict: plan.predict };
    let mut runs: Vec<(&[Job], Run)> = vec![];
    if plan.windows.is_empty() {
        runs.push((&trace.jobs, replay(&trace.jobs, &setup)?));
    }
    for start in &plan.windows {
        let run = replay_window(&trace.jobs, *start, plan.window_length, &setup)?;
        runs.push((&trace.jobs[*start..*start + plan.window_length], run));
    }
    let runs: Vec<(&[Job], &Run)> = runs.iter().map(|(jobs, run)| (*jobs, run)).collect();
    let decisions = || runs.iter().flat_map(|(_, run)| &run.decisions_ns).map(|ns| *ns as f64).collect();
    Ok(Report {
        policy: order.name(),
        backfill: plan.backfill.name(),
        windows: plan.windows.len() as u64,
        nodes: plan.capacity,
        metrics: Metrics::of(&runs).with_capacity(&runs, plan.capacity),
        decision_ns: plan.timings.then(|| summary(decisions())),
    })
}
