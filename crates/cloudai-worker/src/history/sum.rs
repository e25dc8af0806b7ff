//! Several records as one. Comes in: records of one subject. Goes out: a record with their mean and their maximum. Pure, and total: whatever the
//! numbers are, nothing overflows.

use super::record::{Level, QUANTITIES, Record, Subject};

/// Records of one subject, put together.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum {
    samples: u64,
    parts: [Option<Part>; QUANTITIES],
    totals: [Option<u64>; QUANTITIES],
}

#[derive(Clone, Copy, Debug)]
struct Part {
    /// Samples in which the quantity was known: only they count for its mean.
    samples: u64,
    sum: u128,
    max: u64,
}

impl Sum {
    /// What there is in all is what the last one says.
    pub fn add(&mut self, record: &Record) {
        let samples = u64::from(record.samples);
        self.samples = self.samples.saturating_add(samples);
        for (part, level) in self.parts.iter_mut().zip(record.levels) {
            let Some(level) = level else { continue };
            let part = part.get_or_insert(Part { samples: 0, sum: 0, max: 0 });
            part.samples = part.samples.saturating_add(samples);
            part.sum = part.sum.saturating_add(u128::from(level.mean) * u128::from(samples));
            part.max = part.max.max(level.max);
        }
        for (total, said) in self.totals.iter_mut().zip(record.totals) {
            *total = said.or(*total);
        }
    }

    pub fn samples(&self) -> u64 {
        self.samples
    }

    pub fn levels(&self) -> [Option<Level>; QUANTITIES] {
        self.parts.map(|part| {
            let part = part?;
            let mean = part.sum.checked_div(u128::from(part.samples))?;
            Some(Level { mean: u64::try_from(mean).unwrap_or(u64::MAX), max: part.max })
        })
    }

    pub fn record(&self, subject: Subject, at_ms: u64) -> Record {
        let samples = u32::try_from(self.samples).unwrap_or(u32::MAX);
        Record { subject, at_ms, samples, levels: self.levels(), totals: self.totals }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(samples: u32, levels: [Option<Level>; QUANTITIES]) -> Record {
        Record { subject: Subject::Machine, at_ms: 0, samples, levels, totals: [None; QUANTITIES] }
    }

    #[test]
    fn means_count_samples_and_what_was_not_known_counts_nothing() {
        let level = |mean, max| Some(Level { mean, max });
        let mut sum = Sum::default();
        assert_eq!(sum.levels(), [None; QUANTITIES]);
        sum.add(&record(1, [level(10, 10), level(4, 9), None]));
        sum.add(&record(3, [level(2, 7), None, None]));
        assert_eq!(sum.levels(), [level(4, 10), level(4, 9), None]);
        assert_eq!(sum.record(Subject::Gpu(1), 60).samples, 4);
        sum.add(&Record { totals: [Some(8), None, None], ..record(1, [None; QUANTITIES]) });
        sum.add(&record(0, [level(99, 99), None, level(1, 1)]));
        let whole = sum.record(Subject::Machine, 0);
        assert_eq!((whole.levels[0], whole.levels[2]), (level(4, 99), None), "of no samples there is no mean");
        assert_eq!(whole.totals, [Some(8), None, None]);
    }

    proptest! {
        #[test]
        fn a_mean_lies_between_the_least_and_the_most(
            parts in proptest::collection::vec((1..u32::MAX, any::<u64>(), any::<u64>()), 1..20)
        ) {
            let mut sum = Sum::default();
            for (samples, a, b) in &parts {
                let level = Some(Level { mean: *a.min(b), max: *a.max(b) });
                sum.add(&record(*samples, [level, None, None]));
            }
            let level = sum.levels()[0].unwrap();
            let means = || parts.iter().map(|(_, a, b)| *a.min(b));
            prop_assert!(level.mean >= means().min().unwrap() && level.mean <= means().max().unwrap());
            prop_assert_eq!(level.max, parts.iter().map(|(_, a, b)| *a.max(b)).max().unwrap());
        }
    }
}
