//! What a schedule is worth. Comes in: jobs and when each started. Goes out: figures for people and for comparison. How the
//! schedule came about is deliberately not known here.

use std::collections::BTreeMap;

use cloudai_types::limits;
use serde::Serialize;

use crate::engine::Run;
use crate::trace::Job;

/// A distribution in five figures. Percentiles are nearest ranks: values that occurred.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// Busy processor seconds over available ones, from the first submission on; 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Utilisation {
    /// Until the last job started: the end, when the machine runs empty, is left out. As RLScheduler counts it.
    pub to_last_start: f64,
    pub to_last_finish: f64,
}

/// Everything that is told about one policy. Over several windows: makespan, throughput and utilisation are means of
/// the windows, the rest is over all jobs of all windows.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Metrics {
    pub jobs: u64,
    /// From the first submission to the last ending.
    pub makespan_s: f64,
    pub throughput_per_hour: f64,
    /// From submission to ending.
    pub completion_s: Summary,
    /// From being ready (submitted, parents ended) to the start.
    pub wait_s: Summary,
    /// max(1, (wait + run) / max(run, τ)), τ = [`limits::REPLAY_SLOWDOWN_BOUND`] (Feitelson).
    pub bounded_slowdown: Summary,
    pub utilisation: Utilisation,
    /// Of the processor seconds until the last job started, those that stood idle although somebody waited who asked for them; 0 to 1. What is free is
    /// then too little for the first, or lies beside a reservation.
    pub fragmentation: f64,
    /// Jain's index over users of their mean bounded slowdown: 1 when all fare alike, 1/users when one bears it all.
    pub jain_index: f64,
    /// Jobs that waited longer than [`limits::REPLAY_STARVED_AFTER`].
    pub starved: u64,
    /// Jobs that passed another one.
    pub backfilled: u64,
    /// Jobs that have a deadline, and those of them that ended after it.
    pub deadlines: u64,
    pub deadline_misses: u64,
    /// None where nobody has said what a node costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// What the machine costs, in the unit of the price: all of its nodes, busy or not, from the first submission to the last ending.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Cost {
    pub total: f64,
    /// Over the jobs.
    pub per_job: f64,
}

impl Metrics {
    /// Over one or more runs, each with the jobs that it ran.
    pub fn of(runs: &[(&[Job], &Run)]) -> Metrics {
        let mut all = Samples::default();
        let mut metrics = Metrics::default();
        for (jobs, run) in runs {
            let span = Span::of(jobs, run);
            metrics.makespan_s += span.makespan_s;
            metrics.throughput_per_hour += span.throughput_per_hour;
            metrics.backfilled += run.backfilled.iter().filter(|b| **b).count() as u64;
            all.add(jobs, run);
        }
        let windows = runs.len().max(1) as f64;
        Metrics {
            jobs: all.wait_s.len() as u64,
            makespan_s: metrics.makespan_s / windows,
            throughput_per_hour: metrics.throughput_per_hour / windows,
            starved: all.starved,
            deadlines: all.deadlines,
            deadline_misses: all.deadline_misses,
            jain_index: jain(all.by_user.values().map(|(sum, count)| sum / count)),
            completion_s: summary(all.completion_s),
            wait_s: summary(all.wait_s),
            bounded_slowdown: summary(all.bounded_slowdown),
            ..metrics
        }
    }

    /// Adds the utilisation of a machine of this size.
    #[must_use]
    pub fn with_capacity(mut self, runs: &[(&[Job], &Run)], capacity: u32) -> Metrics {
        let windows = runs.len().max(1) as f64;
        for (jobs, run) in runs {
            let used = utilisation(jobs, run, capacity);
            self.utilisation.to_last_start += used.to_last_start / windows;
            self.utilisation.to_last_finish += used.to_last_finish / windows;
            self.fragmentation += fragmentation(jobs, run, capacity) / windows;
        }
        self
    }

    /// Adds what a machine of this size costs. After [`Metrics::of`], whose makespan and jobs it takes.
    #[must_use]
    pub fn with_price(mut self, runs: &[(&[Job], &Run)], capacity: u32, per_node_hour: Option<f64>) -> Metrics {
        let Some(price) = per_node_hour else { return self };
        let total = f64::from(capacity) * self.makespan_s * price / 3_600.0;
        let jobs_per_run = self.jobs as f64 / runs.len().max(1) as f64;
        self.cost = Some(Cost { total, per_job: total / jobs_per_run.max(1.0) });
        self
    }
}

