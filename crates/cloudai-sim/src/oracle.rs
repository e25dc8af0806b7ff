//! What users were told. Comes in: every call's outcome. Goes out: what the state must therefore hold, or must not. A call that timed
//! out is unknown, never failed; only a refusal that says "surely not written" is a failure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use cloudai_proto::v1::{ErrorInfo, ErrorKind};
use tonic::Status;

/// What one submit came to.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Outcome {
    #[default]
    Pending,
    Acknowledged,
    /// Surely not written, by any of its tries.
    Failed(String),
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub struct Submit {
    pub outcome: Outcome,
    /// Tasks, or the jobs of a workflow.
    pub count: u32,
    pub is_workflow: bool,
    /// Each acknowledgement: the job or workflow, and the log index (0 for a duplicate's).
    pub acks: Vec<u64>,
    /// An acknowledged cancel of a job that was alive.
    pub cancelled: bool,
}

#[derive(Default)]
struct Inner {
    submits: BTreeMap<String, Submit>,
    open: u64,
    wrong: Option<(&'static str, String)>,
    acknowledged: u64,
    unknown: u64,
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Oracle(Arc<Mutex<Inner>>);

impl Oracle {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("the oracle does not panic")
    }

    pub fn began(&self, request: &str, count: u32) {
        let mut inner = self.lock();
        inner.open += 1;
        inner.submits.entry(request.to_owned()).or_default().count = count;
    }

    pub fn began_workflow(&self, request: &str, jobs: u32) {
        self.began(request, jobs);
        self.lock().submits.entry(request.to_owned()).or_default().is_workflow = true;
    }

    /// Somebody has calls to make whose outcome nobody keeps.
    pub fn asks(&self) {
        self.lock().open += 1;
    }

    /// All of them have an outcome.
    pub fn answered(&self) {
        self.lock().open -= 1;
    }

    /// One of the callers of this request has its outcome.
    pub fn ended(&self, request: &str, outcome: Outcome) {
        let mut inner = self.lock();
        inner.open -= 1;
        match outcome {
            Outcome::Acknowledged => inner.acknowledged += 1,
            Outcome::Unknown => inner.unknown += 1,
            Outcome::Pending | Outcome::Failed(_) => {}
        }
        let submit = inner.submits.entry(request.to_owned()).or_default();
        // Of two callers the stronger word counts.
        submit.outcome = match (std::mem::take(&mut submit.outcome), outcome) {
            (Outcome::Acknowledged, _) | (_, Outcome::Acknowledged) => Outcome::Acknowledged,
            (Outcome::Unknown, _) | (_, Outcome::Unknown) => Outcome::Unknown,
            (_, later) => later,
        };
    }

    pub fn acknowledged(&self, request: &str, job: u64) {
        let mut inner = self.lock();
        let submit = inner.submits.entry(request.to_owned()).or_default();
        submit.acks.push(job);
        if submit.acks.iter().any(|j| *j != job) {
            let what = format!("request {request} was acknowledged as jobs {:?}", submit.acks);
            inner.wrong.get_or_insert(("I6", what));
        }
    }

    pub fn cancelled(&self, request: &str) {
        self.lock().submits.entry(request.to_owned()).or_default().cancelled = true;
    }

    /// A user saw something that may not be.
    pub fn wrong(&self, invariant: &'static str, what: String) {
        self.lock().wrong.get_or_insert((invariant, what));
    }

    pub fn take_wrong(&self) -> Option<(&'static str, String)> {
        self.lock().wrong.take()
    }

    /// Calls that have no outcome yet.
    pub fn open(&self) -> u64 {
        self.lock().open
    }

    pub fn submits(&self) -> BTreeMap<String, Submit> {
        self.lock().submits.clone()
    }

    /// Acknowledged, unknown.
    pub fn counts(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.acknowledged, inner.unknown)
    }
}

/// What one failed try means for the next.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// Surely not written: a decision.
    Final(ErrorKind, String),
    /// Surely not written: again, elsewhere.
    Again(String),
    Unknown(String),
}

/// The client crate's rule.
pub fn judge(status: &Status) -> Verdict {
    if status.message() == "connection refused" {
        return Verdict::Again(status.message().to_owned());
    }
    let Some(info) = ErrorInfo::carried_by(status) else { return Verdict::Unknown(status.message().to_owned()) };
    match info.kind() {
        ErrorKind::NotLeader | ErrorKind::NoLeader | ErrorKind::TooBusy | ErrorKind::Stopping => {
            Verdict::Again(info.sentence())
        }
        ErrorKind::OutcomeUnknown | ErrorKind::Unspecified => Verdict::Unknown(info.sentence()),
        kind => Verdict::Final(kind, info.sentence()),
    }
}
