//! Events: of the cluster's stream, line by line, and the history of a task or a job, as a table.

use std::io::{self, Write};

use cloudai_proto::v1::{Event, EventPosition};
use cloudai_types::resources::Bytes;
use cloudai_types::{EventKind, JobId};
use serde::Serialize;

use crate::output::{Columns, View, count, one_line};
use crate::times::rfc3339;
use crate::views::task::ReasonView;

/// What has nothing to do with an event is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventView {
    /// Its place in the stream, for `--since`; null in a history.
    pub seq: Option<String>,
    pub time: Option<String>,
    pub kind: &'static str,
    pub namespace: Option<String>,
    pub job: Option<String>,
    /// With `tasks`: these of the job, from this index on.
    pub first_index: Option<u32>,
    pub tasks: Option<u32>,
    pub attempt: Option<u32>,
    pub worker: Option<String>,
    pub reason: Option<ReasonView>,
    pub task_state: Option<&'static str>,
    pub job_state: Option<&'static str>,
    pub actor: Option<String>,
    pub until: Option<String>,
    pub memory_bytes: Option<u64>,
    /// Why tasks wait; `workers` of `workers_total` say so.
    pub cause: Option<&'static str>,
    pub workers: Option<u32>,
    pub workers_total: Option<u32>,
    pub attempts: Option<u32>,
    pub by_job: Option<String>,
    pub taint: Option<String>,
    pub master: Option<String>,
    pub term: Option<u64>,
    pub format: Option<u32>,
    pub why: Option<String>,
    /// The details in words.
    pub detail: String,
}

