//! What `apply` answers to each command. A refusal is a reply: nothing changed, and it says why.

use cloudai_types::{JobId, NodeId, ScheduleRun, TaskId, WorkerId, WorkflowId};

use crate::tenants::QueueFull;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// `duplicate`: the request id was known, nothing changed.
    Submitted {
        job: JobId,
        duplicate: bool,
    },
    /// Attempts that must be stopped before the job is `Cancelled`; zero: it has ended.
    CancelRequested {
        job: JobId,
        stopping: u32,
    },
    Placed {
        accepted: u32,
        refused: u32,
    },
    Reported {
        accepted: u32,
        stale: u32,
    },
    WorkerRegistered {
        worker: WorkerId,
        session: u64,
    },
    /// How many attempts were lost with it.
    WorkerLost {
        attempts: u32,
    },
    Authorized {
        worker: Option<WorkerId>,
        node: Option<NodeId>,
    },
    TokenRedeemed {
        worker: Option<WorkerId>,
        node: Option<NodeId>,
    },
    MasterRegistered,
    Expired {
        requests: u32,
    },
    /// How many jobs are gone, and how many rows were removed in all.
    JobsExpired {
        jobs: u32,
        rows: u32,
    },
    /// `refused`: they are dead and stay so.
    DeadReplayed {
        replayed: u32,
        refused: u32,
    },
    /// How many left the dead-letter queue.
    DeadDropped {
        dropped: u32,
    },
    /// `version`: how often it was set since it was made.
    SecretSet {
        version: u64,
    },
    /// Whose queue time-out is over, and how many of their tasks have failed.
    QueueExpired {
        jobs: u32,
        tasks: u64,
    },
    /// Whose drain's deadline has passed, and how many of their attempts were told to stop.
    Evicted {
        workers: u32,
        attempts: u32,
    },
    /// How many were told to stop; `refused`: they go on.
    Preempted {
        stopped: u32,
        refused: u32,
    },
    /// `jobs`: how many, with ids from the workflow's number on. `duplicate`: the request id was known, nothing changed.
    WorkflowSubmitted {
        workflow: WorkflowId,
        jobs: u32,
        duplicate: bool,
    },
    /// Attempts that must be stopped before all of it has ended.
    WorkflowCancelRequested {
        workflow: WorkflowId,
        stopping: u32,
    },
    /// What lives again: jobs, and of their tasks.
    WorkflowRetried {
        jobs: u32,
        tasks: u64,
    },
    /// `is_new`: false where the newest version says the same already.
    TemplateCreated {
        version: u32,
        is_new: bool,
    },
    /// `is_new`: false where it says the same already.
    ScheduleCreated {
        is_new: bool,
    },
    /// What came of a time of a schedule, or of a run by hand. `duplicate`: the request id was known, nothing changed.
    ScheduleRan {
        run: ScheduleRun,
        duplicate: bool,
    },
    /// How many notes are new. `ignored`: the same was noted last, or nothing of their jobs waits.
    Noted {
        noted: u32,
        ignored: u32,
    },
    /// Changed as asked, nothing to add.
    Done,
    Refused(Refusal),
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the request id '{0}' was used with another request within 24 hours")]
    RequestIdReused(String),
    #[error("the spec is not valid: {0}")]
    InvalidSpec(String),
    #[error("the namespace is not valid: {0}")]
    InvalidNamespace(String),
    #[error("there are {0} namespaces already, the most that are allowed")]
    TooManyNamespaces(usize),
    #[error("no job {0} is alive")]
    NoSuchJob(JobId),
    #[error("there is no workflow {0}")]
    NoSuchWorkflow(WorkflowId),
    #[error("the workflow has no job named '{0}'")]
    NoSuchNode(String),
    #[error("the workflow is not valid: {0}")]
    InvalidWorkflow(String),
    #[error("the retry would look at {0} tasks, and {max} are allowed at once", max = cloudai_types::limits::WORKFLOW_RETRY_TASKS_MAX)]
    RetryTooLarge(u64),
    #[error("task {0} is not in the dead-letter queue")]
    NotDead(TaskId),
    #[error("the namespace has no secret named '{0}'")]
    NoSuchSecret(String),
    #[error("the namespace has no login at the registry '{0}'")]
    NoSuchLogin(String),
    #[error("the namespace has no template named '{0}'")]
    NoSuchTemplate(String),
    #[error("template '{0}' has no version {1}")]
    NoSuchVersion(String, u32),
    #[error("the namespace has no schedule named '{0}'")]
    NoSuchSchedule(String),
    #[error("the namespace has a schedule named '{0}', which says something else")]
    ScheduleExists(String),
    #[error("the schedule is not valid: {0}")]
    InvalidSchedule(String),
    #[error("schedule '{0}' was changed meanwhile")]
    ScheduleChanged(String),
    #[error("the last run of schedule '{0}', job {1}, has not ended")]
    RunOverlaps(String, JobId),
    /// The time was decided already, or has not come, or the schedule is paused or another one by now: a leader's look was stale.
    #[error("this time of schedule '{0}' is not to be decided now")]
    NotDue(String),
    #[error("no worker is named '{0}'")]
    NoSuchWorker(String),
    #[error("no member '{0}' was authorised")]
    NotAuthorized(String),
    #[error("'{0}' was revoked")]
    Revoked(String),
    #[error("the token is not valid: wrong secret, or replaced by a newer token")]
    WrongToken,
    #[error("the token was already used with another key")]
    TokenUsed,
    #[error("the session is not the worker's current one")]
    StaleSession,
    #[error("node id {0} belongs to another disk: it was wiped or copied, and an id is never reused")]
    WrongDisk(NodeId),
    #[error("node id {0} was removed from the cluster and is never reused")]
    NodeRemoved(NodeId),
    #[error("the cluster has a name already")]
    AlreadyFounded,
    #[error("there are {0} already, the most that are allowed")]
    TooMany(usize),
    /// Nothing of the submit was taken in.
    #[error("{0}")]
    QueueFull(QueueFull),
    #[error("the name is not valid: {0}")]
    InvalidName(String),
    #[error("the value is not valid: {0}")]
    InvalidValue(String),
}
