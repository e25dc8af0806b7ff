//! A row of numbers as a row of blocks. Pure.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Nothing is known: that is not the same as 0.
const GAP: char = '·';

/// A character for each step, from the lowest block for 0 to the highest for `top`.
pub fn sparkline(steps: impl Iterator<Item = Option<u64>>, top: u64) -> String {
    steps.map(|step| step.map_or(GAP, |value| block(value, top))).collect()
}

fn block(value: u64, top: u64) -> char {
    let last = BLOCKS.len() as u128 - 1;
    // Rounded: what is nearly the top looks like it.
    let level = (u128::from(value) * last * 2 + u128::from(top)).checked_div(u128::from(top) * 2).unwrap_or(0);
    BLOCKS[level.min(last) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_nothing_to_the_top() {
        let line = |values: &[u64], top| sparkline(values.iter().map(|v| Some(*v)), top);
        assert_eq!(line(&[0, 1, 2, 3, 4, 5, 6, 7], 7), "▁▂▃▄▅▆▇█");
        assert_eq!(line(&[0, 49, 50, 99, 100, 200], 100), "▁▄▅███");
        assert_eq!(line(&[0, 0], 0), "▁▁");
        assert_eq!(line(&[u64::MAX, 0], u64::MAX), "█▁");
        assert_eq!(sparkline([Some(1), None, Some(1)].into_iter(), 1), "█·█");
    }
}
