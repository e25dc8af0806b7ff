//! What the checkers look at. All of it is plain data: a test writes it by hand, a drill collects it.

use std::collections::BTreeSet;
use std::time::Duration;

use cloudai_proto::v1::{JobState, TaskInfo};
use cloudai_types::{AttemptId, JobId, TaskId};

/// Everything that is known about one drill, after its heal phase.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What the clients asked, and what they were told.
    pub ops: Vec<Op>,
    /// Every job of the cluster, read linearizably when nothing lived any more.
    pub jobs: Vec<Job>,
    /// What was really executed, by the workers' own record or the engine's events. Empty: not recorded.
    pub executions: Vec<Execution>,
    /// Jobs with `on_disconnect: stop`.
    pub stop_jobs: BTreeSet<JobId>,
    /// Whether workers and masters read the same wall clock (not when a drill shifts one).
    pub clocks_agree: bool,
    pub digests: Vec<Digest>,
    pub heal: Heal,
    pub logs: Vec<Log>,
}

/// One request of one client, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    pub client: u32,
    /// Nanoseconds on one monotonic clock.
    pub call: u64,
    /// When the answer came. For an unknown outcome it has no meaning: the request may still take effect later.
    pub back: u64,
    pub asked: Asked,
    pub told: Told,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The request id names it.
    Submit {
        request: String,
    },
    Get {
        job: JobId,
    },
    /// The newest jobs.
    List,
    /// Sets a register.
    Write {
        key: String,
        value: u64,
    },
    Read {
        key: String,
    },
    /// Answered from one master's own state, which may be old.
    StaleRead {
        key: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// `index`: the log index of the command that was answered. A duplicate's job is older than that.
    Submitted {
        job: JobId,
        index: u64,
        duplicate: bool,
    },
    /// None: there is no such job. `index`: of the state that was read.
    Job {
        index: u64,
        job: Option<Seen>,
    },
    Jobs {
        index: u64,
        jobs: BTreeSet<JobId>,
        /// The answer names every job from this one on.
        from: JobId,
    },
    Written {
        index: u64,
    },
    Value {
        value: u64,
        index: u64,
    },
    /// Surely nothing was changed, or nothing was read.
    Failed,
    /// A write that may take effect now, later, or never.
    Unknown,
}

/// A job as a reader saw it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    pub state: JobState,
    /// Its tasks that had ended, where the reader asked for them.
    pub ended: Vec<TaskInfo>,
}

/// A job as it stands in the end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Job {
    pub id: JobId,
    pub request: String,
    pub state: JobState,
    /// Tasks that its spec asks for.
    pub count: u32,
    pub tasks: Vec<TaskInfo>,
}

/// One real run of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    pub attempt: AttemptId,
    pub worker: String,
    /// Nanoseconds on a clock that all workers share.
    pub start: u64,
    pub until: Until,
    /// The same moment on the wall clock.
    pub start_wall_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It ended.
    Ended(u64),
    /// Its worker's process died with it.
    Died(u64),
    /// It ran when the record was read.
    Running,
}

impl Execution {
    pub fn task(&self) -> TaskId {
        self.attempt.task
    }

    /// Where it surely was over.
    pub fn end(&self) -> u64 {
        match self.until {
            Until::Ended(at) | Until::Died(at) => at,
            Until::Running => u64::MAX,
        }
    }

    pub fn overlaps(&self, other: &Execution) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

/// A master's state at one log index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub master: String,
    pub applied: u64,
    pub digest: u64,
}

/// The cluster after the last fault was taken away.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heal {
    /// What each master says about who leads: (its own name, its term, the leader's name).
    pub views: Vec<(String, u64, String)>,
    /// Voters that should take part, with the entries that each is behind the leader; None: it was not heard.
    pub voters: Vec<(String, Option<u64>)>,
    /// One write and one read of each client, and how long after the heal they were done; None: not in time.
    pub clients: Vec<(u32, Option<Duration>)>,
}

/// What a process wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    pub process: String,
    pub text: String,
}