impl Metrics {
    /// All of it as names and numbers. The names are those of the columns of a CSV file, and their order is fixed.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        let (c, w, s) = (&self.completion_s, &self.wait_s, &self.bounded_slowdown);
        let mut figures = vec![
            ("jobs", self.jobs as f64),
            ("makespan_s", self.makespan_s),
            ("throughput_per_hour", self.throughput_per_hour),
            ("completion_s_mean", c.mean),
            ("completion_s_p50", c.p50),
            ("completion_s_p95", c.p95),
            ("completion_s_p99", c.p99),
            ("completion_s_max", c.max),
            ("wait_s_mean", w.mean),
            ("wait_s_p50", w.p50),
            ("wait_s_p95", w.p95),
            ("wait_s_p99", w.p99),
            ("wait_s_max", w.max),
            ("bounded_slowdown_mean", s.mean),
            ("bounded_slowdown_p50", s.p50),
            ("bounded_slowdown_p95", s.p95),
            ("bounded_slowdown_p99", s.p99),
            ("bounded_slowdown_max", s.max),
            ("utilisation_to_last_start", self.utilisation.to_last_start),
            ("utilisation_to_last_finish", self.utilisation.to_last_finish),
            ("fragmentation", self.fragmentation),
            ("jain_index", self.jain_index),
            ("starved", self.starved as f64),
            ("backfilled", self.backfilled as f64),
            ("deadlines", self.deadlines as f64),
            ("deadline_misses", self.deadline_misses as f64),
        ];
        if let Some(cost) = self.cost {
            figures.extend([("cost_total", cost.total), ("cost_per_job", cost.per_job)]);
        }
        figures
    }
}

#[derive(Default)]
struct Samples {
    completion_s: Vec<f64>,
    wait_s: Vec<f64>,
    bounded_slowdown: Vec<f64>,
    /// Sum and count of bounded slowdowns.
    by_user: BTreeMap<u64, (f64, f64)>,
    starved: u64,
    deadlines: u64,
    deadline_misses: u64,
}

impl Samples {
    fn add(&mut self, jobs: &[Job], run: &Run) {
        let bound_s = limits::REPLAY_SLOWDOWN_BOUND.0 / 1000;
        for (place, job) in jobs.iter().enumerate() {
            let (start_s, ready_s) = (run.start_s[place], run.ready_s[place]);
            let wait_s = start_s - ready_s;
            let slowdown = (wait_s + job.run_s) as f64 / job.run_s.max(bound_s) as f64;
            let slowdown = slowdown.max(1.0);
            self.completion_s.push((start_s + job.run_s - job.submit_s) as f64);
            self.wait_s.push(wait_s as f64);
            self.bounded_slowdown.push(slowdown);
            let user = self.by_user.entry(job.user).or_default();
            *user = (user.0 + slowdown, user.1 + 1.0);
            self.starved += u64::from(wait_s > limits::REPLAY_STARVED_AFTER.0 / 1000);
            self.deadlines += u64::from(job.deadline_s.is_some());
            self.deadline_misses += u64::from(job.deadline_s.is_some_and(|end_s| start_s + job.run_s > end_s));
        }
    }
}

struct Span {
    makespan_s: f64,
    throughput_per_hour: f64,
}

impl Span {
    fn of(jobs: &[Job], run: &Run) -> Span {
        let first_s = first_submit_s(jobs);
        let makespan_s = (last_finish_s(jobs, run) - first_s) as f64;
        Span { makespan_s, throughput_per_hour: jobs.len() as f64 * 3_600.0 / makespan_s.max(1.0) }
    }
}

fn first_submit_s(jobs: &[Job]) -> u64 {
    jobs.iter().map(|job| job.submit_s).min().unwrap_or(0)
}

fn last_finish_s(jobs: &[Job], run: &Run) -> u64 {
    jobs.iter().zip(&run.start_s).map(|(job, start_s)| start_s + job.run_s).max().unwrap_or(0)
}

