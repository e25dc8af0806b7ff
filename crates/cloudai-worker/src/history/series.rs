//! An answer from records. Comes in: what is kept in seconds and in minutes, and what somebody wants to know. Goes out: steps of one length with their
//! means and maxima, no more than were asked for. Pure: time is told to it.
//!
//! The answer begins where something is kept. Seconds are taken where they reach back to that; otherwise minutes. A step without records stays
//! empty: what nobody measured is not 0.

use std::collections::BTreeMap;

use cloudai_proto::v1 as pb;
use cloudai_proto::v1::usage_series::Quantity;
use cloudai_types::{AttemptId, limits};

use super::minutes::MINUTE_MS;
use super::record::{QUANTITIES, Record, Subject, floor};
use super::sum::Sum;

/// What somebody wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// `None`: the machine with its GPUs.
    pub attempt: Option<AttemptId>,
    /// How far back from now; 0: all that is kept.
    pub back_ms: u64,
    /// Steps of the answer.
    pub points_max: u32,
}

impl Question {
    pub fn concerns(&self, subject: Subject) -> bool {
        match self.attempt {
            Some(attempt) => subject == Subject::Attempt(attempt),
            None => matches!(subject, Subject::Machine | Subject::Gpu(_)),
        }
    }
}

/// `None`: nothing is kept of it, or not of that time. The order of the records does not matter; those of other subjects count nothing.
pub fn answer(fine: &[Record], coarse: &[Record], question: &Question, now_ms: u64) -> Option<pb::UsageHistory> {
    let from_ms = if question.back_ms == 0 { 0 } else { now_ms.saturating_sub(question.back_ms) };
    let of_question = |records: &[Record], period_ms: u64| -> Vec<Record> {
        let is_in_time = |r: &Record| r.at_ms.saturating_add(period_ms) > from_ms && r.at_ms <= now_ms;
        records.iter().filter(|r| question.concerns(r.subject) && is_in_time(r)).copied().collect()
    };
    let fine = of_question(fine, limits::SAMPLE_PERIOD.0);
    let coarse = of_question(coarse, MINUTE_MS);
    let oldest = |records: &[Record]| records.iter().map(|r| r.at_ms).min();
    let first_ms = oldest(&fine).into_iter().chain(oldest(&coarse)).min()?;
    // A minute begins before the second in which something began.
    let reaches_back = oldest(&fine).is_some_and(|at| at < first_ms.saturating_add(MINUTE_MS));
    let (records, period_ms) = if reaches_back { (&fine, limits::SAMPLE_PERIOD.0) } else { (&coarse, MINUTE_MS) };
    let begin_ms = floor(oldest(records)?, period_ms);
    let newest_ms = fine.iter().chain(&coarse).map(|r| r.at_ms).max()?;
    let periods = (newest_ms - begin_ms) / period_ms + 1;
    let points_max = u64::from(question.points_max.clamp(1, limits::HISTORY_POINTS_MAX));
    let step_ms = periods.div_ceil(points_max).saturating_mul(period_ms);

    let mut steps: BTreeMap<Subject, BTreeMap<u32, Sum>> = BTreeMap::new();
    for record in records {
        let step = record.at_ms.saturating_sub(begin_ms) / step_ms;
        let step = u32::try_from(step).expect("at most points_max of them");
        steps.entry(record.subject).or_default().entry(step).or_default().add(record);
    }
    let newest = newest_of(fine.iter().chain(&coarse));
    let series = steps.iter().flat_map(|(subject, steps)| {
        let newest = newest.get(subject);
        (0..QUANTITIES).filter_map(move |n| series(*subject, n, steps, *newest?))
    });
    Some(pb::UsageHistory { from_ms: begin_ms, step_ms, now_ms, newest_ms, series: series.collect() })
}

