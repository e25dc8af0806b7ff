//! Amounts as bars, small curves and short numbers. Comes in: amounts. Goes out: text of a known width.

use cloudai_types::resources::Cpu;

/// What a small curve is drawn with, from nothing to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyphs {
    Blocks,
    /// For terminals that do not speak UTF-8.
    Ascii,
}

impl Glyphs {
    /// As the locale says, in the order in which the C library looks.
    pub fn of_locale(lc_all: Option<&str>, lc_ctype: Option<&str>, lang: Option<&str>) -> Glyphs {
        let locale = [lc_all, lc_ctype, lang].into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Glyphs::Blocks } else { Glyphs::Ascii }
    }

    fn levels(self) -> [char; 9] {
        match self {
            Glyphs::Blocks => [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Glyphs::Ascii => [' ', '_', '.', ',', '-', '=', '+', '*', '#'],
        }
    }
}

/// `[|||||     ]`, `width` wide with its brackets.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    let inner = width.saturating_sub(2);
    let part = u128::from(part.min(whole));
    let mut full = (part * inner as u128).checked_div(u128::from(whole)).unwrap_or(0) as usize;
    // A little is not nothing.
    if part > 0 && full == 0 && inner > 0 {
        full = 1;
    }
    format!("[{}{}]", "|".repeat(full), " ".repeat(inner - full))
}

/// The last values, the newest on the right, as high as the highest of them.
pub fn curve(values: impl DoubleEndedIterator<Item = u64>, width: usize, glyphs: Glyphs) -> String {
    let mut last: Vec<u64> = values.rev().take(width).collect();
    last.reverse();
    let most = last.iter().copied().max().unwrap_or(0);
    let levels = glyphs.levels();
    let level = |value: u64| {
        let level = (u128::from(value) * 8).div_ceil(u128::from(most.max(1))) as usize;
        levels[level.min(8)]
    };
    format!("{:>width$}", last.into_iter().map(level).collect::<String>())
}

/// `31%`; `-` of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    let hundredths = (u128::from(part) * 100 + u128::from(whole) / 2).checked_div(u128::from(whole));
    hundredths.map_or("-".to_owned(), |n| format!("{n}%"))
}

/// `640M`, `1.5G`: at most five characters below a thousand of the largest unit.
pub fn bytes(n: u64) -> String {
    let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    match units.into_iter().find(|(_, shift)| n >> shift > 0) {
        Some((unit, shift)) if n >> shift >= 10 => format!("{}{unit}", n >> shift),
        Some((unit, shift)) => {
            let tenths = (u128::from(n) * 10) >> shift;
            if tenths % 10 == 0 {
                format!("{}{unit}", tenths / 10)
            } else {
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            }
        }
        None => format!("{n}B"),
    }
}

/// `12.5`: of millicores, with one decimal at most.
pub fn cores(milli: u64) -> String {
    Cpu(milli / 100 * 100).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_asked_whatever_it_shows() {
        assert_eq!(bar(0, 4, 10), "[        ]");
        assert_eq!(bar(1, 4, 10), "[||      ]");
        assert_eq!(bar(1, 1_000, 10), "[|       ]", "a little is not nothing");
        assert_eq!(bar(9, 4, 10), "[||||||||]", "more than all is all");
        assert_eq!(bar(1, 0, 10), "[        ]");
        assert_eq!(bar(u64::MAX, u64::MAX, 4), "[||]");
        assert_eq!(bar(1, 1, 0), "[]");
    }

    #[test]
    fn a_curve_shows_the_newest_and_stands_on_the_right() {
        assert_eq!(curve([0, 1, 2, 4, 8].into_iter(), 5, Glyphs::Blocks), " ▁▂▄█");
        assert_eq!(curve([8, 0, 8].into_iter(), 2, Glyphs::Ascii), " #");
        assert_eq!(curve([1].into_iter(), 4, Glyphs::Ascii), "   #");
        assert_eq!(curve([].into_iter(), 3, Glyphs::Ascii), "   ");
        assert_eq!(curve([0, u64::MAX].into_iter(), 2, Glyphs::Ascii), " #");
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> =
            [0, 900, 1 << 10, 3 << 19, 640 << 20, 256 << 30, 5 << 40].into_iter().map(bytes).collect();
        assert_eq!(shown, ["0B", "900B", "1K", "1.5M", "640M", "256G", "5T"]);
        assert_eq!((cores(12_550), cores(64_000), cores(40)), ("12.5".into(), "64".into(), "0".into()));
        assert_eq!((percent(31, 100), percent(1, 0), percent(2, 3)), ("31%".into(), "-".into(), "67%".into()));
    }

    #[test]
    fn a_locale_decides_what_curves_are_drawn_with() {
        assert_eq!(Glyphs::of_locale(None, None, Some("en_GB.UTF-8")), Glyphs::Blocks);
        assert_eq!(Glyphs::of_locale(Some("C"), None, Some("en_GB.UTF-8")), Glyphs::Ascii);
        assert_eq!(Glyphs::of_locale(Some(""), Some("C.utf8"), Some("C")), Glyphs::Blocks);
        assert_eq!(Glyphs::of_locale(None, None, None), Glyphs::Ascii);
    }
}
