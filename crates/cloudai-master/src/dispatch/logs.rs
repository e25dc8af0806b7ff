//! Log streams that this master has asked workers for. Comes in: a request of a user's call, and what a worker uploads. Goes out:
//! the worker's frames to the call that waits. Logs never travel on a session and never through Raft.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cloudai_proto::v1 as pb;
use cloudai_types::limits;
use tokio::sync::mpsc;

/// What the reader gets.
#[derive(Debug)]
pub enum Upload {
    Frames(pb::UploadLogRequest),
    Failed { reason: String, not_found: bool },
}

#[derive(Default)]
pub struct LogStreams {
    next: AtomicU64,
    /// With the name of the worker that was asked: nobody else may answer.
    open: Mutex<BTreeMap<u64, (String, mpsc::Sender<Upload>)>>,
}

const UNPOISONED: &str = "nothing panics under this lock";

impl LogStreams {
    pub fn open(&self, worker: &str) -> (u64, mpsc::Receiver<Upload>) {
        let id = self.next.fetch_add(1, Relaxed) + 1;
        let (tx, rx) = mpsc::channel(limits::LOG_UPLOAD_MESSAGES_MAX);
        let mut open = self.open.lock().expect(UNPOISONED);
        // Readers that went away leave a closed channel behind, also where no worker ever answered.
        open.retain(|_, (_, sender)| !sender.is_closed());
        open.insert(id, (worker.to_owned(), tx));
        (id, rx)
    }

    /// The way to the reader, for the worker that was asked. Ids are easily guessed: for another one the stream is not there.
    pub fn sender(&self, id: u64, worker: &str) -> Option<mpsc::Sender<Upload>> {
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
        let streams = LogStreams::default();
        let (id, _reader) = streams.open("w1");
        assert!(streams.sender(id, "w1").is_some());
        for other in ["w10", "w", "", "W1"] {
            assert!(streams.sender(id, other).is_none(), "'{other}'");
        }
        streams.close(id);
        assert!(streams.sender(id, "w1").is_none());
    }
}
