//! WFP3 of Tang et al., "Fault-aware, utility-based job scheduling on Blue Gene/P systems", CLUSTER'09.

use super::{Drift, Order, SortKey, Waiting};

/// `−(wait / r)³ · n`, with r the requested time and n the processors: what has waited long for its length comes first, wide
/// tasks before narrow ones.
#[derive(Clone, Copy, Debug)]
pub struct Wfp3;

impl Order for Wfp3 {
    fn name(&self) -> &'static str {
        "wfp3"
    }

    fn key(&self, task: &Waiting, now_s: u64) -> SortKey {
        let patience = task.wait_s(now_s) as f64 / task.requested_s as f64;
        SortKey::of(-patience.powi(3) * f64::from(task.processors))
    }

    fn drift(&self, _task: &Waiting) -> Drift {
        Drift::Always
    }
}
