//! What clients did and were told: one JSON line per record, in the order in which it was written. Comes in: what the load
//! generator sees. Goes out: files that checkers read. It does not know what is correct: that is the checkers' business.
//!
//! Every operation has one [`Event::Invoke`] and at most one outcome. An operation without an outcome (its process was
//! killed) counts as [`Event::Info`]: nobody knows. Times are CLOCK_MONOTONIC of the machine, so that records of several processes
//! and the faults of the rig stand on one axis.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Who asks; each client is one sequence of due times, not of operations: its operations may overlap (open loop).
    pub client: u32,
    /// Joins an invocation and its outcome; unique in the history.
    pub op: u64,
    /// The one master that was asked; None: the client library chose, and may have gone from one to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Invoke {
        call: Call,
    },
    /// It was done, and this was the answer.
    Ok {
        answer: Answer,
    },
    /// It was certainly not done.
    Fail {
        why: String,
    },
    /// It may have been done, may still be done, or never.
    Info {
        why: String,
    },
}

/// What a client asked for. Reads are linearizable unless they say stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// One job of one noop task, under this request id.
    Submit {
        request_id: String,
    },
    /// One job, by the id that an acknowledgement gave.
    GetJob {
        job: u64,
    },
    /// The newest jobs, one page.
    ListJobs {
        limit: u32,
    },
    /// Sets the register `key` (see [`REGISTERS`]).
    Write {
        key: String,
        value: u64,
    },
    Read {
        key: String,
    },
    /// A read that may be old; it says how old.
    StaleRead {
        key: String,
    },
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Of a submit: the job, and the log index of the write.
    Submitted { job: u64, index: u64, duplicate: bool },
    /// Of a read of one job: its state's number and the log index that it was read at; None: there is no such job.
    Job { state: Option<i32>, index: u64 },
    /// Of a list: job ids, newest first.
    Jobs { ids: Vec<u64>, index: u64 },
    /// `repeated`: a try before this one may have taken effect as well, at another place in the log.
    Written {
        index: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        repeated: bool,
    },
    /// Of a register; `from` is the master that answered, `age_ms` what it says of itself (0 when linearizable).
    Value { value: u64, index: u64, from: String, age_ms: u64 },
}

/// Registers that a load may write and read: the number is that of values (0 to N - 1). `policy` is the cluster's score policy, starting
/// at whatever it is; the others are names of authorised workers that never join: 0 not draining (the start), 1 draining.
pub const REGISTERS: [(&str, u64); 5] =
    [("policy", 4), ("register-1", 2), ("register-2", 2), ("register-3", 2), ("register-4", 2)];

/// Everything that one load recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    pub records: Vec<Record>,
}

/// An operation with both its ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation<'a> {
    pub op: u64,
    pub client: u32,
    pub master: Option<&'a str>,
    pub call: &'a Call,
    pub invoked_ns: u64,
    /// None: it never came.
    pub outcome: Option<(u64, &'a Event)>,
}

impl<'a> Operation<'a> {
    /// The answer, when it was acknowledged.
    pub fn answer(&self) -> Option<(u64, &'a Answer)> {
        match self.outcome {
            Some((at, Event::Ok { answer })) => Some((at, answer)),
            Some((_, Event::Invoke { .. } | Event::Fail { .. } | Event::Info { .. })) | None => None,
        }
    }

    /// It was certainly not done.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Some((_, Event::Fail { .. })))
    }
}

