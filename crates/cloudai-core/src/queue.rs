//! The order of waiting jobs: each namespace has a queue of its own; in it priority (higher first), then submission, kept per shape, so that
//! a pass of the scheduler can drop a whole shape that fits nowhere and never walks a million jobs. Holds a job while it has an index ready
//! to place, under each shape that such an index has. Which namespace's turn it is, is not known here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{JobId, NamespaceId};

use crate::hot::ShapeId;

/// One priority's jobs, by shape; of each shape in the order of their submission.
pub type Level = BTreeMap<ShapeId, BTreeSet<JobId>>;

#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// None of them is empty.
    by_namespace: BTreeMap<NamespaceId, Levels>,
}

/// What waits of one namespace.
#[derive(Clone, Debug, Default)]
pub struct Levels(BTreeMap<Reverse<i16>, Level>);

impl Queue {
    /// Again for a job that is in already: no change.
    pub fn insert(&mut self, namespace: NamespaceId, priority: i16, shape: ShapeId, job: JobId) {
        let levels = self.by_namespace.entry(namespace).or_default();
        levels.0.entry(Reverse(priority)).or_default().entry(shape).or_default().insert(job);
    }

    pub fn remove(&mut self, namespace: NamespaceId, priority: i16, shape: ShapeId, job: JobId) {
        let Some(levels) = self.by_namespace.get_mut(&namespace) else { return };
        let Some(level) = levels.0.get_mut(&Reverse(priority)) else { return };
        let Some(jobs) = level.get_mut(&shape) else { return };
        jobs.remove(&job);
        if jobs.is_empty() {
            level.remove(&shape);
        }
        if level.is_empty() {
            levels.0.remove(&Reverse(priority));
        }
        if levels.0.is_empty() {
            self.by_namespace.remove(&namespace);
        }
    }

    /// Namespaces in which something may be placed, with what that is.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = (NamespaceId, &Levels)> {
        self.by_namespace.iter().map(|(id, levels)| (*id, levels))
    }

    pub fn of(&self, namespace: NamespaceId) -> Option<&Levels> {
        self.by_namespace.get(&namespace)
    }

    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty()
    }
}

impl Levels {
    /// Highest priority first.
    pub fn iter(&self) -> impl Iterator<Item = (i16, &Level)> {
        self.0.iter().map(|(priority, level)| (priority.0, level))
    }
}
