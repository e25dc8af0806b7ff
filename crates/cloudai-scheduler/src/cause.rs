//! Why do tasks of a job wait, in one word? Comes in: the view, and the reservations of the last pass. Goes out: which groups of waiting tasks are
//! worth a look, and the main reason of each, for the record. [`crate::explain()`] says all of it, in sentences; who keeps the record is not known
//! here.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::Hot;
use cloudai_core::hot::{ShapeId, Worker};
use cloudai_core::users::UserId;
use cloudai_core::whereabouts::Whereabouts;
use cloudai_types::{JobId, NamespaceId, WaitCause, WorkerId, limits};

use crate::filter::{self, Around, WaitKind};
use crate::reserve::Reservation;
use crate::together;
use crate::withheld::{self, Seeker};

/// Tasks of one job that may be placed now and ask for the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WaitingGroup {
    pub job: JobId,
    /// 0: as the spec says.
    pub memory_mib: u32,
    pub namespace: NamespaceId,
    pub shape: ShapeId,
}

/// The main reason: so many workers say so, of how many; of a turn, namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cause {
    pub cause: WaitCause,
    pub workers: u32,
    pub of: u32,
}

/// The leader's memory of who waited when it last looked.
#[derive(Clone, Debug, Default)]
pub struct WaitWatch {
    last: BTreeSet<(JobId, u32)>,
    looks: usize,
}

impl WaitWatch {
    /// Of each namespace those that come first, as many from one as from another; of them, who waited at the last look as well. It costs a step
    /// for each of at most [`limits::NOTES_BATCH_MAX`] groups, and for each namespace.
    pub fn look(&mut self, view: &Hot) -> Vec<WaitingGroup> {
        let most = limits::NOTES_BATCH_MAX;
        let namespaces = view.queue.namespaces().len().max(1);
        // Where more wait than one look can take, each has its turn, for two looks.
        let from = if namespaces > most { (self.looks / 2).wrapping_mul(most) % namespaces } else { 0 };
        self.looks = self.looks.wrapping_add(1);
        let all = || view.queue.namespaces().map(|(namespace, _)| namespace);
        let in_turn = all().skip(from).chain(all().take(from)).take(most);
        let each = (most / namespaces).max(1);
        let mut groups: Vec<WaitingGroup> = in_turn.flat_map(|namespace| first_of(view, namespace, each)).collect();
        let now = groups.iter().map(|group| (group.job, group.memory_mib)).collect();
        let last = std::mem::replace(&mut self.last, now);
        groups.retain(|group| last.contains(&(group.job, group.memory_mib)));
        groups
    }
}

/// The first job of each user and shape in the order of priorities, then the second of each, and so on: those of one shape wait for the same.
fn first_of(view: &Hot, namespace: NamespaceId, most: usize) -> Vec<WaitingGroup> {
    let shapes = view.queue.of(namespace).into_iter().flat_map(|levels| levels.iter());
    let users =
        shapes.flat_map(|(_, level)| level.lines()).flat_map(|(shape, line)| line.users().map(move |u| (shape, u.1)));
    let mut lines: Vec<_> = users.take(most).map(|(shape, jobs)| (shape, jobs.iter())).collect();
    let mut groups = vec![];
    while !lines.is_empty() && groups.len() < most {
        lines.retain_mut(|(shape, jobs)| {
            let Some(job) = jobs.next().filter(|_| groups.len() < most) else { return false };
            let is_own = view.jobs.get(job).is_some_and(|job| job.shape == *shape);
            let memory = view.shapes.get(*shape).map_or(0, |shape| shape.resources.memory_bytes);
            // More than 32 bits hold is never asked for.
            let memory_mib = if is_own { 0 } else { u32::try_from(memory >> 20).unwrap_or(0) };
            groups.push(WaitingGroup { job: *job, memory_mib, namespace, shape: *shape });
            true
        });
    }
    groups
}

impl WaitingGroup {
    /// Groups of one namespace with this key in common wait for the same: one answer does for all of them. `None`: it has to be asked alone, because
    /// its job's other tasks matter, or other jobs, or where it failed.
    pub fn alike(&self, view: &Hot) -> Option<(NamespaceId, UserId, ShapeId)> {
        let (shape, job) = (view.shapes.get(self.shape)?, view.jobs.get(&self.job)?);
        let is_usual = self.memory_mib == 0 && job.has_ready() && view.job_labels.get(self.job).is_none();
        (is_usual && shape.gang == 0 && !shape.looks_at_siblings()).then_some((self.namespace, job.user, self.shape))
    }
}

