//! The thread that makes the log durable: one fsync for everything that waits, callbacks first in, first out. Comes in:
//! callbacks of writes that RocksDB already has. Goes out: their completion. Knows nothing of entries.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use cloudai_raft::{OnDurable, OnFsync};
use cloudai_types::limits::DISK_SLOW;

/// How the log has been used since it was opened; for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    pub fsyncs: u64,
    pub fsync_micros: u64,
    pub appends: u64,
    pub entries: u64,
}

/// Written by the sync thread (and by append, for two counters).
#[derive(Default)]
pub struct Shared {
    pub busy_since: Mutex<Option<Instant>>,
    pub stats: Mutex<LogStats>,
    /// Set once, by whoever keeps the metrics.
    pub on_fsync: OnceLock<OnFsync>,
}

pub fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything taken from the queue before the flush was written before it was queued, so one flush covers all of it.
pub fn sync_loop(queue: Receiver<OnDurable>, shared: Arc<Shared>, flush: impl Fn() -> io::Result<()>) {
    // After one failed fsync nobody knows what is on the disk: never again say that something is.
    let mut broken: Option<String> = None;
    while let Ok(first) = queue.recv() {
        let mut waiting = vec![first];
        waiting.extend(queue.try_iter());
        if broken.is_none() {
            let start = Instant::now();
            *lock(&shared.busy_since) = Some(start);
            let result = flush();
            *lock(&shared.busy_since) = None;
            let took = start.elapsed();
            let mut stats = lock(&shared.stats);
            stats.fsyncs += 1;
            stats.fsync_micros += took.as_micros() as u64;
            drop(stats);
            if took > DISK_SLOW.as_duration() {
                tracing::warn!(
                    ms = took.as_millis() as u64,
                    writes = waiting.len(),
                    "the disk is slow: one fsync of the log took this long"
                );
            }
            if let Some(on_fsync) = shared.on_fsync.get() {
                on_fsync(took);
            }
            if let Err(e) = result {
                tracing::error!(error = %e, "the log cannot be synced to disk; this master stops");
                broken = Some(e.to_string());
            }
        }
        for on_durable in waiting {
            on_durable(match &broken {
                None => Ok(()),
                Some(why) => Err(io::Error::other(format!("the log cannot be synced: {why}"))),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn callbacks_come_first_in_first_out_and_share_fsyncs() {
        let (opened, gate) = channel();
        let (tx, rx) = channel();
        let (queue_tx, queue) = channel::<OnDurable>();
        let shared = Arc::new(Shared::default());
        let (seen, observed) = channel();
        assert!(shared.on_fsync.set(Box::new(move |took| seen.send(took).unwrap())).is_ok());
        for i in 0..100 {
            let tx = tx.clone();
            queue_tx.send(Box::new(move |r| tx.send((i, r.is_ok())).unwrap())).unwrap();
        }
        let s = shared.clone();
        let t = std::thread::spawn(move || sync_loop(queue, s, || gate.recv().map_err(io::Error::other)));
        assert!(rx.try_recv().is_err(), "nothing is durable before the flush");
        opened.send(()).unwrap();
        let order: Vec<(i32, bool)> = rx.iter().take(100).collect();
        assert_eq!(order, (0..100).map(|i| (i, true)).collect::<Vec<_>>());
        assert_eq!(lock(&shared.stats).fsyncs, 1, "one flush for all that waited");
        assert_eq!(observed.try_iter().count(), 1, "and metrics hear of it");
        drop(queue_tx);
        t.join().unwrap();
    }

    #[test]
    fn after_a_failed_fsync_nothing_is_ever_durable_again() {
        let (tx, rx) = channel();
        let (queue_tx, queue) = channel::<OnDurable>();
        let t = std::thread::spawn(move || {
            let first = std::cell::Cell::new(true);
            let flush = || if first.replace(false) { Err(io::Error::other("EIO")) } else { Ok(()) };
            sync_loop(queue, Arc::default(), flush)
        });
        for _ in 0..2 {
            let tx = tx.clone();
            queue_tx.send(Box::new(move |r| tx.send(r.is_ok()).unwrap())).unwrap();
            assert!(!rx.recv().unwrap());
        }
        drop(queue_tx);
        t.join().unwrap();
    }
}
