//! What a master counts. Comes in: events of its loops. Goes out: numbers for the metrics page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters since the process's start.
#[derive(Debug, Default)]
pub struct Metrics {
    pub passes: AtomicU64,
    pub pass_us: AtomicU64,
    pub placements: AtomicU64,
    pub leaderships: AtomicU64,
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn pass(&self, took: Duration, placed: u32) {
        self.passes.fetch_add(1, Relaxed);
        self.pass_us.fetch_add(took.as_micros() as u64, Relaxed);
        self.placements.fetch_add(u64::from(placed), Relaxed);
    }

    pub fn leader_changed(&self) {
        self.leaderships.fetch_add(1, Relaxed);
    }
}