/// The last that is said of each subject: of two at one time, the finer.
fn newest_of<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeMap<Subject, &'a Record> {
    let mut newest: BTreeMap<Subject, &Record> = BTreeMap::new();
    for record in records {
        let known = newest.entry(record.subject).or_insert(record);
        if record.at_ms > known.at_ms {
            *known = record;
        }
    }
    newest
}

/// `None`: nothing is known of this quantity.
fn series(subject: Subject, n: usize, steps: &BTreeMap<u32, Sum>, newest: &Record) -> Option<pb::UsageSeries> {
    let points = steps.iter().filter_map(|(step, sum)| {
        let level = sum.levels()[n]?;
        Some(pb::UsagePoint { step: *step, mean: level.mean, max: level.max, samples: sum.samples() })
    });
    let points: Vec<pb::UsagePoint> = points.collect();
    let last = newest.levels[n].map_or_else(|| points.last().map(|p| p.mean), |level| Some(level.mean))?;
    let (gpu, quantities) = match subject {
        Subject::Machine | Subject::Attempt(_) => {
            (0, [Quantity::CpuMillicores, Quantity::MemoryBytes, Quantity::StorageBytes])
        }
        Subject::Gpu(n) => (n, [Quantity::GpuBusyMillis, Quantity::GpuMemoryBytes, Quantity::GpuCelsius]),
    };
    Some(pb::UsageSeries { quantity: quantities[n] as i32, gpu, total: newest.totals[n], last, points })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::Level;
    use cloudai_types::JobId;
    use proptest::prelude::*;

    const MACHINE: Question = Question { attempt: None, back_ms: 0, points_max: 100 };

    fn cpu(at_s: u64, mean: u64, max: u64) -> Record {
        let levels = [Some(Level { mean, max }), None, None];
        Record { subject: Subject::Machine, at_ms: at_s * 1_000, samples: 1, levels, totals: [Some(4_000), None, None] }
    }

    /// From when on, in steps of how long, and each point: which step, mean, maximum.
    fn told(history: &pb::UsageHistory) -> (u64, u64, Vec<(u32, u64, u64)>) {
        let points = history.series[0].points.iter().map(|p| (p.step, p.mean, p.max));
        (history.from_ms / 1_000, history.step_ms / 1_000, points.collect())
    }

    #[test]
    fn seconds_where_they_reach_back_and_otherwise_minutes() {
        let fine: Vec<_> = (600..610).map(|s| cpu(s, s, s)).collect();
        let coarse = [cpu(480, 10, 20), cpu(600, 30, 40)];
        let ask = |fine: &[Record], coarse: &[Record], question: Question| answer(fine, coarse, &question, 609_500);
        let seconds = ask(&fine, &coarse[1..], Question { points_max: 5, ..MACHINE }).unwrap();
        assert_eq!(told(&seconds), (600, 2, (0..5).map(|n| (n as u32, 600 + 2 * n, 601 + 2 * n)).collect()));
        assert_eq!((seconds.series[0].last, seconds.series[0].total), (609, Some(4_000)));
        assert_eq!((seconds.now_ms, seconds.newest_ms), (609_500, 609_000));
        let minutes = ask(&fine, &coarse, MACHINE).unwrap();
        assert_eq!(told(&minutes), (480, 60, vec![(0, 10, 20), (2, 30, 40)]), "the minute between is a gap");
        assert_eq!(minutes.series[0].last, 609, "what is now is known to the second");
        let recent = ask(&fine, &coarse, Question { back_ms: 5_000, ..MACHINE }).unwrap();
        assert_eq!(told(&recent).0, 604, "of a second that is half over, all counts");
        assert_eq!(ask(&[], &[], MACHINE), None);
        assert_eq!(ask(&fine, &coarse, Question { attempt: Some(AttemptId::default()), ..MACHINE }), None);
        assert_eq!(answer(&fine, &coarse, &Question { back_ms: 1_000, ..MACHINE }, 9_000_000), None, "long ago");
        assert_eq!(answer(&fine, &coarse, &MACHINE, 1_000), None, "the clock was set back before all of it");
    }

    #[test]
    fn each_gpu_and_quantity_is_a_series_and_what_nobody_knows_is_none() {
        let level = |v| Some(Level { mean: v, max: v });
        let gpu = |n, celsius| Record {
            subject: Subject::Gpu(n),
            levels: [level(400), None, celsius],
            totals: [Some(1_000), None, None],
            ..cpu(600, 0, 0)
        };
        let attempt = AttemptId::new(JobId(7), 0, 1);
        let task = Record { subject: Subject::Attempt(attempt), ..cpu(600, 9, 9) };
        let all = [cpu(600, 1, 1), gpu(0, None), gpu(1, level(65)), task];
        let series = |question| {
            let history = answer(&all, &[], &question, 600_000).unwrap();
            history.series.iter().map(|s| (s.quantity(), s.gpu, s.last, s.total)).collect::<Vec<_>>()
        };
        assert_eq!(
            series(MACHINE),
            [
                (Quantity::CpuMillicores, 0, 1, Some(4_000)),
                (Quantity::GpuBusyMillis, 0, 400, Some(1_000)),
                (Quantity::GpuBusyMillis, 1, 400, Some(1_000)),
                (Quantity::GpuCelsius, 1, 65, None),
            ]
        );
        assert_eq!(
            series(Question { attempt: Some(attempt), ..MACHINE }),
            [(Quantity::CpuMillicores, 0, 9, Some(4_000))]
        );
    }

    proptest! {
        /// Whatever is kept: no more steps than were asked for, in order, each within what it is made of, and no sample lost.
        #[test]
        fn an_answer_holds_what_was_asked_for(
            times in proptest::collection::vec((0u64..2_000_000, any::<u64>()), 1..100),
            minutes in proptest::collection::vec((0u64..40_000, any::<u64>()), 0..50),
            points_max in 0u32..50,
            back_ms in 0u64..3_000_000_000,
        ) {
            let fine: Vec<_> = times.iter().map(|(s, v)| cpu(*s, *v, *v)).collect();
            let coarse: Vec<_> = minutes.iter().map(|(m, v)| cpu(m * 60, *v, *v)).collect();
            let now_ms = 2_000_000_000;
            let question = Question { back_ms, points_max, ..MACHINE };
            if let Some(history) = answer(&fine, &coarse, &question, now_ms) {
                let used = if history.step_ms % MINUTE_MS == 0 && history.from_ms % MINUTE_MS == 0 {
                    None
                } else {
                    Some(&fine)
                };
                for series in &history.series {
                    prop_assert!(series.points.len() <= points_max.max(1) as usize);
                    prop_assert!(series.points.iter().all(|p| p.step < points_max.max(1) && p.mean <= p.max));
                    prop_assert!(series.points.is_sorted_by(|a, b| a.step < b.step));
                    if let (Some(used), 0) = (used, back_ms) {
                        let samples: u64 = series.points.iter().map(|p| p.samples).sum();
                        prop_assert_eq!(samples, used.len() as u64);
                    }
                }
                prop_assert!(history.from_ms <= history.newest_ms && history.newest_ms <= now_ms);
            }
        }

        #[test]
        fn any_records_have_an_answer_or_none(
            fine in proptest::collection::vec(crate::history::format::tests::any_record(), 0..20),
            coarse in proptest::collection::vec(crate::history::format::tests::any_record(), 0..20),
            back_ms in any::<u64>(), points_max in any::<u32>(), now_ms in any::<u64>(),
        ) {
            let history = answer(&fine, &coarse, &Question { attempt: None, back_ms, points_max }, now_ms);
            let points = history.iter().flat_map(|h| &h.series).map(|s| s.points.len());
            prop_assert!(points.max().unwrap_or(0) <= limits::HISTORY_POINTS_MAX as usize);
        }
    }
}
