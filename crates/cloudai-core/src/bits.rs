//! One bit for each of so many. Comes in: numbers. Goes out: which of them are set, also as bytes for a row. What a bit means is not known here.

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bits {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
}

impl Bits {
    /// None is set.
    pub fn new(len: u32) -> Self {
        Bits { bytes: vec![0; len.div_ceil(8) as usize], len, ones: 0 }
    }

    /// As [`Bits::bytes`] gave them. What is missing is not set, and what is too much is left out.
    pub fn from_bytes(len: u32, bytes: &[u8]) -> Self {
        let mut bits = Bits::new(len);
        let is_set = |n: &u32| bytes.get(*n as usize / 8).is_some_and(|byte| byte & (1 << (n % 8)) != 0);
        (0..len).filter(is_set).for_each(|n| {
            bits.set(n);
        });
        bits
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn ones(&self) -> u32 {
        self.ones
    }

    /// False beyond the end.
    pub fn get(&self, n: u32) -> bool {
        n < self.len && self.bytes[n as usize / 8] & (1 << (n % 8)) != 0
    }

    /// True when it was not set before. Beyond the end: no change.
    pub fn set(&mut self, n: u32) -> bool {
        if n >= self.len || self.get(n) {
            return false;
        }
        self.bytes[n as usize / 8] |= 1 << (n % 8);
        self.ones += 1;
        true
    }

    /// In order.
    pub fn zeros(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len).filter(|n| !self.get(*n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_once_and_go_through_bytes() {
        let mut bits = Bits::new(11);
        assert_eq!((bits.set(0), bits.set(10), bits.set(10), bits.set(11)), (true, true, false, false));
        assert_eq!((bits.ones(), bits.get(10), bits.get(9), bits.get(99)), (2, true, false, false));
        assert_eq!(bits.zeros().collect::<Vec<_>>(), (1..10).collect::<Vec<_>>());
        assert_eq!(Bits::from_bytes(11, bits.bytes()), bits);
        assert_eq!(Bits::from_bytes(3, &[0xff, 0xff]).ones(), 3, "what is too much is left out");
        assert_eq!(Bits::from_bytes(30, &[0xff]).ones(), 8);
        assert!(Bits::new(0).is_empty() && Bits::new(0).zeros().next().is_none());
    }
}
