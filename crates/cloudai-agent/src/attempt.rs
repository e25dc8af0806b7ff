//! One attempt on this worker: its states, and the only moves between them.

use std::sync::Arc;

use cloudai_types::{EndReason, JobSpec, ReasonKind, Timestamp};

use crate::deps::{EndingRecord, Signal};
use crate::input::{Needs, Now};

/// How far an attempt has come, as the masters count it (same order and numbers as the replicated state).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i32)]
pub enum Phase {
    Assigned = 0,
    Preparing = 1,
    Running = 2,
    Stopping = 3,
    Storing = 4,
    Exited = 5,
    Lost = 6,
}

impl Phase {
    pub const ALL: [Phase; 7] = [
        Phase::Assigned,
        Phase::Preparing,
        Phase::Running,
        Phase::Stopping,
        Phase::Storing,
        Phase::Exited,
        Phase::Lost,
    ];

    pub fn from_number(n: i32) -> Option<Phase> {
        Phase::ALL.into_iter().find(|p| *p as i32 == n)
    }
}

/// Who moves an attempt from where to where: the whole life of an attempt on a worker. Nothing ever moves back (I2), and
/// `Lost` is not the agent's to enter.
pub const TRANSITIONS: &[(Phase, &str, Phase)] = &[
    (Phase::Assigned, "room: start", Phase::Preparing),
    (Phase::Assigned, "withdrawn, the worker leaves, or it can never fit", Phase::Exited),
    (Phase::Preparing, "the program runs", Phase::Running),
    (Phase::Preparing, "withdrawn, no lease, or the worker leaves", Phase::Stopping),
    (Phase::Preparing, "succeeded at once, and leaves something to store", Phase::Storing),
    (Phase::Preparing, "could not start, or ended at once", Phase::Exited),
    (Phase::Running, "withdrawn, timed out, no lease, or the worker leaves", Phase::Stopping),
    (Phase::Running, "succeeded, and leaves something to store", Phase::Storing),
    (Phase::Running, "ended", Phase::Exited),
    (Phase::Stopping, "had succeeded before, and leaves something to store", Phase::Storing),
    (Phase::Stopping, "ended", Phase::Exited),
    (Phase::Storing, "stored, not stored, withdrawn, or too slow", Phase::Exited),
];

/// Why a running attempt is being stopped: decides the reason of its ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StopWhy {
    Timeout,
    Cancelled,
    /// Not in the assignment set.
    Outside,
    /// `on_disconnect: stop` without a lease.
    Disconnected,
    /// The container belongs to an assignment of another history.
    OtherFence,
    /// This worker is drained, or about to end.
    Preempted,
}

/// Whether an ending survives the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Durability {
    /// On its way to the disk: not to be reported yet.
    Pending,
    OnDisk,
    /// The next set would bring about the same ending again.
    NotNeeded,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum State {
    /// In the set, holds nothing, waits for room.
    Waiting {
        spec: Arc<JobSpec>,
    },
    Preparing,
    Running {
        started: Timestamp,
    },
    Stopping {
        why: StopWhy,
        stage: Signal,
        asked: Now,
        started: Timestamp,
    },
    /// The program has succeeded; what it left is on its way to the store. Holds nothing.
    Storing {
        ending: EndingRecord,
        container: bool,
    },
    /// `container`: something is left to be removed.
    Ended {
        ending: EndingRecord,
        durability: Durability,
        container: bool,
    },
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Attempt {
    pub assigned_index: u64,
    pub needs: Needs,
    pub state: State,
    /// The one time at which something is due: the time-out while it runs, the next kill while it stops. Mirrored in
    /// `Agent::deadlines`.
    pub deadline: Option<Timestamp>,
    /// The highest phase that the leader acknowledged.
    pub acked: Phase,
}

impl Attempt {
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Waiting { .. } => Phase::Assigned,
            State::Preparing => Phase::Preparing,
            State::Running { .. } => Phase::Running,
            State::Stopping { .. } => Phase::Stopping,
            State::Storing { .. } => Phase::Storing,
            State::Ended { .. } => Phase::Exited,
        }
    }

    /// True from `Preparing` to `Stopping`: it holds resources (I4) and perhaps a container.
    pub fn holds(&self) -> bool {
        match self.state {
            State::Preparing | State::Running { .. } | State::Stopping { .. } => true,
            State::Waiting { .. } | State::Storing { .. } | State::Ended { .. } => false,
        }
    }

    pub fn started(&self) -> Timestamp {
        match &self.state {
            State::Waiting { .. } | State::Preparing => Timestamp(0),
            State::Running { started } | State::Stopping { started, .. } => *started,
            State::Storing { ending, .. } | State::Ended { ending, .. } => ending.started,
        }
    }

    /// The only way to another state.
    pub fn advance(&mut self, to: State) {
        let from = self.phase();
        self.state = to;
        let to = self.phase();
        debug_assert!(
            from == to || TRANSITIONS.iter().any(|(f, _, t)| (*f, *t) == (from, to)),
            "{from:?} to {to:?} is no transition"
        );
    }
}

/// Why something ends on a worker that is drained or about to end.
pub(crate) const DRAINED: &str = "its worker is drained";

/// The reason to report for an ending that the agent itself had asked for. What the program did before it was asked stands.
pub(crate) fn reason_of_stopped(why: StopWhy, asked: Now, seen: EndReason, ended: Timestamp) -> EndReason {
    if ended.0 > 0 && ended < asked.wall && seen.kind() != ReasonKind::Cancelled {
        return seen;
    }
    let (kind, detail) = match why {
        StopWhy::Timeout => (ReasonKind::Timeout, ""),
        StopWhy::Cancelled => (ReasonKind::Cancelled, ""),
        StopWhy::Outside => (ReasonKind::Cancelled, "no longer assigned to this worker"),
        StopWhy::Disconnected => (ReasonKind::WorkerLost, "stopped: the worker had lost contact with the masters"),
        StopWhy::Preempted => (ReasonKind::Preempted, DRAINED),
        StopWhy::OtherFence => (ReasonKind::EngineError, "a container of another assignment was in the way"),
    };
    let mut reason = EndReason::new(kind, detail).with_usage(seen.usage);
    reason.exit_code = seen.exit_code;
    reason
}

/// The reason to report for a success whose results are not stored: the program's own exit code stays to be seen.
pub(crate) fn reason_of_unstored(kind: ReasonKind, detail: impl Into<String>, seen: &EndReason) -> EndReason {
    let mut reason = EndReason::new(kind, detail).with_usage(seen.usage);
    reason.exit_code = seen.exit_code;
    reason
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::Usage;

    #[test]
    fn an_attempt_only_moves_forward() {
        for (from, _, to) in TRANSITIONS {
            assert!(from < to);
        }
        for p in Phase::ALL {
            assert_eq!(Phase::from_number(p as i32), Some(p));
        }
        assert_eq!(Phase::from_number(7), None);
    }

    #[test]
    fn what_ended_before_it_was_asked_keeps_its_reason() {
        let asked = Now { mono: Timestamp(5), wall: Timestamp(1_000) };
        let seen = EndReason::exit(0);
        assert_eq!(reason_of_stopped(StopWhy::Timeout, asked, seen.clone(), Timestamp(999)), seen);
        let usage = Some(Usage { cpu_micros: Some(7), ..Usage::default() });
        let stopped = EndReason::exit(143).with_usage(usage);
        let late = reason_of_stopped(StopWhy::Timeout, asked, stopped, Timestamp(1_000));
        assert_eq!((late.kind(), late.exit_code, late.usage), (ReasonKind::Timeout, Some(143), usage));
    }
}
