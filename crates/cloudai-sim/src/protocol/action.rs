//! Everything that can happen. Numbers are places in the state's arrays: task, attempt, worker.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    // The client.
    ProposeSubmit(usize),
    CommitSubmit(usize),
    AckSubmit(usize),

    // The leader. What `apply` checks against the exact state is proposed and committed in one step.
    Place {
        task: usize,
        worker: usize,
    },
    ProposeLoss(usize),
    CommitLoss(usize),
    /// A heartbeat arrives and is answered; the answer is on its way.
    Renew(usize),
    /// The same by a leader that does not know yet that it is deposed.
    DeposedRenews(usize),
    /// A worker's hello arrives; registration and welcome.
    Register(usize),
    /// The report "it runs" arrives.
    StartReported {
        task: usize,
        attempt: usize,
    },
    /// The report of an ending arrives.
    ResultReported {
        task: usize,
        attempt: usize,
    },

    // The worker.
    /// The answer to a heartbeat arrives.
    RenewalAcked(usize),
    /// An assignment arrives in a delta.
    Assigned {
        task: usize,
        attempt: usize,
    },
    /// The full set of a new session arrives: what is outside it is stopped.
    FullSet(usize),
    Start {
        task: usize,
        attempt: usize,
    },
    Finish {
        task: usize,
        attempt: usize,
    },
    /// The engine has stopped what was withdrawn.
    Killed {
        task: usize,
        attempt: usize,
    },
    /// The acknowledgement of an ending arrives.
    ResultAcked {
        task: usize,
        attempt: usize,
    },
    /// The end of a `stop` lease, when nobody forces it: `NoSupervisor` only.
    LeaseKill(usize),

    // Time and faults.
    ClockTick,
    Elect,
    LeaderCrash,
    SessionBreak(usize),
    WorkerRestart(usize),
}

impl Action {
    /// Faults may happen; the system must come to an end without any more of them.
    pub fn is_fault(&self) -> bool {
        matches!(self, Action::LeaderCrash | Action::SessionBreak(_) | Action::WorkerRestart(_))
    }
}
