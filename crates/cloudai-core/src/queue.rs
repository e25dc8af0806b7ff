//! The order of waiting jobs: each namespace has a queue of its own; in it priority (higher first), then submission, kept per shape, so that
//! a pass of the scheduler can drop a whole shape that fits nowhere and never walks a million jobs, and of each shape per user, so that it can
//! drop all jobs of one who has as much as a user may have. Holds a job while it has an index ready to place, under each shape that such an
//! index has. Which namespace's turn it is, is not known here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, btree_map, btree_set};
use std::iter::Peekable;

use cloudai_types::{JobId, NamespaceId};

use crate::hot::{Job, ShapeId};
use crate::users::UserId;

#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// None of them is empty.
    by_namespace: BTreeMap<NamespaceId, Levels>,
}

/// What waits of one namespace.
#[derive(Clone, Debug, Default)]
pub struct Levels(BTreeMap<Reverse<i16>, Level>);

/// One priority's jobs, by shape and user; of each in the order of their submission.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// None of them is empty.
    lines: BTreeMap<(ShapeId, UserId), BTreeSet<JobId>>,
    /// The first job of each: a pass that ends after some of ten thousand shapes has looked at no others.
    firsts: BTreeSet<(JobId, ShapeId, UserId)>,
}

/// One priority's jobs of one shape.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    from: Peekable<Entries<'a>>,
    users: usize,
}

type Entries<'a> = btree_map::Iter<'a, (ShapeId, UserId), BTreeSet<JobId>>;

impl Queue {
    /// Again for a job that is in already: no change.
    pub fn insert(&mut self, job: &Job, shape: ShapeId, id: JobId) {
        let levels = self.by_namespace.entry(job.namespace).or_default();
        levels.0.entry(Reverse(job.priority)).or_default().insert(shape, job.user, id);
    }

    pub fn remove(&mut self, job: &Job, shape: ShapeId, id: JobId) {
        let Some(levels) = self.by_namespace.get_mut(&job.namespace) else { return };
        let Some(level) = levels.0.get_mut(&Reverse(job.priority)) else { return };
        level.remove(shape, job.user, id);
        if level.lines.is_empty() {
            levels.0.remove(&Reverse(job.priority));
        }
        if levels.0.is_empty() {
            self.by_namespace.remove(&job.namespace);
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

impl Level {
    /// By shape.
    pub fn lines(&self) -> Lines<'_> {
        Lines { left: self.lines.iter().peekable() }
    }

    /// Each shape and user with their first job, in the order of those.
    pub fn firsts(&self) -> impl Iterator<Item = (JobId, ShapeId, UserId)> + '_ {
        self.firsts.iter().copied()
    }

    /// In the order of their submission.
    pub fn jobs_of(&self, shape: ShapeId, user: UserId) -> btree_set::Iter<'_, JobId> {
        self.lines.get(&(shape, user)).map(BTreeSet::iter).unwrap_or_default()
    }

    fn insert(&mut self, shape: ShapeId, user: UserId, job: JobId) {
        let jobs = self.lines.entry((shape, user)).or_default();
        let first = jobs.first().copied();
        if first.is_none_or(|first| job < first) {
            first.map(|first| self.firsts.remove(&(first, shape, user)));
            self.firsts.insert((job, shape, user));
        }
        jobs.insert(job);
    }

    fn remove(&mut self, shape: ShapeId, user: UserId, job: JobId) {
        let Some(jobs) = self.lines.get_mut(&(shape, user)) else { return };
        let was_first = jobs.first() == Some(&job);
        jobs.remove(&job);
        if was_first {
            self.firsts.remove(&(job, shape, user));
            self.firsts.extend(jobs.first().map(|next| (*next, shape, user)));
        }
        if jobs.is_empty() {
            self.lines.remove(&(shape, user));
        }
    }
}

/// See [`Level::lines`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    left: Peekable<Entries<'a>>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (ShapeId, Line<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.left.clone();
        let ((shape, _), _) = self.left.next()?;
        let mut users = 1;
        while self.left.next_if(|((next, _), _)| next == shape).is_some() {
            users += 1;
        }
        Some((*shape, Line { from, users }))
    }
}

impl<'a> Line<'a> {
    /// Each user's jobs, in the order of their submission. None of them is empty.
    pub fn users(self) -> impl Iterator<Item = (UserId, &'a BTreeSet<JobId>)> {
        self.from.take(self.users).map(|((_, user), jobs)| (*user, jobs))
    }

    /// Of all users.
    pub fn jobs(&self) -> usize {
        self.clone().users().map(|(_, jobs)| jobs.len()).sum()
    }

    /// The one that was submitted first.
    pub fn first(&self) -> Option<JobId> {
        self.clone().users().filter_map(|(_, jobs)| jobs.first().copied()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes and goes, the first job of each shape and user is the one that a look at all of them finds.
        #[test]
        fn the_firsts_are_those_of_a_full_look(
            steps in prop::collection::vec((any::<bool>(), 0u32..4, 0u32..3, 0u64..8), 0..200),
        ) {
            let mut level = Level::default();
            for (comes, shape, user, job) in steps {
                match comes {
                    true => level.insert(ShapeId(shape), UserId(user), JobId(job)),
                    false => level.remove(ShapeId(shape), UserId(user), JobId(job)),
                }
                let lines = level.lines().flat_map(|(shape, line)| line.users().map(move |(user, jobs)| (jobs, shape, user)));
                let mut firsts: Vec<_> = lines.map(|(jobs, shape, user)| (jobs.first().copied(), shape, user)).collect();
                firsts.sort_unstable();
                let kept = level.firsts().map(|(job, shape, user)| (Some(job), shape, user));
                prop_assert_eq!(kept.collect::<Vec<_>>(), firsts);
            }
        }
    }
}
