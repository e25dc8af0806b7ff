//! Workflows: one in a list, one with all of its jobs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use cloudai_proto::v1::{GetWorkflowReply, WaitsFor, WorkflowJob, WorkflowSummary};
use cloudai_types::{JobId, WorkflowId};
use serde::Serialize;

use crate::output::{Columns, View, facts};
use crate::times::{ago, now_ms, rfc3339, span};
use crate::views::job::CountsView;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowView {
    pub id: String,
    pub name: String,
    pub namespace: String,
    pub state: &'static str,
    /// Number of jobs.
    pub jobs: u32,
    /// Of those that have ended.
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
    /// They never had to run.
    pub skipped: u32,
    pub submitted_at: Option<String>,
    pub ended_at: Option<String>,
    /// `role/name` of who submitted it.
    pub submitted_by: String,
    pub idempotency_key: Option<String>,
    #[serde(skip)]
    times_ms: (u64, u64),
}

impl From<WorkflowSummary> for WorkflowView {
    fn from(w: WorkflowSummary) -> Self {
        WorkflowView {
            id: WorkflowId(w.id).to_string(),
            state: w.state().name(),
            name: w.name,
            namespace: w.namespace,
            jobs: w.jobs,
            succeeded: w.succeeded,
            failed: w.failed,
            cancelled: w.cancelled,
            skipped: w.skipped,
            submitted_at: rfc3339(w.submitted_ms),
            ended_at: rfc3339(w.ended_ms),
            submitted_by: w.actor,
            idempotency_key: (!w.request_id.is_empty()).then_some(w.request_id),
            times_ms: (w.submitted_ms, w.ended_ms),
        }
    }
}

impl WorkflowView {
    fn ended(&self) -> u32 {
        self.succeeded + self.failed + self.cancelled + self.skipped
    }

    /// `3 succeeded, 1 failed`: only what there is.
    pub fn text(&self) -> String {
        let parts = [
            (self.jobs.saturating_sub(self.ended()), "to come or under way"),
            (self.succeeded, "succeeded"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.skipped, "skipped"),
        ];
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    }

    fn facts(&self, now: u64) -> Vec<(&'static str, String)> {
        let (submitted, ended) = self.times_ms;
        vec![
            ("workflow", self.id.clone()),
            ("name", self.name.clone()),
            ("namespace", self.namespace.clone()),
            ("state", self.state.to_owned()),
            ("jobs", format!("{} ({})", self.jobs, self.text())),
            ("submitted", format!("{} ({})", self.submitted_at.clone().unwrap_or_default(), ago(submitted, now))),
            ("took", span(submitted, ended, now)),
            ("submitted by", self.submitted_by.clone()),
            ("key", self.idempotency_key.clone().unwrap_or_default()),
        ]
    }
}

impl View for WorkflowView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        facts(out, &self.facts(now_ms()))
    }
}

/// `workflow list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct WorkflowList(pub Vec<WorkflowView>);

impl View for WorkflowList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl WorkflowList {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        let mut columns = Columns::new(&["ID", "NAME", "STATE", "JOBS", "SUBMITTED", "TOOK"]);
        for w in &self.0 {
            let (submitted, ended) = w.times_ms;
            let failed = if w.failed > 0 { format!(" ({} failed)", w.failed) } else { String::new() };
            columns.row([
                w.id.clone(),
                w.name.clone(),
                w.state.to_owned(),
                format!("{}/{}{failed}", w.ended(), w.jobs),
                ago(submitted, now),
                span(submitted, ended, now),
            ]);
        }
        columns.write(out)
    }
}

/// A dependency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WaitsForView {
    /// Its name in the workflow.
    pub node: String,
    pub job: String,
    /// `success`, `completion` or `failure`.
    pub on: &'static str,
    /// Index by index.
    pub each: bool,
    /// How that one stands.
    pub state: &'static str,
}

impl From<WaitsFor> for WaitsForView {
    fn from(w: WaitsFor) -> Self {
        WaitsForView {
            on: w.on().name(),
            state: w.state().name(),
            node: w.node,
            job: JobId(w.job_id).to_string(),
            each: w.each,
        }
    }
}

