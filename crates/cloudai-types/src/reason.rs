//! How an attempt ended: a closed set. Comes in: the worker's evidence. Goes out: one enum that state, wire and people share.

use std::fmt;

use crate::results::Results;
use crate::usage::Usage;

/// Why an attempt ended. The numbers are persisted: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum ReasonKind {
    Unknown = 0,
    ExitCode = 1,
    Signal = 2,
    OutOfMemory = 3,
    Timeout = 4,
    Cancelled = 5,
    Preempted = 6,
    ImageNotFound = 7,
    ImagePullFailed = 8,
    StartFailed = 9,
    WorkerLost = 10,
    DiskQuota = 11,
    EngineError = 12,
    Rejected = 13,
    ResultStore = 14,
}

impl ReasonKind {
    pub const ALL: [ReasonKind; 15] = [
        ReasonKind::Unknown,
        ReasonKind::ExitCode,
        ReasonKind::Signal,
        ReasonKind::OutOfMemory,
        ReasonKind::Timeout,
        ReasonKind::Cancelled,
        ReasonKind::Preempted,
        ReasonKind::ImageNotFound,
        ReasonKind::ImagePullFailed,
        ReasonKind::StartFailed,
        ReasonKind::WorkerLost,
        ReasonKind::DiskQuota,
        ReasonKind::EngineError,
        ReasonKind::Rejected,
        ReasonKind::ResultStore,
    ];

    /// The word in JSON, tables and metrics.
    pub fn name(self) -> &'static str {
        match self {
            ReasonKind::Unknown => "unknown",
            ReasonKind::ExitCode => "exit_code",
            ReasonKind::Signal => "signal",
            ReasonKind::OutOfMemory => "out_of_memory",
            ReasonKind::Timeout => "timeout",
            ReasonKind::Cancelled => "cancelled",
            ReasonKind::Preempted => "preempted",
            ReasonKind::ImageNotFound => "image_not_found",
            ReasonKind::ImagePullFailed => "image_pull_failed",
            ReasonKind::StartFailed => "start_failed",
            ReasonKind::WorkerLost => "worker_lost",
            ReasonKind::DiskQuota => "disk_quota",
            ReasonKind::EngineError => "engine_error",
            ReasonKind::Rejected => "rejected",
            ReasonKind::ResultStore => "result_store",
        }
    }

    /// True when the machine or the engine is at fault and not the task: it costs no attempt of the user's budget, and
    /// counts against the cap of infrastructure losses instead.
    pub fn is_infrastructure(self) -> bool {
        match self {
            ReasonKind::WorkerLost | ReasonKind::EngineError | ReasonKind::Preempted | ReasonKind::ImagePullFailed => {
                true
            }
            ReasonKind::Unknown
            | ReasonKind::ExitCode
            | ReasonKind::Signal
            | ReasonKind::OutOfMemory
            | ReasonKind::Timeout
            | ReasonKind::Cancelled
            | ReasonKind::ImageNotFound
            | ReasonKind::StartFailed
            | ReasonKind::DiskQuota
            | ReasonKind::Rejected
            | ReasonKind::ResultStore => false,
        }
    }

    /// True when trying again cannot help: the same image and command fail the same way everywhere.
    pub fn forbids_retry(self) -> bool {
        matches!(
            self,
            ReasonKind::ImageNotFound | ReasonKind::StartFailed | ReasonKind::Rejected | ReasonKind::Cancelled
        )
    }
}

/// An ending with its evidence.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct EndReason {
    #[prost(enumeration = "ReasonKind", tag = "1")]
    pub kind: i32,
    /// The program's exit code; 128 + signal number when a signal ended it. Meaningful for exit code, signal, out of memory, timeout, cancelled.
    #[prost(int32, optional, tag = "2")]
    pub exit_code: Option<i32>,
    /// What the engine or the worker said, cut to [`crate::limits::REASON_DETAIL_BYTES_MAX`].
    #[prost(string, tag = "3")]
    pub detail: String,
    /// What the attempt used; absent where nothing is known, as of one that never ran. Since format 4 of the log.
    #[prost(message, optional, tag = "4")]
    pub usage: Option<Usage>,
    /// What the attempt stored; absent where its spec wants no results, or it did not succeed. Since format 4 of the log.
    #[prost(message, optional, boxed, tag = "5")]
    pub results: Option<Box<Results>>,
}

impl EndReason {
    pub fn new(kind: ReasonKind, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.len() > crate::limits::REASON_DETAIL_BYTES_MAX {
            let mut end = crate::limits::REASON_DETAIL_BYTES_MAX;
            while !detail.is_char_boundary(end) {
                end -= 1;
            }
            detail.truncate(end);
        }
        EndReason { kind: kind as i32, exit_code: None, detail, usage: None, results: None }
    }

    pub fn exit(code: i32) -> Self {
        EndReason { exit_code: Some(code), ..EndReason::new(ReasonKind::ExitCode, "") }
    }

    #[must_use]
    pub fn with_exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// The same ending, with what the attempt used.
    #[must_use]
    pub fn with_usage(mut self, usage: Option<Usage>) -> Self {
        self.usage = usage;
        self
    }

    /// The same ending, with what the attempt stored.
    #[must_use]
    pub fn with_results(mut self, results: Option<Results>) -> Self {
        self.results = results.map(Box::new);
        self
    }

    /// Its part of a message.
    pub fn encoded_bytes(&self) -> usize {
        prost::Message::encoded_len(self)
    }

    /// The only success: the program ran and said 0.
    pub fn is_success(&self) -> bool {
        self.kind() == ReasonKind::ExitCode && self.exit_code == Some(0)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())?;
        if let Some(code) = self.exit_code {
            write!(f, " {code}")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_decodes_from_its_number_and_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = ReasonKind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(names.len(), ReasonKind::ALL.len());
        for k in ReasonKind::ALL {
            assert_eq!(ReasonKind::try_from(k as i32), Ok(k));
        }
    }

    #[test]
    fn only_exit_code_zero_is_success() {
        assert!(EndReason::exit(0).is_success());
        assert!(!EndReason::exit(1).is_success());
        assert!(!EndReason::new(ReasonKind::Timeout, "").with_exit_code(0).is_success());
    }
}
