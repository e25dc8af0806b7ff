//! What happened, for people. Comes in: what `apply` has done. Goes out: one record for each thing that somebody may want to hear of, complete but
//! for names: those of workers, namespaces and masters are looked up by whoever tells it. Tasks of one job that follow each other and have met the
//! same are one record, so that an array costs a few. The leader's loops hear [`crate::Event`], and none of this.

use cloudai_types::{EndReason, EventKind, JobId, NamespaceId, NodeId, ReasonKind, TaskId, WorkerId};

use crate::note_rows::WaitNote;
use crate::rows::{JobState, TaskState, Unmet};

/// One thing that happened. `None`: it has to do with none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    pub namespace: Option<NamespaceId>,
    pub job: Option<JobId>,
    pub worker: Option<WorkerId>,
    /// Which of the job's tasks, where it is not all of it.
    pub run: Option<Run>,
    pub what: What,
}

/// Tasks of one job whose indexes follow each other, and which attempt of each; 0: none in particular.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    pub first: u32,
    pub count: u32,
    pub attempt: u32,
}

/// How an attempt ended, in what a line of text tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    pub kind: ReasonKind,
    pub exit_code: Option<i32>,
    pub detail: String,
}

/// Times are replicated, in milliseconds since the epoch. `actor`: who asked, `role/name`, or empty where that is not told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    Submitted {
        tasks: u32,
        actor: String,
    },
    Blocked,
    Released,
    Waits(WaitNote),
    /// Of a whole job: its first task was.
    Placed,
    Started,
    /// `lost`: its worker is gone, and says nothing. `state`: what became of the tasks; `None`: not known any more.
    Ended {
        lost: bool,
        ending: Ending,
        state: Option<TaskState>,
    },
    Retries {
        until_ms: u64,
    },
    MemoryRaised {
        memory_mib: u32,
    },
    /// `by`: for a task of this job.
    Preempted {
        by: Option<JobId>,
    },
    Dead,
    /// `tasks`: so many of the job, where no run says which.
    Replayed {
        tasks: u32,
    },
    Expired {
        tasks: u32,
    },
    /// `tasks` waited, `stopping` run and are told to stop. `unmet`: nobody asked for it, but it waited for this in vain.
    Cancelled {
        tasks: u32,
        stopping: u32,
        actor: String,
        unmet: Option<Unmet>,
    },
    Finished {
        state: JobState,
    },
    WorkerAuthorized {
        actor: String,
    },
    WorkerRegistered,
    WorkerLost {
        attempts: u32,
    },
    /// `deadline_ms`: what runs there then is stopped; 0: it may finish.
    WorkerDrained {
        deadline_ms: u64,
        actor: String,
    },
    WorkerResumed {
        actor: String,
    },
    WorkerEvicted {
        attempts: u32,
    },
    WorkerLeaves,
    WorkerTainted {
        key: String,
        value: String,
        actor: String,
    },
    WorkerUntainted {
        key: String,
        actor: String,
    },
    WorkerRevoked {
        actor: String,
    },
    /// Not by `apply`: where a term begins in the log, a leader does.
    LeaderChanged {
        term: u64,
    },
    MasterChanged {
        node: NodeId,
    },
    MasterRemoved {
        node: NodeId,
        actor: String,
    },
    ConfigChanged {
        actor: String,
    },
    QuotaChanged {
        actor: String,
    },
    FormatRaised {
        version: u32,
    },
}

impl From<&EndReason> for Ending {
    fn from(reason: &EndReason) -> Self {
        Ending { kind: reason.kind(), exit_code: reason.exit_code, detail: reason.detail.clone() }
    }
}

impl News {
    pub fn of_job(namespace: NamespaceId, job: JobId, what: What) -> Self {
        News { namespace: Some(namespace), job: Some(job), worker: None, run: None, what }
    }

    /// Of an attempt, or of a task alone.
    pub fn of_task(namespace: NamespaceId, task: TaskId, attempt: u32, what: What) -> Self {
        News { run: Some(Run { first: task.index, count: 1, attempt }), ..News::of_job(namespace, task.job, what) }
    }

    /// On this worker.
    #[must_use]
    pub fn on(self, worker: WorkerId) -> Self {
        News { worker: Some(worker), ..self }
    }

    pub fn of_worker(worker: WorkerId, what: What) -> Self {
        News::of_cluster(what).on(worker)
    }

    pub fn of_cluster(what: What) -> Self {
        News { namespace: None, job: None, worker: None, run: None, what }
    }

