//! What workers say which images they have, on its way to the scheduler. Comes in: their heartbeats, from many sessions. Goes out: the last word
//! of each, once, when the next pass asks. In the leader's memory only: a new leader hears of it with the next sessions.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cloudai_types::{WorkerId, limits};

const UNPOISONED: &str = "nothing panics under this lock";

#[derive(Default)]
pub struct ImagesHeld {
    news: Mutex<BTreeMap<WorkerId, Vec<u16>>>,
    /// There are some: nearly no pass finds any, and need not take the lock.
    is_new: AtomicBool,
}

impl ImagesHeld {
    /// A new leadership knows nothing yet.
    pub fn begin(&self) {
        self.news.lock().expect(UNPOISONED).clear();
    }

    /// All fingerprints of this worker's images. More than a worker sends are left out.
    pub fn tell(&self, worker: WorkerId, mut images: Vec<u16>) {
        images.truncate(limits::IMAGES_TOLD_MAX);
        self.news.lock().expect(UNPOISONED).insert(worker, images);
        self.is_new.store(true, Relaxed);
    }

    /// What was told since the last call.
    pub fn take(&self) -> BTreeMap<WorkerId, Vec<u16>> {
        match self.is_new.swap(false, Relaxed) {
            true => std::mem::take(&mut *self.news.lock().expect(UNPOISONED)),
            false => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_each_worker_is_taken_once() {
        let held = ImagesHeld::default();
        assert!(held.take().is_empty());
        held.tell(WorkerId(1), vec![7]);
        held.tell(WorkerId(2), vec![7; limits::IMAGES_TOLD_MAX + 1]);
        held.tell(WorkerId(1), vec![8]);
        let news = held.take();
        assert_eq!((&news[&WorkerId(1)], news[&WorkerId(2)].len()), (&vec![8], limits::IMAGES_TOLD_MAX));
        assert!(held.take().is_empty());
        held.tell(WorkerId(1), vec![9]);
        held.begin();
        assert!(held.take().is_empty());
    }
}
