//! The order of waiting jobs: each namespace has a queue of its own; in it priority (higher first), then submission, kept per shape, so that
//! a pass of the scheduler can drop a whole shape that fits nowhere and never walks a million jobs. Holds a job while it has an index ready
//! to place, under each shape that such an index has. Which namespace's turn it is, is not known here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, btree_map, btree_set};

use cloudai_types::{JobId, NamespaceId};

use crate::hot::ShapeId;

/// One priority's jobs, by shape; of each shape in the order of their submission.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// None of them is empty.
    by_shape: BTreeMap<ShapeId, BTreeSet<JobId>>,
    /// The first job of each shape: a pass that ends after some of ten thousand shapes has looked at no others.
    firsts: BTreeSet<(JobId, ShapeId)>,
}

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
        levels.0.entry(Reverse(priority)).or_default().insert(shape, job);
    }

    pub fn remove(&mut self, namespace: NamespaceId, priority: i16, shape: ShapeId, job: JobId) {
        let Some(levels) = self.by_namespace.get_mut(&namespace) else { return };
        let Some(level) = levels.0.get_mut(&Reverse(priority)) else { return };
        level.remove(shape, job);
        if level.by_shape.is_empty() {
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

impl Level {
    pub fn iter(&self) -> btree_map::Iter<'_, ShapeId, BTreeSet<JobId>> {
        self.by_shape.iter()
    }

    /// Each shape with its first job, in the order of those.
    pub fn firsts(&self) -> impl Iterator<Item = (JobId, ShapeId)> + '_ {
        self.firsts.iter().copied()
    }

    /// In the order of their submission.
    pub fn jobs_of(&self, shape: ShapeId) -> btree_set::Iter<'_, JobId> {
        self.by_shape.get(&shape).map(BTreeSet::iter).unwrap_or_default()
    }

    fn insert(&mut self, shape: ShapeId, job: JobId) {
        let jobs = self.by_shape.entry(shape).or_default();
        let first = jobs.first().copied();
        if first.is_none_or(|first| job < first) {
            first.map(|first| self.firsts.remove(&(first, shape)));
            self.firsts.insert((job, shape));
        }
        jobs.insert(job);
    }

    fn remove(&mut self, shape: ShapeId, job: JobId) {
        let Some(jobs) = self.by_shape.get_mut(&shape) else { return };
        let was_first = jobs.first() == Some(&job);
        jobs.remove(&job);
        if was_first {
            self.firsts.remove(&(job, shape));
            self.firsts.extend(jobs.first().map(|next| (*next, shape)));
        }
        if jobs.is_empty() {
            self.by_shape.remove(&shape);
        }
    }
}

impl<'a> IntoIterator for &'a Level {
    type Item = (&'a ShapeId, &'a BTreeSet<JobId>);
    type IntoIter = btree_map::Iter<'a, ShapeId, BTreeSet<JobId>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Levels {
    /// Highest priority first.
    pub fn iter(&self) -> impl Iterator<Item = (i16, &Level)> {
        self.0.iter().map(|(priority, level)| (priority.0, level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes and goes, each shape's first job is the one that a look at all of them finds.
        #[test]
        fn the_firsts_are_those_of_a_full_look(steps in prop::collection::vec((any::<bool>(), 0u32..4, 0u64..8), 0..200)) {
            let mut level = Level::default();
            for (comes, shape, job) in steps {
                match comes {
                    true => level.insert(ShapeId(shape), JobId(job)),
                    false => level.remove(ShapeId(shape), JobId(job)),
                }
                let mut firsts: Vec<_> = level.iter().map(|(shape, jobs)| (jobs.first().copied(), *shape)).collect();
                firsts.sort_unstable();
                prop_assert_eq!(level.firsts().map(|(job, shape)| (Some(job), shape)).collect::<Vec<_>>(), firsts);
            }
        }
    }
}
