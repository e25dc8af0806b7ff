//! Jobs that wait, as rows: what comes first stands first. Why each of them waits is asked for one at a time, of those that are in sight.

use std::cmp::Reverse;

use cloudai_proto::v1::JobSummary;
use cloudai_types::JobId;

use crate::times::duration;
use crate::top::columns::{Column, Row, Table};
use crate::top::draw;
use crate::top::input::JobRef;
use crate::top::model::Model;
use crate::top::theme::Tone;

/// An answer is good for so long.
const WHY_AGES_MS: u64 = 10_000;

pub fn waits(job: &JobSummary) -> bool {
    job.counts.is_some_and(|counts| counts.queued > 0)
}

fn in_order(model: &Model) -> Vec<&JobSummary> {
    let mut jobs: Vec<&JobSummary> = model.jobs.iter().filter(|job| waits(job)).collect();
    jobs.sort_by_key(|job| (Reverse(job.priority), job.id));
    jobs
}

pub fn table(model: &Model) -> Table {
    Table {
        columns: vec![
            Column::new("JOB", false, 8, 0),
            Column::new("NAME", false, 16, 2),
            Column::new("NAMESPACE", false, 12, 3),
            Column::new("PRIO", true, 5, 1),
            Column::new("WAITING", true, 9, 0),
            Column::new("OF", true, 9, 4),
            Column::new("SINCE", true, 7, 0),
            Column { least: Some(36), ..Column::new("WHY", false, 200, 0) },
        ],
        rows: in_order(model).into_iter().map(|job| row(model, job)).collect(),
    }
}

fn row(model: &Model, job: &JobSummary) -> Row {
    let since = job.submitted_ms.max(job.released_ms);
    let cells = vec![
        JobId(job.id).to_string(),
        job.name.clone(),
        job.namespace.clone(),
        job.priority.to_string(),
        job.counts.map_or(0, |counts| counts.queued).to_string(),
        job.count.to_string(),
        duration(model.now_ms.saturating_sub(since)),
        model.whys.get(&job.id).map_or("...".to_owned(), |(why, _)| why.clone()),
    ];
    Row { key: JobId(job.id).to_string(), cells, tone: Tone::Plain }
}

/// The job in sight of which least is known. The chosen one comes first.
pub fn to_explain(model: &Model) -> Option<JobRef> {
    let keys: Vec<String> = {
        let table = model.table();
        let shown = table.rows.into_iter().skip(model.cursor().top).take(draw::rows_fitting(model));
        shown.map(|row| row.key).collect()
    };
    let old = |job: &&JobSummary| {
        model.whys.get(&job.id).is_none_or(|(_, at)| model.now_ms.saturating_sub(*at) >= WHY_AGES_MS)
    };
    let in_sight = in_order(model).into_iter().filter(|job| keys.contains(&JobId(job.id).to_string()));
    let first = |job: &&JobSummary| {
        let is_chosen = JobId(job.id).to_string() == model.chosen();
        (Reverse(is_chosen), model.whys.get(&job.id).map(|(_, at)| *at))
    };
    in_sight.filter(old).min_by_key(first).map(|job| JobRef { id: job.id, namespace: job.namespace.clone() })
}
