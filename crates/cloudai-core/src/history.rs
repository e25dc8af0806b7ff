//! The history of one task, or of one job, as a list of what happened to it. Comes in: its rows. Goes out: dated news, in the order in which
//! they came about. It reads nothing itself, and tells what the rows hold: a time that nobody kept is 0, and what is not known is not told.
//!
//! Rows have two clocks. Replicated time orders what `apply` did; starts and endings of attempts carry the clock of their worker, which may be
//! ahead or behind. Those stand where they belong, between the replicated times around them, and keep their own time.

use cloudai_types::{JobId, NamespaceId, ReasonKind, TaskId, WorkerId};

use crate::command::AttemptState;
use crate::news::{News, What};
use crate::rows::{AttemptRow, EndedAttempt, JobNotesRow, JobRow, JobSpecRow, TaskRow, TaskState, WaitingRow};

/// Something that happened, and when: milliseconds since the epoch; 0: nobody kept it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dated {
    pub at_ms: u64,
    pub news: News,
}

/// What the rows say of a job.
#[derive(Clone, Copy)]
pub struct JobPast<'a> {
    pub namespace: NamespaceId,
    pub job: JobId,
    pub spec: &'a JobSpecRow,
    pub row: &'a JobRow,
    pub notes: &'a JobNotesRow,
    /// It waits, or waited, for other jobs of its workflow.
    pub waits_for_others: bool,
    /// Its tasks are released one by one: when each was, nobody kept.
    pub one_by_one: bool,
}

/// What the rows say of one of its tasks. `None`: there is no such row.
#[derive(Clone, Copy, Default)]
pub struct TaskPast<'a> {
    pub task: Option<&'a TaskRow>,
    pub waiting: Option<&'a WaitingRow>,
    pub attempt: Option<&'a AttemptRow>,
}

/// Of the job as a whole: its tasks' attempts are not told.
pub fn of_job(past: &JobPast<'_>) -> Vec<Dated> {
    let JobPast { spec, row, notes, .. } = *past;
    let mut story = Story::begun(past, spec.indexes().len() as u32, None);
    story.add(past, row.released_ms, if past.waits_for_others { Some(What::Released) } else { None });
    story.add(past, row.started_ms, Some(What::Placed));
    for note in &notes.notes {
        story.add(past, note.at_ms, Some(What::Waits(*note)));
    }
    story.add(past, row.queue_expired_ms, Some(What::Expired { tasks: 0 }));
    story.add(past, notes.cancelled_ms, Some(cancelled(notes)));
    if row.ended_ms > 0 {
        if let Some(unmet) = row.unmet {
            let what = What::Cancelled { tasks: 0, stopping: 0, actor: String::new(), unmet: Some(unmet) };
            story.add(past, row.ended_ms, Some(what));
        }
        story.add(past, row.ended_ms, Some(What::Finished { state: row.state() }));
    }
    story.told()
}

