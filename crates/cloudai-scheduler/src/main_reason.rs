//! The one reason that stands for all. Comes in: what a look at the workers found, or the view and a group of waiting tasks to look for. Goes out: what
//! keeps them, in one word. Notes ([`crate::cause`]), metrics ([`crate::held_up()`]) and the first sentence of an explanation all decide here, so that they
//! never say different things.
//!
//! Of several workers the one that comes nearest to taking the task counts, however many others say something else: a hundred without a label and
//! one that is full mean that the task waits for the full one. What most of them say names workers that do not matter.

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::hot::Worker;
use cloudai_core::whereabouts::Whereabouts;
use cloudai_types::WorkerId;

use crate::cause::WaitingGroup;
use crate::filter::{self, Around, WaitKind, WaitReason};
use crate::reserve::Reservation;
use crate::together;
use crate::withheld::{self, Seeker};

/// What keeps a task. Closed, so that it may be a label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HeldBy {
    /// A worker would take it now: others are before it in the queue, or it starts in a moment.
    Turn,
    /// Its namespace may not have more.
    Quota,
    /// Its user may not have more.
    UserQuota,
    /// It starts together with its siblings, and there is room for some of them.
    Gang,
    /// No worker is known that was not revoked.
    NoWorker,
    /// What is missing on the worker that comes nearest to taking it.
    Workers(WaitKind),
    /// There are so many different shapes and workers that this one's turn to be looked at did not come.
    NotLookedAt,
}

impl HeldBy {
    /// The word in metrics.
    pub fn name(self) -> &'static str {
        match self {
            HeldBy::Turn => "turn",
            HeldBy::Quota => "quota",
            HeldBy::UserQuota => "user_quota",
            HeldBy::Gang => "gang",
            HeldBy::NoWorker => "no_worker",
            HeldBy::Workers(kind) => kind.name(),
            HeldBy::NotLookedAt => "not_looked_at",
        }
    }
}

/// Kinds are in the order of the filters: the last filter's no is the nearest to a yes. Only a worker that the job's own rules rule out is the furthest
/// away, whatever else it lacks: nothing that happens there will help.
pub(crate) fn nearness(kind: WaitKind) -> (bool, WaitKind) {
    (kind != WaitKind::Avoided, kind)
}

/// Of several reasons the one of the worker that comes nearest to taking the task; of one kind, what most workers lack.
pub fn nearest_reason(reasons: &[WaitReason]) -> Option<&WaitReason> {
    reasons.iter().max_by_key(|reason| (nearness(reason.kind), reason.workers))
}

/// All that the decision looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub is_over_quota: bool,
    pub is_over_user_quota: bool,
    /// Workers that were not revoked, and those of them that would take it now.
    pub members: u32,
    pub fitting: u32,
    /// There is no room for all that start together with it.
    pub lacks_siblings: bool,
    /// Of those that would not.
    pub nearest: Option<WaitKind>,
}

pub(crate) fn main_reason(facts: &Facts) -> HeldBy {
    match facts {
        Facts { is_over_quota: true, .. } => HeldBy::Quota,
        Facts { is_over_user_quota: true, .. } => HeldBy::UserQuota,
        Facts { members: 0, .. } => HeldBy::NoWorker,
        Facts { fitting: 1.., lacks_siblings: true, .. } => HeldBy::Gang,
        Facts { fitting: 1.., .. } => HeldBy::Turn,
        Facts { nearest, .. } => nearest.map_or(HeldBy::NoWorker, HeldBy::Workers),
    }
}

/// How many workers are asked.
pub(crate) enum Depth<'a> {
    /// All of them: they are counted.
    All,
    /// Until one would take it, and no more than are left.
    Some(&'a mut usize),
}

/// What a group waits for, and what its look has counted.
pub(crate) struct Found {
    pub by: HeldBy,
    pub members: u32,
    pub fitting: u32,
    pub refused: BTreeMap<WaitKind, u32>,
}

