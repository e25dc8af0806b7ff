//! The specs that one session remembers. Comes in: specs in the order in which the leader sends them. Goes out: the spec of a
//! job, as long as both ends remember it.
//!
//! Both ends run this same rule, so that neither needs to ask: the last `SESSION_SPECS_MAX` specs that were sent. The leader
//! may use `RecentSpecs<()>`.

use std::collections::{BTreeMap, VecDeque};

use cloudai_types::JobId;
use cloudai_types::limits::SESSION_SPECS_MAX;

#[derive(Clone, Debug)]
pub struct RecentSpecs<V> {
    values: BTreeMap<JobId, V>,
    order: VecDeque<JobId>,
}

impl<V> Default for RecentSpecs<V> {
    fn default() -> Self {
        RecentSpecs { values: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<V> RecentSpecs<V> {
    /// Remembers what was sent, and forgets the oldest beyond the limit. A job that is sent again keeps its place.
    pub fn insert(&mut self, job: JobId, value: V) {
        if self.values.insert(job, value).is_none() {
            self.order.push_back(job);
        }
        while self.order.len() > SESSION_SPECS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }

    pub fn get(&self, job: JobId) -> Option<&V> {
        self.values.get(&job)
    }

    pub fn contains(&self, job: JobId) -> bool {
        self.values.contains_key(&job)
    }

    pub fn clear(&mut self) {
        self.values.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first_and_a_repeat_costs_nothing() {
        let mut recent = RecentSpecs::default();
        for n in 0..SESSION_SPECS_MAX as u64 {
            recent.insert(JobId(n), n);
        }
        recent.insert(JobId(0), 7);
        assert_eq!(recent.get(JobId(0)), Some(&7));
        recent.insert(JobId(9_999), 1);
        assert!(!recent.contains(JobId(0)));
        assert!(recent.contains(JobId(1)) && recent.contains(JobId(9_999)));
    }
}