/// What people write after `--since`.
pub fn seq(at: EventPosition) -> String {
    match at.number {
        u32::MAX => at.index.to_string(),
        number => format!("{}.{number}", at.index),
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<Event> for EventView {
    fn from(e: Event) -> Self {
        let kind = e.kind();
        let waits = kind == EventKind::Waits;
        let number = |n: u32| (n > 0).then_some(n);
        EventView {
            detail: detail(kind, &e),
            seq: e.at.map(seq),
            time: rfc3339(e.time_ms),
            kind: kind.name(),
            job: (e.job_id > 0).then(|| JobId(e.job_id).to_string()),
            first_index: e.first_index,
            tasks: number(e.tasks),
            attempt: number(e.attempt),
            task_state: e.task_state.map(|_| e.task_state().name()),
            job_state: e.job_state.map(|_| e.job_state().name()),
            cause: waits.then(|| e.cause().name()),
            until: rfc3339(e.until_ms),
            memory_bytes: (e.memory_bytes > 0).then_some(e.memory_bytes),
            workers: waits.then_some(e.workers),
            workers_total: waits.then_some(e.workers_total),
            attempts: number(e.attempts),
            by_job: (e.by_job_id > 0).then(|| JobId(e.by_job_id).to_string()),
            term: (e.term > 0).then_some(e.term),
            format: number(e.format),
            reason: e.reason.map(Into::into),
            namespace: some(e.namespace),
            worker: some(e.worker),
            actor: some(e.actor),
            taint: some(e.taint),
            master: some(e.master),
            why: some(e.why),
        }
    }
}

/// What the kind alone does not say.
fn detail(kind: EventKind, e: &Event) -> String {
    let by = if e.actor.is_empty() { String::new() } else { format!("by {}", e.actor) };
    let tasks = if e.first_index.is_none() && e.tasks > 0 { count(e.tasks, "task") } else { String::new() };
    let on = if e.worker.is_empty() { String::new() } else { format!("on {}", e.worker) };
    let until = rfc3339(e.until_ms).unwrap_or_default();
    let memory = if e.memory_bytes > 0 { Bytes(e.memory_bytes).to_string() } else { String::new() };
    match kind {
        EventKind::Submitted | EventKind::WorkerAuthorized | EventKind::WorkerResumed | EventKind::WorkerRevoked => {
            joined(", ", [tasks, by])
        }
        EventKind::ConfigChanged | EventKind::QuotaChanged | EventKind::MasterRemoved => by,
        EventKind::Blocked => "by other jobs of its workflow".to_owned(),
        EventKind::Released | EventKind::WorkerRegistered | EventKind::MasterChanged => String::new(),
        EventKind::Waits => {
            let whose = if memory.is_empty() { memory } else { format!("for those that ask for {memory}") };
            joined(", ", [e.cause().text(e.workers, e.workers_total), whose])
        }
        EventKind::Placed if e.first_index.is_none() => "its first task".to_owned(),
        EventKind::Placed | EventKind::Started => on,
        EventKind::Ended | EventKind::Lost => {
            let reason = e.reason.clone().map_or(String::new(), |reason| ReasonView::from(reason).text());
            let state = e.task_state.map_or(String::new(), |_| e.task_state().name().to_owned());
            joined(", ", [joined(": ", [on, reason]), state])
        }
        EventKind::Retries => format!("not before {until}"),
        EventKind::MemoryRaised => format!("to {memory}"),
        EventKind::Preempted => {
            let by = if e.by_job_id > 0 { format!("for a task of {}", JobId(e.by_job_id)) } else { String::new() };
            joined(", ", [on, by])
        }
        EventKind::Dead => "its tries are spent".to_owned(),
        EventKind::Replayed => joined(", ", [tasks, "with new tries".to_owned()]),
        EventKind::Expired => joined(", ", [tasks, "waited in the queue for too long".to_owned()]),
        EventKind::Cancelled if !e.why.is_empty() => joined(", ", [tasks, e.why.clone()]),
        EventKind::Cancelled => {
            let waited = if tasks.is_empty() { tasks } else { format!("{tasks} waited") };
            let stop = if e.attempts > 0 { format!("{} to stop", count(e.attempts, "attempt")) } else { String::new() };
            joined(", ", [by, waited, stop])
        }
        EventKind::Finished => e.job_state.map_or(String::new(), |_| e.job_state().name().to_owned()),
        EventKind::WorkerLost => count(e.attempts, "attempt"),
        EventKind::WorkerDrained => {
            let until = if until.is_empty() { until } else { format!("what runs at {until} is stopped") };
            joined(", ", [by, until])
        }
        EventKind::WorkerEvicted => format!("{} to stop", count(e.attempts, "attempt")),
        EventKind::WorkerLeaves => "it is about to end".to_owned(),
        EventKind::WorkerTainted | EventKind::WorkerUntainted => joined(", ", [e.taint.clone(), by]),
        EventKind::LeaderChanged => format!("in term {}", e.term),
        EventKind::FormatRaised => format!("the log uses format {} from now on", e.format),
        EventKind::Unspecified => "this cloudai does not know it: use a newer one".to_owned(),
    }
}

fn joined<const N: usize>(with: &str, parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(with)
}

impl EventView {
    /// `3gk7q2zx/4.2`, `3gk7q2zx/0-99`, or a worker, a master, a namespace.
    pub fn subject(&self) -> String {
        let named = || self.worker.clone().or(self.master.clone()).or(self.namespace.clone()).unwrap_or("-".to_owned());
        let Some(job) = &self.job else { return named() };
        match (self.first_index, self.tasks.unwrap_or(1)) {
            (None, _) => job.clone(),
            (Some(index), 1) => {
                let attempt = self.attempt.map_or(String::new(), |number| format!(".{number}"));
                format!("{job}/{index}{attempt}")
            }
            (Some(first), tasks) => format!("{job}/{first}-{}", first.saturating_add(tasks - 1)),
        }
    }

    /// Without the length of others: it is printed as it comes.
    pub fn line(&self) -> String {
        let seq = self.seq.as_deref().unwrap_or("-");
        let time = self.time.as_deref().unwrap_or("-");
        let (kind, subject) = (self.kind, self.subject());
        one_line(format!("{seq:<10}  {time:<24}  {kind:<17}  {subject:<16}  {}", self.detail).trim_end())
    }

    /// Over the lines.
    pub fn header() -> String {
        format!("{:<10}  {:<24}  {:<17}  {:<16}  DETAIL", "SEQ", "TIME", "KIND", "WHAT")
    }
}

/// `events` without an end to come.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct EventList(pub Vec<EventView>);

impl View for EventList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", EventView::header())?;
        self.0.iter().try_for_each(|event| writeln!(out, "{}", event.line()))
    }
}

