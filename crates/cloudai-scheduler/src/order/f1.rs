//! F1 of Carastan-Santos and de Camargo, "Obtaining dynamic scheduling policies with simulation and machine learning", SC'17.
//! The time of submission is absolute, as published: the weight of waiting shrinks as a service grows older, and is gone in
//! the end. It is here to be compared with, and no order for a service that runs for years.

use super::{Drift, Order, SortKey, Waiting};

/// `log10(r) · n + 870 · log10(s)`, with r the requested time, n the processors and s the time of submission.
#[derive(Clone, Copy, Debug)]
pub struct F1;

impl Order for F1 {
    fn name(&self) -> &'static str {
        "f1"
    }

    fn key(&self, task: &Waiting, _now_s: u64) -> SortKey {
        let (r, n) = (task.requested_s as f64, f64::from(task.processors));
        // A log may begin at 0, whose logarithm is not a number to sort by.
        let s = task.submit_s.max(1) as f64;
        SortKey::of(r.log10() * n + 870.0 * s.log10())
    }

    fn drift(&self, _task: &Waiting) -> Drift {
        Drift::Never
    }
}
