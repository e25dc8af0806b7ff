//! How much CPU attempts use, from counters that only grow. Comes in: what each had used at a look, and when that was. Goes out: thousandths of a core
//! since the look before. Pure: time is told to it.

use std::collections::BTreeMap;

use cloudai_types::{AttemptId, Timestamp};

/// What the last look saw.
#[derive(Default, Debug)]
pub struct CpuRates {
    at: Timestamp,
    used_micros: BTreeMap<AttemptId, u64>,
}

impl CpuRates {
    /// In the order of `used`: microseconds of CPU time that each attempt has used so far. `None` for one that the last look did not see, or whose
    /// counter began anew. Who is not named is forgotten.
    pub fn next(&mut self, now: Timestamp, used: impl Iterator<Item = (AttemptId, Option<u64>)>) -> Vec<Option<u32>> {
        let passed_ms = (now - self.at).0;
        let before = std::mem::take(&mut self.used_micros);
        self.at = now;
        let one = |(attempt, micros): (AttemptId, Option<u64>)| {
            let micros = micros?;
            self.used_micros.insert(attempt, micros);
            let more = micros.checked_sub(*before.get(&attempt)?)?;
            // Microseconds per millisecond are thousandths of a core.
            more.checked_div(passed_ms).map(|millicores| u32::try_from(millicores).unwrap_or(u32::MAX))
        };
        used.map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    #[test]
    fn what_was_used_since_the_last_look() {
        let id = |n| AttemptId::new(JobId(1), n, 1);
        let mut rates = CpuRates::default();
        let mut look = |ms, used: &[(u32, Option<u64>)]| {
            rates.next(Timestamp(ms), used.iter().map(|(n, micros)| (id(*n), *micros)))
        };
        assert_eq!(look(1_000, &[(0, Some(5_000_000)), (1, None)]), [None, None], "nobody knows since when");
        assert_eq!(look(2_000, &[(0, Some(5_500_000)), (1, Some(7))]), [Some(500), None]);
        assert_eq!(look(4_000, &[(0, Some(5_500_000)), (1, Some(4_000_007))]), [Some(0), Some(2_000)], "two seconds");
        assert_eq!(look(4_000, &[(0, Some(5_600_000))]), [None], "no time has passed");
        assert_eq!(look(5_000, &[(0, Some(1)), (1, Some(9_000_000))]), [None, None], "began anew; was not there");
        assert_eq!(look(6_000, &[(0, Some(u64::MAX))]), [Some(u32::MAX)]);
    }
}
