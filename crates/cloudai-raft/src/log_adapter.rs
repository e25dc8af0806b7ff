//! openraft's log storage over any `LogStore`. Comes in: openraft entries and votes. Goes out: the store's opaque
//! bytes, and completions in the order of the writes. Knows nothing of how a disk is synced.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cloudai_types::limits::{APPLY_READ_BYTES_MAX, LOG_READ_BYTES_MAX};
use futures::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};

use crate::codec;
use crate::log_store::{LogStore, MetaKey};
use crate::types::*;

/// Log store and log reader in one; clones share the store.
#[derive(Clone)]
pub struct LogAdapter<L> {
    store: L,
    /// The vote as it was written last. Read often (before and after each replication read), written by `save_vote` only.
    vote: Arc<Mutex<Option<Vote>>>,
}

impl<L: LogStore> LogAdapter<L> {
    pub fn open(store: L) -> io::Result<LogAdapter<L>> {
        let raw = store.load_meta(MetaKey::Vote)?;
        let vote = raw.map(|b| codec::decode::<codec::VoteMsg>("stored vote", b)).transpose()?.map(codec::vote_from);
        Ok(LogAdapter { store, vote: Arc::new(Mutex::new(vote)) })
    }

    /// The id of the entry at `index`; `None`: the log has none there.
    pub fn id_at(&self, index: u64) -> io::Result<Option<LogId>> {
        Ok(self.read(index, index.saturating_add(1), 1)?.first().map(|e| e.log_id))
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if from >= to {
            return Ok(vec![]);
        }
        let stored = self.store.read(from, to, bytes_max)?;
        for pair in stored.windows(2) {
            if pair[1].index != pair[0].index + 1 {
                return Err(codec::bad(format!("the log has a gap after entry {}", pair[0].index)));
            }
        }
        stored.into_iter().map(|e| codec::entry_from(e.term, e.index, e.body)).collect()
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(x) => *x,
        Bound::Excluded(x) => x + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(x) => x.saturating_add(1),
        Bound::Excluded(x) => *x,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl<L: LogStore> RaftLogReader<Types> for LogAdapter<L> {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX)
    }

    /// What replication reads. The byte cap belongs here: openraft caps the number of entries only.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, LOG_READ_BYTES_MAX)
    }

    /// What apply reads: piece by piece, so that a long catch-up never lies in memory at once.
    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let pieces = stream::try_unfold((self.clone(), from), move |(log, at)| async move {
            let entries = log.read(at, to, APPLY_READ_BYTES_MAX)?;
            let Some(last) = entries.last().map(|e| e.log_id.index) else {
                return Ok(None);
            };
            Ok::<_, io::Error>(Some((stream::iter(entries.into_iter().map(Ok)), (log, last + 1))))
        });
        Box::pin(futures::TryStreamExt::try_flatten(pieces))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(*self.vote.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<L: LogStore> RaftLogStorage<Types> for LogAdapter<L> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let b = self.store.bounds()?;
        Ok(LogState {
            last_purged_log_id: b.purged.map(codec::position_from),
            last_log_id: b.last.or(b.purged).map(codec::position_from),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let value = codec::encode(&codec::vote(vote));
        if vote.is_committed() {
            // A leader that a majority has elected: each of them synced its vote for it when it gave it, so that nobody else can be
            // elected in this term or before it, whatever the others forget. The first entry that is acknowledged in this term takes
            // this value to the disk: writes get there in their order (ADR 0009).
            self.store.save_meta(MetaKey::Vote, Some(value))?;
        } else {
            let (tx, rx) = tokio::sync::oneshot::channel();
            // Behind the appends that are already in the store's queue, as the protocol wants it.
            self.store.save_meta_synced(MetaKey::Vote, value, Box::new(move |r| drop(tx.send(r))))?;
            rx.await.map_err(|_| io::Error::other("the log's sync thread has ended"))??;
        }
        *self.vote.lock().unwrap_or_else(PoisonError::into_inner) = Some(*vote);
        Ok(())
    }

    // Not synced: an older value only means more entries to apply again after a restart.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let value: Option<Bytes> = committed.as_ref().map(|id| codec::encode(&codec::log_id(id)));
        self.store.save_meta(MetaKey::Committed, value)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let raw = self.store.load_meta(MetaKey::Committed)?;
        let id = raw.map(|b| codec::decode::<codec::LogIdMsg>("stored commit index", b)).transpose()?;
        Ok(id.map(codec::log_id_from))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|e| codec::stored_entry(&e)).collect();
        self.store.append(entries, Box::new(move |r| callback.io_completed(r)))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.store.truncate_after(last.map(|id| id.index))
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.store.purge(codec::position(&upto))
    }
}
