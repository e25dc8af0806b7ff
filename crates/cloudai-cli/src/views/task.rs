//! Tasks and their attempts.

use std::io::{self, Write};

use cloudai_proto::v1::{AttemptInfo, GetTaskReply, TaskInfo};
use cloudai_types::resources::Bytes;
use cloudai_types::{EndReason, Results, Usage, WorkflowId};
use serde::Serialize;

use crate::output::{Columns, View, facts};
use crate::times::{duration, now_ms, rfc3339, seconds, span};
use crate::views::job::{of_workflow, trace_text};
use crate::views::workflow::{WaitsForView, waits_for_text};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReasonView {
    pub kind: &'static str,
    pub exit_code: Option<i32>,
    pub detail: Option<String>,
}

impl From<EndReason> for ReasonView {
    fn from(r: EndReason) -> Self {
        ReasonView { kind: r.kind().name(), exit_code: r.exit_code, detail: (!r.detail.is_empty()).then_some(r.detail) }
    }
}

impl ReasonView {
    pub fn text(&self) -> String {
        let code = self.exit_code.map_or(String::new(), |c| format!(" {c}"));
        let detail = self.detail.as_ref().map_or(String::new(), |d| format!(": {d}"));
        format!("{}{code}{detail}", self.kind)
    }
}

/// What an attempt used, in base units; null where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UsageView {
    pub cpu_seconds: Option<f64>,
    pub memory_peak_bytes: Option<u64>,
    pub read_bytes: Option<u64>,
    pub written_bytes: Option<u64>,
    pub processes_max: Option<u64>,
}

impl From<Usage> for UsageView {
    fn from(u: Usage) -> Self {
        UsageView {
            cpu_seconds: u.cpu_micros.map(|micros| micros as f64 / 1e6),
            memory_peak_bytes: u.memory_peak_bytes,
            read_bytes: u.read_bytes,
            written_bytes: u.written_bytes,
            processes_max: u.processes_max,
        }
    }
}

impl UsageView {
    /// CPU, peak memory, read, written: as cells of a table.
    fn cells(usage: Option<&UsageView>) -> [String; 4] {
        let cell = |text: Option<String>| text.unwrap_or("-".to_owned());
        let bytes = |n: Option<u64>| cell(n.map(|n| Bytes(n).to_string()));
        [
            cell(usage.and_then(|u| u.cpu_seconds).map(|s| duration((s * 1e3) as u64))),
            bytes(usage.and_then(|u| u.memory_peak_bytes)),
            bytes(usage.and_then(|u| u.read_bytes)),
            bytes(usage.and_then(|u| u.written_bytes)),
        ]
    }
}

/// What an attempt stored; its files: `job results`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredView {
    pub files: u32,
    pub bytes: u64,
    pub left_out: u32,
    /// Its key in the store.
    pub manifest: String,
}

