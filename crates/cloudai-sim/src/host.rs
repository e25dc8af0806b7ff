//! One simulated machine's process: a tokio runtime of its own, whose clock only moves when it is stepped. Comes in: a future to
//! run, and how far to go. Goes out: nothing; dropping the runtime is a crash, not stepping it is a pause. Knows nothing of
//! what runs inside.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, RngSeed, Runtime};
use tokio::time::Instant;

/// Up or down; when up, paused or not.
#[derive(Default)]
pub struct Host {
    up: Option<Up>,
    /// Not stepped before this time.
    pub paused_until_ms: u64,
}

struct Up {
    runtime: Runtime,
    start: Instant,
    born_ms: u64,
    /// How far it has been stepped.
    at_ms: u64,
}

impl Host {
    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    pub fn is_running(&self, now_ms: u64) -> bool {
        self.is_up() && now_ms >= self.paused_until_ms
    }

    /// Starts the process. `seed` decides what the runtime itself leaves to chance: which ready branch a `select!` takes.
    pub fn boot<F>(&mut self, now_ms: u64, seed: u64, software: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
            // Nothing may run elsewhere: whatever tries is serialised at least.
            .max_blocking_threads(1)
            .build()
            .expect("a runtime without I/O needs nothing from the system");
        let start = runtime.block_on(async {
            let start = Instant::now();
            drop(tokio::spawn(software()));
            start
        });
        self.up = Some(Up { runtime, start, born_ms: now_ms, at_ms: now_ms });
    }

    /// Runs the process until `until_ms`, unless it is down or paused. What fell due during a pause falls due at once.
    pub fn step(&mut self, now_ms: u64, until_ms: u64) {
        if now_ms < self.paused_until_ms {
            return;
        }
        let Some(up) = &mut self.up else { return };
        if up.at_ms < now_ms {
            let gap = Duration::from_millis(now_ms - up.at_ms);
            up.runtime.block_on(tokio::time::advance(gap));
        }
        let target = up.start + Duration::from_millis(until_ms - up.born_ms);
        up.runtime.block_on(async { tokio::time::sleep_until(target).await });
        up.at_ms = until_ms;
    }

    /// One more task for the process. False when it is down.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        self.up.as_ref().map(|up| up.runtime.spawn(task)).is_some()
    }

    /// The process is gone, and everything in it.
    pub fn crash(&mut self) {
        self.up = None;
        self.paused_until_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn time_stands_still_for_a_paused_host_and_then_jumps() {
        let beats: Arc<Mutex<Vec<u128>>> = Arc::default();
        let seen = beats.clone();
        let mut host = Host::default();
        host.boot(0, 1, || async move {
            let start = Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                seen.lock().expect("no panic").push(start.elapsed().as_millis());
            }
        });
        for now in (0..50).step_by(5) {
            host.step(now, now + 5);
        }
        host.paused_until_ms = 1_000;
        host.step(50, 55);
        host.step(1_000, 1_025);
        assert_eq!(*beats.lock().expect("no panic"), [10, 20, 30, 40, 1_000, 1_010, 1_020]);
        host.crash();
        host.step(1_025, 1_050);
        assert_eq!(beats.lock().expect("no panic").len(), 7);
    }
}