/// What keeps the group from a worker now; `None`: nothing of it waits for one. Costs one look at each worker.
pub fn cause(view: &Hot, reserved: &[Reservation], group: &WaitingGroup) -> Option<Cause> {
    let job = view.jobs.get(&group.job)?;
    let shape = view.shapes.get(group.shape)?;
    let apart = view.apart.get(group.job, group.memory_mib).filter(|_| group.memory_mib > 0 || !job.has_ready());
    let never = match apart {
        Some(apart) => {
            let index = apart.ready.first()?;
            job.waiting.as_ref()?.get(index)?.never()
        }
        None if group.memory_mib == 0 && job.has_ready() => &[],
        None => return None,
    };
    let limit_ms = view.time_limit_ms(group.job);
    let user = view.user_name(job);
    let seeker = Seeker {
        namespace: Some(job.namespace),
        user,
        priority: job.priority.into(),
        job: group.job,
        limit_ms,
        labels: view.job_labels.get(group.job),
    };
    let kept = |id: WorkerId, worker: &Worker| {
        let is_own = reserved.iter().any(|r| r.shape == group.shape && r.worker == id);
        !is_own && withheld::keeps_away(view, reserved, &seeker, shape, (id, worker)).is_some()
    };
    let whereabouts = Whereabouts::of(&view.workers, Some(job), shape);
    let beside = seeker.beside(view, shape);
    let around = Around { siblings: &whereabouts, others: beside.as_ref() };
    let (fitting, reasons) = filter::count(view, shape, &around, never, kept);
    let of = filter::members(view).count() as u32;
    let some = |cause, workers| Some(Cause { cause, workers, of });
    if withheld::over_quota(view, job.namespace, shape).is_some() {
        return some(WaitCause::Quota, 0);
    }
    let siblings = if shape.gang > 0 { job.counts.queued } else { 1 };
    if withheld::over_user_quota(view, job.namespace, user, siblings).is_some() {
        return some(WaitCause::UserQuota, 0);
    }
    if of == 0 {
        return some(WaitCause::NoWorker, 0);
    }
    if siblings > 1 && fitting > 0 && together::lacking(view, reserved, &seeker, shape, siblings).is_some() {
        return some(WaitCause::Gang, fitting);
    }
    let mut by_cause: BTreeMap<WaitCause, u32> = BTreeMap::new();
    for reason in reasons {
        *by_cause.entry(cause_of(reason.kind)).or_default() += reason.workers;
    }
    let most = by_cause.into_iter().max_by_key(|(cause, workers)| (*workers, std::cmp::Reverse(*cause)));
    match most.filter(|_| fitting == 0) {
        Some((cause, workers)) => some(cause, workers),
        None => match withheld::turn(view, job.namespace).filter(|turn| turn.before > 0) {
            Some(turn) => Some(Cause { cause: WaitCause::Turn, workers: turn.before as u32, of: turn.waiting as u32 }),
            None => some(WaitCause::Ahead, fitting),
        },
    }
}

fn cause_of(kind: WaitKind) -> WaitCause {
    match kind {
        WaitKind::NeverSeen | WaitKind::Lost | WaitKind::Revoked => WaitCause::NotReady,
        WaitKind::Draining => WaitCause::Draining,
        WaitKind::MissingLabel | WaitKind::UnmetExpression => WaitCause::Label,
        WaitKind::Tainted => WaitCause::Tainted,
        WaitKind::TooSmall => WaitCause::TooSmall,
        WaitKind::Busy => WaitCause::Busy,
        WaitKind::AttemptsFull => WaitCause::Full,
        WaitKind::Apart => WaitCause::Apart,
        WaitKind::Spread => WaitCause::Spread,
        WaitKind::ApartFrom | WaitKind::KeptAway => WaitCause::ApartFrom,
        WaitKind::TogetherWith => WaitCause::TogetherWith,
        WaitKind::Avoided => WaitCause::Avoided,
        WaitKind::Reserved => WaitCause::Reserved,
    }
}
