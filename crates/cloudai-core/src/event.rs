//! What changed, for the leader's loops and for those who watch a job. An event carries ids, not copies of state: who hears it looks. What people
//! are told is [`crate::News`].

use cloudai_types::{AttemptId, JobId, NodeId, WorkerId};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    JobSubmitted {
        job: JobId,
    },
    /// Counts or state changed; at most one per job and log entry.
    JobChanged {
        job: JobId,
    },
    JobEnded {
        job: JobId,
    },
    /// Accepted placements of this entry: to be sent to the worker's session.
    Assigned {
        worker: WorkerId,
        attempts: Vec<AttemptId>,
    },
    /// Attempts that left the worker's assignment set for another reason than their own ending: stop them.
    Withdrawn {
        worker: WorkerId,
        attempts: Vec<AttemptId>,
    },
    /// Room was freed or tasks became ready: the scheduler may find something to do.
    CapacityChanged,
    TasksReady,
    WorkerChanged {
        worker: WorkerId,
    },
    WorkerLost {
        worker: WorkerId,
    },
    /// The name's certificates are void: cut its connections.
    Revoked {
        role: crate::command::MemberRole,
        name: String,
    },
    MasterChanged {
        node: NodeId,
    },
    ConfigChanged,
}
