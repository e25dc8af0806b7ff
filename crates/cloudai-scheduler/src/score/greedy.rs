//! Best fit: the worker that is left with the least room, measured in absolute amounts, so that a small machine is used
//! before a large one is broken into. Every fitting worker loses the same amount to the task, so the order by room before
//! is the order by room after.

use super::{Load, Measure, Score, Wish, attempts_half, share};

pub struct Greedy;

impl Score for Greedy {
    /// Room summed over the dimensions, each against the largest worker's; then more attempts first.
    fn rank(&self, load: &Load, _wish: &Wish, measure: &Measure) -> u32 {
        let room: u32 = (0..4).map(|d| share(load.free[d], measure.largest[d]) / 4).sum();
        room << 16 | (u32::from(u16::MAX) - attempts_half(load))
    }

    fn keeps_choice(&self) -> bool {
        true
    }
}
