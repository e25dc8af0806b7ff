//! Jobs: one in a list, one with everything.

use std::collections::BTreeMap;
use std::io::{self, Write};

use cloudai_proto::v1::{GetJobReply, JobSummary, TaskCounts, TaskInfo};
use cloudai_types::{JobId, TaskId, WorkflowId};
use serde::Serialize;

use crate::output::{Columns, View, facts};
use crate::times::{ago, now_ms, rfc3339, span};
use crate::views::spec::SpecView;
use crate::views::task::TaskView;
use crate::views::workflow::WaitsForView;

/// Rows of tasks that a table of one job shows.
const TASK_ROWS: usize = 20;

/// Tasks by state; they sum up to the job's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CountsView {
    pub queued: u32,
    pub active: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub dead: u32,
    /// They wait for other jobs of their workflow.
    pub blocked: u32,
}

impl From<TaskCounts> for CountsView {
    fn from(c: TaskCounts) -> Self {
        let TaskCounts { queued, active, succeeded, failed, cancelled, dead, blocked } = c;
        CountsView { queued, active, succeeded, failed, cancelled, dead, blocked }
    }
}

impl CountsView {
    pub fn ended(&self) -> u32 {
        self.succeeded + self.failed + self.cancelled + self.dead
    }

    /// `3 succeeded, 1 failed`: only what there is.
    pub fn text(&self) -> String {
        let parts = [
            (self.blocked, "blocked"),
            (self.queued, "queued"),
            (self.active, "active"),
            (self.succeeded, "succeeded"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.dead, "dead"),
        ];
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobView {
    pub id: String,
    pub name: String,
    pub namespace: String,
    pub state: &'static str,
    pub image: String,
    pub priority: i32,
    /// Number of tasks.
    pub count: u32,
    pub counts: CountsView,
    pub cancel_requested: bool,
    pub submitted_at: Option<String>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// Null for a job of none.
    pub workflow: Option<String>,
    /// What the workflow's other jobs call it.
    pub node: Option<String>,
    /// Why tasks of it were cancelled by nobody.
    pub why: Option<String>,
    /// What rules of other jobs know it by.
    pub labels: BTreeMap<String, String>,
    #[serde(skip)]
    times_ms: (u64, u64, u64),
    /// Since when its tasks are in the queue.
    #[serde(skip)]
    queued_ms: u64,
}

impl From<JobSummary> for JobView {
    fn from(j: JobSummary) -> Self {
        JobView {
            id: JobId(j.id).to_string(),
            state: j.state().name(),
            counts: j.counts.unwrap_or_default().into(),
            name: j.name,
            namespace: j.namespace,
            image: j.image,
            priority: j.priority,
            count: j.count,
            cancel_requested: j.cancel_requested,
            submitted_at: rfc3339(j.submitted_ms),
            started_at: rfc3339(j.started_ms),
            ended_at: rfc3339(j.ended_ms),
            workflow: (j.workflow_id > 0).then(|| WorkflowId(j.workflow_id).to_string()),
            node: (!j.node.is_empty()).then_some(j.node),
            why: (!j.why.is_empty()).then_some(j.why),
            labels: j.labels,
            times_ms: (j.submitted_ms, j.started_ms, j.ended_ms),
            queued_ms: j.submitted_ms.max(j.released_ms),
        }
    }
}

impl View for JobView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        facts(out, &self.facts(now_ms()))
    }
}

impl JobView {
    fn facts(&self, now: u64) -> Vec<(&'static str, String)> {
        let (submitted, started, ended) = self.times_ms;
        vec![
            ("job", self.id.clone()),
            ("name", self.name.clone()),
            ("namespace", self.namespace.clone()),
            (
                "state",
                if self.cancel_requested && ended == 0 {
                    format!("{}, being cancelled", self.state)
                } else {
                    self.state.to_owned()
                },
            ),
            ("tasks", format!("{} ({})", self.count, self.counts.text())),
            ("why", self.why.clone().unwrap_or_default()),
            ("workflow", of_workflow(self.workflow.as_ref(), self.node.as_ref())),
            ("image", self.image.clone()),
            ("priority", if self.priority == 0 { String::new() } else { self.priority.to_string() }),
            ("submitted", format!("{} ({})", self.submitted_at.clone().unwrap_or_default(), ago(submitted, now))),
            ("waited", span(self.queued_ms, started, if ended == 0 { now } else { ended })),
            ("ran", span(started, ended, now)),
        ]
    }
}

