//! The model's state. Each field says who writes it.

pub const WORKERS: usize = 2;
pub const TASKS: usize = 2;
pub const ATTEMPTS: usize = 2;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct State {
    pub leader: Leader,
    pub tasks: [Task; TASKS],
    pub workers: [Worker; WORKERS],
    pub faults_left: Faults,
    pub seen: Seen,
    /// Ticks since the first leader began, up to the lease. Moves for `InheritedLeaseClock` only.
    pub first_led: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Leader {
    First,
    /// The first one is gone, or believes that it still leads.
    None,
    /// `ticks` since its first entry, up to one more than a deposed leader may go on.
    Second {
        ticks: u8,
    },
}

impl Leader {
    pub fn leads(self) -> bool {
        match self {
            Leader::First | Leader::Second { .. } => true,
            Leader::None => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Faults {
    pub leader_crashes: u8,
    pub breaks: u8,
    pub worker_restarts: u8,
}

/// What a property needs to know of the past. Set by `Protocol::next_state`, never cleared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seen {
    /// A result was accepted that came from another container than the current attempt's.
    pub foreign_result: bool,
    /// A state went back.
    pub step_back: bool,
    /// A worker was lost in the log while it had a lease, or could still get one.
    pub early_loss: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Task {
    pub submit: Submit,
    /// The client has its answer.
    pub acked: bool,
    /// Successes that the log accepted.
    pub accepted: u8,
    pub attempts: [Attempt; ATTEMPTS],
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Submit {
    No,
    /// In the leader's log, and nowhere else.
    Proposed,
    Committed,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attempt {
    /// The worker of its placement.
    pub worker: u8,
    /// What the committed log says.
    pub logged: Logged,
    /// What its worker has.
    pub local: Local,
    /// The container is an earlier attempt's: `AdoptWithoutFence` only.
    pub borrowed: bool,
    /// A restart forgot which attempt the container belongs to: `AdoptWithoutFence` only.
    pub unlabelled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Logged {
    No,
    Assigned,
    Running,
    Exited,
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Local {
    /// The worker has not heard of it.
    Unknown,
    /// Assigned; waits for room and a lease.
    Waiting,
    Running,
    /// Withdrawn, and told to stop; it still runs.
    Stopping,
    /// On the worker's disk until acknowledged.
    Ended {
        success: bool,
    },
    /// Fenced, or acknowledged: never again.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Worker {
    /// The log: ready, or lost.
    pub ready: bool,
    /// The leader's memory: ticks since the last renewal, up to the lease.
    pub silence: u8,
    /// The leader's memory: its loss is proposed and not yet in the log.
    pub losing: bool,
    /// The worker's session.
    pub session: Session,
    /// The worker: ticks since it sent the last acknowledged renewal, up to `kill`.
    pub lease: u8,
    /// The youngest acknowledgement on its way: ticks since its renewal was sent. Older ones would change nothing.
    pub ack: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Session {
    /// `synced`: the last session had brought its set.
    Down {
        synced: bool,
    },
    /// Registered and welcomed; the set has not come.
    Awaiting,
    Synced,
}

impl Session {
    pub fn is_up(self) -> bool {
        match self {
            Session::Awaiting | Session::Synced => true,
            Session::Down { .. } => false,
        }
    }

    pub fn synced(self) -> bool {
        match self {
            Session::Down { synced } => synced,
            Session::Awaiting => false,
            Session::Synced => true,
        }
    }

    pub fn down(self) -> Session {
        Session::Down { synced: self.synced() }
    }
}

impl Attempt {
    pub const NONE: Attempt =
        Attempt { worker: 0, logged: Logged::No, local: Local::Unknown, borrowed: false, unlabelled: false };

    /// The log has it as alive.
    pub fn live(&self) -> bool {
        match self.logged {
            Logged::Assigned | Logged::Running => true,
            Logged::No | Logged::Exited | Logged::Lost => false,
        }
    }

    /// It has a running container.
    pub fn runs(&self) -> bool {
        match self.local {
            Local::Running | Local::Stopping => true,
            Local::Unknown | Local::Waiting | Local::Ended { .. } | Local::Gone => false,
        }
    }
}

impl Task {
    pub const NONE: Task = Task { submit: Submit::No, acked: false, accepted: 0, attempts: [Attempt::NONE; ATTEMPTS] };

    /// The attempt with the highest number.
    pub fn current(&self) -> Option<usize> {
        self.attempts.iter().rposition(|a| a.logged != Logged::No)
    }

    /// The number of the next attempt of a task that waits.
    pub fn next(&self) -> Option<usize> {
        if self.submit != Submit::Committed || self.accepted > 0 || self.attempts.iter().any(Attempt::live) {
            return None;
        }
        self.attempts.iter().position(|a| a.logged == Logged::No)
    }

    pub fn succeeded(&self) -> bool {
        self.accepted > 0
    }

    /// Its attempts are used up.
    pub fn dead(&self) -> bool {
        let last = &self.attempts[ATTEMPTS - 1];
        self.accepted == 0 && last.logged != Logged::No && !last.live()
    }

    pub fn containers(&self) -> usize {
        self.attempts.iter().filter(|a| a.runs()).count()
    }
}

impl Worker {
    /// Registered, in session, with a fresh lease: where the model begins.
    pub const READY: Worker =
        Worker { ready: true, silence: 0, losing: false, session: Session::Synced, lease: 0, ack: None };
}
