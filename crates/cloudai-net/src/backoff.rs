//! How long to wait before the next try. Comes in: a random fraction. Goes out: a duration. It reads no clock and sleeps never.

use cloudai_types::Millis;

/// Doubles from `first` up to `max`; half of each wait is jittered, so that clients that lost the same server come back apart.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Millis,
    max: Millis,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Millis, max: Millis) -> Self {
        Backoff { first, max, failures: 0 }
    }

    /// The wait after one more failure. `jitter` is uniform in 0..1; what lies outside counts as the nearer end.
    pub fn next(&mut self, jitter: f64) -> Millis {
        let doubled = self.first.0.saturating_mul(1 << self.failures.min(32)).min(self.max.0);
        self.failures = self.failures.saturating_add(1);
        let half = doubled / 2;
        Millis(half + ((doubled - half) as f64 * jitter.clamp(0.0, 1.0)) as u64)
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_again_after_a_success() {
        let mut b = Backoff::new(Millis(100), Millis(1_000));
        let waits: Vec<u64> = (0..6).map(|_| b.next(1.0).0).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        b.reset();
        assert_eq!((b.failures(), b.next(0.0)), (0, Millis(50)));
    }

    #[test]
    fn no_jitter_and_no_number_of_failures_leaves_the_bounds() {
        let mut b = Backoff::new(Millis(3), Millis(u64::MAX));
        for i in 0..200 {
            let wait = b.next(f64::from(i) / 100.0 - 0.5);
            assert!(wait.0 >= 1);
        }
        let mut b = Backoff::new(Millis(100), Millis(100));
        assert!((50..=100).contains(&b.next(f64::NAN).0));
    }
}
