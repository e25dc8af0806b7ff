//! How a command ends when it does not end well: a code for scripts, and what, why and what next for people. Comes in: the errors of
//! the layers below. Goes out: one [`Failure`]. The table of codes is the contract; `cloudai help exit-codes` prints it.

use cloudai_client::{CallError, OpenError, SubmitError};
use cloudai_proto::v1::ErrorKind;

/// Exit codes. They never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Ok,
    Failed,
    Usage,
    NotFound,
    Auth,
    Conflict,
    Unreachable,
    OutcomeUnknown,
    TooBusy,
    OverQuota,
    TooOld,
    Damaged,
    WaitTimeout,
    RunFailed,
    Interrupted,
    /// Of the task itself, for `run`, `job wait` and `job watch`.
    Task(u8),
}

impl Code {
    pub fn number(self) -> u8 {
        match self {
            Code::Ok => 0,
            Code::Failed => 1,
            Code::Usage => 2,
            Code::NotFound => 3,
            Code::Auth => 4,
            Code::Conflict => 5,
            Code::Unreachable => 6,
            Code::OutcomeUnknown => 7,
            Code::TooBusy => 8,
            Code::OverQuota => 9,
            Code::TooOld => 10,
            Code::Damaged => 78,
            Code::WaitTimeout => 124,
            Code::RunFailed => 125,
            Code::Interrupted => 130,
            Code::Task(code) => code,
        }
    }
}

/// What `cloudai help exit-codes` prints, and `docs/exit-codes.md` repeats.
pub const TABLE: &str = "\
Exit codes
  0    done
  1    failed, for a reason that has no code of its own
  2    wrong usage, or an invalid job spec, workflow, template or schedule; repeating it cannot help
  3    not found: no such job, task, workflow, template, schedule, worker, master, secret or login
  4    not authorised: no certificate, a wrong one, or a role that may not do this
  5    conflict: the state forbids it now (a request id used with another job, the last voter, an ambiguous id prefix)
  6    no master can be reached, or the masters have no leader; nothing was changed
  7    outcome unknown: the change may have happened. Submits say with which --idempotency-key to repeat them safely
  8    too busy: a queue of the masters is full; nothing was changed
  9    over a quota: more tasks would wait than the namespace, or one of its users, may have; nothing was submitted
  10   too old: the events that were asked for are kept no more
  74   'master': the disk hangs; another master leads. Starting it again is right once the disk answers
  78   'master': its data cannot be trusted (damaged, incomplete, refused by the cluster). Do not start it again as it is
  124  'job wait --timeout', 'job watch --timeout', 'workflow wait --timeout': it had not ended
  125  'run': CloudAI itself failed, or the task could not be run at all (image not found, rejected, worker lost)
  127  'run', 'job wait', 'job watch': the task's command could not be started
  130  interrupted, or the job or workflow was cancelled; what was submitted goes on unless it was cancelled
  'run', 'job wait' and 'job watch' otherwise end with the task's own exit code (128 + signal number after a signal).
  A job of several tasks has no exit code of its own: 0 when all succeeded, 1 otherwise. Nor have several jobs together.
  Nor has a workflow: 0 when nothing of it has failed or was cancelled, 1 when something has failed, 130 otherwise.";

/// A command's bad end.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub code: Code,
    /// Stable word for JSON.
    pub kind: &'static str,
    pub what: String,
    pub why: String,
    pub next: String,
    /// Nothing is printed: it was said already, or nobody listens.
    pub silent: bool,
}

impl Failure {
    pub fn new(code: Code, kind: &'static str, what: impl Into<String>) -> Self {
        Failure { code, kind, what: what.into(), why: String::new(), next: String::new(), silent: false }
    }

    /// Wrong usage or a wrong file.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(Code::Usage, ErrorKind::Invalid.name(), what)
    }

    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Code::Failed, ErrorKind::Internal.name(), what)
    }

    /// Ends with this code and says nothing.
    pub fn silent(code: Code) -> Self {
        Failure { silent: true, ..Self::new(code, "ended", "") }
    }

    #[must_use]
    pub fn why(mut self, why: impl std::fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// A master that is away now may be back a moment later, or another one leads.
    pub fn may_pass(&self) -> bool {
        match self.code {
            Code::Unreachable | Code::OutcomeUnknown | Code::TooBusy => true,
            Code::Ok
            | Code::Failed
            | Code::Usage
            | Code::NotFound
            | Code::Auth
            | Code::Conflict
            | Code::OverQuota
            | Code::TooOld
            | Code::Damaged
            | Code::WaitTimeout
            | Code::RunFailed
            | Code::Interrupted
            | Code::Task(_) => false,
        }
    }

    /// For `run`, which keeps the task's codes apart from its own.
    #[must_use]
    pub fn of_run(mut self) -> Self {
        match self.code {
            Code::Usage | Code::Interrupted | Code::Task(_) => {}
            _ => self.code = Code::RunFailed,
        }
        self
    }

    /// What a terminal shows.
    pub fn text(&self) -> String {
        let mut out = format!("error: {}", self.what);
        if !self.why.is_empty() {
            out.push_str(if self.why.contains('\n') { ":\n" } else { ": " });
            out.push_str(&self.why);
        }
        if !self.next.is_empty() {
            out.push_str("\nnext:  ");
            out.push_str(&self.next);
        }
        out
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": {
            "kind": self.kind, "exit_code": self.code.number(), "what": self.what, "why": self.why, "next": self.next,
        }})
    }
}

