//! What one failed try means for a history. Comes in: what the transport or the client library said. Goes out: failed, or unknown. Only
//! what certainly changed nothing counts as failed; a time-out never does.

use cloudai_client::{CallError, SubmitError};
use cloudai_net::ConnectError;
use cloudai_proto::v1::{ErrorInfo, ErrorKind};

use crate::history::Event;

/// Of a single try at one master.
pub fn status(status: &tonic::Status) -> Event {
    if let Some(error) = ConnectError::of(status) {
        // Nothing was sent.
        return Event::Fail { why: error.to_string() };
    }
    match ErrorInfo::carried_by(status) {
        None => Event::Info { why: status.message().to_owned() },
        Some(info) => kind(info.kind(), info.sentence()),
    }
}

fn kind(kind: ErrorKind, why: String) -> Event {
    match kind {
        ErrorKind::OutcomeUnknown | ErrorKind::Unspecified | ErrorKind::Internal => Event::Info { why },
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Ambiguous
        | ErrorKind::Unauthenticated
        | ErrorKind::Denied
        | ErrorKind::Conflict
        | ErrorKind::NotLeader
        | ErrorKind::NoLeader
        | ErrorKind::TooBusy
        | ErrorKind::TooLarge
        | ErrorKind::OverQuota
        | ErrorKind::TooOld
        | ErrorKind::Stopping
        | ErrorKind::Unreachable => Event::Fail { why },
    }
}

/// Of a call that the client library gave up.
pub fn call(error: &CallError) -> Event {
    let why = error.to_string();
    match error {
        CallError::OutcomeUnknown { .. } => Event::Info { why },
        CallError::Refused(info) => kind(info.kind(), why),
        CallError::Untrusted { .. }
        | CallError::Unreachable { .. }
        | CallError::NoLeader { .. }
        | CallError::TooBusy { .. } => Event::Fail { why },
    }
}

pub fn submit(error: &SubmitError) -> Event {
    match error {
        SubmitError::OutcomeUnknown { .. } => Event::Info { why: error.to_string() },
        SubmitError::Call(error) => call(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_is_never_failed() {
        for kind in [ErrorKind::OutcomeUnknown, ErrorKind::Internal] {
            let said = ErrorInfo::new(kind, "it").into_status();
            assert!(matches!(status(&said), Event::Info { .. }), "{kind:?}");
        }
        assert!(matches!(status(&tonic::Status::unavailable("broken pipe")), Event::Info { .. }));
        let said = ErrorInfo::new(ErrorKind::NoLeader, "nobody leads").into_status();
        assert!(matches!(status(&said), Event::Fail { .. }));
    }
}
