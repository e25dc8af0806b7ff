//! Which attempt has which GPU: without this, two tasks that ask for one GPU each would get the same one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cloudai_types::AttemptId;

use super::UNPOISONED;

pub struct Gpus {
    count: u32,
    held: Mutex<BTreeMap<u32, AttemptId>>,
}

impl Gpus {
    pub fn new(count: u32) -> Self {
        Gpus { count, held: Mutex::new(BTreeMap::new()) }
    }

    /// The lowest free ones; `None` when there are not enough.
    pub fn allocate(&self, attempt: AttemptId, wanted: u32) -> Option<Vec<u32>> {
        let mut held = self.held.lock().expect(UNPOISONED);
        let free: Vec<u32> = (0..self.count).filter(|g| !held.contains_key(g)).take(wanted as usize).collect();
        if free.len() < wanted as usize {
            return None;
        }
        held.extend(free.iter().map(|g| (*g, attempt)));
        Some(free)
    }

    /// Of a container that was found.
    pub fn take(&self, attempt: AttemptId, gpus: &[u32]) {
        self.held.lock().expect(UNPOISONED).extend(gpus.iter().map(|g| (*g, attempt)));
    }

    pub fn release(&self, attempt: AttemptId) {
        self.held.lock().expect(UNPOISONED).retain(|_, a| *a != attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    #[test]
    fn no_gpu_is_held_twice() {
        let id = |n| AttemptId::new(JobId(1), n, 1);
        let gpus = Gpus::new(3);
        gpus.take(id(9), &[1]);
        assert_eq!(gpus.allocate(id(0), 2), Some(vec![0, 2]));
        assert_eq!(gpus.allocate(id(1), 1), None);
        assert_eq!(gpus.allocate(id(1), 0), Some(vec![]));
        gpus.release(id(9));
        assert_eq!(gpus.allocate(id(1), 1), Some(vec![1]));
    }
}
