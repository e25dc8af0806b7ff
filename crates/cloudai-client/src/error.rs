//! What can go wrong, by what the caller can do about it.

use std::time::Duration;

use cloudai_net::channel::AddressError;
use cloudai_net::tls::TlsError;
use cloudai_proto::v1::{ErrorInfo, ErrorKind};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("no master's address is given")]
    NoAddress,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the identity in {dir} cannot be used: {source}")]
    Identity { dir: String, source: TlsError },
}

/// Why a call has no reply. In all cases but [`CallError::OutcomeUnknown`] nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// A master decided.
    #[error("{}", .0.sentence())]
    Refused(Box<ErrorInfo>),
    /// No master accepts our certificate, or we do not trust theirs.
    #[error("{reason}")]
    Untrusted { reason: String },
    /// No master was reached in that time.
    #[error("no master answered within {} s (tried {}): {last}", .after.as_secs(), .tried.join(", "))]
    Unreachable { tried: Vec<String>, after: Duration, last: String },
    /// Masters answer, and none leads, or the leader has no quorum.
    #[error("the masters have no leader for {} s: {last}", .after.as_secs())]
    NoLeader { after: Duration, last: String },
    /// The leader's queue was full the whole time.
    #[error("the masters are too busy, for {} s: {last}", .after.as_secs())]
    TooBusy { after: Duration, last: String },
    /// A write may have happened, or may still happen.
    #[error("the outcome is unknown after {} s: {last}", .after.as_secs())]
    OutcomeUnknown { after: Duration, last: String },
}

impl CallError {
    /// The kind that a master, or the attempt to reach one, comes down to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CallError::Refused(info) => info.kind(),
            CallError::Untrusted { .. } => ErrorKind::Unauthenticated,
            CallError::Unreachable { .. } => ErrorKind::Unreachable,
            CallError::NoLeader { .. } => ErrorKind::NoLeader,
            CallError::TooBusy { .. } => ErrorKind::TooBusy,
            CallError::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
        }
    }
}

/// Why a submit has no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The job may exist. The same request id gives the same job, so asking again is safe.
    #[error("it is not known whether the job was submitted: {last}")]
    OutcomeUnknown { request_id: String, last: String },
    #[error(transparent)]
    Call(#[from] CallError),
}
