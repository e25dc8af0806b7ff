//! How much of the world one run of the model explores.

/// `on_disconnect` of every task in the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Containers keep running without a lease.
    Continue,
    /// Containers are killed at the end of the lease.
    Stop,
}

/// Times are in ticks. Only their order matters: `kill < lease`, as 8 s and 12 s are.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Up to `state::TASKS`; the others are never submitted.
    pub tasks: usize,
    /// A worker's lease, counted from sending the renewal: nothing starts, and `stop` containers are dead, from here on.
    pub kill: u8,
    /// The leader's promise, counted from receiving a renewal: the worker is lost from here on.
    pub lease: u8,
    /// How long after its successor's first entry a deposed leader may still acknowledge renewals.
    pub deposed: u8,
    /// The second leader term needs one.
    pub leader_crashes: u8,
    /// Sessions that break for no reason.
    pub breaks: u8,
    pub worker_restarts: u8,
}

impl Bounds {
    /// Everything twice: two workers, two tasks, two attempts, two leader terms.
    pub const WIDE: Bounds =
        Bounds { tasks: 2, kill: 1, lease: 2, deposed: 0, leader_crashes: 1, breaks: 0, worker_restarts: 0 };

    /// One task, with finer time and restarts of workers.
    pub const DEEP: Bounds =
        Bounds { tasks: 1, kill: 2, lease: 3, deposed: 0, leader_crashes: 1, breaks: 0, worker_restarts: 1 };

    /// One task, and enough of the rest to find every mutant.
    pub const NARROW: Bounds =
        Bounds { tasks: 1, kill: 1, lease: 2, deposed: 0, leader_crashes: 1, breaks: 0, worker_restarts: 1 };
}
