//! Signals as people and specs name them. Comes in: `SIGTERM`, `TERM` or `15`. Goes out: the number on Linux, and back.

/// Asks to stop, from a keyboard.
pub const INT: u32 = 2;
/// Asks to stop, with a dump.
pub const QUIT: u32 = 3;
/// The signal of a polite stop, where nothing else is said.
pub const TERM: u32 = 15;
/// The one that no program can refuse.
pub const KILL: u32 = 9;

/// In the order of their numbers, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// Those without names, which programs give a meaning of their own. 32 and 33 are the C library's.
const REAL_TIME: std::ops::RangeInclusive<u32> = 34..=64;

pub fn is_signal(number: u32) -> bool {
    (1..=NAMES.len() as u32).contains(&number) || REAL_TIME.contains(&number)
}

/// `SIGINT`; the number where it has no name.
pub fn name(number: u32) -> String {
    let known = number.checked_sub(1).and_then(|place| NAMES.get(place as usize));
    known.map_or_else(|| number.to_string(), |name| format!("SIG{name}"))
}

/// A name, with or without `SIG`, in any case; or a number.
pub fn parse(text: &str) -> Result<u32, String> {
    let upper = text.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_name = NAMES.iter().position(|n| *n == bare).map(|place| place as u32 + 1);
    let number = by_name.or_else(|| upper.parse().ok()).filter(|n| is_signal(*n));
    number.ok_or_else(|| format!("'{text}' is no signal: write for example SIGTERM, INT or 10"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_same_signals() {
        for text in ["SIGTERM", "term", " Sigterm ", "15"] {
            assert_eq!(parse(text), Ok(TERM), "{text}");
        }
        assert_eq!((parse("INT"), parse("SIGKILL"), parse("usr1")), (Ok(2), Ok(9), Ok(10)));
        assert_eq!((name(2).as_str(), name(31).as_str(), name(40).as_str()), ("SIGINT", "SIGSYS", "40"));
        for number in (1..=31).chain(34..=64) {
            assert_eq!(parse(&name(number)), Ok(number));
        }
        for bad in ["", "SIG", "0", "32", "65", "-1", "SIGNONE", "SIG15", "4294967296"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
