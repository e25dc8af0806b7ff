//! Shortest job first.

use super::{Drift, Order, SortKey, Waiting};

/// By the requested time alone. Long tasks may wait for ever.
#[derive(Clone, Copy, Debug)]
pub struct Sjf;

impl Order for Sjf {
    fn name(&self) -> &'static str {
        "sjf"
    }

    fn key(&self, task: &Waiting, _now_s: u64) -> SortKey {
        SortKey::of(task.requested_s as f64)
    }

    fn drift(&self, _task: &Waiting) -> Drift {
        Drift::Never
    }
}
