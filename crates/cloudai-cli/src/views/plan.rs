//! What a job would meet: the answer first, then the counts, then the smallest change.

use std::io::{self, Write};

use cloudai_proto::v1::JobPlan;
use serde::Serialize;

use super::explain::{ReasonCountView, reasons_table, turn};
use crate::output::{View, count, facts};

/// `job plan`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanView {
    pub summary: String,
    pub tasks: u32,
    /// For so many of them there is room now.
    pub room_now: u32,
    /// Of its own namespace.
    pub jobs_ahead: u64,
    pub tasks_ahead: u64,
    /// There are more than were counted.
    pub ahead_at_least: bool,
    /// The quota of its namespace that would keep it from starting; null: none.
    pub quota: Option<String>,
    /// When it starts, about, and what that is reckoned from; null: at once, or not without a change.
    pub start: Option<String>,
    /// The cap on each user of its namespace that keeps it from starting; null: it does not.
    pub user_quota: Option<String>,
    /// A submit would be refused now: more tasks would wait than may; null: it would not.
    pub queue_full: Option<String>,
    /// Its siblings, which start together with it, for which there is no room; null: there is, or it starts by itself.
    pub gang: Option<String>,
    pub namespaces_waiting: u32,
    pub namespaces_before: u32,
    pub workers: u32,
    pub workers_fitting: u32,
    pub reasons: Vec<ReasonCountView>,
    pub smallest_change: Option<String>,
    /// Log index of the state that this was read at, and the master that answered.
    pub at_index: u64,
    pub answered_by: String,
}

impl From<JobPlan> for PlanView {
    fn from(p: JobPlan) -> Self {
        let read = p.read.unwrap_or_default();
        PlanView {
            summary: p.summary,
            tasks: p.tasks,
            room_now: p.room_now,
            jobs_ahead: p.jobs_ahead,
            tasks_ahead: p.tasks_ahead,
            ahead_at_least: p.ahead_at_least,
            quota: (!p.quota.is_empty()).then_some(p.quota),
            start: (!p.start.is_empty()).then(|| p.start.clone()),
            user_quota: (!p.user_quota.is_empty()).then(|| p.user_quota.clone()),
            queue_full: (!p.queue_full.is_empty()).then(|| p.queue_full.clone()),
            gang: (!p.gang.is_empty()).then(|| p.gang.clone()),
            namespaces_waiting: p.namespaces_waiting,
            namespaces_before: p.namespaces_before,
            workers: p.workers_total,
            workers_fitting: p.workers_fitting,
            reasons: p.reasons.iter().map(ReasonCountView::from).collect(),
            smallest_change: (!p.smallest_change.is_empty()).then_some(p.smallest_change),
            at_index: read.index,
            answered_by: read.master,
        }
    }
}

impl View for PlanView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let at_least = if self.ahead_at_least { "at least " } else { "" };
        facts(
            out,
            &[
                ("plan", self.summary.clone()),
                ("room now", format!("for {} of {}", self.room_now, count(self.tasks, "task"))),
                ("queue", format!("{at_least}{} before it", count(self.tasks_ahead, "task"))),
                ("start", self.start.clone().unwrap_or_default()),
                ("turn", turn(self.namespaces_before, self.namespaces_waiting)),
                ("quota", self.quota.clone().unwrap_or_default()),
                ("user quota", self.user_quota.clone().unwrap_or_default()),
                ("queue full", self.queue_full.clone().unwrap_or_default()),
                ("gang", self.gang.clone().unwrap_or_default()),
                ("workers", format!("{} of {} could take one now", self.workers_fitting, self.workers)),
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
    use cloudai_proto::v1::{ReadInfo, ReasonCount, WaitReason};

    #[test]
    fn the_answer_comes_first() {
        let plan = JobPlan {
            read: Some(ReadInfo { index: 9, master: "m1".into(), ..Default::default() }),
            summary: "there is room for 4 of 100 tasks now".into(),
            tasks: 100,
            room_now: 4,
            tasks_ahead: 12,
            jobs_ahead: 1,
            workers_total: 3,
            workers_fitting: 2,
            namespaces_waiting: 3,
            namespaces_before: 1,
            reasons: vec![ReasonCount {
                kind: WaitReason::Reserved as i32,
                message: "kept for a task that came first".into(),
                workers: 1,
                example: "w3 is one of them".into(),
            }],
            smallest_change: "nothing to change".into(),
            ..Default::default()
        };
        let view = PlanView::from(plan);
        let mut out = vec![];
        view.table(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
plan:      there is room for 4 of 100 tasks now
room now:  for 4 of 100 tasks
queue:     12 tasks before it
turn:      1 of 3 namespaces have a smaller share, and come first
workers:   2 of 3 could take one now

WORKERS  REASON    MESSAGE                          FOR EXAMPLE
1        reserved  kept for a task that came first  w3 is one of them

smallest change: nothing to change
"
        );
        let full = JobPlan { queue_full: "93 of at most 100 tasks of team-a wait".into(), ..JobPlan::default() };
        let full = PlanView::from(full);
        let mut out = vec![];
        full.table(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("queue full:  93 of at most 100 tasks of team-a wait\n"), "{text}");
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!((json["start"].is_null(), json["user_quota"].is_null()), (true, true));
        assert_eq!((json["room_now"].as_u64(), json["quota"].is_null()), (Some(4), true));
    }
}