/// `task events` and `job events`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct HistoryView(pub Vec<EventView>);

impl View for HistoryView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let of_task = self.0.iter().any(|event| event.first_index.is_some());
        let mut columns = if of_task {
            Columns::new(&["TIME", "EVENT", "ATTEMPT", "DETAIL"])
        } else {
            Columns::new(&["TIME", "EVENT", "DETAIL"])
        };
        for event in &self.0 {
            let attempt = event.attempt.map_or("-".to_owned(), |number| number.to_string());
            let time = event.time.clone().unwrap_or("-".to_owned());
            let mut row = vec![time, event.kind.to_owned()];
            row.extend(of_task.then_some(attempt));
            row.push(event.detail.clone());
            columns.row(row);
        }
        columns.write(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample::T0;
    use cloudai_proto::v1::{JobState, TaskState};
    use cloudai_types::{EndReason, ReasonKind, WaitCause};

    fn of(kind: EventKind, at_s: u64) -> Event {
        Event { kind: kind as i32, time_ms: T0 + at_s * 1_000, ..Event::default() }
    }

    fn of_task(kind: EventKind, at_s: u64, attempt: u32) -> Event {
        Event { job_id: 5, first_index: Some(3), tasks: 1, attempt, ..of(kind, at_s) }
    }

    fn waits(at_s: u64, cause: WaitCause, workers: u32) -> Event {
        Event { cause: cause as i32, workers, workers_total: 4, ..of_task(EventKind::Waits, at_s, 0) }
    }

    fn on(event: Event, worker: &str) -> Event {
        Event { worker: worker.into(), ..event }
    }

    fn text(view: &impl View) -> String {
        let mut out = vec![];
        view.table(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_history_of_a_task_as_a_table() {
        let oom = EndReason::new(ReasonKind::OutOfMemory, "").with_exit_code(137);
        let state = |state: TaskState| Some(state as i32);
        let history = [
            Event { actor: "admin/ann".into(), ..of_task(EventKind::Submitted, 0, 0) },
            waits(12, WaitCause::Busy, 3),
            waits(52, WaitCause::Ahead, 1),
            on(of_task(EventKind::Placed, 60, 1), "worker-2"),
            on(of_task(EventKind::Started, 61, 1), "worker-2"),
            Event {
                reason: Some(oom),
                task_state: state(TaskState::Queued),
                ..on(of_task(EventKind::Ended, 90, 1), "worker-2")
            },
            Event { memory_bytes: 96 << 20, ..of_task(EventKind::MemoryRaised, 90, 1) },
            Event { until_ms: T0 + 91_000, ..of_task(EventKind::Retries, 90, 2) },
            on(of_task(EventKind::Placed, 91, 2), "worker-1"),
            on(of_task(EventKind::Started, 92, 2), "worker-1"),
            Event {
                reason: Some(EndReason::exit(0)),
                task_state: state(TaskState::Succeeded),
                ..on(of_task(EventKind::Ended, 130, 2), "worker-1")
            },
        ];
        assert_eq!(
            text(&HistoryView(history.map(EventView::from).to_vec())),
            "\
TIME                  EVENT          ATTEMPT  DETAIL
2026-09-21T14:13:20Z  submitted      -        by admin/ann
2026-09-21T14:13:32Z  waits          -        3 of 4 workers: not enough room now
2026-09-21T14:14:12Z  waits          -        others of its namespace come first
2026-09-21T14:14:20Z  placed         1        on worker-2
2026-09-21T14:14:21Z  started        1        on worker-2
2026-09-21T14:14:50Z  ended          1        on worker-2: out_of_memory 137, Queued
2026-09-21T14:14:50Z  memory_raised  1        to 96.0 MiB
2026-09-21T14:14:50Z  retries        2        not before 2026-09-21T14:14:51Z
2026-09-21T14:14:51Z  placed         2        on worker-1
2026-09-21T14:14:52Z  started        2        on worker-1
2026-09-21T14:15:30Z  ended          2        on worker-1: exit_code 0, Succeeded
"
        );
    }

    #[test]
    fn the_history_of_a_job_as_a_table() {
        let of_job = |kind, at_s| Event { job_id: 5, ..of(kind, at_s) };
        let history = [
            Event { tasks: 10, actor: "admin/ann".into(), ..of_job(EventKind::Submitted, 0) },
            of_job(EventKind::Placed, 2),
            Event { actor: "admin/bob".into(), ..of_job(EventKind::Cancelled, 70) },
            Event { job_state: Some(JobState::Cancelled as i32), ..of_job(EventKind::Finished, 72) },
        ];
        assert_eq!(
            text(&HistoryView(history.map(EventView::from).to_vec())),
            "\
TIME                  EVENT      DETAIL
2026-09-21T14:13:20Z  submitted  10 tasks, by admin/ann
2026-09-21T14:13:22Z  placed     its first task
2026-09-21T14:14:30Z  cancelled  by admin/bob
2026-09-21T14:14:32Z  finished   Cancelled
"
        );
    }

    #[test]
    fn the_stream_line_by_line() {
        let at = |index, number| Some(EventPosition { index, number });
        let run = Event { job_id: 5, first_index: Some(0), tasks: 4, attempt: 1, ..Event::default() };
        let run_of = |kind, at_s| Event { worker: "worker-1".into(), ..Event { ..of(kind, at_s) } };
        let events = [
            Event { at: at(812, 0), job_id: 5, tasks: 10, ..of(EventKind::Submitted, 0) },
            Event {
                at: at(814, 0),
                ..Event { kind: EventKind::Placed as i32, time_ms: T0 + 100, ..on(run.clone(), "worker-1") }
            },
            Event {
                at: at(819, 3),
                reason: Some(EndReason::exit(3)),
                task_state: Some(TaskState::Queued as i32),
                ..on(of_task(EventKind::Ended, 9, 1), "worker-1")
            },
            Event { at: at(825, 0), attempts: 3, ..run_of(EventKind::WorkerLost, 20) },
            Event {
                at: at(825, 1),
                taint: "gpu=a100".into(),
                actor: "admin/ann".into(),
                ..run_of(EventKind::WorkerTainted, 20)
            },
            Event {
                at: at(830, 0),
                namespace: "team-a".into(),
                actor: "admin/ann".into(),
                ..of(EventKind::QuotaChanged, 30)
            },
            Event { at: at(831, 0), time_ms: 0, term: 7, master: "m2".into(), ..of(EventKind::LeaderChanged, 0) },
        ];
        let list = EventList(events.map(EventView::from).to_vec());
        assert_eq!(
            text(&list),
            "\
SEQ         TIME                      KIND               WHAT              DETAIL
812.0       2026-09-21T14:13:20Z      submitted          4affhbak          10 tasks
814.0       2026-09-21T14:13:20.1Z    placed             4affhbak/0-3      on worker-1
819.3       2026-09-21T14:13:29Z      ended              4affhbak/3.1      on worker-1: exit_code 3, Queued
825.0       2026-09-21T14:13:40Z      worker_lost        worker-1          3 attempts
825.1       2026-09-21T14:13:40Z      worker_tainted     worker-1          gpu=a100, by admin/ann
830.0       2026-09-21T14:13:50Z      quota_changed      team-a            by admin/ann
831.0       -                         leader_changed     m2                in term 7
"
        );
        let json = serde_json::to_value(&list.0[2]).unwrap();
        assert_eq!((&json["seq"], &json["kind"], &json["attempt"]), (&"819.3".into(), &"ended".into(), &1.into()));
        assert_eq!((&json["task_state"], &json["reason"]["exit_code"]), (&"Queued".into(), &3.into()));
        assert!(json["actor"].is_null() && json["cause"].is_null());
    }

    #[test]
    fn every_kind_has_words_for_its_details() {
        for kind in EventKind::ALL {
            let event = Event { actor: "admin/ann".into(), ..of_task(kind, 0, 1) };
            assert_eq!(EventView::from(event).kind, kind.name());
        }
        let newer = Event { kind: 999, ..Event::default() };
        assert!(EventView::from(newer).detail.contains("use a newer one"));
    }
}
