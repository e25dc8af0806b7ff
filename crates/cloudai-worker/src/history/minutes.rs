//! Seconds become minutes. Comes in: records of samples as they are taken. Goes out: a record for each subject and minute, when the minute is over.
//! Pure. A clock that is set back ends the minute that it is in, and may bring one about twice: who reads them puts the two together.

use std::collections::BTreeMap;

use super::record::{Record, Subject, floor};
use super::sum::Sum;

pub const MINUTE_MS: u64 = 60_000;

/// The minute that is going on.
#[derive(Default)]
pub struct Minutes {
    at_ms: u64,
    /// Bounded: attempts that a worker can run within a minute.
    sums: BTreeMap<Subject, Sum>,
}

impl Minutes {
    /// Records of one moment. What is over with it.
    pub fn add(&mut self, records: &[Record]) -> Vec<Record> {
        let Some(first) = records.first() else { return vec![] };
        let at_ms = floor(first.at_ms, MINUTE_MS);
        let over = if at_ms == self.at_ms { vec![] } else { self.so_far() };
        if at_ms != self.at_ms {
            *self = Minutes { at_ms, sums: BTreeMap::new() };
        }
        for record in records {
            self.sums.entry(record.subject).or_default().add(record);
        }
        over
    }

    /// Of the minute that is going on, as if it were over.
    pub fn so_far(&self) -> Vec<Record> {
        self.sums.iter().map(|(subject, sum)| sum.record(*subject, self.at_ms)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::Level;
    use proptest::prelude::*;

    fn second(at_s: u64, cpu: u64) -> Record {
        let levels = [Some(Level { mean: cpu, max: cpu }), None, None];
        Record { subject: Subject::Machine, at_ms: at_s * 1_000, samples: 1, levels, totals: [None; 3] }
    }

    fn told(records: &[Record]) -> Vec<(u64, u32, u64, u64)> {
        records
            .iter()
            .map(|r| (r.at_ms / 1_000, r.samples, r.levels[0].unwrap().mean, r.levels[0].unwrap().max))
            .collect()
    }

    #[test]
    fn a_minute_is_over_when_the_next_one_begins() {
        let mut minutes = Minutes::default();
        let mut add = |at_s, cpu| told(&minutes.add(&[second(at_s, cpu)]));
        assert_eq!(add(600, 10), [], "nothing was before it");
        assert_eq!(add(601, 30), []);
        assert_eq!(add(659, 20), []);
        assert_eq!(add(660, 5), [(600, 3, 20, 30)]);
        assert_eq!(add(900, 7), [(660, 1, 5, 5)], "a gap has no minutes");
        assert_eq!(add(899, 8), [(900, 1, 7, 7)], "the clock was set back");
        assert_eq!(add(901, 9), [(840, 1, 8, 8)]);
        assert_eq!(told(&minutes.so_far()), [(900, 1, 9, 9)], "the same minute once more");
        assert_eq!(minutes.add(&[]), []);
    }

    #[test]
    fn an_attempt_that_has_ended_is_in_the_minute_in_which_it_ran() {
        let mut minutes = Minutes::default();
        let attempt = cloudai_types::AttemptId::new(cloudai_types::JobId(1), 0, 1);
        let of_attempt = Record { subject: Subject::Attempt(attempt), ..second(600, 4) };
        minutes.add(&[second(600, 1), of_attempt]);
        minutes.add(&[second(601, 1)]);
        let over = minutes.add(&[second(660, 1)]);
        assert_eq!(
            over.iter().map(|r| (r.subject, r.samples)).collect::<Vec<_>>(),
            [(Subject::Machine, 2), (Subject::Attempt(attempt), 1)]
        );
    }

    proptest! {
        /// Whatever the clock does, each sample is in exactly one minute.
        #[test]
        fn nothing_is_lost_and_nothing_is_counted_twice(
            steps in proptest::collection::vec((0u64..100_000, 0u64..10_000), 0..200)
        ) {
            let mut minutes = Minutes::default();
            let mut all = vec![];
            for (at_s, cpu) in &steps {
                all.extend(minutes.add(&[second(*at_s, *cpu)]));
            }
            all.extend(minutes.so_far());
            prop_assert_eq!(all.iter().map(|r| r.samples as usize).sum::<usize>(), steps.len());
            let max = all.iter().map(|r| r.levels[0].unwrap().max).max();
            prop_assert_eq!(max, steps.iter().map(|(_, cpu)| *cpu).max());
            prop_assert!(all.iter().all(|r| r.at_ms % MINUTE_MS == 0));
        }
    }
}
