//! What this master has asked workers for. Comes in: a user's call that waits, and what a worker dials in with. Goes out: the one to the other. What it
//! is, logs or something else, is not known here: it never travels on a session and never through Raft.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::mpsc;

/// Questions that are open, each with the way to who waits for its answer.
pub struct Streams<T> {
    next: AtomicU64,
    /// With the name of the worker that was asked: nobody else may answer.
    open: Mutex<BTreeMap<u64, (String, mpsc::Sender<T>)>>,
}

const UNPOISONED: &str = "nothing panics under this lock";

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Streams { next: AtomicU64::default(), open: Mutex::default() }
    }
}

impl<T> Streams<T> {
    /// `room`: messages in memory between the worker and who waits.
    pub fn open(&self, worker: &str, room: usize) -> (u64, mpsc::Receiver<T>) {
        let id = self.next.fetch_add(1, Relaxed) + 1;
        let (tx, rx) = mpsc::channel(room);
        let mut open = self.open.lock().expect(UNPOISONED);
        // Those who went away leave a closed channel behind, also where no worker ever answered.
        open.retain(|_, (_, sender)| !sender.is_closed());
        open.insert(id, (worker.to_owned(), tx));
        (id, rx)
    }

    /// The way to who waits, for the worker that was asked. Ids are easily guessed: for another one the stream is not there.
    pub fn sender(&self, id: u64, worker: &str) -> Option<mpsc::Sender<T>> {
        let open = self.open.lock().expect(UNPOISONED);
        open.get(&id).filter(|(asked, _)| asked == worker).map(|(_, sender)| sender.clone())
    }

    pub fn close(&self, id: u64) {
        self.open.lock().expect(UNPOISONED).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_worker_that_was_asked_can_answer() {
        let streams = Streams::<()>::default();
        let (id, _reader) = streams.open("w1", 1);
        assert!(streams.sender(id, "w1").is_some());
        for other in ["w10", "w", "", "W1"] {
            assert!(streams.sender(id, other).is_none(), "'{other}'");
        }
        streams.close(id);
        assert!(streams.sender(id, "w1").is_none());
    }
}
