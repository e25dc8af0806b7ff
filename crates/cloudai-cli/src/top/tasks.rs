//! Attempts that run, and that ended a moment ago. Comes in: events, and lists of what is active in one job. Goes out: rows, those that run first.
//! Events tell what happens from now on; what was there before is found job by job.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloudai_proto::v1::{AttemptUsage, Event, TaskInfo, TaskState};
use cloudai_types::{AttemptId, EventKind, JobId, limits};

use crate::times::{duration, span};
use crate::top::bars::{bytes, cores};
use crate::top::columns::{Column, Row, Table};
use crate::top::input::JobRef;
use crate::top::model::Model;
use crate::top::theme::Tone;
use crate::views::task::ReasonView;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskRow {
    pub namespace: String,
    pub worker: String,
    /// `Placed`, `Running`, or how it ended.
    pub state: String,
    /// Since when it runs, or is placed; milliseconds since the epoch.
    pub since_ms: u64,
    /// 0: it has not.
    pub ended_ms: u64,
    /// It ended, and not well.
    pub is_bad: bool,
}

/// Which attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    pub job: u64,
    pub index: u32,
    pub number: u32,
}

impl Attempt {
    fn text(self) -> String {
        AttemptId::new(JobId(self.job), self.index, self.number).to_string()
    }
}

/// At most [`limits::TOP_TASKS_MAX`]; those that ended first leave first.
#[derive(Debug, Clone, Default)]
pub struct Tasks(BTreeMap<Attempt, TaskRow>);

impl Tasks {
    pub fn on_event(&mut self, event: &Event) {
        let (Some(first), job) = (event.first_index, event.job_id) else { return };
        let kind = event.kind();
        // Many at once are one event. More than are kept need not be looked at.
        let count = event.tasks.clamp(1, limits::TOP_TASKS_MAX as u32);
        for index in first..first.saturating_add(count) {
            let at = Attempt { job, index, number: event.attempt };
            match kind {
                EventKind::Placed | EventKind::Started => {
                    let row = self.0.entry(at).or_default();
                    row.namespace.clone_from(&event.namespace);
                    row.worker.clone_from(&event.worker);
                    row.since_ms = event.time_ms;
                    row.state = if kind == EventKind::Placed { "Placed" } else { "Running" }.to_owned();
                }
                EventKind::Ended | EventKind::Lost => {
                    let row = self.0.entry(at).or_default();
                    row.namespace.clone_from(&event.namespace);
                    if !event.worker.is_empty() {
                        row.worker.clone_from(&event.worker);
                    }
                    row.ended_ms = event.time_ms;
                    let reason = event.reason.clone().map(|reason| ReasonView::from(reason).text());
                    row.state = reason.unwrap_or(kind.name().to_owned());
                    row.is_bad = event.reason.as_ref().is_none_or(|reason| !reason.is_success());
                }
                _ => return,
            }
        }
        self.trim();
    }

    /// `complete`: what is not in it is not active any more.
    pub fn on_list(&mut self, job: &JobRef, tasks: &[TaskInfo], complete: bool) {
        let active = tasks.iter().filter(|task| task.state() == TaskState::Active);
        let live: BTreeMap<Attempt, TaskRow> = active
            .filter_map(|task| {
                let attempt = task.attempts.last()?;
                let row = TaskRow {
                    namespace: job.namespace.clone(),
                    worker: attempt.worker.clone(),
                    state: attempt.phase().name().to_owned(),
                    since_ms: if attempt.started_ms > 0 { attempt.started_ms } else { attempt.assigned_ms },
                    ..TaskRow::default()
                };
                Some((Attempt { job: job.id, index: task.index, number: attempt.number }, row))
            })
            .collect();
        if complete {
            self.0.retain(|at, row| at.job != job.id || row.ended_ms > 0 || live.contains_key(at));
        }
        for (at, row) in live {
            // An ending that was heard of is newer than the list.
            let known = self.0.entry(at).or_default();
            if known.ended_ms == 0 {
                *known = row;
            }
        }
        self.trim();
    }

    pub fn running(&self) -> usize {
        self.0.values().filter(|row| row.ended_ms == 0).count()
    }

    pub fn named(&self, key: &str) -> Option<(Attempt, &TaskRow)> {
        self.0.iter().find(|(at, _)| at.text() == key).map(|(at, row)| (*at, row))
    }

    /// Those that run first, and of both the newest first.
    fn in_order(&self) -> Vec<(Attempt, &TaskRow)> {
        let mut rows: Vec<_> = self.0.iter().map(|(at, row)| (*at, row)).collect();
        rows.sort_by_key(|(at, row)| (row.ended_ms > 0, Reverse(row.ended_ms), Reverse(row.since_ms), *at));
        rows
    }

    /// A quarter more than is kept may gather: sorting all for each one would be dear.
    fn trim(&mut self) {
        if self.0.len() <= limits::TOP_TASKS_MAX + limits::TOP_TASKS_MAX / 4 {
            return;
        }
        let leave: Vec<Attempt> = self.in_order().into_iter().skip(limits::TOP_TASKS_MAX).map(|(at, _)| at).collect();
        leave.iter().for_each(|at| {
            self.0.remove(at);
        });
    }
}

pub fn table(model: &Model) -> Table {
    let used: BTreeMap<Attempt, &AttemptUsage> = model
        .usage
        .values()
        .flat_map(|sample| &sample.attempts)
        .map(|used| (Attempt { job: used.job, index: used.index, number: used.number }, used))
        .collect();
    let rows = model.tasks.in_order().into_iter().map(|(at, row)| {
        let used = used.get(&at);
        let ran = if row.since_ms == 0 { "-".to_owned() } else { span(row.since_ms, row.ended_ms, model.now_ms) };
        let ended = match row.ended_ms {
            0 => "-".to_owned(),
            at => format!("{} ago", duration(model.now_ms.saturating_sub(at))),
        };
        let cells = vec![
            at.text(),
            row.state.clone(),
            row.worker.clone(),
            ran,
            used.and_then(|used| used.cpu_millicores).map_or("-".to_owned(), |cpu| cores(u64::from(cpu))),
            used.and_then(|used| used.memory_bytes).map_or("-".to_owned(), bytes),
            used.and_then(|used| used.storage_bytes).map_or("-".to_owned(), bytes),
            ended,
            row.namespace.clone(),
        ];
        let tone = match row.ended_ms {
            0 => Tone::Plain,
            _ if row.is_bad => Tone::Warn,
            _ => Tone::Faint,
        };
        Row { key: at.text(), cells, tone }
    });
    Table {
        rows: rows.collect(),
        columns: vec![
            Column::new("TASK", false, 22, 0),
            Column::new("STATE", false, 24, 0),
            Column::new("WORKER", false, 16, 1),
            Column::new("RAN", true, 8, 0),
            Column::new("CPU", true, 6, 0),
            Column::new("MEMORY", true, 7, 0),
            Column::new("DISK", true, 7, 4),
            Column::new("ENDED", true, 11, 2),
            Column::new("NAMESPACE", false, 16, 3),
        ],
    }
}