/// `load (each), train (failure)`: success is what is usual.
pub fn waits_for_text(waits_for: &[WaitsForView]) -> String {
    let text = |w: &WaitsForView| {
        let on = (w.on != "success").then_some(w.on);
        let words: Vec<&str> = on.into_iter().chain(w.each.then_some("each")).collect();
        if words.is_empty() { w.node.clone() } else { format!("{} ({})", w.node, words.join(", ")) }
    };
    let (shown, most) = (waits_for.iter().map(text).take(8).collect::<Vec<_>>().join(", "), 8);
    if waits_for.len() > most { format!("{shown} and {} more", waits_for.len() - most) } else { shown }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowJobView {
    pub node: String,
    pub id: String,
    pub state: &'static str,
    /// It never had to run.
    pub skipped: bool,
    pub counts: CountsView,
    pub cancel_requested: bool,
    /// Why tasks of it were cancelled by nobody.
    pub why: Option<String>,
    pub waits_for: Vec<WaitsForView>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    #[serde(skip)]
    times_ms: (u64, u64),
}

impl From<WorkflowJob> for WorkflowJobView {
    fn from(j: WorkflowJob) -> Self {
        WorkflowJobView {
            state: j.state().name(),
            node: j.node,
            id: JobId(j.job_id).to_string(),
            skipped: j.skipped,
            counts: j.counts.unwrap_or_default().into(),
            cancel_requested: j.cancel_requested,
            why: (!j.why.is_empty()).then_some(j.why),
            waits_for: j.waits_for.into_iter().map(Into::into).collect(),
            started_at: rfc3339(j.started_ms),
            ended_at: rfc3339(j.ended_ms),
            times_ms: (j.started_ms, j.ended_ms),
        }
    }
}

/// `workflow show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowDetail {
    #[serde(flatten)]
    pub workflow: WorkflowView,
    /// Each after those that it waits for.
    pub nodes: Vec<WorkflowJobView>,
}

impl From<GetWorkflowReply> for WorkflowDetail {
    fn from(reply: GetWorkflowReply) -> Self {
        WorkflowDetail {
            workflow: reply.workflow.unwrap_or_default().into(),
            nodes: reply.jobs.into_iter().map(Into::into).collect(),
        }
    }
}

impl View for WorkflowDetail {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl WorkflowDetail {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        facts(out, &self.workflow.facts(now))?;
        if self.nodes.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut columns = Columns::new(&["JOB", "ID", "STATE", "TASKS", "WAITS FOR", "RAN"]);
        for (j, depth) in self.nodes.iter().zip(self.depths()) {
            let state = if j.skipped { "Skipped" } else { j.state };
            columns.row([
                format!("{}{}", "  ".repeat(depth), j.node),
                j.id.clone(),
                state.to_owned(),
                j.counts.text(),
                waits_for_text(&j.waits_for),
                span(j.times_ms.0, j.times_ms.1, now),
            ]);
        }
        columns.write(out)
    }

    /// How many jobs stand before each on its longest way; no deeper than a terminal is wide.
    fn depths(&self) -> Vec<usize> {
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        let depth = |j: &WorkflowJobView, known: &BTreeMap<&str, usize>| {
            j.waits_for.iter().filter_map(|w| known.get(w.node.as_str())).max().map_or(0, |deepest| deepest + 1)
        };
        let mut depths = vec![];
        for j in &self.nodes {
            let own = depth(j, &by_name);
            by_name.insert(&j.node, own);
            depths.push(own.min(20));
        }
        depths
    }
}

/// `workflow submit`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmittedWorkflowView {
    pub id: String,
    /// Number of jobs.
    pub jobs: u32,
    /// The key was known: this is the workflow of the first time.
    pub duplicate: bool,
    pub idempotency_key: String,
}

