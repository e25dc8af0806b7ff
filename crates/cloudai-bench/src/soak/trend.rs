//! Whether a series grows. Comes in: samples over time. Goes out: a verdict per process and kind, by the second half alone: the first one
//! is for caches to fill. It knows nothing of processes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::soak::sample::What;

/// (seconds since the start, value).
pub type Series = Vec<(f64, f64)>;

/// What is sampled of whom.
pub type Key = (String, What);

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    pub process: String,
    pub what: What,
    /// In the second half.
    pub samples: usize,
    pub first: f64,
    pub last: f64,
    /// Slope times the length of the second half.
    pub growth: f64,
    /// At most so much growth counts as flat.
    pub bound: f64,
    pub flat: bool,
}

impl Trend {
    pub fn sentence(&self) -> String {
        let (name, unit) = (self.what.name(), self.what.unit());
        format!(
            "{}'s {name} grew by {:.1} {unit} in the second half, from {:.1} to {:.1}; {:.1} count as flat",
            self.process, self.growth, self.first, self.last, self.bound
        )
    }
}

/// A series that does not reach from the beginning to the end of the second half is not judged: its process was restarted.
const COVERAGE: f64 = 0.8;

pub fn judge(all: &BTreeMap<Key, Series>, length: Duration) -> Vec<Trend> {
    let half = length.as_secs_f64() / 2.0;
    let mut trends = vec![];
    for ((process, what), series) in all {
        let second: Series = series.iter().copied().filter(|(at, _)| *at >= half).collect();
        let (Some(first), Some(last)) = (second.first(), second.last()) else { continue };
        if last.0 - first.0 < half * COVERAGE {
            continue;
        }
        let growth = slope(&second) * half;
        let middle = crate::figure::median(&second.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        let bound = what.bound(middle);
        trends.push(Trend {
            process: process.clone(),
            what: *what,
            samples: second.len(),
            first: first.1,
            last: last.1,
            growth,
            bound,
            flat: growth <= bound,
        });
    }
    trends
}

/// Theil-Sen: the median of the slopes between all pairs, which a few outliers (a checkpoint, a compaction) do not move.
fn slope(series: &Series) -> f64 {
    let mut slopes = vec![];
    for (n, (at, value)) in series.iter().enumerate() {
        slopes.extend(series[n + 1..].iter().filter(|(t, _)| t > at).map(|(t, v)| (v - value) / (t - at)));
    }
    crate::figure::median(&slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(value: impl Fn(f64) -> f64) -> Vec<Trend> {
        let series: Series = (0..60).map(|n| (f64::from(n) * 10.0, value(f64::from(n) * 10.0))).collect();
        judge(&BTreeMap::from([(("master-1".to_owned(), What::Memory), series)]), Duration::from_secs(600))
    }

    #[test]
    fn a_leak_is_found_and_a_saw_tooth_is_flat() {
        let leak = &judged(|at| 300.0 + at * 0.2)[0];
        assert!(!leak.flat && (leak.growth - 60.0).abs() < 1.0, "{leak:?}");
        let saw = &judged(|at| 300.0 + (at % 70.0) * 0.5)[0];
        assert!(saw.flat, "{saw:?}");
        // Caches that fill in the first half are none of its business.
        let fills = &judged(|at| at.min(300.0))[0];
        assert!(fills.flat && fills.growth == 0.0, "{fills:?}");
    }

    #[test]
    fn what_was_restarted_in_the_second_half_is_not_judged() {
        let series: Series = (0..10).map(|n| (500.0 + f64::from(n) * 10.0, 1.0)).collect();
        assert_eq!(judge(&BTreeMap::from([(("m".to_owned(), What::Files), series)]), Duration::from_secs(600)), []);
    }
}
