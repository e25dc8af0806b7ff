//! The row of a schedule. Comes in: nothing. Goes out: the record, with its protobuf tags. What it says (when, and which job) is a row of its own,
//! [`cloudai_types::ScheduleSpec`], because this one is rewritten at each run.

use cloudai_types::{RunOutcome, ScheduleRun, limits};

/// How far a schedule has come.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ScheduleRow {
    /// XXH3 of its [`cloudai_types::ScheduleSpec`], as it is encoded: who reckoned with other words is refused.
    #[prost(fixed64, tag = "1")]
    pub spec_hash: u64,
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
    #[prost(uint64, tag = "3")]
    pub updated_ms: u64,
    /// Who created or replaced it: its jobs are submitted in this name.
    #[prost(string, tag = "4")]
    pub actor: String,
    #[prost(bool, tag = "5")]
    pub paused: bool,
    /// Times up to this one are decided. A schedule that is new has none before its beginning.
    #[prost(uint64, tag = "6")]
    pub last_due_ms: u64,
    /// The first time that is not decided, as a leader reckoned it; 0: there is none.
    #[prost(uint64, tag = "7")]
    pub next_due_ms: u64,
    /// The job that it submitted last; 0: none yet.
    #[prost(uint64, tag = "8")]
    pub last_job: u64,
    #[prost(uint64, tag = "9")]
    pub ran: u64,
    #[prost(uint64, tag = "10")]
    pub overlapped: u64,
    #[prost(uint64, tag = "11")]
    pub missed: u64,
    #[prost(uint64, tag = "12")]
    pub refused: u64,
    /// The last [`limits::SCHEDULE_RUNS_KEPT`], oldest first.
    #[prost(message, repeated, tag = "13")]
    pub runs: Vec<ScheduleRun>,
}

impl ScheduleRow {
    /// Counts it, and remembers it.
    pub(crate) fn record(&mut self, run: ScheduleRun) {
        let (count, times) = match run.outcome() {
            RunOutcome::Ran => (&mut self.ran, 1),
            RunOutcome::Overlapped => (&mut self.overlapped, 1),
            RunOutcome::Missed => (&mut self.missed, u64::from(run.times)),
            RunOutcome::Refused => (&mut self.refused, 1),
        };
        *count = count.saturating_add(times);
        if run.outcome() == RunOutcome::Ran {
            self.last_job = run.job;
        }
        self.runs.push(run);
        let surplus = self.runs.len().saturating_sub(limits::SCHEDULE_RUNS_KEPT);
        self.runs.drain(..surplus);
    }

    /// When the leader has to look at it; `None`: it is paused, or its times are over.
    pub fn due_ms(&self) -> Option<u64> {
        (!self.paused && self.next_due_ms > 0).then_some(self.next_due_ms)
    }
}
