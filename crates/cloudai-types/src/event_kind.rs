//! What can happen in a cluster: a closed set of kinds, with a word for each. Comes in: nothing. Goes out: one enum that the state, the wire and
//! people share. What an event of a kind says beside its kind is not known here.

/// A kind of event. The numbers are sent: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum EventKind {
    /// One that this build does not know.
    Unspecified = 0,
    /// A job was submitted.
    Submitted = 1,
    /// It waits for other jobs of its workflow.
    Blocked = 2,
    /// It waits for them no more.
    Released = 3,
    /// Why it waits for a worker, as the leader saw it.
    Waits = 4,
    /// An attempt was given to a worker.
    Placed = 5,
    /// Its program runs.
    Started = 6,
    /// Its worker said how it ended.
    Ended = 7,
    /// It ended with its worker.
    Lost = 8,
    /// Another attempt waits for its time.
    Retries = 9,
    /// The next attempt asks for more memory.
    MemoryRaised = 10,
    /// It is told to stop, for a task of a higher priority.
    Preempted = 11,
    /// The task has spent its budget.
    Dead = 12,
    /// It runs again with a new budget.
    Replayed = 13,
    /// Its queue time-out was over before it was placed.
    Expired = 14,
    /// Somebody cancelled it, or it waited for others in vain.
    Cancelled = 15,
    /// All of the job has ended.
    Finished = 16,
    WorkerAuthorized = 30,
    WorkerRegistered = 31,
    WorkerLost = 32,
    WorkerDrained = 33,
    WorkerResumed = 34,
    /// Its drain's deadline has passed.
    WorkerEvicted = 35,
    /// It said itself that it is about to end.
    WorkerLeaves = 36,
    WorkerTainted = 37,
    WorkerUntainted = 38,
    WorkerRevoked = 39,
    LeaderChanged = 50,
    MasterChanged = 51,
    MasterRemoved = 52,
    ConfigChanged = 53,
    QuotaChanged = 54,
    /// Every master understands a newer format of the log, which is used from now on.
    FormatRaised = 55,
}

impl EventKind {
    /// All that an event can have, in the order of their numbers.
    pub const ALL: [EventKind; 32] = [
        EventKind::Submitted,
        EventKind::Blocked,
        EventKind::Released,
        EventKind::Waits,
        EventKind::Placed,
        EventKind::Started,
        EventKind::Ended,
        EventKind::Lost,
        EventKind::Retries,
        EventKind::MemoryRaised,
        EventKind::Preempted,
        EventKind::Dead,
        EventKind::Replayed,
        EventKind::Expired,
        EventKind::Cancelled,
        EventKind::Finished,
        EventKind::WorkerAuthorized,
        EventKind::WorkerRegistered,
        EventKind::WorkerLost,
        EventKind::WorkerDrained,
        EventKind::WorkerResumed,
        EventKind::WorkerEvicted,
        EventKind::WorkerLeaves,
        EventKind::WorkerTainted,
        EventKind::WorkerUntainted,
        EventKind::WorkerRevoked,
        EventKind::LeaderChanged,
        EventKind::MasterChanged,
        EventKind::MasterRemoved,
        EventKind::ConfigChanged,
        EventKind::QuotaChanged,
        EventKind::FormatRaised,
    ];

    /// The word in JSON, tables and flags.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Unspecified => "unspecified",
            EventKind::Submitted => "submitted",
            EventKind::Blocked => "blocked",
            EventKind::Released => "released",
            EventKind::Waits => "waits",
            EventKind::Placed => "placed",
            EventKind::Started => "started",
            EventKind::Ended => "ended",
            EventKind::Lost => "lost",
            EventKind::Retries => "retries",
            EventKind::MemoryRaised => "memory_raised",
            EventKind::Preempted => "preempted",
            EventKind::Dead => "dead",
            EventKind::Replayed => "replayed",
            EventKind::Expired => "expired",
            EventKind::Cancelled => "cancelled",
            EventKind::Finished => "finished",
            EventKind::WorkerAuthorized => "worker_authorized",
            EventKind::WorkerRegistered => "worker_registered",
            EventKind::WorkerLost => "worker_lost",
            EventKind::WorkerDrained => "worker_drained",
            EventKind::WorkerResumed => "worker_resumed",
            EventKind::WorkerEvicted => "worker_evicted",
            EventKind::WorkerLeaves => "worker_leaves",
            EventKind::WorkerTainted => "worker_tainted",
            EventKind::WorkerUntainted => "worker_untainted",
            EventKind::WorkerRevoked => "worker_revoked",
            EventKind::LeaderChanged => "leader_changed",
            EventKind::MasterChanged => "master_changed",
            EventKind::MasterRemoved => "master_removed",
            EventKind::ConfigChanged => "config_changed",
            EventKind::QuotaChanged => "quota_changed",
            EventKind::FormatRaised => "format_raised",
        }
    }

    /// A worker's state has changed.
    pub fn is_of_worker(self) -> bool {
        match self {
            EventKind::WorkerAuthorized
            | EventKind::WorkerRegistered
            | EventKind::WorkerLost
            | EventKind::WorkerDrained
            | EventKind::WorkerResumed
            | EventKind::WorkerEvicted
            | EventKind::WorkerLeaves
            | EventKind::WorkerTainted
            | EventKind::WorkerUntainted
            | EventKind::WorkerRevoked => true,
            EventKind::Unspecified
            | EventKind::Submitted
            | EventKind::Blocked
            | EventKind::Released
            | EventKind::Waits
            | EventKind::Placed
            | EventKind::Started
            | EventKind::Ended
            | EventKind::Lost
            | EventKind::Retries
            | EventKind::MemoryRaised
            | EventKind::Preempted
            | EventKind::Dead
            | EventKind::Replayed
            | EventKind::Expired
            | EventKind::Cancelled
            | EventKind::Finished
            | EventKind::LeaderChanged
            | EventKind::MasterChanged
            | EventKind::MasterRemoved
            | EventKind::ConfigChanged
            | EventKind::QuotaChanged
            | EventKind::FormatRaised => false,
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_number_of_its_own() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::named(kind.name()), Some(kind));
            assert_eq!(EventKind::try_from(kind as i32), Ok(kind));
        }
        let known = (1..1_000).filter(|n| EventKind::try_from(*n).is_ok()).count();
        assert_eq!(known, EventKind::ALL.len());
        assert_eq!(EventKind::named("unspecified"), None);
    }
}
