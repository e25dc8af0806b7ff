//! Fragmentation gradient descent: the worker where placing the task makes the fewest GPUs useless to the usual tasks. Comes in: free room, the task,
//! and what usually comes. Goes out: by how much the useless GPUs change, smallest first. After Weng et al., "Beware of fragmentation: scheduling
//! GPU-sharing workloads with fragmentation gradient descent", ATC'23; [`crate::placement::fgd`] has the published algorithm for the simulator.
//!
//! What of it this is: the measure (GPUs that a usual task, drawn at random, finds free and cannot use) and the descent (the least growth wins).
//! What is not: parts of GPUs, since the cluster gives whole ones, so that the choice among a worker's GPUs falls away; and the sigmoid, which
//! only cuts the score into steps. What is more: memory and storage count beside the CPU, so that a task without GPUs does not take the last of them
//! from a machine whose GPUs are free; and equals are told apart, where the paper takes the first.

use super::{FULL, Load, Measure, Score, Wish, dominant_share};

pub struct Fgd;

/// A change is counted in hundredths of a GPU; this many above or below are as bad as more.
const MOST: i128 = 0x7fff;

impl Score for Fgd {
    fn wish(&self, asked: &[u64; 4], measure: &Measure) -> Wish {
        measure.usual.concerned(asked)
    }

    /// The change; then few free GPUs, so that who needs none goes where there are none; then the fullest.
    fn rank(&self, load: &Load, wish: &Wish, measure: &Measure) -> u32 {
        let left: [u64; 4] = std::array::from_fn(|d| load.free[d].saturating_sub(wish[d]));
        let useless = |free: &[u64; 4]| i128::from(measure.usual.useless(free));
        let grown = (useless(&left) - useless(&load.free)) * 100;
        let change = grown.checked_div(measure.usual.weight().into()).unwrap_or(0).clamp(-MOST, MOST);
        let [.., gpus] = load.free;
        let emptiness = (FULL - dominant_share(load)) >> 8;
        ((change + MOST) as u32) << 16 | (gpus.min(0xff) as u32) << 8 | emptiness
    }

    /// Only among those that change as much, and have as many GPUs free.
    fn image_slack(&self) -> Option<u32> {
        Some(0x40)
    }

    fn looks_at_usual(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::Usual;
    use super::*;
    use cloudai_types::HourlyPrice;

    const GPU_MACHINE: [u64; 4] = [32_000, 128, 0, 4];
    const CPU_MACHINE: [u64; 4] = [32_000, 128, 0, 0];

    fn left(capacity: [u64; 4], free: [u64; 4]) -> Load {
        Load { capacity, free, attempts: 0, price: HourlyPrice::default() }
    }

    /// True when a task that asks for this goes to the first, where the usual ones ask for so many GPUs with 4 CPUs and 16 of memory each.
    fn prefers(usual: &[u64], asked: [u64; 4], first: &Load, second: &Load) -> bool {
        let usual = Usual::from_tasks(usual.iter().map(|gpus| ([4_000 * gpus, 16 * gpus, 0, *gpus], 10)));
        let measure = Measure { usual, ..Measure::default() };
        let rank = |load: &Load| Fgd.rank(load, &Fgd.wish(&asked, &measure), &measure);
        rank(first) < rank(second)
    }

    #[test]
    fn gpus_that_are_of_no_use_to_the_others_go_first() {
        let (three, four) = (left(GPU_MACHINE, [30_000, 120, 0, 3]), left(GPU_MACHINE, [32_000, 128, 0, 4]));
        let one = [4_000, 16, 0, 1];
        assert!(prefers(&[4], one, &three, &four), "three are useless to those of four already");
        let starved = left(GPU_MACHINE, [4_500, 120, 0, 4]);
        assert!(prefers(&[4, 2], one, &starved, &four), "there is no CPU for the usual ones");
        assert!(prefers(&[1], one, &three, &four), "no difference for them: the fuller one");
    }

    #[test]
    fn tasks_without_gpus_leave_gpus_what_they_need() {
        let asks = [20_000, 16, 0, 0];
        let gpus = left(GPU_MACHINE, [32_000, 128, 0, 4]);
        assert!(prefers(&[4], asks, &left(CPU_MACHINE, CPU_MACHINE), &gpus));
        let used = left(GPU_MACHINE, [24_000, 100, 0, 0]);
        assert!(prefers(&[4], asks, &used, &gpus), "its GPUs are taken, and its CPUs are of no use to them");
        let memory = [1_000, 100, 0, 0];
        assert!(prefers(&[4], memory, &used, &gpus), "memory as well");
        assert!(
            prefers(&[1], [20_000, 16, 0, 0], &left(CPU_MACHINE, CPU_MACHINE), &gpus),
            "also where it costs nothing"
        );
    }

    #[test]
    fn without_gpus_anywhere_the_fullest_is_taken() {
        let (full, empty) = (left(CPU_MACHINE, [8_000, 32, 0, 0]), left(CPU_MACHINE, CPU_MACHINE));
        assert!(prefers(&[], [1_000, 1, 0, 0], &full, &empty));
    }
}
