//! Identifiers. Comes in: numbers that `apply` gives out and texts that people type. Goes out: newtypes that print and parse.
//!
//! A job's number is its place in the order of submission. People see it as eight Crockford base32 characters of a 40-bit
//! bijection of that number, so that two jobs submitted together differ from their first characters on and a short prefix
//! is usually enough. Nothing is stored for that: the number is computed back from the text.

use std::fmt;
use std::str::FromStr;

/// A master's Raft node id. Never reused: a wiped disk joins again under a new one.
pub type NodeId = u64;

/// Crockford's base32 alphabet, in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a printed job id.
pub const JOB_ID_CHARS: usize = 8;
const JOB_ID_BITS: u32 = 40;
const JOB_ID_MASK: u64 = (1 << JOB_ID_BITS) - 1;
/// An odd multiplier (2^40 divided by the golden ratio) and its inverse modulo 2^40.
const SPREAD: u64 = 0x9E_3779_B97F;
const UNSPREAD: u64 = inverse_mod_2_40(SPREAD);

/// Newton's iteration doubles the number of correct low bits each round; six rounds cover 40 bits.
const fn inverse_mod_2_40(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x & JOB_ID_MASK
}

/// Halves are folded before and after the multiplication, so that low bits of the number reach high bits of the text.
const fn spread(n: u64) -> u64 {
    let x = n.wrapping_mul(SPREAD) & JOB_ID_MASK;
    let x = x ^ (x >> 20);
    x.wrapping_mul(SPREAD) & JOB_ID_MASK
}

const fn unspread(v: u64) -> u64 {
    let x = v.wrapping_mul(UNSPREAD) & JOB_ID_MASK;
    let x = x ^ (x >> 20);
    x.wrapping_mul(UNSPREAD) & JOB_ID_MASK
}

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    #[error("'{0}' is no job id: a job id has {JOB_ID_CHARS} characters of 0-9 and a-z without i, l, o, u")]
    Job(String),
    #[error("'{0}' is no task: write JOB/INDEX, for example {example}/0", example = JobId(1))]
    Task(String),
    #[error("'{0}' is no attempt: write JOB/INDEX.N, for example {example}/0.1", example = JobId(1))]
    Attempt(String),
    #[error("'{0}' is no workflow: a workflow's id is {WORKFLOW_PREFIX} and {JOB_ID_CHARS} characters, for example {example}", example = WorkflowId(1))]
    Workflow(String),
    #[error("'{0}' is no request id: use 1 to {max} printable characters without spaces", max = crate::limits::REQUEST_ID_BYTES_MAX)]
    Request(String),
}

/// A job: its place in the order of submission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct JobId(pub u64);

impl JobId {
    /// True when the printed id begins with `prefix` (given in lower case).
    pub fn has_prefix(self, prefix: &str) -> bool {
        let text = self.chars();
        prefix.len() <= text.len() && text.starts_with(prefix.as_bytes())
    }

    /// The printed id without an allocation.
    pub fn chars(self) -> [u8; JOB_ID_CHARS] {
        let v = spread(self.0);
        let mut out = [0; JOB_ID_CHARS];
        for (i, c) in out.iter_mut().enumerate() {
            *c = ALPHABET[(v >> (JOB_ID_BITS - 5 * (i as u32 + 1))) as usize & 31];
        }
        out
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.chars()).expect("the alphabet is ASCII"))
    }
}

impl FromStr for JobId {
    type Err = ParseIdError;
    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::Job(s.to_owned());
        if s.len() != JOB_ID_CHARS {
            return Err(wrong());
        }
        let mut v = 0u64;
        for c in s.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == c.to_ascii_lowercase()).ok_or_else(wrong)?;
            v = v << 5 | digit as u64;
        }
        Ok(JobId(unspread(v)))
    }
}

/// A workflow: the number of its first job, which no other workflow can have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WorkflowId(pub u64);

/// What a printed workflow id begins with, so that nobody takes it for a job's.
pub const WORKFLOW_PREFIX: &str = "wf-";

