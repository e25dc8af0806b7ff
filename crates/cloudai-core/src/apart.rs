//! Waiting indexes that are not like their siblings: they ask for more memory than their spec says, or may not go to some workers. Comes
//! in: each that begins or ceases to wait, and each whose time comes. Goes out: which of them may be placed now, in groups that ask for the
//! same, so that a pass of the scheduler finds them without walking over the others. Who is placed where is not known here.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{JobId, TaskId};

use crate::hot::{Shape, ShapeId, Shapes, raised};

/// Those of all jobs. Empty but for jobs whose retry rules made some.
#[derive(Clone, Debug, Default)]
pub struct Apart {
    /// By job and memory in MiB; 0: as its spec says. None of them is empty.
    groups: BTreeMap<(JobId, u32), Group>,
}

/// Waiting indexes of one job that ask for the same.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they ask for: the job's own shape, or one that this group holds.
    pub shape: ShapeId,
    /// All of them, those whose time has not come included.
    pub waiting: u32,
    /// Those that may be placed now.
    pub ready: BTreeSet<u32>,
}

impl Apart {
    pub fn get(&self, job: JobId, memory_mib: u32) -> Option<&Group> {
        self.groups.get(&(job, memory_mib))
    }

    /// By job, then by memory in MiB.
    pub fn iter(&self) -> impl Iterator<Item = (JobId, u32, &Group)> {
        self.groups.iter().map(|((job, memory_mib), group)| (*job, *memory_mib, group))
    }

    /// Of all groups: how many indexes may be placed now.
    pub fn ready_len(&self) -> usize {
        self.groups.values().map(|group| group.ready.len()).sum()
    }

    /// True when one of the group may be placed now: exactly then its job is in the queue under its shape.
    pub fn is_ready(&self, job: JobId, memory_mib: u32) -> bool {
        self.get(job, memory_mib).is_some_and(|group| !group.ready.is_empty())
    }

    /// One more waits. `own` is its job's shape; what comes back is its own.
    pub(crate) fn add(
        &mut self,
        shapes: &mut Shapes,
        task: TaskId,
        own: ShapeId,
        memory_mib: u32,
        is_ready: bool,
    ) -> ShapeId {
        let group = self.groups.entry((task.job, memory_mib)).or_insert_with(|| {
            let like = shapes.get(own).filter(|_| memory_mib > 0).cloned();
            let shape = like.map_or(own, |like| shapes.intern(raised_shape(&like, memory_mib)));
            Group { shape, waiting: 0, ready: BTreeSet::new() }
        });
        group.waiting = group.waiting.saturating_add(1);
        if is_ready {
            group.ready.insert(task.index);
        }
        group.shape
    }

    /// Its time has come; `None`: it does not wait here.
    pub(crate) fn set_ready(&mut self, task: TaskId, memory_mib: u32) -> Option<ShapeId> {
        let group = self.groups.get_mut(&(task.job, memory_mib))?;
        group.ready.insert(task.index);
        Some(group.shape)
    }

    /// It waits no more. The last of a group takes the group's shape with it.
    pub(crate) fn remove(&mut self, shapes: &mut Shapes, task: TaskId, memory_mib: u32) -> Option<ShapeId> {
        let group = self.groups.get_mut(&(task.job, memory_mib))?;
        group.ready.remove(&task.index);
        group.waiting = group.waiting.saturating_sub(1);
        let shape = group.shape;
        if group.waiting == 0 {
            self.groups.remove(&(task.job, memory_mib));
            if memory_mib > 0 {
                shapes.release(shape);
            }
        }
        Some(shape)
    }
}

/// The same with more memory.
pub fn raised_shape(shape: &Shape, memory_mib: u32) -> Shape {
    Shape { resources: raised(&shape.resources, memory_mib), ..shape.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::Resources;

    #[test]
    fn a_group_holds_its_shape_while_somebody_waits_in_it() {
        let mut shapes = Shapes::default();
        let resources = Resources { memory_bytes: 32 << 20, ..Resources::default() };
        let own = shapes.intern(Shape { resources, require: vec![("zone".into(), "eu".into())], gang: 0, rules: None });
        let task = |index| TaskId { job: JobId(1), index };
        let mut apart = Apart::default();
        assert_eq!(apart.add(&mut shapes, task(0), own, 0, true), own, "as the spec says, not everywhere");
        let more = apart.add(&mut shapes, task(1), own, 48, false);
        assert_eq!(apart.add(&mut shapes, task(2), own, 48, true), more);
        let shape = shapes.get(more).expect("it is held").clone();
        assert_eq!((shape.resources.memory_bytes >> 20, shape.require.len()), (48, 1));
        assert_eq!((apart.is_ready(JobId(1), 48), apart.ready_len()), (true, 2));
        apart.remove(&mut shapes, task(2), 48);
        assert!(!apart.is_ready(JobId(1), 48));
        assert_eq!(apart.set_ready(task(1), 48), Some(more));
        assert!(apart.is_ready(JobId(1), 48));
        apart.remove(&mut shapes, task(1), 48);
        apart.remove(&mut shapes, task(0), 0);
        assert_eq!((apart.iter().count(), shapes.get(more).is_none(), shapes.get(own).is_some()), (0, true, true));
        assert_eq!(apart.remove(&mut shapes, task(0), 0), None);
    }
}