pub fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid | ErrorKind::TooLarge => Code::Usage,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unauthenticated | ErrorKind::Denied => Code::Auth,
        ErrorKind::Conflict | ErrorKind::Ambiguous => Code::Conflict,
        ErrorKind::NotLeader | ErrorKind::NoLeader | ErrorKind::Stopping | ErrorKind::Unreachable => Code::Unreachable,
        ErrorKind::OutcomeUnknown => Code::OutcomeUnknown,
        ErrorKind::TooBusy => Code::TooBusy,
        ErrorKind::OverQuota => Code::OverQuota,
        ErrorKind::TooOld => Code::TooOld,
        ErrorKind::Internal | ErrorKind::Unspecified => Code::Failed,
    }
}

impl From<CallError> for Failure {
    fn from(e: CallError) -> Self {
        let kind = e.kind();
        let new = |what: &str| Failure::new(code_of(kind), kind.name(), what);
        match e {
            CallError::Refused(info) => {
                let mut next = info.next.clone();
                if next.is_empty() && !info.candidates.is_empty() {
                    next = format!("name one of: {}", info.candidates.join(", "));
                }
                new(&info.what).why(&info.why).next(next)
            }
            CallError::Untrusted { reason } => new("the masters and this client do not trust each other")
                .why(reason)
                .next("use the identity of this cluster: --identity DIR or CLOUDAI_IDENTITY"),
            CallError::Unreachable { tried, after, last } => {
                new(&format!("no master answered within {} s (tried {})", after.as_secs(), tried.join(", ")))
                    .why(last)
                    .next("check that the masters run, and that CLOUDAI_ADDR or --addr names them")
            }
            CallError::NoLeader { after, last } => {
                new(&format!("the masters had no leader for {} s, so nothing was changed", after.as_secs()))
                    .why(last)
                    .next("start the masters that are down: a majority must run; `cloudai cluster status --consistency stale` shows what one master knows")
            }
            CallError::TooBusy { after, last } => {
                new(&format!("the masters were too busy for {} s, so nothing was changed", after.as_secs()))
                    .why(last)
                    .next("try again later, or submit more slowly")
            }
            CallError::OutcomeUnknown { last, .. } => new("the outcome is unknown: the change may have happened")
                .why(last)
                .next("look at the present state before you repeat it"),
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(e: SubmitError) -> Self {
        match e {
            SubmitError::Call(e) => e.into(),
            SubmitError::OutcomeUnknown { request_id, last } => Failure::new(
                Code::OutcomeUnknown,
                ErrorKind::OutcomeUnknown.name(),
                "the outcome is unknown: the job may have been submitted",
            )
            .why(last)
            .next(format!("retry with the same command and --idempotency-key {request_id}: it will be one job, however often it is sent")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::NoAddress => Failure::new(Code::Unreachable, ErrorKind::Unreachable.name(), "no master's address is known")
                .next("set CLOUDAI_ADDR=HOST:7601 (several with commas), or start a cluster here with `cloudai dev`"),
            OpenError::Address(e) => Failure::invalid(e.to_string()),
            OpenError::Identity { .. } => Failure::new(Code::Auth, ErrorKind::Unauthenticated.name(), e.to_string())
                .next("give a directory with key.pem, cert.pem and ca.pem: --identity DIR or CLOUDAI_IDENTITY; `cloudai init` makes the first one"),
        }
    }
}

/// Of stdout. When nobody reads any more there is nobody to tell.
impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::silent(Code::Task(141));
        }
        Failure::failed("the output cannot be written").why(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::ErrorInfo;
    use std::time::Duration;

    #[test]
    fn every_error_kind_has_its_exit_code() {
        let codes: Vec<(&str, u8)> = ErrorKind::ALL.iter().map(|k| (k.name(), code_of(*k).number())).collect();
        assert_eq!(
            codes,
            [
                ("unspecified", 1),
                ("invalid", 2),
                ("not_found", 3),
                ("ambiguous", 5),
                ("unauthenticated", 4),
                ("denied", 4),
                ("conflict", 5),
                ("not_leader", 6),
                ("no_leader", 6),
                ("outcome_unknown", 7),
                ("too_busy", 8),
                ("too_large", 2),
                ("stopping", 6),
                ("unreachable", 6),
                ("internal", 1),
                ("over_quota", 9),
                ("too_old", 10),
            ]
        );
    }

    #[test]
    fn the_printed_table_names_every_code() {
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 74, 78, 124, 125, 130] {
            assert!(TABLE.lines().any(|l| l.trim_start().starts_with(&format!("{code} "))), "{code}");
        }
    }

    #[test]
    fn an_unknown_outcome_tells_the_key_to_retry_with() {
        let f = Failure::from(SubmitError::OutcomeUnknown { request_id: "k-1".into(), last: "it broke".into() });
        assert_eq!(f.code.number(), 7);
        assert!(f.text().contains("--idempotency-key k-1"), "{}", f.text());
    }

    #[test]
    fn a_refusal_keeps_the_masters_words() {
        let info =
            ErrorInfo::new(ErrorKind::Ambiguous, "'a' is ambiguous").with_candidates(vec!["ab".into(), "ac".into()]);
        let f = Failure::from(CallError::Refused(Box::new(info)));
        assert_eq!(
            (f.code, f.text().as_str()),
            (Code::Conflict, "error: 'a' is ambiguous\nnext:  name one of: ab, ac")
        );
    }

    #[test]
    fn run_keeps_its_own_failures_apart_from_the_tasks_codes() {
        let e = CallError::NoLeader { after: Duration::from_secs(30), last: "x".into() };
        assert_eq!(Failure::from(e).of_run().code.number(), 125);
        assert_eq!(Failure::invalid("x").of_run().code.number(), 2);
    }
}
