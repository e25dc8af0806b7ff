//! What a worker keeps on its disk: endings that no master has acknowledged, the highest fence, the last renewal. Comes in: records.
//! Goes out: word of each ending that is durable; at a start, what was there. A dead process loses nothing that it had written;
//! a dead machine loses what was not synced, and its lease.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cloudai_agent::{EndingRecord, Fence, Input};
use cloudai_types::{AttemptId, Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::dice::Dice;

#[derive(Default)]
struct Inner {
    endings: BTreeMap<AttemptId, (EndingRecord, bool)>,
    /// As written, and as synced.
    fence: (Fence, Fence),
    renewed: Option<Timestamp>,
}

/// Cheap to clone; survives the agent.
#[derive(Clone, Default)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    dirty: Arc<Notify>,
}

const SYNC_MS: (u64, u64) = (1, 10);

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("the journal does not panic")
    }

    pub fn restore(&self) -> Input {
        let inner = self.lock();
        Input::Restored {
            fence: inner.fence.0,
            endings: inner.endings.values().map(|(e, _)| e.clone()).collect(),
            renewed: inner.renewed,
        }
    }

    pub fn ending(&self, ending: &EndingRecord) {
        self.lock().endings.insert(ending.attempt, (ending.clone(), false));
        self.dirty.notify_one();
    }

    pub fn forget(&self, attempt: AttemptId) {
        self.lock().endings.remove(&attempt);
    }

    pub fn fence(&self, fence: Fence) {
        self.lock().fence.0 = fence;
        self.dirty.notify_one();
    }

    pub fn renewed(&self, at: Option<Timestamp>) {
        self.lock().renewed = at;
    }

    pub fn power_cut(&self) {
        let mut inner = self.lock();
        inner.endings.retain(|_, (_, synced)| *synced);
        inner.fence.0 = inner.fence.1;
        inner.renewed = None;
    }

    /// Runs on the host, and dies with it.
    pub async fn sync(self, durable: mpsc::UnboundedSender<Input>, mut dice: Dice) {
        loop {
            self.dirty.notified().await;
            tokio::time::sleep(Duration::from_millis(dice.between(SYNC_MS.0, SYNC_MS.1))).await;
            let mut done = vec![];
            {
                let mut inner = self.lock();
                inner.fence.1 = inner.fence.0;
                for (attempt, (_, synced)) in &mut inner.endings {
                    if !*synced {
                        *synced = true;
                        done.push(*attempt);
                    }
                }
            }
            if !done.is_empty() {
                let _ = durable.send(Input::Persisted(done));
            }
        }
    }
}
