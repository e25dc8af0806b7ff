//! What one failed try means for the next one. Comes in: a status, and whether the request may be repeated. Goes out: a verdict.
//! Pure: no clock, no connection.

use cloudai_net::ConnectError;
use cloudai_proto::v1::{ErrorInfo, ErrorKind};
use tonic::Status;

/// What to do after a failed try.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// A decision: no other master will say anything else.
    Final(ErrorInfo),
    /// Certificates do not match at this address. Final once every address says so.
    Certificate(String),
    /// Nothing was sent: the next address, at once.
    NotReached(String),
    /// Nothing was written: ask `leader` (where known) or the next address.
    NotLeader {
        leader: Option<String>,
        said: String,
    },
    /// Nothing was written: again after a pause.
    NoLeader(String),
    TooBusy(String),
    /// The request may have been carried out.
    Unknown(String),
}

pub(crate) fn judge(status: &Status) -> Verdict {
    if let Some(e) = ConnectError::of(status) {
        let said = e.to_string();
        return if e.is_about_certificates() { Verdict::Certificate(said) } else { Verdict::NotReached(said) };
    }
    let Some(info) = ErrorInfo::carried_by(status) else {
        let info = ErrorInfo::from_status(status);
        return match info.kind() {
            // tonic itself refuses what is larger than a message may be, or a method that an older master lacks.
            ErrorKind::TooLarge | ErrorKind::Invalid | ErrorKind::Unauthenticated | ErrorKind::Denied => {
                Verdict::Final(info)
            }
            _ => Verdict::Unknown(info.sentence()),
        };
    };
    match info.kind() {
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Ambiguous
        | ErrorKind::Unauthenticated
        | ErrorKind::Denied
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::OverQuota
        | ErrorKind::Unreachable
        | ErrorKind::Internal
        | ErrorKind::TooOld => Verdict::Final(info),
        ErrorKind::NotLeader => {
            let leader = (!info.leader.is_empty()).then(|| info.leader.clone());
            Verdict::NotLeader { leader, said: info.sentence() }
        }
        ErrorKind::Stopping => Verdict::NotLeader { leader: None, said: info.sentence() },
        ErrorKind::NoLeader => Verdict::NoLeader(info.sentence()),
        ErrorKind::TooBusy => Verdict::TooBusy(info.sentence()),
        ErrorKind::OutcomeUnknown | ErrorKind::Unspecified => Verdict::Unknown(info.sentence()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ErrorKind) -> Verdict {
        judge(&ErrorInfo::new(kind, "it").with_leader("m2:7601").into_status())
    }

    #[test]
    fn decisions_are_final_and_the_rest_goes_on() {
        for kind in ErrorKind::ALL {
            let verdict = of(kind);
            let expected = match kind {
                ErrorKind::NotLeader => {
                    matches!(&verdict, Verdict::NotLeader { leader: Some(l), .. } if l == "m2:7601")
                }
                ErrorKind::Stopping => matches!(verdict, Verdict::NotLeader { leader: None, .. }),
                ErrorKind::NoLeader => matches!(verdict, Verdict::NoLeader(_)),
                ErrorKind::TooBusy => matches!(verdict, Verdict::TooBusy(_)),
                ErrorKind::OutcomeUnknown | ErrorKind::Unspecified => matches!(verdict, Verdict::Unknown(_)),
                ErrorKind::Invalid
                | ErrorKind::NotFound
                | ErrorKind::Ambiguous
                | ErrorKind::Unauthenticated
                | ErrorKind::Denied
                | ErrorKind::Conflict
                | ErrorKind::TooLarge
                | ErrorKind::OverQuota
                | ErrorKind::Unreachable
                | ErrorKind::Internal
                | ErrorKind::TooOld => matches!(verdict, Verdict::Final(_)),
            };
            assert!(expected, "{kind:?} → {verdict:?}");
        }
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_open() {
        for status in [Status::unavailable("broken pipe"), Status::unknown("h2"), Status::cancelled("")] {
            assert!(matches!(judge(&status), Verdict::Unknown(_)), "{status:?}");
        }
        assert!(matches!(judge(&Status::out_of_range("message too large")), Verdict::Final(_)));
    }
}