impl From<&Results> for StoredView {
    fn from(r: &Results) -> Self {
        StoredView { files: r.files_total, bytes: r.bytes_total, left_out: r.left_out, manifest: r.manifest.clone() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptView {
    pub number: u32,
    pub worker: String,
    pub state: &'static str,
    /// Null while it has not ended.
    pub reason: Option<ReasonView>,
    pub assigned_at: Option<String>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// From its start to its end; null until then, and for one that never ran.
    pub wall_seconds: Option<f64>,
    /// Null where nothing is known: see docs/endings.md.
    pub usage: Option<UsageView>,
    /// Null where it stored none.
    pub results: Option<StoredView>,
    #[serde(skip)]
    ran_ms: (u64, u64),
}

impl From<AttemptInfo> for AttemptView {
    fn from(a: AttemptInfo) -> Self {
        AttemptView {
            number: a.number,
            state: a.phase().name(),
            worker: if a.worker.is_empty() { format!("w{}", a.worker_id) } else { a.worker },
            usage: a.reason.as_ref().and_then(|r| r.usage).map(Into::into),
            results: a.reason.as_ref().and_then(|r| r.results.as_deref()).map(Into::into),
            reason: a.reason.map(Into::into),
            assigned_at: rfc3339(a.assigned_ms),
            started_at: rfc3339(a.started_ms),
            ended_at: rfc3339(a.ended_ms),
            wall_seconds: (a.started_ms > 0 && a.ended_ms > 0)
                .then(|| seconds(a.ended_ms.saturating_sub(a.started_ms))),
            ran_ms: (a.started_ms, a.ended_ms),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskView {
    /// `JOB/INDEX`
    pub id: String,
    pub index: u32,
    pub state: &'static str,
    pub attempts: Vec<AttemptView>,
    /// A retry waits for this time.
    pub not_before: Option<String>,
    /// What its live or next attempt asks for, where that is more than the spec says; null: what the spec says.
    pub memory_bytes: Option<u64>,
    pub ended_at: Option<String>,
    /// Why it ended without any attempt; null otherwise: the last attempt's says it.
    pub reason: Option<ReasonView>,
}

impl From<TaskInfo> for TaskView {
    fn from(t: TaskInfo) -> Self {
        TaskView {
            id: t.id().to_string(),
            index: t.index,
            state: t.state().name(),
            not_before: rfc3339(t.not_before_ms),
            memory_bytes: (t.memory_bytes > 0).then_some(t.memory_bytes),
            ended_at: rfc3339(t.ended_ms),
            reason: t.reason.map(Into::into),
            attempts: t.attempts.into_iter().map(Into::into).collect(),
        }
    }
}

/// One row per task, with its last attempt.
pub fn rows(tasks: &[TaskView], out: &mut dyn Write, now: u64) -> io::Result<()> {
    let mut columns = Columns::new(&["TASK", "STATE", "ATTEMPT", "WORKER", "PHASE", "REASON", "RAN"]);
    for t in tasks {
        let mut row = vec![t.id.clone(), t.state.to_owned()];
        match t.attempts.last() {
            None => {
                let reason = t.reason.as_ref().map_or("-".to_owned(), ReasonView::text);
                row.extend(["-".to_owned(), "-".to_owned(), "-".to_owned(), reason, "-".to_owned()]);
            }
            Some(a) => row.extend([
                a.number.to_string(),
                a.worker.clone(),
                a.state.to_owned(),
                a.reason.as_ref().map_or("-".to_owned(), ReasonView::text),
                span(a.ran_ms.0, a.ran_ms.1, now),
            ]),
        }
        columns.row(row);
    }
    columns.write(out)
}

/// `task list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TaskList(pub Vec<TaskView>);

impl View for TaskList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        rows(&self.0, out, now_ms())
    }
}

/// `task show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskDetail {
    #[serde(flatten)]
    pub task: TaskView,
    /// Null for a job of none.
    pub workflow: Option<String>,
    pub node: Option<String>,
    /// Of its job; null for one of none.
    pub trace_id: Option<String>,
    /// Where people look at it; null where nobody has said where that is.
    pub trace_link: Option<String>,
    /// Whom its job waits for in its workflow, met or not.
    pub waits_for: Vec<WaitsForView>,
}

impl From<GetTaskReply> for TaskDetail {
    fn from(reply: GetTaskReply) -> Self {
        let job = reply.job.unwrap_or_default();
        TaskDetail {
            task: reply.task.unwrap_or_default().into(),
            workflow: (job.workflow_id > 0).then(|| WorkflowId(job.workflow_id).to_string()),
            node: (!job.node.is_empty()).then_some(job.node),
            trace_id: (!reply.trace_id.is_empty()).then_some(reply.trace_id),
            trace_link: (!reply.trace_link.is_empty()).then_some(reply.trace_link),
            waits_for: reply.waits_for.into_iter().map(WaitsForView::from).collect(),
        }
    }
}

impl View for TaskDetail {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let of = of_workflow(self.workflow.as_ref(), self.node.as_ref());
        let trace = trace_text(self.trace_id.as_ref(), self.trace_link.as_ref());
        let more = [("workflow", of), ("waits for", waits_for_text(&self.waits_for)), ("trace", trace)];
        self.task.table_with(&more, out)
    }
}

impl View for TaskView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_with(&[], out)
    }
}

