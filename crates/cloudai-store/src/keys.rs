//! Which rows of one family a read or a deletion means. Comes in: borrowed key parts. Goes out: bounds in the database,
//! where a row's key is its family byte followed by its own key.

/// A set of consecutive keys of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys<'a> {
    All,
    /// Keys that begin with this.
    Prefix(&'a [u8]),
    /// `from` inclusive to `to` exclusive; `None`: open.
    Range {
        from: Option<&'a [u8]>,
        to: Option<&'a [u8]>,
    },
}

/// Family byte and key, as the database has it.
pub fn row_key(family: u8, key: &[u8]) -> Vec<u8> {
    let mut k = Vec::with_capacity(1 + key.len());
    k.push(family);
    k.extend_from_slice(key);
    k
}

impl Keys<'_> {
    /// Lower bound (inclusive) and upper bound (exclusive) in the database.
    pub fn bounds(&self, family: u8) -> (Vec<u8>, Vec<u8>) {
        let end_of_family = || vec![family + 1]; // family 255 is reserved, so this cannot overflow
        match self {
            Keys::All => (vec![family], end_of_family()),
            Keys::Prefix(p) => {
                let low = row_key(family, p);
                // The first key after all that begin with `p`: the last byte that can grow, grown.
                let mut high = low.clone();
                while high.last() == Some(&0xff) {
                    high.pop();
                }
                if let Some(last) = high.last_mut() {
                    *last += 1;
                }
                (low, high)
            }
            Keys::Range { from, to } => {
                let low = row_key(family, from.unwrap_or_default());
                (low, to.map_or_else(end_of_family, |to| row_key(family, to)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_exactly_the_family_or_the_prefix() {
        assert_eq!(Keys::All.bounds(3), (vec![3], vec![4]));
        assert_eq!(Keys::Prefix(b"ab").bounds(3), (b"\x03ab".to_vec(), b"\x03ac".to_vec()));
        assert_eq!(Keys::Prefix(b"a\xff\xff").bounds(3), (b"\x03a\xff\xff".to_vec(), b"\x03b".to_vec()));
        assert_eq!(Keys::Prefix(b"\xff").bounds(3), (b"\x03\xff".to_vec(), b"\x04".to_vec()));
        assert_eq!(Keys::Prefix(b"").bounds(3), (vec![3], vec![4]));
        let range = Keys::Range { from: Some(b"b"), to: None };
        assert_eq!(range.bounds(3), (b"\x03b".to_vec(), vec![4]));
        let range = Keys::Range { from: None, to: Some(b"b") };
        assert_eq!(range.bounds(3), (vec![3], b"\x03b".to_vec()));
    }
}
