//! Empties write buffers in calm moments. Comes in, once a second: how many writes a database has seen, and how much of them lies in
//! memory only. Goes out: flushes, which RocksDB does beside everything else. Knows neither log nor rows.
//!
//! What lay in the buffers when a process died is read (the log) or applied (the state) once more by its next start. Large buffers are
//! good under load, and load is when nobody can afford a flush; after it, a second is enough to make a start short again.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::{io, thread};

use cloudai_types::limits::{CALM_FLUSH_BYTES_MIN, CALM_LOOKED_FOR_EVERY, CALM_WRITES_MAX};
use rocksdb::{ColumnFamily, DB, FlushOptions};

use crate::db::unflushed_bytes;

/// What a database has taken since it was opened.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// Single puts and deletes, ever.
    writes: u64,
    /// Of the buffers that are not written out.
    bytes: u64,
}

/// Decides, look by look.
#[derive(Default)]
struct Calm {
    writes: u64,
}

impl Calm {
    /// Whether this is a moment for a flush, and one is worth it.
    fn is_time(&mut self, taken: Taken) -> bool {
        let since = taken.writes.saturating_sub(self.writes);
        self.writes = taken.writes;
        since <= CALM_WRITES_MAX && taken.bytes >= CALM_FLUSH_BYTES_MIN
    }
}

/// Looks at one database.
#[derive(Default)]
pub struct Look(Calm);

impl Look {
    /// If it is time, its default family and `others` are flushed: a write-ahead log goes when no family needs it any more.
    pub fn at(&mut self, db: &DB, others: &[&ColumnFamily]) {
        let taken = Taken { writes: db.latest_sequence_number(), bytes: unflushed_bytes(db, others) };
        if !self.0.is_time(taken) {
            return;
        }
        let mut beside = FlushOptions::default();
        beside.set_wait(false);
        let flushed = db.flush_opt(&beside);
        let flushed = flushed.and_then(|()| others.iter().try_for_each(|family| db.flush_cf_opt(*family, &beside)));
        if let Err(error) = flushed {
            tracing::warn!(%error, "what is in memory could not be written out in a calm moment; the next start takes longer");
        }
    }
}

/// Looks until it is dropped; then what it held is free again.
pub struct Looking {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Looking {
    /// `name` of the thread; `look` must not block.
    pub fn start(name: &str, mut look: impl FnMut() + Send + 'static) -> io::Result<Looking> {
        let (stop, stopped) = channel::<()>();
        let every = CALM_LOOKED_FOR_EVERY.as_duration();
        let looking = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                look();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(looking)?;
        Ok(Looking { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks for calm moments panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_waits_for_a_calm_moment_and_for_enough_to_write() {
        let mut calm = Calm::default();
        let much = CALM_FLUSH_BYTES_MIN;
        assert!(!calm.is_time(Taken { writes: 100_000, bytes: much }), "load");
        assert!(!calm.is_time(Taken { writes: 200_000, bytes: much * 9 }), "load goes on; RocksDB's own limits hold");
        assert!(calm.is_time(Taken { writes: 200_000 + CALM_WRITES_MAX, bytes: much * 9 }), "calm");
        assert!(!calm.is_time(Taken { writes: 200_000 + CALM_WRITES_MAX, bytes: much - 1 }), "nothing worth a file");
    }
}
