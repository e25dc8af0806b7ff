//! Our own format: one JSON object per line and job. Only `id`, `submit_s`, `run_s` are needed:
//!
//! `{"id": 2, "submit_s": 60, "run_s": 300, "requested_s": 600, "processors": 4, "user": "lab", "after": [1], "deadline_s": 900}`

use std::collections::BTreeMap;
use std::io::{self, Write};

use cloudai_types::limits;
use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::{Draft, Job, ReadError, Trace, WriteError};

#[derive(Deserialize, Serialize)]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<u64>,
    /// When it has to have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_s: Option<u64>,
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
            deadline_s: row.deadline_s,
            parents: vec![],
        };
        drafts.push(Draft { job, parents: row.after });
    }
    Trace::of(drafts, None)
}

/// Writes a trace; the format has no place for the size of the machine.
pub fn write(trace: &Trace, out: &mut dyn Write) -> Result<(), WriteError> {
    for job in &trace.jobs {
        let row = Row {
            id: job.id,
            submit_s: job.submit_s,
            run_s: job.run_s,
            requested_s: Some(job.requested_s),
            processors: Some(job.processors),
            user: job.user.to_string(),
            after: job.parents.iter().map(|parent| trace.jobs[*parent as usize].id).collect(),
            deadline_s: job.deadline_s,
        };
        serde_json::to_writer(&mut *out, &row).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    Ok(())
}
