//! The cheapest worker for this task: price per hour, by the part of the worker that the task takes. Comes in: prices, and a task's direction. Goes out:
//! what its part costs, cheapest first, and of those that cost the same the fullest, so that the dear ones stay empty and can be switched off.
//!
//! The part is that of the dimension of which it takes most of the worker, as a dominant share: a task that takes all memory of a machine pays for all of
//! it. A task without GPUs pays for a GPU machine by its CPUs, and so goes elsewhere. A worker that says no price costs nothing, and comes first.

use super::{FULL, Load, Measure, Score, Wish, direction, dominant_share};

pub struct Cost;

impl Score for Cost {
    fn wish(&self, asked: &[u64; 4], measure: &Measure) -> Wish {
        direction::of(asked, &measure.largest)
    }

    fn rank(&self, load: &Load, wish: &Wish, measure: &Measure) -> u32 {
        let part = |d: usize| {
            let amount = u128::from(wish[d]) * u128::from(measure.largest[d]);
            (amount > 0).then(|| u128::from(load.price.0).saturating_mul(amount) / u128::from(load.capacity[d].max(1)))
        };
        // Who asks for nothing takes as little of each.
        let cost = (0..4).filter_map(part).max().unwrap_or_else(|| load.price.0.into());
        u32::from(step(cost)) << 16 | (FULL - dominant_share(load))
    }

    fn keeps_choice(&self) -> bool {
        true
    }

    /// No image is worth money here; among workers that cost the same, a quarter of how full they are.
    fn image_slack(&self) -> Option<u32> {
        Some(0x4000)
    }
}

/// Its place among all costs, in steps of a five-hundredth: costs that are as near to each other are the same.
fn step(cost: u128) -> u16 {
    let Some(exponent) = cost.checked_ilog2() else { return 0 };
    let mantissa = if exponent >= 9 { cost >> (exponent - 9) } else { cost << (9 - exponent) } as u16 & 0x1ff;
    ((exponent as u16) << 9 | mantissa).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::HourlyPrice;

    fn machine(capacity: [u64; 4], price: u64) -> Load {
        Load { capacity, free: capacity, attempts: 0, price: HourlyPrice(price) }
    }

    fn prefers(asked: [u64; 4], first: &Load, second: &Load) -> bool {
        let largest = std::array::from_fn(|d| first.capacity[d].max(second.capacity[d]));
        let measure = Measure { largest, ..Measure::default() };
        let rank = |load: &Load| Cost.rank(load, &Cost.wish(&asked, &measure), &measure);
        rank(first) < rank(second)
    }

    #[test]
    fn what_counts_is_the_part_that_the_task_takes() {
        let small = machine([4_000, 16, 0, 0], 200_000);
        let large = machine([16_000, 64, 0, 0], 600_000);
        let task = [1_000, 4, 0, 0];
        assert!(prefers(task, &large, &small), "0.05 a CPU against 0.0375");
        let gpus = machine([16_000, 64, 0, 2], 4_000_000);
        assert!(prefers(task, &small, &gpus));
        let much_memory = machine([4_000, 64, 0, 0], 300_000);
        assert!(prefers([500, 16, 0, 0], &much_memory, &small), "a quarter of it against all of the other one");
        assert!(prefers([4_000, 16, 0, 0], &small, &much_memory), "all CPUs of either");
        assert!(prefers(task, &machine([4_000, 16, 0, 0], 0), &large), "it says no price");
        assert!(prefers([0; 4], &small, &large), "who asks for nothing looks at the price alone");
    }

    #[test]
    fn of_equals_the_fullest_is_taken() {
        let empty = machine([16_000, 64, 0, 0], 600_000);
        let full = Load { free: [1_000, 64, 0, 0], ..empty };
        assert!(prefers([1_000, 4, 0, 0], &full, &empty));
        let double = machine([32_000, 128, 0, 0], 1_200_000);
        assert!(prefers([1_000, 4, 0, 0], &full, &double) && !prefers([1_000, 4, 0, 0], &double, &full));
    }

    #[test]
    fn steps_order_as_costs_do() {
        let costs = [0, 1, 2, 3, 511, 512, 513, 1_024, 1_026, 350_000, 351_000, 1 << 90, u128::MAX];
        let steps: Vec<u16> = costs.into_iter().map(step).collect();
        assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
    }
}
