//! Is the worker there, and does it take work?

use cloudai_core::hot::Worker;
use cloudai_core::rows::WorkerState;

use super::{Refused, WaitKind};

/// `None`: it is ready and not draining.
pub fn check(worker: &Worker) -> Option<Refused> {
    let kind = match (worker.state, worker.draining || worker.leaving) {
        (WorkerState::Ready, false) => return None,
        (WorkerState::Ready, true) => WaitKind::Draining,
        (WorkerState::Authorized, _) => WaitKind::NeverSeen,
        (WorkerState::Lost, _) => WaitKind::Lost,
        (WorkerState::Revoked, _) => WaitKind::Revoked,
    };
    Some(Refused { kind, subject: 0 })
}

/// (what they have in common, one worker's case)
pub(super) fn words(worker: &Worker, kind: WaitKind) -> (String, String) {
    let (message, example) = match kind {
        WaitKind::NeverSeen => ("authorised, but never connected", "has not joined yet"),
        WaitKind::Lost => ("lost: not heard of for longer than the lease", "is lost"),
        WaitKind::Revoked => ("revoked", "is revoked"),
        WaitKind::Draining => ("draining: they take no new work", "is draining"),
        WaitKind::MissingLabel
        | WaitKind::UnmetExpression
        | WaitKind::Tainted
        | WaitKind::Apart
        | WaitKind::Spread
        | WaitKind::ApartFrom
        | WaitKind::TogetherWith
        | WaitKind::KeptAway
        | WaitKind::TooSmall
        | WaitKind::Busy
        | WaitKind::AttemptsFull
        | WaitKind::Avoided
        | WaitKind::Reserved => ("not ready", "is not ready"),
    };
    (message.to_owned(), format!("{} {example}", worker.name))
}
