//! The words between the model and the world around it.

use cloudai_proto::v1::{
    ClusterStatusReply, Event, GetTaskReply, GetWorkerReply, JobSummary, ListWorkersReply, NamespaceInfo, QueueReply,
    TaskInfo, UsageSample,
};
use crossterm::event::KeyEvent;

/// What happens to the model.
#[derive(Debug, Clone)]
pub enum Input {
    /// Milliseconds since the epoch; several times a second.
    Time(u64),
    Key(KeyEvent),
    Resized(u16, u16),
    /// What came of a look, or why nothing did.
    Looked(Result<Box<Look>, String>),
    /// In the order of the log. Some may come twice.
    Events(Vec<Event>),
    /// The newest sample of some workers.
    Usage(Vec<(String, UsageSample)>),
    /// The process was told to end.
    Stop,
}

/// What the model wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answered by one [`Input::Looked`]; nothing is asked before that.
    Ask(Question),
    Quit,
}

/// One look: what is always asked (status, queue, namespaces, jobs), and what else.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Question {
    pub workers: bool,
    /// Why this one waits.
    pub why: Option<JobRef>,
    /// The first of its tasks that are active.
    pub tasks_of: Option<JobRef>,
    pub details: Option<DetailsOf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    pub id: u64,
    pub namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetailsOf {
    Worker(String),
    Task(JobRef, u32),
}

impl Question {
    /// How many calls it is at most, with one to the leader where another master answers.
    pub fn calls(&self) -> usize {
        5 + usize::from(self.workers)
            + 2 * usize::from(self.why.is_some())
            + usize::from(self.tasks_of.is_some())
            + usize::from(self.details.is_some())
    }
}

#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Of the master that answered; its members as the leader knows them, where that could be asked.
    pub status: ClusterStatusReply,
    /// Why the master that is said to lead could not be asked.
    pub leader_away: Option<String>,
    pub workers: Option<ListWorkersReply>,
    pub queue: QueueReply,
    pub namespaces: Vec<NamespaceInfo>,
    /// Queued and running ones, the newest first, at most [`cloudai_types::limits::TOP_JOBS_MAX`].
    pub jobs: Vec<JobSummary>,
    pub why: Option<(u64, String)>,
    /// The job's namespace and tasks, and whether these are all that are active.
    pub tasks: Option<(JobRef, Vec<TaskInfo>, bool)>,
    pub details: Option<Answer>,
}

#[derive(Debug, Clone)]
pub enum Answer {
    Worker(Box<GetWorkerReply>),
    Task(Box<GetTaskReply>),
    /// It is there no more, or could not be asked.
    Nothing(String),
}
