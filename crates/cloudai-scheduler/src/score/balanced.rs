//! Least allocated: the worker whose fullest dimension is emptiest. Spreads load and keeps every dimension usable.

use super::{Load, attempts_half, share};

/// Dominant share first, then the number of attempts.
pub fn rank(load: &Load) -> u32 {
    dominant_share(load) << 16 | attempts_half(load)
}

/// The largest allocated share of any dimension, in 65,535ths.
pub(super) fn dominant_share(load: &Load) -> u32 {
    (0..4).map(|d| share(load.capacity[d].saturating_sub(load.free[d]), load.capacity[d])).max().unwrap_or(0)
}