impl WorkflowId {
    /// True when the printed id begins with `prefix` (given in lower case; it may leave out [`WORKFLOW_PREFIX`]).
    pub fn has_prefix(self, prefix: &str) -> bool {
        JobId(self.0).has_prefix(prefix.strip_prefix(WORKFLOW_PREFIX).unwrap_or(prefix))
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{WORKFLOW_PREFIX}{}", JobId(self.0)))
    }
}

impl FromStr for WorkflowId {
    type Err = ParseIdError;
    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::Workflow(s.to_owned());
        let job: JobId = s.strip_prefix(WORKFLOW_PREFIX).ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
        Ok(WorkflowId(job.0))
    }
}

/// A worker's number, given when its name is authorised. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WorkerId(pub u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// A namespace's number: the tenant that owns a job, the first part of every row's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NamespaceId(pub u32);

/// One index of a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TaskId {
    pub job: JobId,
    pub index: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.index)
    }
}

impl FromStr for TaskId {
    type Err = ParseIdError;
    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::Task(s.to_owned());
        let (job, index) = s.split_once('/').ok_or_else(wrong)?;
        Ok(TaskId { job: job.parse()?, index: index.parse().map_err(|_| wrong())? })
    }
}

/// One execution of a task on one worker. Numbers start at 1 and only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AttemptId {
    pub task: TaskId,
    pub number: u32,
}

impl AttemptId {
    pub fn new(job: JobId, index: u32, number: u32) -> Self {
        AttemptId { task: TaskId { job, index }, number }
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = ParseIdError;
    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::Attempt(s.to_owned());
        let (task, number) = s.rsplit_once('.').ok_or_else(wrong)?;
        Ok(AttemptId { task: task.parse()?, number: number.parse().map_err(|_| wrong())? })
    }
}

/// A client's name for one request, the same across its retries (I6).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(String);

impl RequestId {
    /// Whether a text may be a request id.
    pub fn check(s: &str) -> Result<(), ParseIdError> {
        let printable = s.bytes().all(|b| b.is_ascii_graphic());
        if s.is_empty() || s.len() > crate::limits::REQUEST_ID_BYTES_MAX || !printable {
            return Err(ParseIdError::Request(s.chars().take(80).collect()));
        }
        Ok(())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RequestId {
    type Err = ParseIdError;
    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        RequestId::check(s)?;
        Ok(RequestId(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_printed_job_id_parses_back(n in 0u64..=JOB_ID_MASK) {
            prop_assert_eq!(JobId(n).to_string().parse::<JobId>(), Ok(JobId(n)));
        }

        #[test]
        fn no_text_panics_the_parsers(s in ".{0,40}") {
            let _ = (s.parse::<WorkflowId>(), s.parse::<JobId>(), s.parse::<TaskId>(), s.parse::<AttemptId>(), s.parse::<RequestId>());
        }
    }

    #[test]
    fn neighbours_differ_in_their_first_characters() {
        let firsts: std::collections::BTreeSet<String> =
            (1..=32).map(|n| JobId(n).to_string()[..3].to_owned()).collect();
        assert_eq!(firsts.len(), 32);
    }

    #[test]
    fn a_workflow_is_not_taken_for_a_job() {
        let id = WorkflowId(5);
        assert_eq!(id.to_string(), format!("wf-{}", JobId(5)));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(JobId(5).to_string().parse::<WorkflowId>().is_err() && id.to_string().parse::<JobId>().is_err());
        let bare = &JobId(5).to_string()[..4];
        assert!(id.has_prefix(bare) && id.has_prefix(&format!("wf-{bare}")) && !id.has_prefix("wf-zz"));
    }

    #[test]
    fn attempts_read_as_job_index_number() {
        let text = format!("{}/7.2", JobId(5));
        assert_eq!(text.parse(), Ok(AttemptId::new(JobId(5), 7, 2)));
        assert_eq!(AttemptId::new(JobId(5), 7, 2).to_string(), text);
        assert!("x/7.2".parse::<AttemptId>().is_err());
    }
}