fn utilisation(jobs: &[Job], run: &Run, capacity: u32) -> Utilisation {
    let first_s = first_submit_s(jobs);
    let until = |end_s: u64| {
        let busy: u128 = jobs
            .iter()
            .zip(&run.start_s)
            .map(|(job, start_s)| {
                let ran_s = (start_s + job.run_s).min(end_s).saturating_sub(*start_s);
                u128::from(ran_s) * u128::from(job.processors)
            })
            .sum();
        let available = u128::from(end_s - first_s) * u128::from(capacity);
        busy as f64 / (available.max(1)) as f64
    };
    Utilisation {
        to_last_start: until(run.start_s.iter().copied().max().unwrap_or(first_s)),
        to_last_finish: until(last_finish_s(jobs, run)),
    }
}

/// See [`Metrics::fragmentation`].
fn fragmentation(jobs: &[Job], run: &Run, capacity: u32) -> f64 {
    // What changes at each second: processors that are waited for, and that are used.
    let mut changes: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    for (place, job) in jobs.iter().enumerate() {
        let (ready_s, start_s, width) = (run.ready_s[place], run.start_s[place], i64::from(job.processors));
        changes.entry(ready_s).or_default().0 += width;
        let begins = changes.entry(start_s).or_default();
        *begins = (begins.0 - width, begins.1 + width);
        changes.entry(start_s + job.run_s).or_default().1 -= width;
    }
    let (mut waits, mut used, mut before_s, mut idle) = (0, 0, 0, 0u128);
    for (at_s, (more_wait, more_used)) in changes {
        let wasted = (i64::from(capacity) - used).clamp(0, waits);
        idle += u128::from(at_s - before_s) * wasted.unsigned_abs() as u128;
        (waits, used, before_s) = (waits + more_wait, used + more_used, at_s);
    }
    let last_start_s = run.start_s.iter().copied().max().unwrap_or(0);
    let available = u128::from(last_start_s.saturating_sub(first_submit_s(jobs))) * u128::from(capacity);
    idle as f64 / available.max(1) as f64
}

/// (Σx)² / (n · Σx²), Jain, Chiu and Hawe 1984. 1 of nobody.
fn jain(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for x in values {
        n += 1.0;
        sum += x;
        squares += x * x;
    }
    if squares > 0.0 { sum * sum / (n * squares) } else { 1.0 }
}

