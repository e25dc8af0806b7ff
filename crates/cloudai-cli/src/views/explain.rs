//! Why a task waits: the answer first, then the counts, then the smallest change.

use std::io::{self, Write};

use cloudai_proto::v1::{Explanation, ReasonCount, TaskState};
use cloudai_types::{JobId, TaskId};
use serde::Serialize;

use crate::output::{Columns, View, count, facts};
use crate::times::{duration, rfc3339, seconds};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReasonCountView {
    /// `not_ready`, `draining`, `label`, `busy`, `too_small`, `avoided`, `full`.
    pub kind: &'static str,
    pub message: String,
    pub workers: u32,
    /// One of those workers.
    pub example: String,
}

impl From<&ReasonCount> for ReasonCountView {
    fn from(r: &ReasonCount) -> Self {
        ReasonCountView {
            kind: r.kind().name(),
            message: r.message.clone(),
            workers: r.workers,
            example: r.example.clone(),
        }
    }
}

/// Every reason with how many workers it keeps away.
pub fn reasons_table(reasons: &[ReasonCountView], out: &mut dyn Write) -> io::Result<()> {
    if reasons.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut columns = Columns::new(&["WORKERS", "REASON", "MESSAGE", "FOR EXAMPLE"]);
    for r in reasons {
        columns.row([r.workers.to_string(), r.kind.to_owned(), r.message.clone(), r.example.clone()]);
    }
    columns.write(out)
}

/// Whose turn it is; empty: nobody is before it.
pub fn turn(before: u32, waiting: u32) -> String {
    match before {
        0 => String::new(),
        before => format!("{before} of {waiting} namespaces have a smaller share, and come first"),
    }
}

/// `task explain`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainView {
    pub task: String,
    pub state: &'static str,
    pub summary: String,
    pub since: Option<String>,
    /// Seconds in this state.
    pub waiting: f64,
    /// Tasks before it in the queue.
    pub ahead: u64,
    pub not_before: Option<String>,
    /// The quota of its namespace that keeps it from starting; null: none does.
    pub quota: Option<String>,
    /// When it starts, about, and what that is reckoned from; null: at once, or not without a change.
    pub start: Option<String>,
    /// The cap on each user of its namespace that keeps it from starting; null: it does not.
    pub user_quota: Option<String>,
    /// Its siblings, which start together with it, for which there is no room; null: there is, or it starts by itself.
    pub gang: Option<String>,
    /// Namespaces that wait, where there are several, and those of them whose turn comes first.
    pub namespaces_waiting: u32,
    pub namespaces_before: u32,
    pub workers: u32,
    pub workers_fitting: u32,
    pub reasons: Vec<ReasonCountView>,
    /// Null: none is needed, or none is known.
    pub smallest_change: Option<String>,
    /// Log index of the state that this was read at, and the master that answered.
    pub at_index: u64,
    pub answered_by: String,
    /// For a worker.
    #[serde(skip)]
    waits: bool,
}

impl From<Explanation> for ExplainView {
    fn from(e: Explanation) -> Self {
        let read = e.read.clone().unwrap_or_default();
        let reasons = e.reasons.iter().map(ReasonCountView::from);
        ExplainView {
            task: TaskId { job: JobId(e.job_id), index: e.index }.to_string(),
            state: e.state().name(),
            waits: e.state() == TaskState::Queued,
            since: rfc3339(e.since_ms),
            waiting: seconds(e.waiting_ms),
            ahead: e.ahead,
            not_before: rfc3339(e.not_before_ms),
            quota: (!e.quota.is_empty()).then(|| e.quota.clone()),
            start: (!e.start.is_empty()).then(|| e.start.clone()),
            user_quota: (!e.user_quota.is_empty()).then(|| e.user_quota.clone()),
            gang: (!e.gang.is_empty()).then(|| e.gang.clone()),
            namespaces_waiting: e.namespaces_waiting,
            namespaces_before: e.namespaces_before,
            workers: e.workers_total,
            workers_fitting: e.workers_fitting,
            reasons: reasons.collect(),
            summary: one_sentence(&e),
            smallest_change: (!e.smallest_change.is_empty()).then_some(e.smallest_change),
            at_index: read.index,
            answered_by: read.master,
        }
    }
}

