//! Tetris: the worker whose free room lies most in what the task asks for. Comes in: free room and a task's direction. Goes out: their dot product,
//! largest first. A task that wants memory goes where memory is left over, and leaves the CPUs elsewhere to those that want CPUs; so fewer
//! machines are full in one dimension and idle in the other. Grandl et al., "Multi-resource packing for cluster schedulers", SIGCOMM'14.
//!
//! As published but for two things: room is measured against the largest worker and not against each worker's own capacity, so that a large machine
//! that is half empty counts for more than a small empty one; and a direction has three bits. Their weight for the remaining work of a job is no part of
//! this: whose turn it is, is not decided here.

use super::{FULL, Load, Measure, Score, Wish, attempts_half, direction, share};

pub struct Alignment;

impl Score for Alignment {
    fn wish(&self, asked: &[u64; 4], measure: &Measure) -> Wish {
        direction::of(asked, &measure.largest)
    }

    /// The product, as the mean of the free shares weighted by the direction; then fewer attempts, which alone counts for who asks for nothing.
    fn rank(&self, load: &Load, wish: &Wish, measure: &Measure) -> u32 {
        let product: u64 = (0..4).map(|d| wish[d] * u64::from(share(load.free[d], measure.largest[d]))).sum();
        let mean = product.checked_div(wish.iter().sum()).unwrap_or(0) as u32;
        (FULL - mean) << 16 | attempts_half(load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::HourlyPrice;

    #[test]
    fn a_task_goes_where_what_it_wants_is_left_over() {
        let measure = Measure { largest: [64_000, 256, 0, 0], ..Measure::default() };
        let left = |cpu, memory| Load {
            capacity: measure.largest,
            free: [cpu, memory, 0, 0],
            attempts: 0,
            price: HourlyPrice::default(),
        };
        let (cpu_left, memory_left) = (left(40_000, 32), left(8_000, 128));
        let rank = |asked: [u64; 4], load: &Load| Alignment.rank(load, &Alignment.wish(&asked, &measure), &measure);
        let wants_cpu = [4_000, 1, 0, 0];
        assert!(rank(wants_cpu, &cpu_left) < rank(wants_cpu, &memory_left));
        let wants_memory = [500, 16, 0, 0];
        assert!(rank(wants_memory, &memory_left) < rank(wants_memory, &cpu_left));
        assert!(rank(wants_cpu, &left(64_000, 256)) < rank(wants_cpu, &cpu_left), "an empty one has most of all");
    }
}
