//! Deliberate mistakes. Each one is a rule of the protocol left out; a model that does not notice proves nothing.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// A report is applied whatever its session and attempt number.
    NoFenceCheck,
    /// The leader places a task again as soon as it believes its worker dead, before that is in the log.
    ReassignBeforeLost,
    /// A submit is acknowledged when it is proposed.
    AckBeforeCommit,
    /// A new leader goes on counting from the beginning of the old one's term.
    InheritedLeaseClock,
    /// A restarted worker adopts a container for the task, whatever attempt it belongs to.
    AdoptWithoutFence,
    /// A renewal is acknowledged although the loss of its worker is already proposed.
    RenewWhileLosing,
    /// A new session's lease starts what an earlier session had assigned, before the new set has come.
    StartBeforeSet,
    /// A worker counts its lease from the arrival of the acknowledgement.
    LeaseFromAck,
    /// A deposed leader goes on acknowledging renewals.
    DeposedLeaderRenews,
    /// Nobody kills for a paused worker: its `stop` containers outlive the lease.
    NoSupervisor,
}

impl Mutation {
    pub const ALL: [Mutation; 10] = [
        Mutation::NoFenceCheck,
        Mutation::ReassignBeforeLost,
        Mutation::AckBeforeCommit,
        Mutation::InheritedLeaseClock,
        Mutation::AdoptWithoutFence,
        Mutation::RenewWhileLosing,
        Mutation::StartBeforeSet,
        Mutation::LeaseFromAck,
        Mutation::DeposedLeaderRenews,
        Mutation::NoSupervisor,
    ];
}
