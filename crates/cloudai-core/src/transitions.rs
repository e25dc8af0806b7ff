//! Who may move what from where to where: one table per kind of state. Each state has exactly one set of owners that may
//! leave it. Tests hold `apply` to these tables; nothing else reads them, so they are also documentation.

use crate::command::{AttemptState, Kind};
use crate::rows::{TaskState, WorkerState};

/// The commands that move states.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    SubmitJob,
    CancelJob,
    PlaceTasks,
    ReportAttempts,
    RegisterWorker,
    LoseWorker,
    Authorize,
    Revoke,
    ReplayDead,
    ExpireQueued,
    SubmitWorkflow,
    CancelWorkflow,
    RetryWorkflow,
    RunSchedule,
}

impl Owner {
    /// `None`: a command that moves no task, attempt or worker.
    pub fn of(kind: &Kind) -> Option<Owner> {
        match kind {
            Kind::SubmitJob(_) => Some(Owner::SubmitJob),
            Kind::CancelJob(_) => Some(Owner::CancelJob),
            Kind::PlaceTasks(_) => Some(Owner::PlaceTasks),
            Kind::ReportAttempts(_) => Some(Owner::ReportAttempts),
            Kind::RegisterWorker(_) => Some(Owner::RegisterWorker),
            Kind::LoseWorker(_) => Some(Owner::LoseWorker),
            Kind::Authorize(_) => Some(Owner::Authorize),
            Kind::Revoke(_) => Some(Owner::Revoke),
            Kind::ReplayDead(_) => Some(Owner::ReplayDead),
            Kind::ExpireQueued(_) => Some(Owner::ExpireQueued),
            Kind::SubmitWorkflow(_) => Some(Owner::SubmitWorkflow),
            Kind::CancelWorkflow(_) => Some(Owner::CancelWorkflow),
            Kind::RetryWorkflow(_) => Some(Owner::RetryWorkflow),
            Kind::RunSchedule(_) | Kind::TriggerSchedule(_) => Some(Owner::RunSchedule),
            Kind::RedeemToken(_)
            | Kind::SetDrain(_)
            | Kind::RegisterMaster(_)
            | Kind::ForgetMaster(_)
            | Kind::SetConfig(_)
            | Kind::ExpireRequests(_)
            | Kind::AdvanceClock(_)
            | Kind::RaiseVersion(_)
            | Kind::StartIncarnation(_)
            | Kind::FoundCluster(_)
            | Kind::ExpireJobs(_)
            | Kind::DropDead(_)
            | Kind::SetSecret(_)
            | Kind::RemoveSecret(_)
            | Kind::EvictWorkers(_)
            | Kind::WorkerLeaves(_)
            | Kind::PreemptTasks(_)
            | Kind::SetQuota(_)
            | Kind::SetTaint(_)
            | Kind::CreateSchedule(_)
            | Kind::DeleteSchedule(_)
            | Kind::PauseSchedule(_)
            | Kind::CreateTemplate(_)
            | Kind::DeleteTemplate(_)
            | Kind::NoteReasons(_) => None,
        }
    }
}

/// `from: None` is a birth.
#[derive(Clone, Copy, Debug)]
pub struct Transition<S: 'static> {
    pub from: Option<S>,
    pub to: &'static [S],
    pub owners: &'static [Owner],
}

