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
    places: Arc<Semaphore>,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            ring: Mutex::default(),
            heard: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(limits::EVENT_WATCHERS_MAX)),
        }
    }
}

impl Events {
    /// The state is as of this index: what came before is not known here.
    pub fn begin(&self, index: u64) {
        self.ring.lock().expect(UNPOISONED).begin(index);
        self.heard.send_replace(index);
    }

    /// Of one entry, after its commit.
    pub fn add(&self, index: u64, at_ms: u64, news: Vec<News>) {
        self.ring.lock().expect(UNPOISONED).add(index, at_ms, news);
        self.heard.send_replace(index);
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
