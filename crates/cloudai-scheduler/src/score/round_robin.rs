//! Each fitting worker in turn: all rank alike, and the pass remembers whom it took last.

use super::{Load, Measure, Score, Wish};

pub struct RoundRobin;

impl Score for RoundRobin {
    /// The same for every worker; the order is the worker ids', from a cursor on.
    fn rank(&self, _load: &Load, _wish: &Wish, _measure: &Measure) -> u32 {
        0
    }

    fn image_slack(&self) -> Option<u32> {
        None
    }
}
