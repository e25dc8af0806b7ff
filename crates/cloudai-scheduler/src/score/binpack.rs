//! Fullest first, each machine measured against itself: keeps whole machines free.

use super::{Load, balanced};

/// The order of `balanced`, reversed.
pub fn rank(load: &Load) -> u32 {
    u32::MAX - balanced::rank(load)
}
