//! Real executions from the workers' own records. Comes in: lines that a worker with `noop_record` wrote, and when which worker's
//! process was killed. Goes out: [`Execution`]s. An attempt that was started and never ended ran until its process died, or runs.

use std::collections::BTreeMap;

use anyhow::Context as _;
use cloudai_types::AttemptId;
use serde::Deserialize;

use super::facts::{Execution, Until};

/// One line of a worker's record.
#[derive(Debug, Clone, Deserialize)]
struct Line {
    at_ns: u64,
    wall_ms: u64,
    pid: u32,
    attempt: String,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Start,
    Stop,
}

/// A worker's process that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    pub worker: String,
    pub pid: u32,
    /// On the records' clock; not before it was surely gone.
    pub at_ns: u64,
}

/// `text`: the whole record of one worker, of all its processes. A half line at the end is what a killed process leaves.
pub fn read(worker: &str, text: &str, deaths: &[Death]) -> anyhow::Result<Vec<Execution>> {
    let mut all: Vec<Execution> = vec![];
    let mut open: BTreeMap<(u32, AttemptId), usize> = BTreeMap::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line: Line = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(_) if lines.peek().is_none() && !text.ends_with('\n') => break,
            Err(error) => anyhow::bail!("line {} of {worker}'s record is none: {error}", number + 1),
        };
        let attempt: AttemptId = line.attempt.parse().with_context(|| format!("{worker}'s record"))?;
        match line.what {
            What::Start => {
                let died = deaths.iter().find(|d| d.worker == worker && d.pid == line.pid);
                open.insert((line.pid, attempt), all.len());
                all.push(Execution {
                    attempt,
                    worker: worker.to_owned(),
                    start: line.at_ns,
                    until: died.map_or(Until::Running, |d| Until::Died(d.at_ns)),
                    start_wall_ms: line.wall_ms,
                });
            }
            What::Stop => {
                let at = open
                    .remove(&(line.pid, attempt))
                    .with_context(|| format!("{worker}'s record ends {attempt} that it never started"))?;
                all[at].until = Until::Ended(line.at_ns);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, pid: u32, number: u32, what: &str) -> String {
        let attempt = AttemptId::new(cloudai_types::JobId(1), 0, number);
        format!(r#"{{"at_ns":{at},"wall_ms":7,"pid":{pid},"attempt":"{attempt}","what":"{what}"}}"#)
    }

    #[test]
    fn starts_and_stops_join_and_the_rest_died_or_runs() {
        let text = [line(1, 9, 1, "start"), line(2, 9, 2, "start"), line(3, 9, 1, "stop"), line(8, 10, 3, "start")];
        let deaths = [Death { worker: "w".into(), pid: 9, at_ns: 5 }];
        let all = read("w", &(text.join("\n") + "\n"), &deaths).expect("a good record");
        let ends: Vec<Until> = all.iter().map(|e| e.until).collect();
        assert_eq!(ends, [Until::Ended(3), Until::Died(5), Until::Running]);
    }

    #[test]
    fn a_half_line_at_the_end_is_passed_over_and_nonsense_is_an_error() {
        let whole = line(1, 9, 1, "start");
        let half = format!("{whole}\n{}", &whole[..12]);
        assert_eq!(read("w", &half, &[]).expect("a killed process left it").len(), 1);
        assert!(read("w", &format!("{}\n{whole}\n", &whole[..12]), &[]).is_err());
        assert!(read("w", &(line(1, 9, 1, "stop") + "\n"), &[]).is_err());
    }
}
