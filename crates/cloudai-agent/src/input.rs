//! Everything that may happen to an agent. Each input comes with the time at which the shell took it up.

use std::sync::Arc;

use cloudai_types::{AttemptId, EndReason, JobSpec, Millis, OnDisconnect, Resources, Results, Timestamp, limits};

use crate::attempt::Phase;
use crate::deps::EndingRecord;
use crate::fence::Fence;

/// Two clocks, read together by the shell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Only moves forward and counts suspended time: decides leases, time-outs and graces.
    pub mono: Timestamp,
    /// Milliseconds since the epoch: for people, and for the age of a container that was found.
    pub wall: Timestamp,
}

/// What the agent itself needs of a spec. Also written on the container, so that a restarted agent has it before any session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    pub resources: Resources,
    /// Run time; `None`: no limit.
    pub timeout: Option<Millis>,
    /// `on_disconnect: stop`.
    pub stop_on_disconnect: bool,
    /// Between the stop signal and SIGKILL; `None`: the usual time.
    pub grace: Option<Millis>,
    /// What it writes is stored before it counts as a success.
    pub results: bool,
}

impl Needs {
    pub fn of(spec: &JobSpec) -> Self {
        Needs {
            resources: spec.resources,
            timeout: (spec.timeout_ms > 0).then_some(Millis(spec.timeout_ms)),
            stop_on_disconnect: spec.on_disconnect() == OnDisconnect::Stop,
            grace: (spec.grace_ms > 0).then_some(Millis(spec.grace_ms)),
            results: spec.results,
        }
    }

    pub(crate) fn grace(&self) -> Millis {
        self.grace.unwrap_or(limits::STOP_GRACE)
    }
}

/// One attempt in the worker's assignment set.
#[derive(Clone, PartialEq, Debug)]
pub struct Assignment {
    pub attempt: AttemptId,
    /// Log index of the assignment.
    pub assigned_index: u64,
    /// The phase that the leader's state knows.
    pub phase: Phase,
    pub spec: Arc<JobSpec>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithdrawWhy {
    /// The job is being cancelled: the leader waits for this attempt's ending.
    Cancelled,
    /// The attempt was given up; its ending will be refused.
    Lost,
    /// This worker is drained, and may not wait longer: the leader waits for this attempt's ending, and the task goes elsewhere.
    Preempted,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Withdrawal {
    pub attempt: AttemptId,
    pub why: WithdrawWhy,
}

/// A container of this worker that was there when the agent started. The executor watches it already.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    pub attempt: AttemptId,
    /// Log index of the assignment that it was made for.
    pub assigned_index: u64,
    pub needs: Needs,
    pub state: FoundState,
}

#[derive(Clone, PartialEq, Debug)]
pub enum FoundState {
    /// Made but never started.
    Created,
    Running {
        started: Timestamp,
    },
    Exited {
        reason: EndReason,
        started: Timestamp,
        ended: Timestamp,
    },
}

#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// What the journal held. First of all, once. `renewed`: on the monotonic clock, of this boot.
    Restored {
        fence: Fence,
        endings: Vec<EndingRecord>,
        renewed: Option<Timestamp>,
    },
    /// Before the first session, once per container.
    Found(Found),

    /// The leader welcomed the worker. The Hello, sent at `hello_sent`, counts as a renewal.
    SessionUp {
        incarnation: u64,
        hello_sent: Timestamp,
    },
    SessionDown,
    HeartbeatSent {
        sequence: u64,
    },
    HeartbeatAcked {
        sequence: u64,
    },
    FullSet {
        fence: Fence,
        assignments: Vec<Assignment>,
        stop: Vec<Withdrawal>,
    },
    Delta {
        fence: Fence,
        add: Vec<Assignment>,
        stop: Vec<Withdrawal>,
    },
    ReportsAcked {
        sequence: u64,
    },

    /// Answers `start`: the program runs.
    Started {
        attempt: AttemptId,
        started: Timestamp,
    },
    /// Answers `start`: the attempt has ended, or never came to run. `container`: something is left to be removed.
    Ended {
        attempt: AttemptId,
        reason: EndReason,
        started: Timestamp,
        ended: Timestamp,
        container: bool,
    },
    /// Answers `store`: what is in the store now (no results of an attempt that leaves none), or why it is not.
    Stored {
        attempt: AttemptId,
        stored: Result<Option<Results>, String>,
    },
    /// Answers `persist_ending`: these are on disk.
    Persisted(Vec<AttemptId>),

    /// This worker is about to end. Nothing is started any more; what runs may finish, until `after` has passed: then it is stopped, and its
    /// task goes elsewhere. Said again: the earlier deadline counts.
    Leave {
        after: Option<Millis>,
    },

    /// Time has passed; due at [`crate::Agent::next_deadline`] at the latest.
    Tick,
    /// No more inputs are waiting: whatever changed is to be reported now.
    Flush,
}
