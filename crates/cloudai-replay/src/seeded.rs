//! Random numbers from a seed: the same on every machine, for ever. SplitMix64 (Steele, Lea and Flood, OOPSLA'14). Not for secrets.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Seeded(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Below `bound`, which is at least 1. The error of the remainder is below 2⁻³² for bounds of 32 bits.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound.max(1) as u64) as usize
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// Mean 0, variance 1 (Box and Muller 1958; the second number of each pair is not used).
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.unit().ln()).sqrt(), 2.0 * std::f64::consts::PI * self.unit());
        radius * angle.cos()
    }

    /// Mean `shape · scale`, variance `shape · scale²`, for shapes of at least 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        let d = shape.max(1.0) - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * scale;
            }
        }
    }

    /// From `low` to `high`, both included, each with the same chance.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low + 1) as usize) as u64
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_stream() {
        // The published sequence for the seed 1234567.
        let mut seeded = Seeded::new(1_234_567);
        assert_eq!([seeded.next_u64(), seeded.next_u64()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn gamma_numbers_have_the_mean_and_the_variance_of_their_formula() {
        for (shape, scale) in [(1.0, 3.0), (4.2, 0.94), (312.0, 0.03)] {
            let (mut seeded, n) = (Seeded::new(5), 100_000);
            let values: Vec<f64> = (0..n).map(|_| seeded.gamma(shape, scale)).collect();
            let mean = values.iter().sum::<f64>() / f64::from(n);
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
            assert!((mean / (shape * scale) - 1.0).abs() < 0.01, "{mean} instead of {shape} · {scale}");
            assert!((variance / (shape * scale * scale) - 1.0).abs() < 0.03, "{variance}");
        }
    }

    #[test]
    fn a_shuffle_loses_nothing_and_every_place_is_reached() {
        let mut first = [0; 5];
        for seed in 0..1_000 {
            let mut items = [0, 1, 2, 3, 4];
            Seeded::new(seed).shuffle(&mut items);
            first[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        assert!(first.iter().all(|count| (140..260).contains(count)), "{first:?}");
    }
}
