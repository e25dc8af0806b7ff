//! First come, first served.

use super::{Drift, Order, SortKey, Waiting};

/// By the time of submission alone.
#[derive(Clone, Copy, Debug)]
pub struct Fcfs;

impl Order for Fcfs {
    fn name(&self) -> &'static str {
        "fcfs"
    }

    fn key(&self, task: &Waiting, _now_s: u64) -> SortKey {
        SortKey::of(task.submit_s as f64)
    }

    fn drift(&self, _task: &Waiting) -> Drift {
        Drift::Never
    }
}
