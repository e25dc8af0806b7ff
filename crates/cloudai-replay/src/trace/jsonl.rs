//! Our own format: one JSON object per line and job. Only `id`, `submit_s`, `run_s` are needed:
//!
//! `{"id": 2, "submit_s": 60, "run_s": 300, "requested_s": 600, "processors": 4, "user": "lab", "after": [1]}`

use std::collections::BTreeMap;

use cloudai_types::limits;
use serde::Deserialize;

use super::lines::Lines;
use super::{Draft, Job, ReadError, Trace};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: u64,
    submit_s: u64,
    run_s: u64,
    /// Default: as long as it runs.
    requested_s: Option<u64>,
    processors: Option<u32>,
    #[serde(default)]
    user: String,
    /// Ids of the jobs that have to end first.
    #[serde(default)]
    after: Vec<u64>,
}

pub fn read(lines: &mut Lines) -> Result<Trace, ReadError> {
    let mut drafts = vec![];
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    while let Some((number, line)) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        if drafts.len() == limits::TRACE_JOBS_MAX {
            return Err(ReadError::TooManyJobs);
        }
        let row: Row = serde_json::from_str(line).map_err(|e| ReadError::Line { line: number, what: e.to_string() })?;
        let next = users.len() as u64;
        let job = Job {
            id: row.id,
            submit_s: row.submit_s,
            run_s: row.run_s,
            requested_s: row.requested_s.unwrap_or(row.run_s),
            processors: row.processors.unwrap_or(1),
            user: *users.entry(row.user).or_insert(next),
            parents: vec![],
        };
        drafts.push(Draft { job, parents: row.after });
    }
    Trace::of(drafts, None)
}