impl View for SubmittedWorkflowView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, write_view};
    use crate::views::sample::T0;
    use cloudai_proto::v1::{JobState, TaskCounts};
    use cloudai_types::Condition;

    fn summary() -> WorkflowSummary {
        WorkflowSummary {
            id: 5,
            name: "nightly".into(),
            namespace: "default".into(),
            state: JobState::Running as i32,
            jobs: 4,
            succeeded: 1,
            skipped: 1,
            submitted_ms: T0,
            actor: "admin/ann".into(),
            ..WorkflowSummary::default()
        }
    }

    fn job(n: u64, node: &str, state: JobState, counts: TaskCounts, waits_for: Vec<WaitsFor>) -> WorkflowJob {
        let (state, counts) = (state as i32, Some(counts));
        WorkflowJob { node: node.into(), job_id: n, state, counts, waits_for, ..WorkflowJob::default() }
    }

    fn edge(n: u64, node: &str, on: Condition, each: bool, state: JobState) -> WaitsFor {
        WaitsFor { node: node.into(), job_id: n, on: on as i32, each, state: state as i32 }
    }

    fn detail() -> WorkflowDetail {
        use Condition::{Failure, Success};
        let counts = |succeeded, active, blocked| TaskCounts { succeeded, active, blocked, ..TaskCounts::default() };
        let load = job(5, "load", JobState::Succeeded, counts(2, 0, 0), vec![]);
        let of_load = edge(5, "load", Success, true, JobState::Succeeded);
        let train = job(6, "train", JobState::Running, counts(0, 2, 0), vec![of_load]);
        let clean = WorkflowJob {
            skipped: true,
            why: "skipped: job x did not fail".into(),
            ended_ms: T0 + 1_000,
            ..job(
                7,
                "clean",
                JobState::Cancelled,
                TaskCounts { cancelled: 1, ..TaskCounts::default() },
                vec![edge(5, "load", Failure, false, JobState::Succeeded)],
            )
        };
        let of_both = vec![
            edge(5, "load", Success, false, JobState::Succeeded),
            edge(6, "train", Success, false, JobState::Running),
        ];
        let report = job(8, "report", JobState::Blocked, counts(0, 0, 1), of_both);
        let load = WorkflowJob { started_ms: T0 + 500, ended_ms: T0 + 1_000, ..load };
        let jobs = vec![load, train, clean, report];
        GetWorkflowReply { read: None, workflow: Some(summary()), jobs }.into()
    }

    #[test]
    fn one_workflow_is_shown_with_each_job_below_those_that_it_waits_for() {
        let mut out = vec![];
        detail().table_at(&mut out, T0 + 60_000).unwrap();
        let mut expected = "\
workflow:      wf-IDIDIDI5
name:          nightly
namespace:     default
state:         Running
jobs:          4 (2 to come or under way, 1 succeeded, 1 skipped)
submitted:     2026-09-21T14:13:20Z (1m0s ago)
took:          1m0s
submitted by:  admin/ann

JOB         ID        STATE      TASKS        WAITS FOR       RAN
load        IDIDIDI5  Succeeded  2 succeeded                  500ms
  train     IDIDIDI6  Running    2 active     load (each)     -
  clean     IDIDIDI7  Skipped    1 cancelled  load (failure)  -
    report  IDIDIDI8  Blocked    1 blocked    load, train     -
"
        .to_owned();
        for n in 5..9 {
            expected = expected.replace(&format!("IDIDIDI{n}"), &JobId(n).to_string());
        }
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_list_has_one_row_each_and_json_has_all() {
        let mut out = vec![];
        WorkflowList(vec![summary().into()]).table_at(&mut out, T0 + 60_000).unwrap();
        let expected = "ID           NAME     STATE    JOBS  SUBMITTED  TOOK\nIDIDIDIDIDI  nightly  Running  2/4   1m0s ago   1m0s\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected.replace("IDIDIDIDIDI", &WorkflowId(5).to_string()));
        let mut json = vec![];
        write_view(Format::Json, &detail(), &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["id"], WorkflowId(5).to_string());
        assert_eq!(json["nodes"][1]["waits_for"][0]["each"], true);
        assert_eq!((&json["nodes"][2]["skipped"], &json["nodes"][3]["state"]), (&true.into(), &"Blocked".into()));
    }
}
