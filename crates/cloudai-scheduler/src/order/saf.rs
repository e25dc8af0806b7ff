//! Smallest area first.

use super::{Drift, Order, SortKey, Waiting};

/// By requested time × processors. Large tasks may wait for ever: see [`super::AgedArea`].
#[derive(Clone, Copy, Debug)]
pub struct Saf;

impl Order for Saf {
    fn name(&self) -> &'static str {
        "saf"
    }

    fn key(&self, task: &Waiting, _now_s: u64) -> SortKey {
        SortKey::of(task.requested_s as f64 * f64::from(task.processors))
    }

    fn drift(&self, _task: &Waiting) -> Drift {
        Drift::Never
    }
}
