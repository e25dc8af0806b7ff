//! Fullest first, each machine measured against itself: keeps whole machines free.

use super::balanced::Balanced;
use super::{Load, Measure, Score, Wish};

pub struct Binpack;

impl Score for Binpack {
    /// The order of `balanced`, reversed.
    fn rank(&self, load: &Load, wish: &Wish, measure: &Measure) -> u32 {
        u32::MAX - Balanced.rank(load, wish, measure)
    }

    fn keeps_choice(&self) -> bool {
        true
    }
}