/// The masters' own sentence; where they gave several lines, which repeat the table, the most frequent reason.
fn one_sentence(e: &Explanation) -> String {
    if !e.summary.trim().contains('\n') {
        return e.summary.trim().to_owned();
    }
    match e.reasons.iter().max_by_key(|r| r.workers) {
        Some(r) if e.workers_fitting == 0 => {
            format!("no worker can take it now; {} of {}: {}", r.workers, e.workers_total, r.message)
        }
        Some(_) => {
            format!("{} of {} workers can take it, and it is not its turn yet", e.workers_fitting, e.workers_total)
        }
        None => e.summary.lines().next().unwrap_or_default().to_owned(),
    }
}

impl View for ExplainView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let waiting = duration((self.waiting * 1000.0) as u64);
        let position = if self.waits { format!("{} before it", count(self.ahead, "task")) } else { String::new() };
        let workers = if self.waits {
            format!("{} of {} could take it now", self.workers_fitting, self.workers)
        } else {
            String::new()
        };
        facts(
            out,
            &[
                ("task", self.task.clone()),
                ("state", format!("{} for {waiting}", self.state)),
                ("because", self.summary.clone()),
                ("queue", position),
                ("start", self.start.clone().unwrap_or_default()),
                ("turn", turn(self.namespaces_before, self.namespaces_waiting)),
                ("quota", self.quota.clone().unwrap_or_default()),
                ("user quota", self.user_quota.clone().unwrap_or_default()),
                ("gang", self.gang.clone().unwrap_or_default()),
                ("next try", self.not_before.clone().unwrap_or_default()),
                ("workers", workers),
            ],
        )?;
        reasons_table(&self.reasons, out)?;
        if let Some(change) = &self.smallest_change {
            writeln!(out, "\nsmallest change: {change}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::{ReadInfo, WaitReason};

    fn sample() -> Explanation {
        Explanation {
            read: Some(ReadInfo { index: 9, master: "m1".into(), ..Default::default() }),
            job_id: 5,
            index: 0,
            state: TaskState::Queued as i32,
            ahead: 12,
            workers_total: 3,
            reasons: vec![
                ReasonCount {
                    kind: WaitReason::TooSmall as i32,
                    message: "memory: asks 64.0 GiB".into(),
                    workers: 2,
                    example: "w1".into(),
                },
                ReasonCount {
                    kind: WaitReason::Label as i32,
                    message: "label zone: asks eu".into(),
                    workers: 1,
                    example: "w3".into(),
                },
            ],
            summary: "no worker is large enough".into(),
            smallest_change: "ask for 2.0 GiB".into(),
            waiting_ms: 1500,
            ..Default::default()
        }
    }

    #[test]
    fn the_answer_comes_first_and_every_reason_is_counted() {
        let view = ExplainView::from(sample());
        let mut out = vec![];
        view.table(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "\
task:     {}/0
state:    Queued for 1.5s
because:  no worker is large enough
queue:    12 tasks before it
workers:  0 of 3 could take it now

WORKERS  REASON     MESSAGE                FOR EXAMPLE
2        too_small  memory: asks 64.0 GiB  w1
1        label      label zone: asks eu    w3

smallest change: ask for 2.0 GiB
",
                JobId(5)
            )
        );
        let told = Explanation {
            start: "in about 12 min: 12 tasks come first, and 1 per minute was started in the last 10 minutes".into(),
            user_quota: "admin/ada runs 2 of 2 tasks in team-a, which is the cap on each user".into(),
            ..sample()
        };
        let mut out = vec![];
        ExplainView::from(told).table(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains(
            "\
queue:       12 tasks before it
start:       in about 12 min: 12 tasks come first, and 1 per minute was started in the last 10 minutes
user quota:  admin/ada runs 2 of 2 tasks in team-a, which is the cap on each user
"
        ));
        let lines = Explanation { summary: "a\nb".into(), ..sample() };
        assert_eq!(ExplainView::from(lines).summary, "no worker can take it now; 2 of 3: memory: asks 64.0 GiB");
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["reasons"][1]["kind"], "label");
        assert_eq!(json["reasons"][0]["workers"], 2);
        assert_eq!(json["smallest_change"], "ask for 2.0 GiB");
    }
}
