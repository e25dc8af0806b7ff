//! The order of assignment sets. Comes in: what the leader stamped on a set. Goes out: a comparison.

use std::fmt;

/// First by incarnation (a restore or a quorum recovery starts a new one), then by log index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Fence {
    pub incarnation: u64,
    pub index: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.index)
    }
}

impl std::str::FromStr for Fence {
    type Err = std::num::ParseIntError;
    /// The printed form; a text without a dot is an index of incarnation 0.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (incarnation, index) = s.split_once('.').unwrap_or(("0", s));
        Ok(Fence { incarnation: incarnation.parse()?, index: index.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_outweighs_every_index() {
        let old = Fence { incarnation: 1, index: u64::MAX };
        let new = Fence { incarnation: 2, index: 0 };
        assert!(old < new);
        assert_eq!(old.to_string().parse(), Ok(old));
        assert!("1.x".parse::<Fence>().is_err());
    }
}
