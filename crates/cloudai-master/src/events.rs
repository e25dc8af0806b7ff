//! What happened, shared by the machine that hears of it and the watchers that tell it. Comes in: news after each commit. Goes out: looks at the
//! ring, and a wake-up for whoever waits for more. A watcher asks for the next part itself, so one that is slow costs nothing but its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cloudai_core::News;
use cloudai_types::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::event_ring::EventRing;

const UNPOISONED: &str = "nothing panics under this lock";

/// One per master.
pub struct Events {
    ring: Mutex<EventRing>,
    /// The log index of the last news.
    heard: watch::Sender<u64>,
    /// Of workers alone, at the same positions: few, while a busy cluster has a great many of tasks.
    of_workers: Mutex<EventRing>,
    workers_heard: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            ring: Mutex::default(),
            heard: watch::Sender::new(0),
            of_workers: Mutex::new(EventRing::of(limits::WORKER_EVENTS_KEPT_MAX, limits::WORKER_EVENTS_KEPT_BYTES_MAX)),
            workers_heard: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(limits::EVENT_WATCHERS_MAX)),
        }
    }
}

impl Events {
    /// The state is as of this index: what came before is not known here.
    pub fn begin(&self, index: u64) {
        self.ring.lock().expect(UNPOISONED).begin(index);
        self.of_workers.lock().expect(UNPOISONED).begin(index);
        self.heard.send_replace(index);
        self.workers_heard.send_replace(index);
    }

    /// Of one entry, after its commit.
    pub fn add(&self, index: u64, at_ms: u64, news: Vec<News>) {
        let of_workers: Vec<(u32, News)> = (0..)
            .zip(&news)
            .filter(|(_, news)| news.kind().is_of_worker())
            .map(|(n, news)| (n, news.clone()))
            .collect();
        if !of_workers.is_empty() {
            self.of_workers.lock().expect(UNPOISONED).add_some(index, at_ms, of_workers);
            self.workers_heard.send_replace(index);
        }
        self.ring.lock().expect(UNPOISONED).add(index, at_ms, news);
        self.heard.send_replace(index);
    }

    /// As [`Events::look`], at what has become of workers.
    pub fn look_at_workers<T>(&self, look: impl FnOnce(&EventRing) -> T) -> T {
        look(&self.of_workers.lock().expect(UNPOISONED))
    }

    /// Changes with each entry that has news of a worker.
    pub fn workers_heard(&self) -> watch::Receiver<u64> {
        self.workers_heard.subscribe()
    }

    /// A short look: the machine waits for it.
    pub fn look<T>(&self, look: impl FnOnce(&EventRing) -> T) -> T {
        look(&self.ring.lock().expect(UNPOISONED))
    }

    /// Changes with each entry that has news.
    pub fn heard(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    /// A watcher's place; `None`: all are taken.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }
}

/// Who led in which term, as far as this master has heard: the log says only that a term began.
#[derive(Default)]
pub struct Leaders(Mutex<BTreeMap<u64, String>>);

impl Leaders {
    pub fn note(&self, term: u64, name: &str) {
        let mut leaders = self.0.lock().expect(UNPOISONED);
        if !name.is_empty() {
            leaders.insert(term, name.to_owned());
        }
        while leaders.len() > limits::LEADERS_REMEMBERED_MAX {
            leaders.pop_first();
        }
    }

    /// Empty: not known here.
    pub fn of(&self, term: u64) -> String {
        self.0.lock().expect(UNPOISONED).get(&term).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_ring::{Position, TooOld};
    use cloudai_core::news::What;
    use cloudai_types::{JobId, NamespaceId, WorkerId};

    fn all(ring: &EventRing) -> Result<Vec<Position>, TooOld> {
        Ok(ring.after(Position::behind(10), 9)?.map(|told| told.at).collect())
    }

    #[test]
    fn what_becomes_of_workers_is_kept_apart_at_the_same_positions() {
        let of_job = || News::of_job(NamespaceId(1), JobId(1), What::Placed);
        let of_worker = |what| News::of_worker(WorkerId(1), what);
        // A job's news of a worker is no news of the worker.
        let placed = of_job().on(WorkerId(1));
        let events = Events::default();
        events.begin(10);
        events.add(11, 0, vec![of_job(), of_worker(What::WorkerRegistered), placed.clone()]);
        events.add(12, 0, vec![placed]);
        events.add(13, 0, vec![of_worker(What::WorkerLost { attempts: 1 })]);
        events.add(14, 0, vec![of_job()]);
        let at = |index, number| Position { index, number };
        assert_eq!(events.look_at_workers(all), Ok(vec![at(11, 1), at(13, 0)]));
        assert_eq!(events.look(all).map(|told| told.len()), Ok(6));
        assert_eq!((*events.workers_heard().borrow(), *events.heard().borrow()), (13, 14));
    }
}
