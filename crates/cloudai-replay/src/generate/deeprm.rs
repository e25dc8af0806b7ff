//! The workload of DeepRM (Mao et al., "Resource management with deep reinforcement learning", HotNets'16): at each step a job
//! arrives with a fixed chance; four of five are short, the others long; each has one dominant of two resources.
//!
//! A trace holds one resource. It gets the first of the two, which is the dominant one for half of the jobs: widths have two
//! modes, and the work per resource is that of the model. Lengths are steps of a minute; the ten slots of a resource are the machine's
//! processors.

use super::Made;
use crate::seeded::Seeded;

pub(super) const STEP_S: u64 = 60;
/// The chance of an arrival at a step: work for 129 % of the machine, so that a long workload needs a `load` of its own.
pub(super) const ARRIVAL: f64 = 0.7;
pub(super) const SHORT: f64 = 0.8;
pub(super) const SHORT_STEPS: (u64, u64) = (1, 3);
pub(super) const LONG_STEPS: (u64, u64) = (10, 15);
pub(super) const SLOTS: u64 = 10;
pub(super) const DOMINANT_SLOTS: (u64, u64) = (5, 10);
pub(super) const OTHER_SLOTS: (u64, u64) = (1, 2);

pub(super) fn jobs(count: usize, nodes: u32, seeded: &mut Seeded) -> Vec<Made> {
    let mut step = 0u64;
    let mut jobs = Vec::with_capacity(count);
    while jobs.len() < count {
        step += 1;
        if seeded.unit() > ARRIVAL {
            continue;
        }
        let steps = if seeded.unit() <= SHORT { SHORT_STEPS } else { LONG_STEPS };
        let slots = if seeded.unit() <= 0.5 { DOMINANT_SLOTS } else { OTHER_SLOTS };
        jobs.push(Made {
            submit_s: (step * STEP_S) as f64,
            run_s: seeded.between(steps.0, steps.1) * STEP_S,
            processors: (seeded.between(slots.0, slots.1) * u64::from(nodes)).div_ceil(SLOTS) as u32,
        });
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 40_000;

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        values.sum::<f64>() / COUNT as f64
    }

    #[test]
    fn lengths_widths_and_arrivals_are_those_of_the_model() {
        let jobs = jobs(COUNT, 10, &mut Seeded::new(3));
        let is_short = |job: &&Made| job.run_s <= SHORT_STEPS.1 * STEP_S;
        let short = jobs.iter().filter(is_short).count() as f64 / COUNT as f64;
        assert!((short - SHORT).abs() < 0.01, "{short}");
        assert!(jobs.iter().all(|job| job.run_s % STEP_S == 0 && job.run_s <= LONG_STEPS.1 * STEP_S));
        assert!(jobs.iter().filter(|job| !is_short(job)).all(|job| job.run_s >= LONG_STEPS.0 * STEP_S));
        // 0.8 · 2 + 0.2 · 12.5 steps, and the mean of 7.5 and 1.5 slots.
        let steps = mean(jobs.iter().map(|job| (job.run_s / STEP_S) as f64));
        assert!((steps / 4.1 - 1.0).abs() < 0.02, "{steps}");
        let slots = mean(jobs.iter().map(|job| f64::from(job.processors)));
        assert!((slots / 4.5 - 1.0).abs() < 0.02, "{slots}");
        assert!(jobs.iter().all(|job| (1..=10).contains(&job.processors) && !(3..=4).contains(&job.processors)));
        let arrivals = COUNT as f64 / (jobs[COUNT - 1].submit_s / STEP_S as f64);
        assert!((arrivals - ARRIVAL).abs() < 0.01, "{arrivals}");
    }

    #[test]
    fn slots_are_shares_of_a_machine_of_any_size() {
        for nodes in [1, 7, 10, 1_000] {
            let jobs = jobs(1_000, nodes, &mut Seeded::new(3));
            assert!(jobs.iter().all(|job| (1..=nodes).contains(&job.processors)), "{nodes}");
            assert!(jobs.iter().any(|job| job.processors == nodes), "a dominant demand may be all of it");
        }
    }
}