/// `wf-3gk7q2zx, as train`
pub fn of_workflow(workflow: Option<&String>, node: Option<&String>) -> String {
    workflow.zip(node).map_or(String::new(), |(workflow, node)| format!("{workflow}, as {node}"))
}

/// `job list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct JobList(pub Vec<JobView>);

impl View for JobList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl JobList {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        let namespaces = self.0.iter().any(|j| j.namespace != "default");
        let mut header = vec!["ID", "NAME", "STATE", "TASKS", "SUBMITTED", "RAN"];
        if namespaces {
            header.insert(1, "NAMESPACE");
        }
        let mut columns = Columns::new(&header);
        for j in &self.0 {
            let (submitted, started, ended) = j.times_ms;
            let tasks = if j.count == 1 && j.counts.ended() == 1 {
                "1".to_owned()
            } else {
                format!("{}/{}", j.counts.ended(), j.count)
            };
            let tasks = if j.counts.failed + j.counts.dead > 0 && j.count > 1 {
                format!("{tasks} ({} failed)", j.counts.failed + j.counts.dead)
            } else {
                tasks
            };
            let mut row = vec![
                j.id.clone(),
                j.name.clone(),
                j.state.to_owned(),
                tasks,
                ago(submitted, now),
                span(started, ended, now),
            ];
            if namespaces {
                row.insert(1, j.namespace.clone());
            }
            columns.row(row);
        }
        columns.write(out)
    }
}

/// The trace's id, and where to look at it; empty without a trace.
pub fn trace_text(id: Option<&String>, link: Option<&String>) -> String {
    match (id, link) {
        (Some(id), Some(link)) => format!("{id}  {link}"),
        (Some(id), None) => id.clone(),
        (None, _) => String::new(),
    }
}

/// `job show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: JobView,
    pub spec: SpecView,
    /// `role/name` of who submitted it.
    pub submitted_by: String,
    pub idempotency_key: Option<String>,
    /// `JOB/INDEX` of the dead task that this job replays with another spec.
    pub replay_of: Option<String>,
    /// Null for a job of none.
    pub trace_id: Option<String>,
    /// Where people look at it; null where nobody has said where that is.
    pub trace_link: Option<String>,
    /// Whom it waits for in its workflow, met or not.
    pub waits_for: Vec<WaitsForView>,
    pub tasks: Vec<TaskView>,
    /// Not null: `tasks` is cut off before this index.
    pub tasks_next_index: Option<u32>,
    #[serde(skip)]
    asks: String,
}

impl JobDetail {
    pub fn new(reply: GetJobReply, tasks: Vec<TaskInfo>, next_index: u32) -> Self {
        let spec = reply.spec.unwrap_or_default();
        JobDetail {
            job: reply.job.unwrap_or_default().into(),
            asks: spec.resources.to_string(),
            spec: spec.into(),
            submitted_by: reply.actor,
            idempotency_key: (!reply.request_id.is_empty()).then_some(reply.request_id),
            replay_of: reply.replay_of.map(|of| TaskId { job: JobId(of.job_id), index: of.index }.to_string()),
            trace_id: (!reply.trace_id.is_empty()).then_some(reply.trace_id),
            trace_link: (!reply.trace_link.is_empty()).then_some(reply.trace_link),
            waits_for: reply.waits_for.into_iter().map(WaitsForView::from).collect(),
            tasks: tasks.into_iter().map(TaskView::from).collect(),
            tasks_next_index: (next_index > 0).then_some(next_index),
        }
    }
}

impl View for JobDetail {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl JobDetail {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        let mut all = self.job.facts(now);
        all.push(("waits for", crate::views::workflow::waits_for_text(&self.waits_for)));
        all.extend(self.spec.facts(&self.asks));
        all.extend([
            ("submitted by", self.submitted_by.clone()),
            ("key", self.idempotency_key.clone().unwrap_or_default()),
            ("replay of", self.replay_of.clone().unwrap_or_default()),
            ("trace", trace_text(self.trace_id.as_ref(), self.trace_link.as_ref())),
        ]);
        facts(out, &all)?;
        if self.tasks.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        crate::views::task::rows(&self.tasks[..self.tasks.len().min(TASK_ROWS)], out, now)?;
        if self.job.count as usize > TASK_ROWS {
            writeln!(out, "… of {} tasks; all of them: cloudai task list {}", self.job.count, self.job.id)?;
        }
        Ok(())
    }
}