/// Sorts and sums up; all zero for no values.
pub fn summary(mut values: Vec<f64>) -> Summary {
    values.sort_unstable_by(f64::total_cmp);
    let Some(max) = values.last().copied() else { return Summary::default() };
    let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Summary { mean, p50: rank(50), p95: rank(95), p99: rank(99), max }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(submit_s: u64, run_s: u64, processors: u32, user: u64) -> Job {
        Job { id: submit_s, submit_s, run_s, requested_s: run_s, processors, user, deadline_s: None, parents: vec![] }
    }

    #[test]
    fn a_small_schedule_by_hand() {
        // Two processors. 100 × 2 at once; 5 s on one of them after 190 s of waiting; 50 s without.
        let jobs = [job(0, 100, 2, 1), job(10, 5, 1, 2), job(150, 50, 1, 1)];
        let run = Run {
            start_s: vec![0, 200, 150],
            ready_s: vec![0, 10, 150],
            backfilled: vec![false, false, true],
            decisions_ns: vec![],
        };
        let m = Metrics::of(&[(&jobs, &run)]).with_capacity(&[(&jobs, &run)], 2);
        assert_eq!((m.jobs, m.makespan_s, m.backfilled, m.starved), (3, 205.0, 1, 0));
        assert_eq!((m.wait_s.max, m.wait_s.p50, m.completion_s.max), (190.0, 0.0, 195.0));
        // (190 + 5) / 10: short runs count as 10 s.
        assert_eq!(m.bounded_slowdown.max, 19.5);
        assert!((m.bounded_slowdown.mean - 21.5 / 3.0).abs() < 1e-12);
        assert!((m.utilisation.to_last_start - 250.0 / 400.0).abs() < 1e-12, "{:?}", m.utilisation);
        assert!((m.utilisation.to_last_finish - 255.0 / 410.0).abs() < 1e-12);
        // Until 200 s: one waits for 190 s, and beside nobody from 100 to 150 s, beside one more from 150 to 200 s one processor stands idle.
        assert!((m.fragmentation - 100.0 / 400.0).abs() < 1e-12, "{}", m.fragmentation);
        // User 1 has 1, user 2 has 19.5.
        assert!((m.jain_index - 20.5 * 20.5 / (2.0 * (1.0 + 19.5 * 19.5))).abs() < 1e-12);
    }

    #[test]
    fn nobody_who_waits_for_what_is_not_there_is_fragmentation() {
        // Three processors. The second asks for all of them and waits until 100 s beside one that stands idle; the third waits for nothing.
        let jobs = [job(0, 100, 2, 1), job(10, 50, 3, 1), job(150, 10, 1, 1)];
        let run = Run { start_s: vec![0, 100, 150], ready_s: vec![0, 10, 150], ..Run::default() };
        let m = Metrics::of(&[(&jobs, &run)]).with_capacity(&[(&jobs, &run)], 3);
        assert!((m.fragmentation - 90.0 / 450.0).abs() < 1e-12, "{}", m.fragmentation);
        let alone = Run { start_s: vec![0], ready_s: vec![0], ..Run::default() };
        assert_eq!(Metrics::of(&[(&jobs[..1], &alone)]).with_capacity(&[(&jobs[..1], &alone)], 3).fragmentation, 0.0);
    }

    #[test]
    fn a_machine_costs_what_its_nodes_cost_busy_or_not() {
        let jobs = [job(0, 1_800, 1, 0), job(0, 1_800, 1, 0)];
        let run = Run { start_s: vec![0, 1_800], ready_s: vec![0, 0], ..Run::default() };
        let runs: [(&[Job], &Run); 2] = [(&jobs, &run), (&jobs, &run)];
        let cost = |price| Metrics::of(&runs).with_price(&runs, 4, price).cost;
        assert_eq!(
            cost(Some(0.25)),
            Some(Cost { total: 1.0, per_job: 0.5 }),
            "four nodes, an hour, in each of two windows"
        );
        assert_eq!(cost(None), None);
    }

    #[test]
    fn a_deadline_is_missed_by_who_ends_after_it() {
        let with = |run_s, deadline_s| Job { deadline_s, ..job(0, run_s, 1, 0) };
        let jobs = [with(10, Some(10)), with(10, Some(9)), with(10, None)];
        let run = Run { start_s: vec![0; 3], ready_s: vec![0; 3], ..Run::default() };
        let m = Metrics::of(&[(&jobs, &run)]);
        assert_eq!((m.deadlines, m.deadline_misses), (2, 1), "ending at it is in time");
    }

    /// Whoever adds a figure adds it to all forms: the list has as many numbers as the JSON, name by name.
    #[test]
    fn figures_are_all_there_is() {
        let all = Metrics { cost: Some(Cost::default()), ..Metrics::default() };
        let json = serde_json::to_value(&all).unwrap();
        let mut names = vec![];
        for (name, value) in json.as_object().unwrap() {
            match value.as_object() {
                None => names.push(name.clone()),
                Some(parts) => names.extend(parts.keys().map(|part| format!("{name}_{part}"))),
            }
        }
        let mut listed: Vec<String> = all.figures().iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        listed.sort();
        assert_eq!(listed, names);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let s = summary((1..=200).rev().map(f64::from).collect());
        assert_eq!((s.mean, s.p50, s.p95, s.p99, s.max), (100.5, 100.0, 190.0, 198.0, 200.0));
        assert_eq!(summary(vec![]), Summary::default());
        assert_eq!(summary(vec![7.0]).p99, 7.0);
    }

    #[test]
    fn two_windows_count_as_one_and_their_spans_are_averaged() {
        let (a, b) = ([job(0, 100, 1, 0)], [job(50, 300, 1, 0)]);
        let run = |start_s| Run { start_s: vec![start_s], ready_s: vec![start_s], ..Run::default() };
        let (ra, rb) = (run(0), run(50));
        let m = Metrics::of(&[(&a, &ra), (&b, &rb)]);
        assert_eq!((m.jobs, m.makespan_s, m.completion_s.mean), (2, 200.0, 200.0));
    }
}
