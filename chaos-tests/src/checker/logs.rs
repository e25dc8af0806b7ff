//! A9, the other half: no process panicked, broke an assertion or leaked. A drill whose fault makes a process stop on purpose looks at
//! that line itself; a panic is never on purpose.

use super::facts::Log;
use super::{Check, Violation};

/// What no log may hold.
const TRACES: [&str; 6] =
    ["panicked at", "assertion failed", "stack backtrace", "LeakSanitizer", "AddressSanitizer", "SIGSEGV"];

pub fn check(logs: &[Log]) -> Vec<Violation> {
    let mut wrong = vec![];
    for log in logs {
        // One line per process is enough: the first one says most.
        if let Some(line) = log.text.lines().find(|l| TRACES.iter().any(|t| l.contains(t))) {
            wrong.push(Violation::new(Check::A9, format!("{}: {line}", log.process)));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_and_errors_are_none() {
        let log = |text: &str| Log { process: "m1".into(), text: text.into() };
        assert_eq!(check(&[log("INFO started\nERROR the disk is full\n")]), []);
        assert_eq!(check(&[log("INFO\nthread 'main' panicked at src/x.rs:1:2:\nboom"), log("fine")]).len(), 1);
    }
}
