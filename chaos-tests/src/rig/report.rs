//! What one run of a drill shows: rows of measured against required, and a timeline. Comes in: what the drill measured. Goes out: a
//! verdict. A limit on time is judged in the full size only: a slow machine must not fail a short run that is correct.

use std::time::Duration;

use serde::Serialize;

use super::outcome::Verdict;
use super::timeline::{Band, Point};
use crate::rig_drills::Size;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub what: String,
    pub measured: String,
    /// Empty: nothing is required, it is only shown.
    pub required: String,
    /// None: nothing is required here, or not in this size.
    pub holds: Option<bool>,
}

/// One run of one drill.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub id: String,
    pub name: String,
    pub size: Size,
    pub seed: u64,
    pub rows: Vec<Row>,
    /// Says in words what went wrong, or why it did not run.
    pub notes: Vec<String>,
    pub verdict: Verdict,
    /// Faults as they were in force.
    pub bands: Vec<Band>,
    /// Acknowledged submits per tenth of a second.
    pub points: Vec<Point>,
    pub took_s: f64,
}

impl Report {
    pub fn new(id: &str, name: &str, size: Size, seed: u64) -> Self {
        Report {
            id: id.into(),
            name: name.into(),
            size,
            seed,
            rows: vec![],
            notes: vec![],
            verdict: Verdict::Pass,
            bands: vec![],
            points: vec![],
            took_s: 0.0,
        }
    }

    /// What must hold in every size.
    pub fn require(&mut self, what: &str, holds: bool, measured: impl ToString, required: impl ToString) {
        self.row(what, measured.to_string(), required.to_string(), Some(holds));
    }

    /// None of these may exist; the first few are shown.
    pub fn none(&mut self, what: &str, wrong: &[String]) {
        self.require(what, wrong.is_empty(), wrong.len(), "0");
        self.notes.extend(wrong.iter().take(8).map(|w| format!("{what}: {w}")));
    }

    /// A limit on time: judged in the full size, shown in the short one.
    pub fn within(&mut self, what: &str, measured: Duration, limit: Duration) {
        let holds = (self.size == Size::Full).then_some(measured <= limit);
        self.row(what, seconds(measured), format!("≤ {}", seconds(limit)), holds);
    }

    /// A rate or another number that a slow machine lowers: judged in the full size, shown in the short one.
    pub fn at_least(&mut self, what: &str, measured: f64, limit: f64, unit: &str) {
        let holds = (self.size == Size::Full).then_some(measured >= limit);
        self.row(what, format!("{measured:.1} {unit}"), format!("≥ {limit:.1} {unit}"), holds);
    }

    /// Only shown.
    pub fn measured(&mut self, what: &str, measured: impl ToString) {
        self.row(what, measured.to_string(), String::new(), None);
    }

    pub fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    fn row(&mut self, what: &str, measured: String, required: String, holds: Option<bool>) {
        if holds == Some(false) {
            self.verdict = Verdict::Fail;
        }
        self.rows.push(Row { what: what.into(), measured, required, holds });
    }
}

/// As people read it: milliseconds below ten seconds.
pub fn seconds(time: Duration) -> String {
    match time.as_millis() {
        ms if ms < 10_000 => format!("{ms} ms"),
        ms => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

/// The value that this share of the measurements does not exceed; the largest for a share of 1. Zero when there are none.
pub fn percentile(all: &[Duration], share: f64) -> Duration {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_time_fails_the_full_size_only() {
        for (size, verdict) in [(Size::Short, Verdict::Pass), (Size::Full, Verdict::Fail)] {
            let mut report = Report::new("D00", "", size, 1);
            report.within("gap", Duration::from_secs(3), Duration::from_secs(2));
            assert_eq!(report.verdict, verdict);
            assert_eq!((report.rows[0].measured.as_str(), report.rows[0].required.as_str()), ("3000 ms", "≤ 2000 ms"));
            report.require("lost", false, 1, 0);
            assert_eq!(report.verdict, Verdict::Fail);
        }
    }

    #[test]
    fn percentiles_are_of_the_measured_values() {
        let all: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let of = |share| percentile(&all, share).as_millis();
        assert_eq!((of(0.5), of(0.99), of(1.0), of(0.0)), (100, 198, 200, 1));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