    pub fn kind(&self) -> EventKind {
        match &self.what {
            What::Submitted { .. } => EventKind::Submitted,
            What::Blocked => EventKind::Blocked,
            What::Released => EventKind::Released,
            What::Waits(_) => EventKind::Waits,
            What::Placed => EventKind::Placed,
            What::Started => EventKind::Started,
            What::Ended { lost: false, .. } => EventKind::Ended,
            What::Ended { lost: true, .. } => EventKind::Lost,
            What::Retries { .. } => EventKind::Retries,
            What::MemoryRaised { .. } => EventKind::MemoryRaised,
            What::Preempted { .. } => EventKind::Preempted,
            What::Dead => EventKind::Dead,
            What::Replayed { .. } => EventKind::Replayed,
            What::Expired { .. } => EventKind::Expired,
            What::Cancelled { .. } => EventKind::Cancelled,
            What::Finished { .. } => EventKind::Finished,
            What::WorkerAuthorized { .. } => EventKind::WorkerAuthorized,
            What::WorkerRegistered => EventKind::WorkerRegistered,
            What::WorkerLost { .. } => EventKind::WorkerLost,
            What::WorkerDrained { .. } => EventKind::WorkerDrained,
            What::WorkerResumed { .. } => EventKind::WorkerResumed,
            What::WorkerEvicted { .. } => EventKind::WorkerEvicted,
            What::WorkerLeaves => EventKind::WorkerLeaves,
            What::WorkerTainted { .. } => EventKind::WorkerTainted,
            What::WorkerUntainted { .. } => EventKind::WorkerUntainted,
            What::WorkerRevoked { .. } => EventKind::WorkerRevoked,
            What::LeaderChanged { .. } => EventKind::LeaderChanged,
            What::MasterChanged { .. } => EventKind::MasterChanged,
            What::MasterRemoved { .. } => EventKind::MasterRemoved,
            What::ConfigChanged { .. } => EventKind::ConfigChanged,
            What::QuotaChanged { .. } => EventKind::QuotaChanged,
            What::FormatRaised { .. } => EventKind::FormatRaised,
        }
    }

    /// In memory, texts included.
    pub fn bytes(&self) -> usize {
        let texts = match &self.what {
            What::Ended { ending, .. } => ending.detail.len(),
            What::WorkerTainted { key, value, actor } => key.len() + value.len() + actor.len(),
            What::WorkerUntainted { key, actor } => key.len() + actor.len(),
            What::Submitted { actor, .. }
            | What::Cancelled { actor, .. }
            | What::WorkerAuthorized { actor }
            | What::WorkerDrained { actor, .. }
            | What::WorkerResumed { actor }
            | What::WorkerRevoked { actor }
            | What::MasterRemoved { actor, .. }
            | What::ConfigChanged { actor }
            | What::QuotaChanged { actor } => actor.len(),
            What::Blocked
            | What::Released
            | What::Waits(_)
            | What::Placed
            | What::Started
            | What::Retries { .. }
            | What::MemoryRaised { .. }
            | What::Preempted { .. }
            | What::Dead
            | What::Replayed { .. }
            | What::Expired { .. }
            | What::Finished { .. }
            | What::WorkerRegistered
            | What::WorkerLost { .. }
            | What::WorkerEvicted { .. }
            | What::WorkerLeaves
            | What::LeaderChanged { .. }
            | What::MasterChanged { .. }
            | What::FormatRaised { .. } => 0,
        };
        size_of::<News>() + texts
    }

    /// True when `next` is the same of the tasks that follow: this record tells of both now.
    pub(crate) fn absorb(&mut self, next: &News) -> bool {
        let (Some(own), Some(more)) = (self.run, next.run) else { return false };
        if own.attempt != more.attempt || own.first.saturating_add(own.count) != more.first {
            return false;
        }
        self.run = next.run;
        let is_same = self == next;
        let count = if is_same { own.count.saturating_add(more.count) } else { own.count };
        self.run = Some(Run { count, ..own });
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Ending = Ending { kind: ReasonKind::ExitCode, exit_code: Some(0), detail: String::new() };

    fn run(first: u32, count: u32) -> Run {
        Run { first, count, attempt: 1 }
    }

    fn of(run: Run, what: What) -> News {
        News { run: Some(run), ..News::of_job(NamespaceId(1), JobId(2), what).on(WorkerId(3)) }
    }

    fn ended(index: u32, ending: Ending) -> News {
        of(run(index, 1), What::Ended { lost: false, ending, state: Some(TaskState::Succeeded) })
    }

    #[test]
    fn tasks_that_follow_each_other_and_meet_the_same_are_told_once() {
        let mut first = of(run(4, 1), What::Placed);
        assert!(first.absorb(&of(run(5, 1), What::Placed)));
        assert!(first.absorb(&of(run(6, 10), What::Placed)));
        assert_eq!(first, of(run(4, 12), What::Placed));
        for other in [
            of(run(16, 1), What::Started),
            of(Run { attempt: 2, ..run(16, 1) }, What::Placed),
            of(run(17, 1), What::Placed),
            of(run(16, 1), What::Placed).on(WorkerId(4)),
            News { job: Some(JobId(9)), ..of(run(16, 1), What::Placed) },
            News { run: None, ..of(run(16, 1), What::Placed) },
        ] {
            let before = first.clone();
            assert!(!first.absorb(&other), "{other:?}");
            assert_eq!(first, before, "and nothing changed");
        }
    }

    #[test]
    fn endings_are_told_once_only_where_they_are_the_same() {
        let mut first = ended(0, OK);
        assert!(first.absorb(&ended(1, OK)));
        assert!(!first.absorb(&ended(2, Ending { exit_code: Some(3), ..OK })));
        assert_eq!(first.run, Some(run(0, 2)));
    }

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<News>() <= 144, "{} bytes, and a master keeps many of them", size_of::<News>());
        let long = Ending { detail: "x".repeat(100), ..OK };
        assert_eq!(ended(0, long).bytes(), size_of::<News>() + 100);
    }
}
