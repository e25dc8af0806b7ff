//! The one source of chance. Comes in: a seed. Goes out: numbers that are the same on every machine and in every version of
//! every library. Knows nothing of what they decide.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed ^ 0x5eed_c10d_a100_0001)
    }

    /// Dice of its own for one purpose: what is drawn there moves nothing elsewhere.
    pub fn fork(&mut self) -> Dice {
        Dice(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    /// Both ends included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_thousand` of 1,000 cases.
    pub fn chance(&mut self, per_thousand: u64) -> bool {
        self.below(1_000) < per_thousand
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len() as u64) as usize)
    }

    pub fn shuffle<T>(&mut self, of: &mut [T]) {
        for i in (1..of.len()).rev() {
            of.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_throw_equal_dice() {
        let (mut a, mut b) = (Dice::new(7), Dice::new(7));
        let throws: Vec<u64> = (0..5).map(|_| a.between(1, 6)).collect();
        assert_eq!(throws, (0..5).map(|_| b.between(1, 6)).collect::<Vec<_>>());
        assert!(throws.iter().all(|t| (1..=6).contains(t)));
        let mut cards = [1, 2, 3, 4];
        a.shuffle(&mut cards);
        cards.sort_unstable();
        assert_eq!(cards, [1, 2, 3, 4]);
        assert_eq!(Dice::new(1).pick::<u8>(&[]), None);
    }
}
