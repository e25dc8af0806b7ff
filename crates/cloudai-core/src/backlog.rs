//! How much waits and how much is under way, kept as it changes. Comes in: each change of a job's counts. Goes out: totals, at no cost
//! that grows with the queue: with a million jobs a walk over them would hold up `apply` for as long as a tenth of a second.

use std::collections::BTreeMap;

use crate::hot::ShapeId;

/// Written by `apply` and `load` only, beside every change of a job's queued or active count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    queued: u64,
    active: u64,
    /// By priority and shape; none of them is zero.
    by_shape: BTreeMap<(i16, ShapeId), Tasks>,
}

/// Of one priority and shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tasks {
    queued: u64,
    /// Of jobs with this shape, whatever more memory a task of theirs was given.
    active: u64,
}

impl Backlog {
    /// So many tasks of one priority and shape became queued and active; less than zero: so many fewer.
    pub(crate) fn moved(&mut self, priority: i16, shape: ShapeId, queued: i64, active: i64) {
        self.queued = self.queued.saturating_add_signed(queued);
        self.active = self.active.saturating_add_signed(active);
        let of_shape = self.by_shape.entry((priority, shape)).or_default();
        of_shape.queued = of_shape.queued.saturating_add_signed(queued);
        of_shape.active = of_shape.active.saturating_add_signed(active);
        if *of_shape == Tasks::default() {
            self.by_shape.remove(&(priority, shape));
        }
    }

    /// Tasks that wait, those whose time has not come included.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Tasks with a live attempt.
    pub fn active(&self) -> u64 {
        self.active
    }

    /// Of the queued: those of one priority and shape.
    pub fn queued_of(&self, priority: i16, shape: ShapeId) -> u64 {
        self.by_shape.get(&(priority, shape)).map_or(0, |tasks| tasks.queued)
    }

    /// Each shape that queued or active tasks have, with how many those are; a shape in several priorities comes as often.
    pub fn by_shape(&self) -> impl Iterator<Item = (ShapeId, u64)> {
        self.by_shape.iter().map(|((_, shape), tasks)| (*shape, tasks.queued.saturating_add(tasks.active)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_follow_the_changes_and_nothing_is_kept_of_what_is_gone() {
        let mut b = Backlog::default();
        b.moved(5, ShapeId(1), 10, 0);
        b.moved(0, ShapeId(1), 3, 0);
        b.moved(5, ShapeId(1), -4, 4);
        assert_eq!((b.queued(), b.active()), (9, 4));
        assert_eq!((b.queued_of(5, ShapeId(1)), b.queued_of(0, ShapeId(1)), b.queued_of(1, ShapeId(1))), (6, 3, 0));
        assert_eq!(b.by_shape().collect::<Vec<_>>(), [(ShapeId(1), 3), (ShapeId(1), 10)]);
        b.moved(5, ShapeId(1), -6, 0);
        b.moved(0, ShapeId(1), -3, 0);
        b.moved(5, ShapeId(1), 0, -4);
        assert_eq!(b, Backlog::default());
    }
}
