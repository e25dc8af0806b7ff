//! Jobs that are submitted at times: what a user says of one. Comes in: bytes and texts. Goes out: the words, checked. Which moments a pattern
//! of times means is not known here, nor what runs.

use crate::limits;
use crate::spec::{Fault, JobSpec, ValidJobSpec};

/// What happens to a run whose predecessor has not ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum Overlap {
    /// It does not take place.
    Skip = 0,
    /// Both run.
    Allow = 1,
    /// The earlier one is cancelled.
    CancelPrevious = 2,
}

impl Overlap {
    pub const ALL: [Overlap; 3] = [Overlap::Skip, Overlap::Allow, Overlap::CancelPrevious];

    pub fn name(self) -> &'static str {
        match self {
            Overlap::Skip => "skip",
            Overlap::Allow => "allow",
            Overlap::CancelPrevious => "cancel-previous",
        }
    }
}

/// What happens to runs whose time passed while nobody led, or the schedule was paused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum Missed {
    /// One run for all of them.
    Once = 0,
    /// None of them takes place.
    Skip = 1,
    /// Each of the last [`limits::SCHEDULE_CATCH_UP_MAX`].
    All = 2,
}

impl Missed {
    pub const ALL: [Missed; 3] = [Missed::Once, Missed::Skip, Missed::All];

    pub fn name(self) -> &'static str {
        match self {
            Missed::Once => "once",
            Missed::Skip => "skip",
            Missed::All => "all",
        }
    }
}

/// What a schedule says: when, and which job.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScheduleSpec {
    /// Five fields: minute, hour, day of the month, month, day of the week.
    #[prost(string, tag = "1")]
    pub cron: String,
    /// A name of the IANA database, such as `Europe/Paris`.
    #[prost(string, tag = "2")]
    pub zone: String,
    #[prost(enumeration = "Overlap", tag = "3")]
    pub overlap: i32,
    #[prost(enumeration = "Missed", tag = "4")]
    pub missed: i32,
    /// What each run submits.
    #[prost(message, required, tag = "5")]
    pub job: JobSpec,
    /// For people: the template and version that the job was made from; empty: a file.
    #[prost(string, tag = "6")]
    pub template: String,
}

impl ScheduleSpec {
    /// All that can be checked without a calendar.
    pub fn check(&self) -> Result<(), Vec<Fault>> {
        let mut faults = vec![];
        let mut fault = |field, problem| faults.push(Fault { field, problem });
        let lengths = [
            ("cron", self.cron.len(), 1, limits::CRON_BYTES_MAX),
            ("timezone", self.zone.len(), 1, limits::ZONE_BYTES_MAX),
            // A name, `@`, and a number.
            ("template", self.template.len(), 0, limits::NAME_BYTES_MAX + 11),
        ];
        for (field, len, least, most) in lengths {
            if len < least || len > most {
                fault(field, format!("has {len} bytes; {least} to {most} are allowed"));
            }
        }
        if Overlap::try_from(self.overlap).is_err() {
            fault("overlap", format!("is {}, which means nothing here", self.overlap));
        }
        if Missed::try_from(self.missed).is_err() {
            fault("missed", format!("is {}, which means nothing here", self.missed));
        }
        if let Err(error) = ValidJobSpec::parse(self.job.clone()) {
            faults.extend(error.faults);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// What became of one time of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum RunOutcome {
    /// A job was submitted.
    Ran = 0,
    /// Its predecessor had not ended.
    Overlapped = 1,
    /// Its time passed while nobody led, or the schedule was paused.
    Missed = 2,
    /// The job was not accepted.
    Refused = 3,
}

impl RunOutcome {
    pub const ALL: [RunOutcome; 4] = [RunOutcome::Ran, RunOutcome::Overlapped, RunOutcome::Missed, RunOutcome::Refused];

    pub fn name(self) -> &'static str {
        match self {
            RunOutcome::Ran => "ran",
            RunOutcome::Overlapped => "overlapped",
            RunOutcome::Missed => "missed",
            RunOutcome::Refused => "refused",
        }
    }
}

/// One time of a schedule, or several that were missed together.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ScheduleRun {
    /// When it was due, milliseconds since the epoch; of one by hand, when it was asked for.
    #[prost(uint64, tag = "1")]
    pub due_ms: u64,
    /// Replicated time at which this was decided.
    #[prost(uint64, tag = "2")]
    pub decided_ms: u64,
    #[prost(enumeration = "RunOutcome", tag = "3")]
    pub outcome: i32,
    /// Of `Ran`, the job; of `Overlapped`, the one that had not ended; 0: none.
    #[prost(uint64, tag = "4")]
    pub job: u64,
    /// Of `Refused`: why. At most [`limits::TEXT_BYTES_MAX`] bytes.
    #[prost(string, tag = "5")]
    pub why: String,
    /// Somebody asked for it.
    #[prost(bool, tag = "6")]
    pub by_hand: bool,
    /// Of `Missed`: how many times, of which `due_ms` was the last.
    #[prost(uint32, tag = "7")]
    pub times: u32,
}

impl ScheduleRun {
    /// So many times passed without a run; more than [`limits::SCHEDULE_MISSED_MAX`] are not counted.
    pub fn set_missed(&mut self, times: u32) {
        self.outcome = RunOutcome::Missed as i32;
        self.times = times.min(limits::SCHEDULE_MISSED_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly() -> ScheduleSpec {
        let job = JobSpec { image: "busybox".into(), ..JobSpec::default() };
        ScheduleSpec { cron: "30 2 * * *".into(), zone: "UTC".into(), job, ..ScheduleSpec::default() }
    }

    #[test]
    fn a_schedule_is_checked_field_by_field() {
        assert_eq!(nightly().check(), Ok(()));
        let wrong = ScheduleSpec {
            cron: String::new(),
            zone: "Z".repeat(limits::ZONE_BYTES_MAX + 1),
            overlap: 9,
            missed: -1,
            job: JobSpec::default(),
            template: "t".repeat(100),
        };
        let faults = wrong.check().expect_err("all of it is wrong");
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["cron", "timezone", "template", "overlap", "missed", "image"]);
    }
}
