//! Workloads under several policies. Comes in: a trace (or one per seed), a policy, what all policies share. Goes out: one [`Report`]. How
//! reports are shown is deliberately not known here.

use std::collections::BTreeMap;

use cloudai_scheduler::backfill::Backfill;
use serde::Serialize;

use crate::engine::{ReplayError, Run, Setup, replay_watched, replay_window_watched};
use crate::interval::Interval;
use crate::metrics::{Metrics, Summary, summary};
use crate::policy::Policy;
use crate::timeline::Timeline;
use crate::trace::{Job, Trace};

/// What the policies of one comparison share.
#[derive(Clone, PartialEq, Debug)]
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
    /// Of one processor of the machine. None: nobody asks for costs.
    pub price_per_node_hour: Option<f64>,
}

/// One policy's figures. In JSON the metrics stand beside the names.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    pub policy: String,
    pub backfill: &'static str,
    /// 0: the whole trace.
    pub windows: u64,
    pub nodes: u32,
    /// Traces that differ in their seed only.
    pub seeds: u64,
    /// Over all jobs of all seeds and windows.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Of each figure, its mean over the seeds and how sure that is. None with one trace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub over_seeds: BTreeMap<&'static str, Interval>,
    /// The order that the scheduler has when nobody says otherwise.
    #[serde(skip)]
    pub is_default: bool,
    /// Of the first seed and window.
    #[serde(skip)]
    pub timeline: Timeline,
    /// Per look at the queue, in nanoseconds. Measured, and so no part of what is repeated to the byte.
    #[serde(skip)]
    pub decision_ns: Summary,
}

impl Plan {
    /// How many jobs a report replays, for who shows progress.
    pub fn jobs(&self, traces: &[Trace]) -> u64 {
        match self.windows.len() {
            0 => traces.iter().map(|trace| trace.jobs.len() as u64).sum(),
            windows => (traces.len() * windows * self.window_length) as u64,
        }
    }
}

/// Replays the traces, one per seed, under one policy. `watch` is called at each start of a job.
///
/// # Errors
/// See [`replay`](crate::replay) and [`replay_window`](crate::replay_window).
pub fn report(traces: &[Trace], policy: &Policy, plan: &Plan, watch: &mut dyn FnMut()) -> Result<Report, ReplayError> {
    let setup =
        Setup { capacity: plan.capacity, order: policy.order(), backfill: plan.backfill, predict: plan.predict };
    let mut runs: Vec<(&[Job], Run)> = vec![];
    for trace in traces {
        if plan.windows.is_empty() {
            runs.push((&trace.jobs, replay_watched(&trace.jobs, &setup, watch)?));
        }
        for start in &plan.windows {
            let run = replay_window_watched(&trace.jobs, *start, plan.window_length, &setup, watch)?;
            runs.push((&trace.jobs[*start..*start + plan.window_length], run));
        }
    }
    let runs: Vec<(&[Job], &Run)> = runs.iter().map(|(jobs, run)| (*jobs, run)).collect();
    let metrics = |runs: &[(&[Job], &Run)]| {
        let metrics = Metrics::of(runs).with_capacity(runs, plan.capacity);
        metrics.with_price(runs, plan.capacity, plan.price_per_node_hour)
    };
    let per_seed: Vec<Metrics> = runs.chunks(plan.windows.len().max(1)).map(metrics).collect();
    let decisions = runs.iter().flat_map(|(_, run)| &run.decisions_ns).map(|ns| *ns as f64);
    Ok(Report {
        policy: policy.name.clone(),
        backfill: plan.backfill.name(),
        windows: plan.windows.len() as u64,
        nodes: plan.capacity,
        seeds: traces.len() as u64,
        over_seeds: if traces.len() > 1 { intervals(&per_seed) } else { BTreeMap::new() },
        metrics: metrics(&runs),
        is_default: policy.is_default(),
        timeline: runs.first().map(|(jobs, run)| Timeline::of(jobs, run, plan.capacity)).unwrap_or_default(),
        decision_ns: summary(decisions.collect()),
    })
}

fn intervals(per_seed: &[Metrics]) -> BTreeMap<&'static str, Interval> {
    let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for (name, value) in per_seed.iter().flat_map(Metrics::figures) {
        values.entry(name).or_default().push(value);
    }
    values.into_iter().map(|(name, values)| (name, Interval::of(&values))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One processor; two jobs that come together and run for `a` and `b` seconds.
    fn trace(a: u64, b: u64) -> Trace {
        let job = |id, run_s| Job {
            id,
            submit_s: 0,
            run_s,
            requested_s: run_s,
            processors: 1,
            user: 0,
            deadline_s: None,
            parents: vec![],
        };
        Trace { jobs: vec![job(1, a), job(2, b)], processors: Some(1), ..Trace::default() }
    }

    fn plan() -> Plan {
        Plan {
            capacity: 1,
            backfill: Backfill::Easy,
            predict: false,
            windows: vec![],
            window_length: 0,
            price_per_node_hour: None,
        }
    }

    #[test]
    fn seeds_are_summed_up_together_and_one_by_one() {
        let traces = [trace(10, 10), trace(20, 30), trace(40, 20)];
        let mut starts = 0;
        let policy = Policy::parse("fcfs").unwrap();
        let told = report(&traces, &policy, &plan(), &mut || starts += 1).unwrap();
        assert_eq!((told.seeds, told.metrics.jobs, starts, plan().jobs(&traces)), (3, 6, 6, 6));
        // Waits of the second job: 10, 20, 40 s. Means of the seeds: 5, 10, 20; their mean 11.667, their deviation 7.638;
        // 4.303 · 7.638 / sqrt(3) = 18.97.
        let wait = told.over_seeds["wait_s_mean"];
        assert!((wait.mean - 35.0 / 3.0).abs() < 1e-9 && (wait.ci95.unwrap() - 18.974).abs() < 2e-3, "{wait:?}");
        assert_eq!(told.metrics.wait_s.max, 40.0, "over all jobs");
        assert_eq!(told.over_seeds.len(), told.metrics.figures().len());
        let alone = report(&traces[..1], &policy, &plan(), &mut || ()).unwrap();
        assert!(alone.over_seeds.is_empty() && !alone.is_default);
        assert_eq!(alone.timeline.used, vec![1.0; 20]);
    }

    #[test]
    fn windows_of_a_seed_are_one_value() {
        let plan = Plan { windows: vec![0, 1], window_length: 1, ..plan() };
        let traces = [trace(10, 20), trace(30, 40)];
        let told = report(&traces, &Policy::default_order(), &plan, &mut || ()).unwrap();
        assert_eq!((told.windows, told.seeds, told.metrics.jobs, plan.jobs(&traces)), (2, 2, 4, 4));
        assert_eq!((told.over_seeds["jobs"].mean, told.over_seeds["completion_s_mean"].mean), (2.0, 25.0));
    }
}
