//! Why do tasks of a job wait, in one word? Comes in: the view, and the reservations of the last pass. Goes out: which groups of waiting tasks are
//! worth a look, and the main reason of each, for the record. [`crate::explain()`] says all of it, in sentences; who keeps the record is not known
//! here.

use std::collections::BTreeSet;

use cloudai_core::Hot;
use cloudai_core::hot::{Job, ShapeId};
use cloudai_core::users::UserId;
use cloudai_types::{JobId, NamespaceId, WaitCause, limits};

use crate::filter::WaitKind;
use crate::main_reason::{self, Depth, HeldBy};
use crate::reserve::Reservation;
use crate::withheld;

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
            groups.push(WaitingGroup::of(view, namespace, *shape, *job));
            true
        });
    }
    groups
}

impl WaitingGroup {
    /// Those of the job's tasks that the queue keeps under this shape.
    pub(crate) fn of(view: &Hot, namespace: NamespaceId, shape: ShapeId, job: JobId) -> Self {
        let is_own = view.jobs.get(&job).is_some_and(|job| job.shape == shape);
        let memory = view.shapes.get(shape).map_or(0, |shape| shape.resources.memory_bytes);
        // More than 32 bits hold is never asked for.
        let memory_mib = if is_own { 0 } else { u32::try_from(memory >> 20).unwrap_or(0) };
        WaitingGroup { job, memory_mib, namespace, shape }
    }

    /// Workers to which its first task may not go; `None`: nothing of it may be placed now.
    pub(crate) fn never<'a>(&self, view: &'a Hot, job: &'a Job) -> Option<&'a [u32]> {
        let apart = view.apart.get(self.job, self.memory_mib).filter(|_| self.memory_mib > 0 || !job.has_ready());
        match apart {
            Some(apart) => {
                let index = apart.ready.first()?;
                Some(job.waiting.as_ref()?.get(index)?.never())
            }
            None => (self.memory_mib == 0 && job.has_ready()).then_some(&[]),
        }
    }

    /// Groups of one namespace with this key in common wait for the same: one answer does for all of them. `None`: it has to be asked alone, because
    /// its job's other tasks matter, or other jobs, or where it failed.
    pub fn alike(&self, view: &Hot) -> Option<(NamespaceId, UserId, ShapeId)> {
        let (shape, job) = (view.shapes.get(self.shape)?, view.jobs.get(&self.job)?);
        let is_usual = self.memory_mib == 0 && job.has_ready() && view.job_labels.get(self.job).is_none();
        (is_usual && shape.gang == 0 && !shape.looks_at_siblings()).then_some((self.namespace, job.user, self.shape))
    }
}

/// What keeps the group from a worker now ([`crate::main_reason`]); `None`: nothing of it waits for one. Costs one look at each worker.
pub fn cause(view: &Hot, reserved: &[Reservation], group: &WaitingGroup) -> Option<Cause> {
    let found = main_reason::of_group(view, reserved, group, Depth::All)?;
    let some = |cause, workers| Some(Cause { cause, workers, of: found.members });
    match found.by {
        HeldBy::Quota => some(WaitCause::Quota, 0),
        HeldBy::UserQuota => some(WaitCause::UserQuota, 0),
        HeldBy::NoWorker => some(WaitCause::NoWorker, 0),
        HeldBy::Gang => some(WaitCause::Gang, found.fitting),
        HeldBy::Workers(kind) => {
            let cause = cause_of(kind);
            let alike = found.refused.iter().filter(|(kind, _)| cause_of(**kind) == cause);
            some(cause, alike.map(|(_, workers)| workers).sum())
        }
        HeldBy::Turn => match withheld::turn(view, group.namespace).filter(|turn| turn.before > 0) {
            Some(turn) => Some(Cause { cause: WaitCause::Turn, workers: turn.before as u32, of: turn.waiting as u32 }),
            None => some(WaitCause::Ahead, found.fitting),
        },
        // All were.
        HeldBy::NotLookedAt => None,
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
