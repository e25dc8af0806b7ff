//! What workers fetch now. Comes in: their heartbeats. Goes out: a few words for whoever asks why a task does not run yet. In the leader's memory
//! only: nothing is decided by it, and a new leader hears of it with the next heartbeats.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cloudai_proto::v1::worker_message::ImagePull;
use cloudai_types::image::{Digest, pull_text};
use cloudai_types::{WorkerId, limits};
use tokio::time::Instant;

const UNPOISONED: &str = "nothing panics under this lock";

#[derive(Default)]
pub struct Pulls {
    by_worker: Mutex<BTreeMap<WorkerId, (Instant, Vec<ImagePull>)>>,
    /// How many workers are listed: nearly every heartbeat of nearly every worker tells of no pull, and need not meet the others at the lock.
    workers: AtomicUsize,
}

impl Pulls {
    /// A new leadership knows nothing yet.
    pub fn begin(&self) {
        let mut all = self.by_worker.lock().expect(UNPOISONED);
        all.clear();
        self.workers.store(0, Relaxed);
    }

    /// All that this worker fetches now. More or longer than a worker sends is left out.
    pub fn tell(&self, worker: WorkerId, mut pulls: Vec<ImagePull>) {
        // A worker's heartbeats come one after the other: what it told before is counted by now.
        if pulls.is_empty() && self.workers.load(Relaxed) == 0 {
            return;
        }
        let mut all = self.by_worker.lock().expect(UNPOISONED);
        if pulls.is_empty() {
            all.remove(&worker);
            self.workers.store(all.len(), Relaxed);
            return;
        }
        pulls.truncate(limits::HEARTBEAT_PULLS_MAX);
        pulls.retain(|p| p.image.len() <= limits::IMAGE_BYTES_MAX + 1 + Digest::BYTES);
        all.insert(worker, (Instant::now(), pulls));
        self.workers.store(all.len(), Relaxed);
    }

    /// `43 %, 120 MB/s`, if it is fetched there. What was told long ago is not told again.
    pub fn text(&self, worker: WorkerId, image: &str) -> Option<String> {
        self.text_at(Instant::now(), worker, image)
    }

    fn text_at(&self, now: Instant, worker: WorkerId, image: &str) -> Option<String> {
        let all = self.by_worker.lock().expect(UNPOISONED);
        let (at, pulls) = all.get(&worker)?;
        let pull = pulls.iter().find(|p| p.image == image)?;
        (now.saturating_duration_since(*at) < limits::LEASE.as_duration())
            .then(|| pull_text(pull.bytes, pull.bytes_total, pull.bytes_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(image: &str, bytes: u64) -> ImagePull {
        ImagePull { image: image.into(), bytes, bytes_total: 100, bytes_per_second: 1_500_000 }
    }

    #[test]
    fn the_last_heartbeat_counts_as_long_as_it_is_young() {
        let pulls = Pulls::default();
        pulls.tell(WorkerId(1), vec![pull("x", 10), pull("y", 20)]);
        pulls.tell(WorkerId(1), vec![pull("x", 43)]);
        assert_eq!(pulls.text(WorkerId(1), "x").as_deref(), Some("43 %, 1.5 MB/s"));
        assert_eq!((pulls.text(WorkerId(1), "y"), pulls.text(WorkerId(2), "x")), (None, None));
        let later = Instant::now() + limits::LEASE.as_duration();
        assert_eq!(pulls.text_at(later, WorkerId(1), "x"), None);
        pulls.tell(WorkerId(1), vec![]);
        assert!(pulls.by_worker.lock().unwrap().is_empty());
    }

    #[test]
    fn what_no_worker_sends_is_not_kept() {
        let pulls = Pulls::default();
        pulls.tell(WorkerId(1), (0..100).map(|n| pull(&"x".repeat(n * 20), 1)).collect());
        assert_eq!(pulls.by_worker.lock().unwrap()[&WorkerId(1)].1.len(), limits::HEARTBEAT_PULLS_MAX);
        pulls.tell(WorkerId(1), vec![pull(&"x".repeat(10_000), 1)]);
        assert!(pulls.by_worker.lock().unwrap()[&WorkerId(1)].1.is_empty());
        pulls.begin();
        assert!(pulls.by_worker.lock().unwrap().is_empty());
    }
}