impl TaskView {
    /// With what is known of its job.
    fn table_with(&self, more: &[(&str, String)], out: &mut dyn Write) -> io::Result<()> {
        let memory = |bytes| format!("{}, raised after one ran out of it", Bytes(bytes));
        let own = [
            ("task", self.id.clone()),
            ("state", self.state.to_owned()),
            ("next try", self.not_before.clone().unwrap_or_default()),
            ("memory", self.memory_bytes.map_or(String::new(), memory)),
            ("ended", self.ended_at.clone().unwrap_or_default()),
            ("reason", self.reason.as_ref().map_or(String::new(), ReasonView::text)),
        ];
        facts(out, &[&own, more].concat())?;
        if self.attempts.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        attempts(&self.attempts, out, now_ms())
    }
}

/// One row per attempt.
pub fn attempts(attempts: &[AttemptView], out: &mut dyn Write, now: u64) -> io::Result<()> {
    let mut columns = Columns::new(&[
        "ATTEMPT",
        "WORKER",
        "PHASE",
        "REASON",
        "STARTED",
        "RAN",
        "CPU",
        "PEAK MEMORY",
        "READ",
        "WRITTEN",
    ]);
    for a in attempts {
        let mut row = vec![
            a.number.to_string(),
            a.worker.clone(),
            a.state.to_owned(),
            a.reason.as_ref().map_or("-".to_owned(), ReasonView::text),
            a.started_at.clone().unwrap_or("-".to_owned()),
            span(a.ran_ms.0, a.ran_ms.1, now),
        ];
        row.extend(UsageView::cells(a.usage.as_ref()));
        columns.row(row);
    }
    columns.write(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample;

    #[test]
    fn a_task_shows_all_its_attempts() {
        let mut out = vec![];
        TaskView::from(sample::failed_task()).table(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1        w1      Lost    worker_lost: no heartbeat  -"), "{text}");
        assert!(
            text.contains(
                "2        w2      Exited  exit_code 3                2026-09-21T14:13:27Z  3.0s  1.5s  48.0 MiB     0 B   -"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_task_shows_its_trace_and_where_to_look_at_it() {
        let shown = |trace_link: &str| {
            let (task, trace_id) = (Some(sample::failed_task()), "0af7651916cd43dd8448eb211c80319c".to_owned());
            let reply = GetTaskReply { task, trace_id, trace_link: trace_link.to_owned(), ..GetTaskReply::default() };
            let mut out = vec![];
            TaskDetail::from(reply).table(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let line = |text: String| text.lines().find(|l| l.starts_with("trace")).map(str::to_owned).expect("a line");
        assert!(line(shown("")).ends_with(" 0af7651916cd43dd8448eb211c80319c"));
        assert!(line(shown("http://g/0af7")).ends_with("0af7651916cd43dd8448eb211c80319c  http://g/0af7"));
    }

    #[test]
    fn a_task_that_ended_without_an_attempt_says_why() {
        let reason = EndReason::new(cloudai_types::ReasonKind::Timeout, "waited 2 s in the queue");
        let expired = TaskInfo { job_id: 5, index: 9, state: 4, reason: Some(reason), ..Default::default() };
        let (mut list, mut one) = (vec![], vec![]);
        rows(&[expired.clone().into()], &mut list, 0).unwrap();
        TaskView::from(expired).table(&mut one).unwrap();
        for text in [list, one].map(|out| String::from_utf8(out).unwrap()) {
            assert!(text.contains("timeout: waited 2 s in the queue"), "{text}");
        }
    }

    #[test]
    fn a_task_that_waits_has_a_row_too() {
        let waiting = TaskInfo { job_id: 5, index: 9, state: 1, ..Default::default() };
        let mut out = vec![];
        rows(&[waiting.into()], &mut out, 0).unwrap();
        assert!(String::from_utf8(out).unwrap().lines().nth(1).unwrap().contains("Queued  -"), "row");
    }
}
