//! Which new traces are told. Comes in: a trace's id, and the second it is. Goes out: yes or no. Who was sampled elsewhere is not asked about here:
//! the context says it.

use opentelemetry::TraceId;

/// A share of all, and so many in a second at most: each submit of a quiet cluster is seen, and a flood costs nothing.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Ids below it are taken; a trace id is random in all its bits.
    below: u64,
    per_second: u32,
    second: u64,
    begun: u32,
}

impl Sampler {
    /// `ratio` from 0 to 1.
    pub fn new(ratio: f64, per_second: u32) -> Self {
        // From 1.0 on the cast saturates.
        Sampler { below: (ratio.clamp(0.0, 1.0) * u64::MAX as f64) as u64, per_second, second: 0, begun: 0 }
    }

    /// `second` is of any clock; one that falls back begins a new second.
    pub fn takes(&mut self, trace: TraceId, second: u64) -> bool {
        let bytes = trace.to_bytes();
        let low = bytes[8..].iter().fold(0u64, |all, byte| (all << 8) | u64::from(*byte));
        if low > self.below || self.below == 0 {
            return false;
        }
        if second != self.second {
            (self.second, self.begun) = (second, 0);
        }
        self.begun = self.begun.saturating_add(1);
        self.begun <= self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spread evenly, as random ids are.
    fn trace(n: u64) -> TraceId {
        let mut bytes = [1; 16];
        bytes[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        TraceId::from_bytes(bytes)
    }

    fn taken(sampler: &mut Sampler, ids: std::ops::Range<u64>, second: u64) -> usize {
        ids.filter(|n| sampler.takes(trace(*n), second)).count()
    }

    #[test]
    fn a_flood_gets_so_many_in_each_second() {
        let mut sampler = Sampler::new(1.0, 10);
        assert_eq!(taken(&mut sampler, 1..8, 5), 7);
        assert_eq!(taken(&mut sampler, 8..10_000, 5), 3);
        assert_eq!(taken(&mut sampler, 0..10_000, 6), 10);
        assert_eq!(taken(&mut sampler, 0..10_000, 4), 10, "the clock was set back");
    }

    #[test]
    fn a_ratio_takes_its_share_and_the_ends_are_exact() {
        let share = |ratio| taken(&mut Sampler::new(ratio, u32::MAX), 1..10_001, 0);
        assert_eq!((share(0.0), share(-3.0), share(1.0), share(f64::INFINITY)), (0, 0, 10_000, 10_000));
        assert!((2_400..2_600).contains(&share(0.25)), "{}", share(0.25));
        assert_eq!(share(f64::NAN), 0);
        assert_eq!(taken(&mut Sampler::new(1.0, 0), 1..100, 0), 0);
    }

    #[test]
    fn one_trace_is_judged_alike_by_all() {
        let (mut one, mut other) = (Sampler::new(0.5, u32::MAX), Sampler::new(0.5, u32::MAX));
        assert!((1..1_000).all(|n| one.takes(trace(n), n) == other.takes(trace(n), 7)));
    }
}
