//! Which workers have which images, as they say themselves. Comes in: all that one worker has, whenever that changed. Goes out: the workers
//! that have one. Images are fingerprints ([`cloudai_types::image::fingerprint`]); nothing here is truth, and a task may go anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use cloudai_types::WorkerId;

#[derive(Clone, Debug, Default)]
pub(crate) struct Images {
    by_worker: BTreeMap<WorkerId, Vec<u16>>,
    holders: BTreeMap<u16, BTreeSet<WorkerId>>,
}

impl Images {
    /// In the place of what it had before.
    pub fn set(&mut self, worker: WorkerId, images: Vec<u16>) {
        self.forget(worker);
        for image in &images {
            self.holders.entry(*image).or_default().insert(worker);
        }
        if !images.is_empty() {
            self.by_worker.insert(worker, images);
        }
    }

    pub fn retain(&mut self, is_there: impl Fn(WorkerId) -> bool) {
        let gone: Vec<WorkerId> = self.by_worker.keys().copied().filter(|worker| !is_there(*worker)).collect();
        gone.into_iter().for_each(|worker| self.forget(worker));
    }

    pub fn has(&self, worker: WorkerId, image: u16) -> bool {
        self.holders.get(&image).is_some_and(|holders| holders.contains(&worker))
    }

    /// Those that have it, each once, beginning behind `after`: whoever looks at a few of many sees others each time.
    pub fn holders(&self, image: u16, after: WorkerId) -> impl Iterator<Item = WorkerId> {
        let holders = self.holders.get(&image);
        let behind = holders.into_iter().flat_map(move |all| all.range((Bound::Excluded(after), Bound::Unbounded)));
        let others = holders.into_iter().flat_map(move |all| all.range(..=after));
        behind.chain(others).copied()
    }

    fn forget(&mut self, worker: WorkerId) {
        for image in self.by_worker.remove(&worker).unwrap_or_default() {
            if let Some(holders) = self.holders.get_mut(&image) {
                holders.remove(&worker);
                if holders.is_empty() {
                    self.holders.remove(&image);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(images: &Images, image: u16, after: u32) -> Vec<u32> {
        images.holders(image, WorkerId(after)).map(|worker| worker.0).collect()
    }

    #[test]
    fn what_a_worker_says_last_counts() {
        let mut images = Images::default();
        images.set(WorkerId(1), vec![7, 8, 8]);
        images.set(WorkerId(2), vec![8]);
        images.set(WorkerId(3), vec![8]);
        assert_eq!(
            (holders(&images, 8, 0), holders(&images, 8, 2), holders(&images, 9, 0)),
            (vec![1, 2, 3], vec![3, 1, 2], vec![])
        );
        images.set(WorkerId(1), vec![7]);
        assert_eq!(
            (holders(&images, 8, 0), images.has(WorkerId(1), 7), images.has(WorkerId(1), 8)),
            (vec![2, 3], true, false)
        );
        images.retain(|worker| worker == WorkerId(3));
        assert_eq!((holders(&images, 8, 9), holders(&images, 7, 0)), (vec![3], vec![]));
        images.set(WorkerId(3), vec![]);
        assert!(images.by_worker.is_empty() && images.holders.is_empty());
    }
}