/// Of one task: all of its attempts, and what of its job's history is its own.
pub fn of_task(past: &JobPast<'_>, index: u32, own: &TaskPast<'_>) -> Vec<Dated> {
    let JobPast { job, row, notes, .. } = *past;
    let task = TaskId { job, index };
    let mut story = Story::begun(past, 1, Some(task));
    if past.waits_for_others && !past.one_by_one {
        story.add(past, row.released_ms, Some(What::Released));
    }
    let attempts = own.task.map_or(&[][..], |task| &task.attempts);
    let budget_from = own.task.map_or(0, |task| task.budget_from);
    let mut running = vec![];
    for (at, attempt) in attempts.iter().enumerate() {
        let next = attempts.get(at + 1);
        let next_ms = next.map(|next| next.assigned_ms).or(own.attempt.map(|live| live.assigned_ms));
        if attempt.number == budget_from {
            story.follow(task, 0, None, What::Replayed { tasks: 1 }, 0, u64::MAX);
        }
        let was = Attempt { number: attempt.number, worker: WorkerId(attempt.worker) };
        story.place(task, was, attempt.assigned_ms);
        let cap_ms = next_ms.unwrap_or(u64::MAX);
        story.follow(task, was.number, Some(was.worker), What::Started, attempt.started_ms, cap_ms);
        let state = match next.map(|next| next.number).or(own.attempt.map(|live| live.number)) {
            // What it was before it was replayed, nobody kept.
            Some(number) if number == budget_from => None,
            Some(_) => Some(TaskState::Queued),
            None if own.waiting.is_some_and(|waiting| waiting.next_number == budget_from) => None,
            None => own.task.map(TaskRow::state),
        };
        let what = What::Ended {
            lost: attempt.state == AttemptState::Lost as i32,
            ending: (&attempt.reason).into(),
            state: state.filter(|state| *state != TaskState::Blocked),
        };
        story.follow(task, was.number, Some(was.worker), what, attempt.ended_ms, cap_ms);
        running.push((attempt.assigned_ms, story.last_ms));
        after(&mut story, task, own, attempts, at);
    }
    if own.waiting.is_some_and(|waiting| budget_from > 0 && waiting.next_number == budget_from)
        || own.attempt.is_some_and(|live| budget_from > 0 && live.number == budget_from)
    {
        story.follow(task, 0, None, What::Replayed { tasks: 1 }, 0, u64::MAX);
    }
    if let Some(live) = own.attempt {
        let is = Attempt { number: live.number, worker: WorkerId(live.worker) };
        story.place(task, is, live.assigned_ms);
        story.follow(task, is.number, Some(is.worker), What::Started, live.started_ms, u64::MAX);
        if live.preempted {
            story.follow(task, is.number, Some(is.worker), What::Preempted { by: None }, 0, u64::MAX);
        }
        running.push((live.assigned_ms, u64::MAX));
    }
    let ended_ms = own.task.map_or(0, |task| task.ended_ms);
    let memory_mib = memory_mib(own);
    let waited = |at_ms: u64| {
        running.iter().all(|(from, to)| !(*from..*to).contains(&at_ms)) && (ended_ms == 0 || at_ms <= ended_ms)
    };
    for note in notes.notes.iter().filter(|note| note.memory_mib == 0 || note.memory_mib == memory_mib) {
        if waited(note.at_ms) {
            story.add_to(task, note.at_ms, What::Waits(*note));
        }
    }
    ends_without_an_attempt(&mut story, past, task, own);
    story.told()
}

/// What follows the ending of an attempt, where it is the last, or the last that ran out of memory.
fn after(story: &mut Story, task: TaskId, own: &TaskPast<'_>, attempts: &[EndedAttempt], at: usize) {
    let ended = &attempts[at];
    let later = attempts.get(at + 1..).unwrap_or_default();
    let is_oom = |attempt: &EndedAttempt| attempt.reason.kind() == ReasonKind::OutOfMemory;
    let memory_mib = memory_mib(own);
    if memory_mib > 0 && is_oom(ended) && !later.iter().any(is_oom) {
        story.follow(task, ended.number, None, What::MemoryRaised { memory_mib }, ended.ended_ms, u64::MAX);
    }
    if !later.is_empty() || own.attempt.is_some() {
        return;
    }
    if own.task.is_some_and(|row| row.state() == TaskState::Dead) {
        story.follow(task, ended.number, None, What::Dead, own.task.map_or(0, |row| row.ended_ms), u64::MAX);
    }
    if let Some(waiting) = own.waiting
        && waiting.not_before_ms > ended.ended_ms
        && own.task.is_none_or(|row| row.budget_from != waiting.next_number)
    {
        let what = What::Retries { until_ms: waiting.not_before_ms };
        story.follow(task, waiting.next_number, None, what, ended.ended_ms, u64::MAX);
    }
}

