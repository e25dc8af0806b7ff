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
    open: Mutex<BTreeMap<u64, mpsc::Sender<Upload>>>,
}

const UNPOISONED: &str = "nothing panics under this lock";

impl LogStreams {
    pub fn open(&self) -> (u64, mpsc::Receiver<Upload>) {
        let id = self.next.fetch_add(1, Relaxed) + 1;
        let (tx, rx) = mpsc::channel(limits::LOG_UPLOAD_MESSAGES_MAX);
        let mut open = self.open.lock().expect(UNPOISONED);
        // Readers that went away leave a closed channel behind, also where no worker ever answered.
        open.retain(|_, sender| !sender.is_closed());
        open.insert(id, tx);
        (id, rx)
    }

    pub fn sender(&self, id: u64) -> Option<mpsc::Sender<Upload>> {
        self.open.lock().expect(UNPOISONED).get(&id).cloned()
    }

    pub fn close(&self, id: u64) {
        self.open.lock().expect(UNPOISONED).remove(&id);
    }
}
