//! What the doctor found.

use std::io::{self, Write};

use serde::Serialize;

use crate::doctor::{Report, Severity};
use crate::output::{View, count, facts};

/// `cluster doctor`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct DoctorView(pub Report);

impl View for DoctorView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let Report { findings, looked } = &self.0;
        let looked: Vec<(&str, String)> = looked.iter().map(|looked| (looked.at, looked.seen.clone())).collect();
        facts(out, &looked)?;
        for finding in findings {
            let word = match finding.severity {
                Severity::Problem => "problem",
                Severity::Warning => "warning",
            };
            writeln!(out, "\n{word}: {}\n  why:  {}\n  next: {}", finding.what, finding.why, finding.next)?;
        }
        let of = |severity| findings.iter().filter(|f| f.severity == severity).count() as u64;
        let verdict = match (of(Severity::Problem), of(Severity::Warning)) {
            (0, 0) => "nothing is wrong".to_owned(),
            (0, warnings) => count(warnings, "warning"),
            (problems, 0) => count(problems, "problem"),
            (problems, warnings) => format!("{}, {}", count(problems, "problem"), count(warnings, "warning")),
        };
        writeln!(out, "\n{verdict}")
    }
}
