//! Filters: may a task of this shape go to this worker? Comes in: one shape, one worker. Goes out: the first filter that
//! says no, with what it missed. The order is fixed: ready, labels, resources.
//!
//! The pass asks the same questions through its index (see `roster`); a test holds the two against each other. Here they
//! are asked one worker at a time, for people and for that test.

pub mod labels;
pub mod ready;
pub mod resources;

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::hot::{Shape, Worker};
use cloudai_core::rows::WorkerState;
use cloudai_types::WorkerId;

/// Why a worker does not take a task. The order is the order of the filters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WaitKind {
    /// Authorised, and never connected.
    NeverSeen,
    /// Its lease ran out.
    Lost,
    Revoked,
    Draining,
    MissingLabel,
    /// It would not fit if the worker were empty.
    TooSmall,
    /// It would fit if the worker were empty.
    Busy,
    /// The worker holds as many attempts as any worker may.
    AttemptsFull,
    /// An attempt ended there in a way that the job's rules send elsewhere.
    Avoided,
    /// It has room, which is kept for a task that came first.
    Reserved,
}

impl WaitKind {
    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            WaitKind::NeverSeen => "never_seen",
            WaitKind::Lost => "lost",
            WaitKind::Revoked => "revoked",
            WaitKind::Draining => "draining",
            WaitKind::MissingLabel => "missing_label",
            WaitKind::TooSmall => "too_small",
            WaitKind::Busy => "busy",
            WaitKind::AttemptsFull => "attempts_full",
            WaitKind::Avoided => "avoided",
            WaitKind::Reserved => "reserved",
        }
    }
}

/// A filter's no. `subject`: which required label (its place in the shape) or which dimension; 0 where there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Refused {
    pub kind: WaitKind,
    pub subject: usize,
}

/// The first filter that refuses, or `None`: the task may be placed here now.
pub fn check(shape: &Shape, worker: &Worker) -> Option<Refused> {
    ready::check(worker).or_else(|| labels::check(shape, worker)).or_else(|| resources::check(shape, worker))
}

/// Workers that do not take a shape for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitReason {
    pub kind: WaitKind,
    /// What they lack, for people: `less than 2 cpu free`.
    pub message: String,
    /// How many workers.
    pub workers: u32,
    /// One of them in figures: `worker-1 has 0.5 of 4 cpu free`.
    pub example: String,
}

/// Every worker's answer, counted: how many fit, and why the others do not, most frequent first. `never`: workers that the task may
/// not go to, whatever room they have. `kept`: workers with room that is kept for another. Revoked workers are no part of the cluster and are
/// left out.
pub fn count(
    view: &Hot,
    shape: &Shape,
    never: &[u32],
    kept: impl Fn(WorkerId, &Worker) -> bool,
) -> (u32, Vec<WaitReason>) {
    let mut fitting = 0;
    let mut refused: BTreeMap<Refused, (u32, &Worker)> = BTreeMap::new();
    for (id, worker) in members(view) {
        let kept_away = never.contains(&id.0).then_some(Refused { kind: WaitKind::Avoided, subject: 0 });
        let reserved = || kept(id, worker).then_some(Refused { kind: WaitKind::Reserved, subject: 0 });
        match kept_away.or_else(|| check(shape, worker)).or_else(reserved) {
            None => fitting += 1,
            Some(reason) => refused.entry(reason).or_insert((0, worker)).0 += 1,
        }
    }
    let mut reasons: Vec<WaitReason> = refused
        .into_iter()
        .map(|(reason, (workers, first))| {
            let (message, example) = words(shape, first, reason);
            WaitReason { kind: reason.kind, message, workers, example }
        })
        .collect();
    reasons.sort_by_key(|r| std::cmp::Reverse(r.workers));
    (fitting, reasons)
}

/// Workers that were not revoked.
pub(crate) fn members(view: &Hot) -> impl Iterator<Item = (WorkerId, &Worker)> {
    view.workers.iter().filter(|(_, w)| w.state != WorkerState::Revoked).map(|(id, w)| (*id, w))
}

fn words(shape: &Shape, worker: &Worker, reason: Refused) -> (String, String) {
    match reason.kind {
        WaitKind::NeverSeen | WaitKind::Lost | WaitKind::Revoked | WaitKind::Draining => {
            ready::words(worker, reason.kind)
        }
        WaitKind::MissingLabel => labels::words(shape, worker, reason.subject),
        WaitKind::TooSmall | WaitKind::Busy | WaitKind::AttemptsFull => resources::words(shape, worker, reason),
        WaitKind::Avoided => (
            "where it failed in a way that its rules send elsewhere".to_owned(),
            format!("{} is one of them", worker.name),
        ),
        WaitKind::Reserved => {
            ("kept for a task that came first and needs more".to_owned(), format!("{} is one of them", worker.name))
        }
    }
}
