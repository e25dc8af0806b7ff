//! The time that a leader stamps on commands. Comes in: the wall clock, and the replicated time that a leader finds. Goes out:
//! milliseconds since the epoch that never go back and never stand still. Replicated time only moves forward: behind a leader whose
//! wall clock had been minutes ahead, a leader that stamped its own wall time would let no time pass for minutes, and every retry
//! that waits would wait on.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

pub struct LogClock {
    wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The last stamp, and when it was made.
    last: Mutex<Option<(u64, Instant)>>,
}

impl LogClock {
    pub fn new(wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        LogClock { wall_ms, last: Mutex::new(None) }
    }

    /// Wall time, or the last stamp and the time since then, whichever is later.
    pub fn now_ms(&self) -> u64 {
        self.at_least(0)
    }

    /// The same, from `floor_ms` on.
    pub fn at_least(&self, floor_ms: u64) -> u64 {
        let mut last = self.last.lock().expect("nothing panics under this lock");
        let now = Instant::now();
        let went_on = last.map_or(0, |(ms, at)| ms.saturating_add((now - at).as_millis() as u64));
        let stamp = (self.wall_ms)().max(went_on).max(floor_ms);
        // Kept only when it moved: parts of a millisecond must add up.
        if last.is_none_or(|(ms, _)| ms < stamp) {
            *last = Some((stamp, now));
        }
        stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn it_goes_on_where_a_wrong_clock_had_been() {
        let wall = Arc::new(AtomicU64::new(1_000));
        let read = wall.clone();
        let clock = LogClock::new(Arc::new(move || read.load(Relaxed)));
        assert_eq!(clock.now_ms(), 1_000);
        assert_eq!(clock.at_least(600_000), 600_000, "what an earlier leader stamped");
        std::thread::sleep(Duration::from_millis(30));
        assert!(clock.now_ms() >= 600_030, "time passes, although the wall clock is behind");
        wall.store(900_000, Relaxed);
        assert_eq!(clock.now_ms(), 900_000);
    }
}
