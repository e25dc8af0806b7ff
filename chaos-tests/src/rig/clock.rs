//! The two clocks of the rig. The monotonic one orders everything; the wall clock is only compared with times that masters stamp.

use std::time::{SystemTime, UNIX_EPOCH};

/// Of histories, bands and gaps.
pub fn now_ns() -> u64 {
    super::kernel::monotonic_ns()
}

/// Milliseconds since the epoch, as in what masters stamp.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64)
}