/// A cancel, a queue time-out, or others that it waited for in vain.
fn ends_without_an_attempt(story: &mut Story, past: &JobPast<'_>, task: TaskId, own: &TaskPast<'_>) {
    let JobPast { row, notes, .. } = *past;
    let ended_ms = own.task.map_or(0, |task| task.ended_ms);
    let unmet = own.task.and_then(|task| task.unmet);
    let never_ran = own.task.is_none() && own.waiting.is_none() && own.attempt.is_none();
    let is_fresh = never_ran && task.index >= row.next_fresh;
    if let Some(unmet) = unmet {
        let what = What::Cancelled { tasks: 1, stopping: 0, actor: String::new(), unmet: Some(unmet) };
        story.add_to(task, ended_ms, what);
    } else if is_fresh && row.queue_expired_ms > 0 {
        story.add_to(task, row.queue_expired_ms, What::Expired { tasks: 1 });
    } else if is_fresh && row.ended_ms > 0 && row.unmet.is_some() {
        let what = What::Cancelled { tasks: 1, stopping: 0, actor: String::new(), unmet: row.unmet };
        story.add_to(task, row.ended_ms, what);
    } else if notes.cancelled_ms > 0 && (ended_ms == 0 || ended_ms >= notes.cancelled_ms) {
        story.add_to(task, notes.cancelled_ms, cancelled(notes));
    }
}

/// How many it concerned, nobody kept.
fn cancelled(notes: &JobNotesRow) -> What {
    What::Cancelled { tasks: 0, stopping: 0, actor: notes.cancelled_by.clone(), unmet: None }
}

/// What its live or next attempt asks for, where that is more than the spec says.
fn memory_mib(own: &TaskPast<'_>) -> u32 {
    own.attempt.map(|live| live.memory_mib).or(own.waiting.map(|waiting| waiting.memory_mib)).unwrap_or(0)
}

#[derive(Clone, Copy)]
struct Attempt {
    number: u32,
    worker: WorkerId,
}

/// News with the replicated time at which each has its place.
struct Story {
    namespace: NamespaceId,
    pieces: Vec<(u64, Dated)>,
    /// The place of the last one that follows another.
    last_ms: u64,
}

impl Story {
    fn begun(past: &JobPast<'_>, tasks: u32, task: Option<TaskId>) -> Self {
        let JobPast { namespace, job, spec, .. } = *past;
        let mut story = Story { namespace, pieces: vec![], last_ms: spec.submitted_ms };
        let submitted = What::Submitted { tasks, actor: spec.actor.clone() };
        let of = |what| match task {
            Some(task) => News::of_task(namespace, task, 0, what),
            None => News::of_job(namespace, job, what),
        };
        story.push(spec.submitted_ms, spec.submitted_ms, of(submitted));
        if past.waits_for_others {
            story.push(spec.submitted_ms, spec.submitted_ms, of(What::Blocked));
        }
        story
    }

    fn push(&mut self, place_ms: u64, at_ms: u64, news: News) {
        self.pieces.push((place_ms, Dated { at_ms, news }));
    }

    /// By replicated time; 0 or nothing: it has not happened.
    fn add(&mut self, past: &JobPast<'_>, at_ms: u64, what: Option<What>) {
        if let Some(what) = what.filter(|_| at_ms > 0) {
            self.push(at_ms, at_ms, News::of_job(past.namespace, past.job, what));
        }
    }

    fn add_to(&mut self, task: TaskId, at_ms: u64, what: What) {
        if at_ms > 0 {
            self.push(at_ms, at_ms, News::of_task(self.namespace, task, 0, what));
        }
    }

    fn place(&mut self, task: TaskId, attempt: Attempt, assigned_ms: u64) {
        let Attempt { number, worker } = attempt;
        self.last_ms = self.last_ms.max(assigned_ms);
        let news = News::of_task(self.namespace, task, number, What::Placed).on(worker);
        self.push(self.last_ms, assigned_ms, news);
    }

    /// After what was told last, and not after `cap_ms`. `at_ms`: by whatever clock. A start that was never told is none.
    fn follow(&mut self, task: TaskId, number: u32, worker: Option<WorkerId>, what: What, at_ms: u64, cap_ms: u64) {
        if at_ms == 0 && what == What::Started {
            return;
        }
        self.last_ms = at_ms.min(cap_ms).max(self.last_ms);
        let news = News { worker, ..News::of_task(self.namespace, task, number, what) };
        self.push(self.last_ms, at_ms, news);
    }

    /// Those at the same place in the order in which they were found.
    fn told(mut self) -> Vec<Dated> {
        self.pieces.sort_by_key(|(place_ms, _)| *place_ms);
        self.pieces.into_iter().map(|(_, dated)| dated).collect()
    }
}
