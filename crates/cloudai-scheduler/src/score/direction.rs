//! In which direction a task pulls: how its request divides over the dimensions, each measured against the largest worker. Comes in: what is
//! asked. Goes out: its parts in eighths of the largest one. A task that asks for twice as much of everything pulls in the same direction, so few
//! directions are in use at a time, however many shapes there are.

use super::{Largest, Wish, share};

/// The largest part of a direction.
const WHOLE: u64 = 8;

/// All zero for who asks for nothing.
pub fn of(asked: &[u64; 4], largest: &Largest) -> Wish {
    // Nobody has what is asked: it fits nowhere, wherever it pulls.
    let part = |d: usize| if largest[d] == 0 { 0 } else { share(asked[d], largest[d]).max(u32::from(asked[d] > 0)) };
    let parts: [u32; 4] = std::array::from_fn(part);
    let most = u64::from(parts.into_iter().max().unwrap_or(0));
    parts.map(|part| (u64::from(part) * WHOLE + most / 2).checked_div(most).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_do_not_matter_and_proportions_do() {
        let largest = [64_000, 256, 0, 8];
        assert_eq!(of(&[4_000, 16, 0, 0], &largest), [8, 8, 0, 0]);
        assert_eq!(of(&[8_000, 32, 0, 0], &largest), of(&[4_000, 16, 0, 0], &largest));
        assert_eq!(of(&[4_000, 2, 0, 0], &largest), [8, 1, 0, 0]);
        assert_eq!(of(&[4_000, 16, 0, 1], &largest), [4, 4, 0, 8]);
        assert_eq!(of(&[1, 0, 0, 0], &largest), [8, 0, 0, 0], "however little it is");
        assert_eq!(of(&[0, 0, 9, 0], &largest), [0; 4], "nobody has storage");
        assert_eq!(of(&[0; 4], &largest), [0; 4]);
    }
}
