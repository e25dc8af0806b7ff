//! What a master takes from the machine that it runs on: the wall clock, random numbers, and how long its certificate is valid. Comes in: nothing. Goes out: numbers.
//! The simulation gives its own. (Time that measures, as opposed to wall time, is tokio's clock everywhere.)

use std::sync::Arc;

use cloudai_types::Timestamp;

use crate::node::now_ms;

/// Cheap to clone.
#[derive(Clone)]
pub struct Surroundings {
    /// Milliseconds since the epoch. Only a leader's stamp of it enters the state.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Any number; for jitter.
    pub random: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Of the certificate in use now; for people.
    pub certificate_end: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Surroundings {
            now_ms: Arc::new(now_ms),
            random: Arc::new(rand::random),
            certificate_end: Arc::new(Timestamp::default),
        }
    }
}