/// A blocked task leaves with the end of another job, whoever ends that.
pub const TASK: &[Transition<TaskState>] = &[
    Transition {
        from: None,
        to: &[TaskState::Queued],
        owners: &[Owner::SubmitJob, Owner::SubmitWorkflow, Owner::RunSchedule],
    },
    Transition { from: None, to: &[TaskState::Blocked], owners: &[Owner::SubmitWorkflow] },
    Transition {
        from: Some(TaskState::Blocked),
        to: &[TaskState::Queued, TaskState::Cancelled],
        owners: &[Owner::ReportAttempts, Owner::LoseWorker, Owner::Revoke, Owner::CancelJob, Owner::ExpireQueued],
    },
    Transition { from: Some(TaskState::Blocked), to: &[TaskState::Cancelled], owners: &[Owner::CancelWorkflow] },
    Transition { from: Some(TaskState::Queued), to: &[TaskState::Active], owners: &[Owner::PlaceTasks] },
    Transition {
        from: Some(TaskState::Queued),
        to: &[TaskState::Cancelled],
        owners: &[Owner::CancelJob, Owner::CancelWorkflow, Owner::RunSchedule],
    },
    Transition { from: Some(TaskState::Queued), to: &[TaskState::Failed], owners: &[Owner::ExpireQueued] },
    Transition {
        from: Some(TaskState::Active),
        to: &[TaskState::Queued, TaskState::Succeeded, TaskState::Failed, TaskState::Cancelled, TaskState::Dead],
        owners: &[Owner::ReportAttempts],
    },
    Transition {
        from: Some(TaskState::Active),
        to: &[TaskState::Queued, TaskState::Failed, TaskState::Cancelled, TaskState::Dead],
        owners: &[Owner::LoseWorker, Owner::Revoke],
    },
    Transition { from: Some(TaskState::Dead), to: &[TaskState::Queued], owners: &[Owner::ReplayDead] },
    Transition {
        from: Some(TaskState::Failed),
        to: &[TaskState::Queued, TaskState::Blocked],
        owners: &[Owner::RetryWorkflow],
    },
    Transition {
        from: Some(TaskState::Dead),
        to: &[TaskState::Queued, TaskState::Blocked],
        owners: &[Owner::RetryWorkflow],
    },
    Transition {
        from: Some(TaskState::Cancelled),
        to: &[TaskState::Queued, TaskState::Blocked],
        owners: &[Owner::RetryWorkflow],
    },
];

use AttemptState::{Assigned, Exited, Lost, Preparing, Running, Stopping, Storing};

pub const ATTEMPT: &[Transition<AttemptState>] = &[
    Transition { from: None, to: &[Assigned], owners: &[Owner::PlaceTasks] },
    Transition {
        from: Some(Assigned),
        to: &[Preparing, Running, Stopping, Storing, Exited],
        owners: &[Owner::ReportAttempts],
    },
    Transition { from: Some(Preparing), to: &[Running, Stopping, Storing, Exited], owners: &[Owner::ReportAttempts] },
    Transition { from: Some(Running), to: &[Stopping, Storing, Exited], owners: &[Owner::ReportAttempts] },
    Transition { from: Some(Stopping), to: &[Storing, Exited], owners: &[Owner::ReportAttempts] },
    Transition { from: Some(Storing), to: &[Exited], owners: &[Owner::ReportAttempts] },
    Transition { from: Some(Assigned), to: &[Lost], owners: &[Owner::LoseWorker, Owner::Revoke] },
    Transition { from: Some(Preparing), to: &[Lost], owners: &[Owner::LoseWorker, Owner::Revoke] },
    Transition { from: Some(Running), to: &[Lost], owners: &[Owner::LoseWorker, Owner::Revoke] },
    Transition { from: Some(Stopping), to: &[Lost], owners: &[Owner::LoseWorker, Owner::Revoke] },
    Transition { from: Some(Storing), to: &[Lost], owners: &[Owner::LoseWorker, Owner::Revoke] },
];

pub const WORKER: &[Transition<WorkerState>] = &[
    Transition { from: None, to: &[WorkerState::Authorized], owners: &[Owner::Authorize] },
    Transition { from: Some(WorkerState::Authorized), to: &[WorkerState::Ready], owners: &[Owner::RegisterWorker] },
    Transition { from: Some(WorkerState::Lost), to: &[WorkerState::Ready], owners: &[Owner::RegisterWorker] },
    Transition { from: Some(WorkerState::Ready), to: &[WorkerState::Lost], owners: &[Owner::LoseWorker] },
    Transition { from: Some(WorkerState::Authorized), to: &[WorkerState::Revoked], owners: &[Owner::Revoke] },
    Transition { from: Some(WorkerState::Ready), to: &[WorkerState::Revoked], owners: &[Owner::Revoke] },
    Transition { from: Some(WorkerState::Lost), to: &[WorkerState::Revoked], owners: &[Owner::Revoke] },
    Transition { from: Some(WorkerState::Revoked), to: &[WorkerState::Authorized], owners: &[Owner::Authorize] },
];

/// True when the table has this move. Staying where one is needs no permission.
pub fn is_allowed<S: Copy + PartialEq>(table: &[Transition<S>], from: Option<S>, to: S, owner: Option<Owner>) -> bool {
    from == Some(to)
        || owner.is_some_and(|o| table.iter().any(|t| t.from == from && t.to.contains(&to) && t.owners.contains(&o)))
}
