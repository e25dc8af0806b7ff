//! Files that tasks have stored, and where they were fetched to.

use std::io::{self, Write};

use cloudai_types::resources::Bytes;
use cloudai_types::results::hex;
use serde::Serialize;

use crate::commands::result_list::Found;
use crate::output::{Columns, View};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    /// `JOB/INDEX`
    pub task: String,
    pub attempt: u32,
    /// Below /cloudai/out.
    pub path: String,
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    pub media_type: String,
}

/// `job results`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ResultRows(pub Vec<ResultRow>);

impl From<&Found> for ResultRows {
    fn from(found: &Found) -> Self {
        let rows = found.listed.iter().flat_map(|l| {
            l.files.iter().map(|f| ResultRow {
                task: l.task.to_string(),
                attempt: l.attempt,
                path: f.path.clone(),
                size: f.size,
                sha256: hex(&f.sha256),
                media_type: f.media_type.clone(),
            })
        });
        ResultRows(rows.collect())
    }
}

impl View for ResultRows {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["TASK", "PATH", "SIZE", "TYPE", "SHA-256"]);
        for r in &self.0 {
            let short: String = r.sha256.chars().take(12).collect();
            columns.row([r.task.clone(), r.path.clone(), Bytes(r.size).to_string(), r.media_type.clone(), short]);
        }
        columns.write(out)
    }
}

/// One file of `job download`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FetchedRow {
    pub task: String,
    pub path: String,
    /// The file here.
    pub to: String,
    pub size: u64,
    pub sha256: String,
    /// False: it was there already, with the same sum.
    pub fetched: bool,
}

/// `job download`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FetchedRows(pub Vec<FetchedRow>);

impl View for FetchedRows {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["TASK", "FILE", "SIZE", ""]);
        for r in &self.0 {
            let note = if r.fetched { "" } else { "was there" };
            columns.row([r.task.clone(), r.to.clone(), Bytes(r.size).to_string(), note.to_owned()]);
        }
        columns.write(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::result_list::Listed;
    use cloudai_types::{JobId, ResultFile, TaskId};

    #[test]
    fn results_in_json_are_the_contract() {
        let file =
            ResultFile { path: "a/b.csv".into(), size: 2048, sha256: vec![0xab; 32], media_type: "text/csv".into() };
        let listed = Listed {
            task: TaskId { job: JobId(5), index: 3 },
            attempt: 2,
            files: vec![file],
            left_out: vec![],
            left_out_total: 0,
        };
        let found = Found { namespace: "default".into(), job: JobId(5), is_many: false, listed: vec![listed] };
        let rows = ResultRows::from(&found);
        assert_eq!(
            serde_json::to_value(&rows).unwrap(),
            serde_json::json!([{
                "task": format!("{}/3", JobId(5)), "attempt": 2, "path": "a/b.csv", "size": 2048,
                "sha256": "ab".repeat(32), "media_type": "text/csv",
            }])
        );
        let mut out = vec![];
        rows.table(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("a/b.csv  2.0 KiB  text/csv  abababababab"), "{text}");
    }
}
