//! The dead-letter queue: its tasks, and what was done with them.

use std::io::{self, Write};

use cloudai_proto::v1::{DeadTask, TaskInfo};
use cloudai_types::{JobId, TaskId};
use serde::Serialize;

use crate::output::{Columns, View, count, facts};
use crate::times::{ago, now_ms, rfc3339};
use crate::views::task::{AttemptView, ReasonView, attempts};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadView {
    /// `JOB/INDEX`
    pub id: String,
    pub index: u32,
    pub job: String,
    pub name: String,
    pub namespace: String,
    /// How its last attempt ended; the detail is null, `dead show` has it.
    pub reason: ReasonView,
    /// Attempts that it had in all.
    pub attempts_made: u32,
    pub dead_at: Option<String>,
    #[serde(skip)]
    dead_ms: u64,
}

impl From<DeadTask> for DeadView {
    fn from(t: DeadTask) -> Self {
        let job = JobId(t.job_id);
        DeadView {
            id: TaskId { job, index: t.index }.to_string(),
            index: t.index,
            job: job.to_string(),
            name: t.job_name,
            namespace: t.namespace,
            reason: t.reason.unwrap_or_default().into(),
            attempts_made: t.attempts,
            dead_at: rfc3339(t.dead_ms),
            dead_ms: t.dead_ms,
        }
    }
}

/// `dead list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct DeadList(pub Vec<DeadView>);

impl View for DeadList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl DeadList {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        let namespaces = self.0.iter().any(|t| t.namespace != "default");
        let mut header = vec!["TASK", "NAME", "REASON", "ATTEMPTS", "DEAD"];
        if namespaces {
            header.insert(1, "NAMESPACE");
        }
        let mut columns = Columns::new(&header);
        for t in &self.0 {
            let mut row =
                vec![t.id.clone(), t.name.clone(), t.reason.text(), t.attempts_made.to_string(), ago(t.dead_ms, now)];
            if namespaces {
                row.insert(1, t.namespace.clone());
            }
            columns.row(row);
        }
        columns.write(out)
    }
}

/// `dead show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadDetail {
    #[serde(flatten)]
    pub dead: DeadView,
    pub attempts: Vec<AttemptView>,
}

impl DeadDetail {
    pub fn new(mut dead: DeadTask, task: TaskInfo) -> Self {
        let attempts: Vec<AttemptView> = task.attempts.into_iter().map(Into::into).collect();
        if let Some(reason) = &mut dead.reason
            && let Some(last) = attempts.last().and_then(|a| a.reason.as_ref())
        {
            reason.detail = last.detail.clone().unwrap_or_default();
        }
        DeadDetail { dead: dead.into(), attempts }
    }
}

impl View for DeadDetail {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl DeadDetail {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        let t = &self.dead;
        facts(
            out,
            &[
                ("task", t.id.clone()),
                ("name", t.name.clone()),
                ("namespace", t.namespace.clone()),
                ("reason", t.reason.text()),
                ("dead", format!("{} ({})", t.dead_at.clone().unwrap_or_default(), ago(t.dead_ms, now))),
            ],
        )?;
        if self.attempts.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        attempts(&self.attempts, out, now)
    }
}

/// `dead replay`, as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ReplayedView {
    pub replayed: u32,
    /// Still dead: their job was cancelled, or they had too many attempts.
    pub refused: u32,
}

impl View for ReplayedView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} replayed", count(self.replayed, "task"))?;
        if self.refused > 0 {
            writeln!(
                out,
                "{} refused: the job was cancelled or leaves now, or the task had too many attempts; --set or -f makes a new job of it",
                count(self.refused, "task")
            )?;
        }
        Ok(())
    }
}

/// `dead replay` with another spec.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewJobView {
    pub id: String,
    pub replay_of: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct NewJobs(pub Vec<NewJobView>);

impl View for NewJobs {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["JOB", "REPLAY OF"]);
        for job in &self.0 {
            columns.row([job.id.clone(), job.replay_of.clone()]);
        }
        columns.write(out)
    }
}

/// `dead drop`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DroppedView {
    pub dropped: u32,
}

impl View for DroppedView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} dropped", count(self.dropped, "task"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample;
    use cloudai_types::EndReason;

    fn task() -> DeadTask {
        DeadTask {
            job_id: 5,
            index: 3,
            namespace: "default".into(),
            job_name: "sweep".into(),
            reason: Some(EndReason::exit(3)),
            attempts: 2,
            dead_ms: sample::T0 + 10_000,
        }
    }

    fn shown(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = vec![];
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap().replace(&JobId(5).to_string(), "IDIDIDI5")
    }

    #[test]
    fn the_list_as_a_table_and_in_json() {
        let list = DeadList(vec![task().into()]);
        assert_eq!(
            shown(|out| list.table_at(out, sample::T0 + 70_000)),
            "TASK        NAME   REASON       ATTEMPTS  DEAD\n\
             IDIDIDI5/3  sweep  exit_code 3  2         1m0s ago\n"
        );
        assert_eq!(
            serde_json::to_value(&list).unwrap(),
            serde_json::json!([{
                "id": format!("{}/3", JobId(5)), "index": 3, "job": JobId(5).to_string(), "name": "sweep",
                "namespace": "default", "reason": {"kind": "exit_code", "exit_code": 3, "detail": null},
                "attempts_made": 2, "dead_at": "2026-09-21T14:13:30Z",
            }])
        );
        let other = DeadList(vec![DeadTask { namespace: "lab".into(), ..task() }.into()]);
        assert!(shown(|out| other.table_at(out, 0)).starts_with("TASK        NAMESPACE  NAME"));
    }

    #[test]
    fn one_of_them_with_its_attempts() {
        let detail = DeadDetail::new(task(), sample::failed_task());
        let text = shown(|out| detail.table_at(out, sample::T0 + 70_000));
        assert!(
            text.starts_with(
                "task:       IDIDIDI5/3\nname:       sweep\nnamespace:  default\nreason:     exit_code 3\n\
                 dead:       2026-09-21T14:13:30Z (1m0s ago)\n\nATTEMPT"
            ),
            "{text}"
        );
        assert_eq!(text.lines().count(), 9, "{text}");
        let json = serde_json::to_value(&detail).unwrap();
        assert_eq!((&json["index"], json["attempts"].as_array().unwrap().len()), (&3.into(), 2));
    }

    #[test]
    fn what_was_done_is_counted() {
        assert_eq!(shown(|out| ReplayedView { replayed: 1, refused: 0 }.table(out)), "1 task replayed\n");
        let some = shown(|out| ReplayedView { replayed: 2, refused: 3 }.table(out));
        assert!(some.starts_with("2 tasks replayed\n3 tasks refused: the job was cancelled"), "{some}");
        assert_eq!(shown(|out| DroppedView { dropped: 2 }.table(out)), "2 tasks dropped\n");
        let made = NewJobs(vec![NewJobView { id: "abc".into(), replay_of: "def/7".into() }]);
        assert_eq!(shown(|out| made.table(out)), "JOB  REPLAY OF\nabc  def/7\n");
        assert_eq!(serde_json::to_value(&made).unwrap(), serde_json::json!([{"id": "abc", "replay_of": "def/7"}]));
    }
}
