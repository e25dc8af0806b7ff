//! The tasks that a worker started. They end with it, before its `run` returns: a second worker in the same process (a test, many
//! hollow workers) must not meet the first one's.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Clone, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// `None` when it was ended from outside, at an await of its own.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move { stop.run_until_cancelled(future).await })
    }

    /// Ends all and waits until they are gone.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

/// Ends all, without waiting, when `run` is dropped or returns early.
pub struct StopOnDrop(pub Tasks);
