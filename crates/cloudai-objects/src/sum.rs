//! SHA-256 while the bytes pass. Comes in: pieces. Goes out: 64 hexadecimal digits.

use cloudai_types::results::hex;
use ring::digest::{Context, SHA256};

pub(crate) struct Sum(Context);

impl Sum {
    pub fn new() -> Self {
        Sum(Context::new(&SHA256))
    }

    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

/// 64 hexadecimal digits as 32 bytes; `None`: they are none.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_sum = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_sum.then(|| (0..32).filter_map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_that_of_the_standard_whatever_the_pieces() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let mut sum = Sum::new();
        sum.add(b"a");
        sum.add(b"bc");
        assert_eq!(sum.finish(), abc);
        assert_eq!(hex(&unhex(abc).unwrap()), abc);
        for bad in ["", "x", &abc[1..], &abc.replace('b', "g")] {
            assert_eq!(unhex(bad), None);
        }
    }
}
