//! Is there room? Two ways to have none: the worker is too small for the task, or others hold the room now.

use cloudai_core::hot::{Shape, Worker};
use cloudai_types::limits;
use cloudai_types::resources::{Bytes, Cpu, DIMENSIONS};

use super::{Refused, WaitKind};

/// The first dimension in which the worker is too small; else the first in which it has too little left.
pub fn check(shape: &Shape, worker: &Worker) -> Option<Refused> {
    let short_of = |kind, room: [u64; 4]| {
        let asked = shape.resources.dimensions();
        (0..4).find(|d| asked[*d] > room[*d]).map(|subject| Refused { kind, subject })
    };
    let attempts_full = || {
        let full = worker.active.len() >= limits::WORKER_ATTEMPTS_MAX;
        full.then_some(Refused { kind: WaitKind::AttemptsFull, subject: 0 })
    };
    short_of(WaitKind::TooSmall, worker.capacity.dimensions())
        .or_else(|| short_of(WaitKind::Busy, worker.free().dimensions()))
        .or_else(attempts_full)
}

/// An amount with its unit: `0.5 cpu`, `12.0 GiB memory`, `1 gpu`.
pub(crate) fn amount(dimension: usize, n: u64) -> String {
    format!("{} {}", number(dimension, n), DIMENSIONS[dimension])
}

/// An amount as a flag takes it.
pub(crate) fn number(dimension: usize, n: u64) -> String {
    match dimension {
        0 => Cpu(n).to_string(),
        1 | 2 => Bytes(n).to_string(),
        _ => n.to_string(),
    }
}

pub(super) fn words(shape: &Shape, worker: &Worker, reason: Refused) -> (String, String) {
    let d = reason.subject;
    let asked = shape.resources.dimensions()[d];
    let (has, free) = (worker.capacity.dimensions()[d], worker.free().dimensions()[d]);
    let name = &worker.name;
    match reason.kind {
        WaitKind::TooSmall => {
            (format!("smaller than {}", amount(d, asked)), format!("{name} has {} in all", amount(d, has)))
        }
        WaitKind::Busy => (
            format!("less than {} free now", amount(d, asked)),
            format!("{name} has {} of {} free", number(d, free), amount(d, has)),
        ),
        WaitKind::AttemptsFull
        | WaitKind::NeverSeen
        | WaitKind::Lost
        | WaitKind::Revoked
        | WaitKind::Draining
        | WaitKind::MissingLabel
        | WaitKind::UnmetExpression
        | WaitKind::Tainted
        | WaitKind::Apart
        | WaitKind::Spread
        | WaitKind::ApartFrom
        | WaitKind::TogetherWith
        | WaitKind::KeptAway
        | WaitKind::Avoided
        | WaitKind::Reserved => {
            let most = limits::WORKER_ATTEMPTS_MAX;
            (format!("holding {most} attempts, the most allowed"), format!("{name} holds {}", worker.active.len()))
        }
    }
}