impl History {
    /// Reads a file. A half line at its end is what a killed process leaves, and is passed over; any other bad line is an error.
    pub fn read(path: &Path) -> anyhow::Result<History> {
        let file = File::open(path).with_context(|| format!("cannot open the history {}", path.display()))?;
        let mut records = vec![];
        let mut lines = BufReader::new(file).lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let line = line.with_context(|| format!("cannot read the history {}", path.display()))?;
            match serde_json::from_str(&line) {
                Ok(record) => records.push(record),
                Err(_) if lines.peek().is_none() => {}
                Err(error) => {
                    anyhow::bail!("line {} of the history {} is no record: {error}", number + 1, path.display())
                }
            }
        }
        Ok(History { records })
    }

    /// Joins invocations and outcomes, in the order of the invocations.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let mut all: Vec<Operation<'_>> = vec![];
        let mut at = std::collections::BTreeMap::new();
        for record in &self.records {
            match &record.event {
                Event::Invoke { call } => {
                    at.insert(record.op, all.len());
                    let (op, client, master) = (record.op, record.client, record.master.as_deref());
                    all.push(Operation { op, client, master, call, invoked_ns: record.at_ns, outcome: None });
                }
                outcome @ (Event::Ok { .. } | Event::Fail { .. } | Event::Info { .. }) => {
                    if let Some(index) = at.get(&record.op) {
                        all[*index].outcome = Some((record.at_ns, outcome));
                    }
                }
            }
        }
        all
    }

    /// Acknowledged submits: when, and which job; in the order of the acknowledgements.
    pub fn acknowledged(&self) -> Vec<(u64, u64)> {
        let submitted = self.records.iter().filter_map(|r| match &r.event {
            Event::Ok { answer: Answer::Submitted { job, .. } } => Some((r.at_ns, *job)),
            _ => None,
        });
        let mut all: Vec<(u64, u64)> = submitted.collect();
        all.sort_unstable();
        all
    }

    /// The longest time in which no submit was acknowledged, among all clients, that overlaps this span: what a fault cost. A span
    /// in which nothing was acknowledged at all is a gap from its beginning to its end.
    pub fn write_gap(&self, from_ns: u64, to_ns: u64) -> u64 {
        let acknowledged = self.acknowledged();
        let before = acknowledged.iter().rev().map(|(at, _)| *at).find(|at| *at <= from_ns).unwrap_or(from_ns);
        let mut last = before;
        let mut longest = 0;
        for (at, _) in acknowledged.iter().filter(|(at, _)| *at > before) {
            longest = longest.max(at - last);
            last = *at;
            if *at >= to_ns {
                return longest;
            }
        }
        longest.max(to_ns.saturating_sub(last))
    }

    /// Submits acknowledged in this span.
    pub fn acknowledged_between(&self, from_ns: u64, to_ns: u64) -> usize {
        self.acknowledged().iter().filter(|(at, _)| (from_ns..to_ns).contains(at)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke(at_ns: u64, op: u64) -> Record {
        let call = Call::Submit { request_id: format!("r{op}") };
        Record { at_ns, client: 1, op, master: Some("m1".into()), event: Event::Invoke { call } }
    }
    fn ok(at_ns: u64, op: u64, job: u64) -> Record {
        let answer = Answer::Submitted { job, index: job, duplicate: false };
        Record { at_ns, client: 1, op, master: None, event: Event::Ok { answer } }
    }

    #[test]
    fn a_line_is_flat_and_reads_back() {
        let line = serde_json::to_string(&invoke(5, 7)).expect("records are JSON");
        assert_eq!(
            line,
            r#"{"at_ns":5,"client":1,"op":7,"master":"m1","event":"invoke","call":{"call":"submit","request_id":"r7"}}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&line).expect("it was written so"), invoke(5, 7));
    }

    #[test]
    fn a_half_line_at_the_end_is_passed_over_and_one_before_it_is_an_error() {
        let dir = tempfile::tempdir().expect("there is a temporary folder");
        let path = dir.path().join("h.jsonl");
        let line = serde_json::to_string(&invoke(1, 1)).expect("records are JSON");
        std::fs::write(&path, format!("{line}\n{}", &line[..20])).expect("it is ours");
        assert_eq!(History::read(&path).expect("it is readable").records, [invoke(1, 1)]);
        std::fs::write(&path, format!("{}\n{line}\n", &line[..20])).expect("it is ours");
        assert!(History::read(&path).is_err());
    }

    #[test]
    fn an_operation_without_an_outcome_is_open() {
        let history = History { records: vec![invoke(1, 1), invoke(2, 2), ok(9, 1, 11)] };
        let all = history.operations();
        assert_eq!((all.len(), all[0].answer().map(|(at, _)| at), all[1].outcome), (2, Some(9), None));
        assert!(!all[1].failed());
    }

    #[test]
    fn gaps_reach_over_the_edges_of_a_span() {
        let history = History { records: vec![ok(10, 1, 1), ok(20, 2, 2), ok(100, 3, 3), ok(110, 4, 4)] };
        assert_eq!(history.write_gap(30, 60), 80, "the span lies in a gap from 20 to 100");
        assert_eq!(history.write_gap(12, 25), 80);
        assert_eq!(history.write_gap(105, 500), 390, "nothing was acknowledged until its end");
        assert_eq!(history.acknowledged_between(10, 100), 2);
    }
}
