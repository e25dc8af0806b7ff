//! UNICEP of Tang et al., "Fault-aware, utility-based job scheduling on Blue Gene/P systems", CLUSTER'09.

use super::{Drift, Order, SortKey, Waiting};

/// Added to the processors: the logarithm of one processor must not be zero.
const NEARLY_NOTHING: f64 = 1e-15;

/// `−wait / (log2(n) · r)`, with r the requested time and n the processors. A task of one processor comes before all others
/// as soon as it has waited at all.
#[derive(Clone, Copy, Debug)]
pub struct Unicep;

impl Order for Unicep {
    fn name(&self) -> &'static str {
        "unicep"
    }

    fn key(&self, task: &Waiting, now_s: u64) -> SortKey {
        let width = (f64::from(task.processors) + NEARLY_NOTHING).log2();
        SortKey::of(-(task.wait_s(now_s) as f64 + NEARLY_NOTHING) / (width * task.requested_s as f64))
    }

    fn drift(&self, _task: &Waiting) -> Drift {
        Drift::Always
    }
}
