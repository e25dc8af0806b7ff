//! The default order: small work first, and everybody's turn comes. Which weights and why: docs/scheduling-simulator.md and
//! ADR 0014.

use super::{Drift, Order, SortKey, Waiting};

const DAY_S: f64 = 86_400.0;

/// `run_weight · ln(expected run time) + width_weight · ln(processors) − ageing_per_day · days waited`: smallest area first, with
/// ageing; with a width weight below 1, width counts less than length. Because all tasks age at the same rate, two tasks never change
/// places by waiting, and a key computed once stays right; only what has waited for `wait_max_s` goes before everything else,
/// oldest first.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AgedArea {
    pub run_weight: f64,
    pub width_weight: f64,
    /// Expected run times below this are all the same, in seconds.
    pub run_min_s: u64,
    pub ageing_per_day: f64,
    /// `u64::MAX`: no cap.
    pub wait_max_s: u64,
}

impl AgedArea {
    /// Found by replaying two logs; the same for both. A day of waiting makes up for e³ = 20 times the run time.
    pub const DEFAULT: AgedArea =
        AgedArea { run_weight: 1.0, width_weight: 0.6, run_min_s: 1, ageing_per_day: 3.0, wait_max_s: u64::MAX };

    fn overdue_at_s(&self, task: &Waiting) -> u64 {
        task.submit_s.saturating_add(self.wait_max_s)
    }
}

impl Order for AgedArea {
    fn name(&self) -> &'static str {
        "aged_area"
    }

    fn key(&self, task: &Waiting, now_s: u64) -> SortKey {
        if now_s >= self.overdue_at_s(task) {
            return SortKey::first(task.submit_s as f64);
        }
        let run = task.expected_s.max(self.run_min_s) as f64;
        let size = self.run_weight * run.ln() + self.width_weight * f64::from(task.processors).ln();
        // `− rate · (now − submit)`, less the term that is the same for all.
        SortKey::of(size + self.ageing_per_day * (task.submit_s as f64 / DAY_S))
    }

    fn drift(&self, task: &Waiting) -> Drift {
        match self.overdue_at_s(task) {
            u64::MAX => Drift::Never,
            at_s => Drift::At(at_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_too_long_goes_first_and_the_oldest_of_them_before_the_others() {
        let order = AgedArea { wait_max_s: 1_000, ..AgedArea::DEFAULT };
        let huge = Waiting { submit_s: 0, requested_s: 9_000_000, expected_s: 9_000_000, processors: 1_000 };
        let small = Waiting { submit_s: 500, requested_s: 1, expected_s: 1, processors: 1 };
        assert_eq!(order.drift(&huge), Drift::At(1_000));
        assert!(order.key(&small, 999) < order.key(&huge, 999), "a second before");
        assert!(order.key(&huge, 1_000) < order.key(&small, 1_000), "at its cap");
        assert!(order.key(&huge, 2_000) < order.key(&small, 2_000), "both are overdue: oldest first");
    }

    #[test]
    fn a_day_of_waiting_is_worth_a_factor_of_the_area() {
        let order = AgedArea { ageing_per_day: 2.0, ..AgedArea::DEFAULT };
        let of = |submit_s, expected_s| Waiting { submit_s, requested_s: 1_000_000, expected_s, processors: 3 };
        // e² = 7.39: a task submitted a day earlier is level with one that is 7.39 times smaller.
        let (now_s, old) = (100_000, of(0, 7_390));
        assert!(order.key(&old, now_s) > order.key(&of(86_400, 1_000), now_s));
        assert!(order.key(&old, now_s) < order.key(&of(86_400, 1_001), now_s));
    }
}
