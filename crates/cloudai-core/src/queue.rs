//! The order of waiting jobs: priority (higher first), then submission, kept per shape, so that a pass of the scheduler can
//! drop a whole shape that fits nowhere and never walks a million jobs. Holds a job while it has an index ready to place, under each
//! shape that such an index has.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::JobId;

use crate::hot::ShapeId;

#[derive(Clone, Debug, Default)]
pub struct Queue {
    levels: BTreeMap<Reverse<i32>, BTreeMap<ShapeId, BTreeSet<JobId>>>,
}

impl Queue {
    /// Again for a job that is in already: no change.
    pub fn insert(&mut self, priority: i32, shape: ShapeId, job: JobId) {
        self.levels.entry(Reverse(priority)).or_default().entry(shape).or_default().insert(job);
    }

    pub fn remove(&mut self, priority: i32, shape: ShapeId, job: JobId) {
        let Some(level) = self.levels.get_mut(&Reverse(priority)) else { return };
        let Some(jobs) = level.get_mut(&shape) else { return };
        jobs.remove(&job);
        if jobs.is_empty() {
            level.remove(&shape);
        }
        if level.is_empty() {
            self.levels.remove(&Reverse(priority));
        }
    }

    /// Priority levels, highest first; in each, the jobs of each shape in submit order.
    pub fn levels(&self) -> impl Iterator<Item = (i32, &BTreeMap<ShapeId, BTreeSet<JobId>>)> {
        self.levels.iter().map(|(p, shapes)| (p.0, shapes))
    }

    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }
}