/// `None`: nothing of the group waits for a worker.
pub(crate) fn of_group(
    view: &Hot,
    reserved: &[Reservation],
    group: &WaitingGroup,
    mut depth: Depth<'_>,
) -> Option<Found> {
    let job = view.jobs.get(&group.job)?;
    let shape = view.shapes.get(group.shape)?;
    let never = group.never(view, job)?;
    let user = view.user_name(job);
    let siblings = if shape.gang > 0 { job.counts.queued } else { 1 };
    let mut facts = Facts {
        is_over_quota: withheld::over_quota(view, job.namespace, shape).is_some(),
        is_over_user_quota: withheld::over_user_quota(view, job.namespace, user, siblings).is_some(),
        members: filter::members(view).count() as u32,
        ..Facts::default()
    };
    let mut refused = BTreeMap::new();
    let found =
        |by, facts: &Facts, refused| Some(Found { by, members: facts.members, fitting: facts.fitting, refused });
    if facts.is_over_quota || facts.is_over_user_quota {
        return found(main_reason(&facts), &facts, refused);
    }
    let seeker = Seeker {
        namespace: Some(job.namespace),
        user,
        priority: job.priority.into(),
        job: group.job,
        limit_ms: view.time_limit_ms(group.job),
        labels: view.job_labels.get(group.job),
    };
    let kept = |id: WorkerId, worker: &Worker| {
        let is_own = reserved.iter().any(|r| r.shape == group.shape && r.worker == id);
        !is_own && withheld::keeps_away(view, reserved, &seeker, shape, (id, worker)).is_some()
    };
    let whereabouts = Whereabouts::of(&view.workers, Some(job), shape);
    let beside = seeker.beside(view, shape);
    let around = Around { siblings: &whereabouts, others: beside.as_ref() };
    for (id, worker) in filter::members(view) {
        if let Depth::Some(left) = &mut depth {
            if facts.fitting > 0 {
                break;
            }
            if **left == 0 {
                return found(HeldBy::NotLookedAt, &facts, refused);
            }
            **left -= 1;
        }
        match filter::refusal(shape, &around, never, &kept, (id, worker)) {
            None => facts.fitting += 1,
            Some(no) => *refused.entry(no.kind).or_default() += 1,
        }
    }
    facts.nearest = refused.keys().copied().max_by_key(|kind| nearness(*kind));
    facts.lacks_siblings =
        siblings > 1 && facts.fitting > 0 && together::lacking(view, reserved, &seeker, shape, siblings).is_some();
    found(main_reason(&facts), &facts, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_worker_can_help_with_comes_first_and_then_the_nearest_worker() {
        let busy = Facts { members: 3, nearest: Some(WaitKind::Busy), ..Facts::default() };
        let fits = Facts { fitting: 1, ..busy };
        for (facts, by) in [
            (Facts { is_over_quota: true, is_over_user_quota: true, ..fits }, HeldBy::Quota),
            (Facts { is_over_user_quota: true, ..busy }, HeldBy::UserQuota),
            (Facts::default(), HeldBy::NoWorker),
            (Facts { lacks_siblings: true, ..fits }, HeldBy::Gang),
            (Facts { lacks_siblings: true, ..busy }, HeldBy::Workers(WaitKind::Busy)),
            (fits, HeldBy::Turn),
            (busy, HeldBy::Workers(WaitKind::Busy)),
        ] {
            assert_eq!(main_reason(&facts), by, "{facts:?}");
        }
    }

    #[test]
    fn a_worker_that_is_ruled_out_is_further_away_than_one_that_never_came() {
        let mut kinds = [WaitKind::Reserved, WaitKind::Avoided, WaitKind::NeverSeen, WaitKind::Busy, WaitKind::Tainted];
        kinds.sort_unstable_by_key(|kind| nearness(*kind));
        let order = [WaitKind::Avoided, WaitKind::NeverSeen, WaitKind::Tainted, WaitKind::Busy, WaitKind::Reserved];
        assert_eq!(kinds, order);
    }
}
