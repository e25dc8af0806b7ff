//! Filters: may a task of this shape go to this worker? Comes in: one shape, one worker. Goes out: the first filter that
//! says no, with what it missed. The order is fixed: ready, labels, expressions, taints, resources; and where the job is known, its siblings and other jobs.
//!
//! The pass asks the same questions through its index (see `roster`); a test holds the two against each other. Here they
//! are asked one worker at a time, for people and for that test.

pub mod expressions;
pub mod labels;
pub mod neighbours;
pub mod ready;
pub mod resources;
pub mod siblings;
pub mod taints;

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::hot::{Shape, Worker};
use cloudai_core::nearby::Beside;
use cloudai_core::rows::WorkerState;
use cloudai_core::whereabouts::Whereabouts;
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
    /// Its labels do not meet an expression.
    UnmetExpression,
    /// It has a taint that the job does not tolerate.
    Tainted,
    /// It would not fit if the worker were empty.
    TooSmall,
    /// It would fit if the worker were empty.
    Busy,
    /// The worker holds as many attempts as any worker may.
    AttemptsFull,
    /// Tasks of its job are there, or near, and they stay apart.
    Apart,
    /// So many tasks of its job are there, or near, that one more would be too many beside others.
    Spread,
    /// Tasks of a job that it stays apart from are there, or near.
    ApartFrom,
    /// No task of a job that it goes together with is there, or near.
    TogetherWith,
    /// Tasks of a job that stays apart from jobs like it are there, or near.
    KeptAway,
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
            WaitKind::UnmetExpression => "unmet_expression",
            WaitKind::Tainted => "tainted",
            WaitKind::Apart => "apart",
            WaitKind::Spread => "spread",
            WaitKind::ApartFrom => "apart_from",
            WaitKind::TogetherWith => "together_with",
            WaitKind::KeptAway => "kept_away",
            WaitKind::TooSmall => "too_small",
            WaitKind::Busy => "busy",
            WaitKind::AttemptsFull => "attempts_full",
            WaitKind::Avoided => "avoided",
            WaitKind::Reserved => "reserved",
        }
    }
}

/// A filter's no. `subject`: which required label or expression (its place in the shape), which dimension, or 1 where what is missing is the label
/// that siblings are told apart by; for rules about other jobs twice the place of the rule, and one more where its label is missing; 0 where there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Refused {
    pub kind: WaitKind,
    pub subject: usize,
}

/// The first filter that refuses, or `None`: the task may be placed here now.
pub fn check(shape: &Shape, worker: &Worker) -> Option<Refused> {
    ready::check(worker)
        .or_else(|| labels::check(shape, worker))
        .or_else(|| expressions::check(shape, worker))
        .or_else(|| taints::check(shape, worker))
        .or_else(|| resources::check(shape, worker))
}

/// Where tasks are that have a say in where one of a job goes.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub siblings: &'a Whereabouts,
    /// `None`: other jobs have no say.
    pub others: Option<&'a Beside>,
}

impl Around<'_> {
    fn check(&self, shape: &Shape, id: WorkerId, worker: &Worker) -> Option<Refused> {
        let by_others = || neighbours::check(self.others?, id, worker);
        siblings::check(shape, self.siblings, id, worker).or_else(by_others)
    }
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

/// How many, and the first of them.
type Alike<'a> = (u32, (WorkerId, &'a Worker));

/// One worker's answer: its first no, or `None`. `never`, `around` and `kept` are as in [`count`].
pub(crate) fn refusal(
    shape: &Shape,
    around: &Around<'_>,
    never: &[u32],
    kept: &impl Fn(WorkerId, &Worker) -> bool,
    (id, worker): (WorkerId, &Worker),
) -> Option<Refused> {
    let kept_away = never.contains(&id.0).then_some(Refused { kind: WaitKind::Avoided, subject: 0 });
    let reserved = || kept(id, worker).then_some(Refused { kind: WaitKind::Reserved, subject: 0 });
    let by_tasks = || around.check(shape, id, worker);
    kept_away.or_else(|| check(shape, worker)).or_else(by_tasks).or_else(reserved)
}

/// Every worker's answer, counted: how many fit, and why the others do not, most frequent first. `never`: workers that the task may
/// not go to, whatever room they have. `around`: its siblings and other jobs. `kept`: workers with room that is kept for another. Revoked workers are no part
/// of the cluster and are left out.
pub fn count(
    view: &Hot,
    shape: &Shape,
    around: &Around<'_>,
    never: &[u32],
    kept: impl Fn(WorkerId, &Worker) -> bool,
) -> (u32, Vec<WaitReason>) {
    let mut fitting = 0;
    // Workers with different taints are counted apart.
    let mut refused: BTreeMap<(Refused, String), Alike<'_>> = BTreeMap::new();
    for (id, worker) in members(view) {
        match refusal(shape, around, never, &kept, (id, worker)) {
            None => fitting += 1,
            Some(reason) => {
                let taint = if reason.kind == WaitKind::Tainted { taints::first(shape, worker) } else { String::new() };
                refused.entry((reason, taint)).or_insert((0, (id, worker))).0 += 1;
            }
        }
    }
    let mut reasons: Vec<WaitReason> = refused
        .into_iter()
        .map(|((reason, _), (workers, first))| {
            let (message, example) = words(view, shape, around, first, reason);
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

fn words(
    view: &Hot,
    shape: &Shape,
    around: &Around<'_>,
    (id, worker): (WorkerId, &Worker),
    reason: Refused,
) -> (String, String) {
    let name_of = |id: WorkerId| view.workers.get(&id).map_or_else(|| id.to_string(), |w| w.name.clone());
    match reason.kind {
        WaitKind::NeverSeen | WaitKind::Lost | WaitKind::Revoked | WaitKind::Draining => {
            ready::words(worker, reason.kind)
        }
        WaitKind::MissingLabel => labels::words(shape, worker, reason.subject),
        WaitKind::UnmetExpression => expressions::words(shape, worker, reason.subject),
        WaitKind::Tainted => taints::words(shape, worker),
        WaitKind::Apart | WaitKind::Spread => {
            let rules = shape.rules.as_deref().cloned().unwrap_or_default();
            siblings::words(&rules, around.siblings, (id, worker), reason, name_of)
        }
        WaitKind::ApartFrom | WaitKind::TogetherWith | WaitKind::KeptAway => {
            around.others.map(|others| neighbours::words(others, (id, worker), reason, name_of)).unwrap_or_default()
        }
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
