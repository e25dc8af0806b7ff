//! Least allocated: the worker whose fullest dimension is emptiest. Spreads load and keeps every dimension usable.

use super::{Load, Measure, Score, Wish, attempts_half, dominant_share};

pub struct Balanced;

impl Score for Balanced {
    /// Dominant share first, then the number of attempts.
    fn rank(&self, load: &Load, _wish: &Wish, _measure: &Measure) -> u32 {
        dominant_share(load) << 16 | attempts_half(load)
    }
}
