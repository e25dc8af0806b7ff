//! What keeps the tasks that wait, in figures: for metrics, where a text for each would be too many. Comes in: the view, and how many looks it may
//! cost. Goes out: tasks by one reason each ([`crate::main_reason`]), and since when the oldest job waits. `explain` has the words, and all reasons of one
//! task.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::Hot;
use cloudai_types::JobId;

use crate::cause::WaitingGroup;
use crate::main_reason::{self, Depth, HeldBy};
use crate::reserve::Reservation;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeldUp {
    /// Tasks that ask for the same are kept by the same, as their first job is; each is counted once.
    pub tasks: BTreeMap<HeldBy, u64>,
    /// Since when the oldest job with a task ready to start waits, in replicated time.
    pub oldest_since_ms: Option<u64>,
}

/// Looks at no more than `looks` pairs of a shape and a worker. `reserved`: by the last pass.
pub fn held_up(view: &Hot, reserved: &[Reservation], looks: usize) -> HeldUp {
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
                let group = WaitingGroup::of(view, namespace, shape, first);
                let found = main_reason::of_group(view, reserved, &group, Depth::Some(&mut left));
                let by = found.map_or(HeldBy::NotLookedAt, |found| found.by);
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
