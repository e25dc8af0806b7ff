//! What keeps the tasks that wait, in figures: for metrics, where a text for each would be too many. Comes in: the view, and how many looks it may
//! cost. Goes out: tasks by one reason each, and since when the oldest job waits. `explain` has the words, and all reasons of one task.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::Hot;
use cloudai_core::hot::ShapeId;
use cloudai_core::whereabouts::Whereabouts;
use cloudai_types::{JobId, NamespaceId};

use crate::filter::{self, WaitKind, siblings};
use crate::withheld;

/// What keeps a task. Closed, so that it may be a label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HeldBy {
    /// A worker would take it now: others are before it in the queue, or it starts in a moment.
    Turn,
    /// Its namespace may not have more.
    Quota,
    /// Its user may not have more.
    UserQuota,
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
            HeldBy::NoWorker => "no_worker",
            HeldBy::Workers(kind) => kind.name(),
            HeldBy::NotLookedAt => "not_looked_at",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeldUp {
    /// Tasks that ask for the same are kept by the same, as their first job is; each is counted once.
    pub tasks: BTreeMap<HeldBy, u64>,
    /// Since when the oldest job with a task ready to start waits, in replicated time.
    pub oldest_since_ms: Option<u64>,
}

/// Looks at no more than `looks` pairs of a shape and a worker.
pub fn held_up(view: &Hot, looks: usize) -> HeldUp {
    let mut out = HeldUp::default();
    let mut left = looks;
    let mut seen = BTreeSet::new();
    for (namespace, levels) in view.queue.namespaces() {
        for (priority, level) in levels.iter() {
            for (shape, line) in level.lines() {
                let Some(first) = line.first() else { continue };
                let since = waits_since(view, first);
                out.oldest_since_ms = Some(out.oldest_since_ms.map_or(since, |oldest| oldest.min(since)));
                if !seen.insert((priority, shape)) {
                    continue;
                }
                let by = held_by(view, namespace, shape, first, &mut left);
                *out.tasks.entry(by).or_default() += view.backlog.queued_of(priority, shape);
            }
        }
    }
    out
}

/// A job of a workflow waits for a worker since nothing else holds it back.
pub fn waits_since(view: &Hot, job: JobId) -> u64 {
    let submitted_ms = view.jobs.get(&job).map_or(view.clock_ms, |job| job.submitted_ms);
    submitted_ms.max(view.workflows.member(job).map_or(0, |member| member.released_ms))
}

fn held_by(view: &Hot, namespace: NamespaceId, shape: ShapeId, job: JobId, left: &mut usize) -> HeldBy {
    let Some(shape) = view.shapes.get(shape) else { return HeldBy::NotLookedAt };
    if withheld::over_quota(view, namespace, shape).is_some() {
        return HeldBy::Quota;
    }
    let user = view.jobs.get(&job).map_or("", |job| view.user_name(job));
    if withheld::over_user_quota(view, namespace, user, 1).is_some() {
        return HeldBy::UserQuota;
    }
    let whereabouts = Whereabouts::of(&view.workers, view.jobs.get(&job), shape);
    let mut nearest = None;
    for (id, worker) in filter::members(view) {
        if *left == 0 {
            return HeldBy::NotLookedAt;
        }
        *left -= 1;
        match filter::check(shape, worker).or_else(|| siblings::check(shape, &whereabouts, id, worker)) {
            None => return HeldBy::Turn,
            // Kinds are in the order of the filters: the last filter's no is the nearest to a yes.
            Some(refused) => nearest = nearest.max(Some(refused.kind)),
        }
    }
    nearest.map_or(HeldBy::NoWorker, HeldBy::Workers)
}
