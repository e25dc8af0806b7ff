//! What a master takes from the machine that it runs on: the wall clock and random numbers. Comes in: nothing. Goes out: numbers.
//! The simulation gives its own. (Time that measures, as opposed to wall time, is tokio's clock everywhere.)

use std::sync::Arc;

use crate::node::now_ms;

/// Cheap to clone.
#[derive(Clone)]
pub struct Surroundings {
    /// Milliseconds since the epoch. Only a leader's stamp of it enters the state.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Any number; for jitter.
    pub random: Arc<dyn Fn() -> u32 + Send + Sync>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Surroundings { now_ms: Arc::new(now_ms), random: Arc::new(rand::random) }
    }
}
