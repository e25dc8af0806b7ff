//! An error that travels: kind, what happened, why, what to do next. Comes in: what a service decided. Goes out: a
//! [`tonic::Status`] whose metadata carries the [`ErrorInfo`], and back.

use prost::Message;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::{Code, Status};

use crate::v1::{ErrorInfo, ErrorKind};

/// Metadata key of the encoded [`ErrorInfo`].
pub const ERROR_KEY: &str = "cloudai-error-bin";

impl ErrorInfo {
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        ErrorInfo { kind: kind as i32, what: what.into(), ..Default::default() }
    }

    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// The leader's gRPC address.
    #[must_use]
    pub fn with_leader(mut self, address: impl Into<String>) -> Self {
        self.leader = address.into();
        self
    }

    #[must_use]
    pub fn with_candidates(mut self, ids: Vec<String>) -> Self {
        self.candidates = ids;
        self
    }

    pub fn into_status(self) -> Status {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(ERROR_KEY, BinaryMetadataValue::from_bytes(&self.encode_to_vec()));
        Status::with_metadata(code_of(self.kind()), self.sentence(), metadata)
    }

    /// What the peer said; a status without an [`ErrorInfo`] (a proxy, a broken connection) becomes one by its code.
    pub fn from_status(status: &Status) -> ErrorInfo {
        Self::carried_by(status).unwrap_or_else(|| ErrorInfo::new(kind_of(status.code()), status.message()))
    }

    /// What a master of ours said, as opposed to the transport. A kind that this build does not know counts as not said: its code
    /// decides.
    pub fn carried_by(status: &Status) -> Option<ErrorInfo> {
        let bytes = status.metadata().get_bin(ERROR_KEY)?.to_bytes().ok()?;
        ErrorInfo::decode(bytes).ok().filter(|e| e.kind() != ErrorKind::Unspecified)
    }

    /// What and why, in one sentence.
    pub fn sentence(&self) -> String {
        if self.why.is_empty() { self.what.clone() } else { format!("{}: {}", self.what, self.why) }
    }
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid | ErrorKind::Ambiguous => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::NotLeader | ErrorKind::NoLeader | ErrorKind::Stopping | ErrorKind::Unreachable => Code::Unavailable,
        ErrorKind::OutcomeUnknown => Code::DeadlineExceeded,
        // An older client takes it for one that cannot help itself, and does not repeat it.
        ErrorKind::TooBusy | ErrorKind::OverQuota => Code::ResourceExhausted,
        ErrorKind::TooLarge | ErrorKind::TooOld => Code::OutOfRange,
        ErrorKind::Internal | ErrorKind::Unspecified => Code::Internal,
    }
}

/// A best guess. A transport error says nothing about whether a write happened: that is the client's own judgement.
fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::Unimplemented => ErrorKind::Invalid,
        Code::OutOfRange | Code::ResourceExhausted => ErrorKind::TooLarge,
        Code::NotFound => ErrorKind::NotFound,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Denied,
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => ErrorKind::Conflict,
        Code::DeadlineExceeded | Code::Cancelled => ErrorKind::OutcomeUnknown,
        Code::Ok | Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss => ErrorKind::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_journey_through_a_status() {
        let sent = ErrorInfo::new(ErrorKind::NotLeader, "this master does not lead")
            .why("m2 does")
            .next("ask m2")
            .with_leader("10.0.0.2:7601")
            .with_candidates(vec!["a".into()]);
        let status = sent.clone().into_status();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "this master does not lead: m2 does");
        assert_eq!(ErrorInfo::carried_by(&status).as_ref(), Some(&sent));
        assert_eq!(ErrorInfo::from_status(&status), sent);
    }

    #[test]
    fn a_status_of_the_transport_gets_a_kind() {
        let e = ErrorInfo::from_status(&Status::unavailable("tcp connect error"));
        assert_eq!((e.kind(), e.what.as_str()), (ErrorKind::Unreachable, "tcp connect error"));
        assert_eq!(ErrorInfo::carried_by(&Status::unavailable("")), None);
        let newer = ErrorInfo { kind: 999, what: "new".into(), ..Default::default() };
        assert_eq!(ErrorInfo::carried_by(&newer.into_status()), None);
    }
}
