//! The clocks of one host. Comes in: when the host was started, on the simulation's time line, and how wrong its wall clock is.
//! Goes out: monotonic and wall time. All of it is tokio's paused clock; no system clock is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use cloudai_types::Timestamp;
use tokio::time::Instant;

/// Wall time at the simulation's time zero: a plausible date, so that nothing is taken for "never"; and twelve seconds before a full minute, so that
/// a time of a schedule comes while there are faults.
pub const EPOCH_MS: u64 = 1_790_000_028_000;

/// How wrong a host's wall clock is, in milliseconds. Survives the host's restarts.
pub type Skew = Arc<AtomicI64>;

/// Of one run of one host.
#[derive(Clone)]
pub struct Clock {
    born_ms: u64,
    start: Instant,
    skew: Skew,
}

impl Clock {
    /// Inside the host's runtime, before anything else runs there.
    pub fn start(born_ms: u64, skew: Skew) -> Self {
        Clock { born_ms, start: Instant::now(), skew }
    }

    /// The simulation's time, exact to the host's last timer. Counts while the host was paused or down.
    pub fn mono_ms(&self) -> u64 {
        self.born_ms + self.start.elapsed().as_millis() as u64
    }

    pub fn mono(&self) -> Timestamp {
        Timestamp(self.mono_ms())
    }

    /// What this host believes.
    pub fn wall_ms(&self) -> u64 {
        (EPOCH_MS + self.mono_ms()).saturating_add_signed(self.skew.load(Relaxed))
    }
}
