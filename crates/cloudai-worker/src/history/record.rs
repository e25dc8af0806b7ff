//! What a history consists of. Comes in: samples. Goes out: records, one for each subject and period. Pure; how a record lies on a disk is known
//! in `format`.

use cloudai_proto::v1 as pb;
use cloudai_types::{AttemptId, JobId, limits};

/// What was measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// CPU in thousandths of a core, memory and storage in bytes.
    Machine,
    /// By its place in the driver's list: busy in thousandths of the time, memory in bytes, degrees Celsius.
    Gpu(u32),
    /// As [`Subject::Machine`].
    Attempt(AttemptId),
}

/// The quantities of a subject, in the order in which it names them.
pub const QUANTITIES: usize = 3;

/// One quantity over a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Level {
    pub mean: u64,
    pub max: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    pub subject: Subject,
    /// When its period begins, by this machine's wall clock, in milliseconds.
    pub at_ms: u64,
    /// How many samples are behind it.
    pub samples: u32,
    pub levels: [Option<Level>; QUANTITIES],
    /// What there was in all.
    pub totals: [Option<u64>; QUANTITIES],
}

impl Record {
    fn of_one(
        subject: Subject,
        at_ms: u64,
        values: [Option<u64>; QUANTITIES],
        totals: [Option<u64>; QUANTITIES],
    ) -> Record {
        let levels = values.map(|value| value.map(|v| Level { mean: v, max: v }));
        Record { subject, at_ms, samples: 1, levels, totals }
    }

    /// Nothing was known of its subject.
    pub fn is_empty(&self) -> bool {
        self.levels.iter().all(Option::is_none)
    }
}

/// A sample's records, for the period in which it was taken: the machine's, then its GPUs', then the attempts'. Of what nobody knows anything there
/// is none.
pub fn of_sample(sample: &pb::UsageSample) -> Vec<Record> {
    let at_ms = floor(sample.at_ms, limits::SAMPLE_PERIOD.0);
    let machine = sample.machine.as_ref().map(|m| {
        let stored = m.storage_total_bytes.zip(m.storage_free_bytes).map(|(all, free)| all.saturating_sub(free));
        let values = [m.cpu_millicores.map(u64::from), m.memory_used_bytes, stored];
        let totals = [m.cpu_total_millicores.map(u64::from), m.memory_total_bytes, m.storage_total_bytes];
        Record::of_one(Subject::Machine, at_ms, values, totals)
    });
    let gpus = sample.gpus.iter().take(limits::HISTORY_GPUS_MAX).enumerate().map(|(n, gpu)| {
        let values = [gpu.busy_millis.map(u64::from), gpu.memory_used_bytes, gpu.celsius.map(u64::from)];
        let totals = [gpu.busy_millis.map(|_| 1_000), gpu.memory_total_bytes, None];
        Record::of_one(Subject::Gpu(n as u32), at_ms, values, totals)
    });
    let attempts = sample.attempts.iter().map(|a| {
        let subject = Subject::Attempt(AttemptId::new(JobId(a.job), a.index, a.number));
        let values = [a.cpu_millicores.map(u64::from), a.memory_bytes, a.storage_bytes];
        Record::of_one(subject, at_ms, values, [None; QUANTITIES])
    });
    machine.into_iter().chain(gpus).chain(attempts).filter(|record| !record.is_empty()).collect()
}

/// The beginning of the period in which `at_ms` lies.
pub fn floor(at_ms: u64, period_ms: u64) -> u64 {
    at_ms - at_ms % period_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_becomes_a_record_for_each_subject_of_which_something_is_known() {
        let sample = pb::UsageSample {
            at_ms: 1_790_000_000_123,
            machine: Some(pb::MachineUsage {
                cpu_millicores: Some(500),
                cpu_total_millicores: Some(4_000),
                storage_free_bytes: Some(30),
                storage_total_bytes: Some(100),
                ..Default::default()
            }),
            gpus: vec![
                pb::GpuUsage { busy_millis: Some(400), celsius: Some(65), ..Default::default() },
                pb::GpuUsage { memory_total_bytes: Some(100), ..Default::default() },
            ],
            attempts: vec![
                pb::AttemptUsage { job: 7, index: 3, number: 1, memory_bytes: Some(5), ..Default::default() },
                pb::AttemptUsage { job: 7, index: 4, number: 1, ..Default::default() },
            ],
            attempts_left_out: 0,
        };
        let one = |v| Some(Level { mean: v, max: v });
        let records = of_sample(&sample);
        assert!(records.iter().all(|r| r.at_ms == 1_790_000_000_000 && r.samples == 1));
        let told: Vec<_> = records.iter().map(|r| (r.subject, r.levels, r.totals)).collect();
        assert_eq!(
            told,
            [
                (Subject::Machine, [one(500), None, one(70)], [Some(4_000), None, Some(100)]),
                (Subject::Gpu(0), [one(400), None, one(65)], [Some(1_000), None, None]),
                (Subject::Attempt(AttemptId::new(JobId(7), 3, 1)), [None, one(5), None], [None; 3]),
            ]
        );
        assert_eq!(of_sample(&pb::UsageSample::default()), [], "before the first one");
    }
}