/// `job submit`, `job cancel`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmittedView {
    pub id: String,
    /// The key was known: this is the job of the first time.
    pub duplicate: bool,
    pub idempotency_key: String,
}

impl View for SubmittedView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, write_view};
    use crate::views::sample;

    fn shown(format: Format, view: &impl View) -> String {
        let mut out = vec![];
        write_view(format, view, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_list_in_json_is_the_contract() {
        let list = JobList(vec![sample::array_job().into()]);
        assert_eq!(
            shown(Format::Json, &list),
            r#"[
  {
    "id": "ID",
    "name": "sweep",
    "namespace": "default",
    "state": "Running",
    "image": "busybox",
    "priority": 3,
    "count": 10,
    "counts": {
      "queued": 4,
      "active": 2,
      "succeeded": 2,
      "failed": 1,
      "cancelled": 0,
      "dead": 1,
      "blocked": 0
    },
    "cancel_requested": false,
    "submitted_at": "2026-09-21T14:13:20Z",
    "started_at": "2026-09-21T14:13:21.5Z",
    "ended_at": null,
    "workflow": null,
    "node": null,
    "why": null,
    "labels": {
      "app": "web"
    }
  }
]
"#
            .replace("ID", &JobId(5).to_string())
        );
        let lines = shown(Format::Jsonl, &list);
        assert_eq!(lines.lines().count(), 1);
        assert!(lines.starts_with("{\"cancel_requested\"") || lines.starts_with("{\"id\""), "{lines}");
        let yaml = shown(Format::Yaml, &list);
        assert!(yaml.contains("state: Running"), "{yaml}");
    }

    #[test]
    fn the_list_as_a_table() {
        let mut single = sample::array_job();
        (single.id, single.count) = (6, 1);
        single.counts = Some(TaskCounts { succeeded: 1, ..Default::default() });
        (single.state, single.ended_ms) = (2, single.started_ms + 61_000);
        let mut out = vec![];
        let now = sample::T0 + 10_000;
        JobList(vec![single.into(), sample::array_job().into()]).table_at(&mut out, now).unwrap();
        let expected = "\
ID        NAME   STATE      TASKS            SUBMITTED  RAN
IDIDIDI6  sweep  Succeeded  1                10.0s ago  1m1s
IDIDIDI5  sweep  Running    4/10 (2 failed)  10.0s ago  8.5s
"
        .replace("IDIDIDI5", &JobId(5).to_string())
        .replace("IDIDIDI6", &JobId(6).to_string());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn one_job_in_json_is_the_contract() {
        let detail = JobDetail::new(sample::job_reply(), vec![sample::failed_task()], 0);
        let value: serde_json::Value = serde_json::from_str(&shown(Format::Json, &detail)).unwrap();
        assert_eq!(value["id"], JobId(5).to_string());
        assert_eq!(value["counts"]["succeeded"], 2);
        assert_eq!(value["submitted_by"], "admin/ann");
        assert_eq!(value["idempotency_key"], "key-1");
        assert_eq!(value["tasks_next_index"], serde_json::Value::Null);
        let mut spec = serde_json::json!({
            "name": "sweep", "image": "busybox", "image_digest": null, "command": ["sh", "-c", "exit 3"],
            "env": {"A": "1"},
            "resources": {"cpu": 0.5, "memory_bytes": 33554432, "storage_bytes": 0, "gpu": 0},
            "require": {"zone": "eu"}, "priority": 3, "count": 10, "max_attempts": 2, "timeout": 2.0,
            "on_disconnect": "continue", "mounts": [{"source": "/data", "target": "/input", "write": false}],
            "processes_max": 100, "open_files": 1024, "shm_bytes": null, "stop_signal": "SIGINT", "grace": 30.0,
            "user": "1000:1000", "network": "none", "pull": "always", "writable_root": false, "retry": null,
            "results": true, "inputs": {"raw": "3gk7q2zx/0"}, "secrets": ["token=env:TOKEN"],
            "queue_timeout": 600.0,
            "volumes": [{"kind": "named", "target": "/cache", "read_only": true, "name": "cache",
                "size_bytes": null, "share": null, "options": null}],
            "gang": true, "preemptible": false,
        });
        // The macro takes no more fields at once.
        spec["labels"] = serde_json::json!({"app": "web"});
        spec["placement"] = serde_json::json!({
            "require": ["!old"], "prefer": [{"expression": "disk=ssd", "weight": 10}], "tolerate": ["gpu"],
            "apart": "worker", "spread": {"label": "rack", "max_skew": 1},
            "apart_from": [{"jobs": "app=db", "over": "worker"}],
            "together_with": [{"jobs": "app=cache", "over": "rack"}],
        });
        assert_eq!(value["spec"], spec);
        assert_eq!(
            value["tasks"][0],
            serde_json::json!({
                "id": format!("{}/3", JobId(5)), "index": 3, "state": "Failed", "reason": null, "not_before": null, "memory_bytes": null,
                "ended_at": "2026-09-21T14:13:30Z",
                "attempts": [
                    {"number": 1, "worker": "w1", "state": "Lost", "reason": {"kind": "worker_lost", "exit_code": null, "detail": "no heartbeat"},
                     "assigned_at": "2026-09-21T14:13:21Z", "started_at": null, "ended_at": "2026-09-21T14:13:25Z", "wall_seconds": null, "usage": null, "results": null},
                    {"number": 2, "worker": "w2", "state": "Exited", "reason": {"kind": "exit_code", "exit_code": 3, "detail": null},
                     "assigned_at": "2026-09-21T14:13:26Z", "started_at": "2026-09-21T14:13:27Z", "ended_at": "2026-09-21T14:13:30Z",
                     "wall_seconds": 3.0, "usage": {"cpu_seconds": 1.5, "memory_peak_bytes": 50331648, "read_bytes": 0,
                     "written_bytes": null, "processes_max": 3}, "results": null},
                ],
            })
        );
    }

    #[test]
    fn one_job_as_a_table() {
        let mut out = vec![];
        JobDetail::new(sample::job_reply(), vec![sample::failed_task()], 0)
            .table_at(&mut out, sample::T0 + 60_000)
            .unwrap();
        let expected = "\
job:            IDIDIDI5
name:           sweep
namespace:      default
state:          Running
tasks:          10 (4 queued, 2 active, 2 succeeded, 1 failed, 1 dead)
image:          busybox
priority:       3
submitted:      2026-09-21T14:13:20Z (1m0s ago)
waited:         1.5s
ran:            58.5s
command:        sh -c exit 3
each task:      cpu 0.5, memory 32.0 MiB
gang:           all start together
labels:         app=web
requires:       zone=eu,!old
prefers:        disk=ssd (10)
tolerates:      gpu
apart by:       worker
spread over:    rack, at most 1 ahead
apart from:     app=db by worker
together with:  app=cache by rack
env:            A=1
mounts:         /data:/input
volumes:        cache:/cache:ro
inputs:         raw=3gk7q2zx/0
secrets:        token=env:TOKEN
results:        stored
processes:      up to 100
open files:     up to 1024
user:           1000:1000
network:        none
pull:           always
stops with:     SIGINT, SIGKILL after 30.0s
attempts:       up to 2
timeout:        2.0s
queue timeout:  10m0s
submitted by:   admin/ann
key:            key-1

TASK        STATE   ATTEMPT  WORKER  PHASE   REASON       RAN
IDIDIDI5/3  Failed  2        w2      Exited  exit_code 3  3.0s
"
        .replace("IDIDIDI5", &JobId(5).to_string());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_submit_prints_its_id() {
        let v = SubmittedView { id: "abc".into(), duplicate: false, idempotency_key: "k".into() };
        assert_eq!(shown(Format::Table, &v), "abc\n");
        assert_eq!(shown(Format::Jsonl, &v), "{\"duplicate\":false,\"id\":\"abc\",\"idempotency_key\":\"k\"}\n");
    }
}
