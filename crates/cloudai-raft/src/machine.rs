//! openraft's state machine over any `Application`. Comes in: committed entries in order, checkpoints to build or
//! install. Goes out: replies (only after the commit), and two watches: what is applied, and where the present term
//! began. Knows nothing of what an entry means.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cloudai_types::limits::{APPLY_BATCH_BYTES_MAX, APPLY_BATCH_ENTRIES_MAX};
use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;

use crate::application::{Application, CheckpointJob};
use crate::codec;
use crate::failpoint::Failpoint;
use crate::log_store::LogPosition;
use crate::runtime::blocking;
use crate::snapshot::{SnapshotDir, Snapshots};
use crate::types::*;

/// Where a term began in the applied log. A leader's term begins with its own blank entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TermStart {
    pub term: u64,
    pub index: u64,
}

/// Since when something has been going on. Written by the one who does it, read by the watchdog's thread.
#[derive(Debug, Default)]
pub struct BusySince(Mutex<Option<Instant>>);

impl BusySince {
    /// `None`: idle.
    pub fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Busy while `f` runs.
    pub fn during<T>(&self, f: impl FnOnce() -> T) -> T {
        self.set(Some(Instant::now()));
        let out = f();
        self.set(None);
        out
    }
}

/// What others see of the machine.
#[derive(Debug)]
pub struct Seen {
    /// The last index that was committed by the application.
    pub applied: watch::Sender<u64>,
    pub term_start: watch::Sender<TermStart>,
    pub commit_busy: BusySince,
}

/// The state machine: the application, and how far it is.
pub struct Machine<A> {
    /// A mutex only for `Sync`: everything goes through `get_mut`. `None` while (and after a failed) install.
    app: Mutex<Option<A>>,
    last: Option<LogId>,
    membership: StoredMembership,
    seen: Arc<Seen>,
    snapshots: Arc<Snapshots>,
}

impl<A: Application> Machine<A> {
    /// Load how far the application is. Its rows are its own business.
    pub fn open(app: A, snapshots: Arc<Snapshots>) -> io::Result<Machine<A>> {
        let (last, membership) = match app.mark()? {
            None => (None, StoredMembership::default()),
            Some(raw) => codec::mark_from(raw)?,
        };
        let applied = last.as_ref().map_or(0, |id| id.index);
        let term_start =
            last.as_ref().map_or(TermStart::default(), |id| TermStart { term: term_of(id), index: id.index });
        let seen = Seen {
            applied: watch::Sender::new(applied),
            term_start: watch::Sender::new(term_start),
            commit_busy: BusySince::default(),
        };
        Ok(Machine { app: Mutex::new(Some(app)), last, membership, seen: Arc::new(seen), snapshots })
    }

    pub fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    /// The entry that was applied last.
    pub fn position(&self) -> Option<LogPosition> {
        self.last.as_ref().map(codec::position)
    }

    fn app(&mut self) -> io::Result<&mut A> {
        let app = self.app.get_mut().unwrap_or_else(PoisonError::into_inner);
        app.as_mut().ok_or_else(|| io::Error::other("the state was lost in a failed snapshot install"))
    }

    /// Hand one entry to the application.
    fn take(&mut self, entry: Entry) -> io::Result<BoxedReply> {
        Failpoint::Apply.hit()?;
        let (id, index) = (entry.log_id, entry.log_id.index);
        let reply = match entry.payload {
            EntryPayload::Normal(p) => BoxedReply::new(self.app()?.apply(index, p.into_app())?),
            EntryPayload::Blank => {
                self.app()?.skip(index, Some(term_of(&id)));
                BoxedReply::default()
            }
            EntryPayload::Membership(m) => {
                self.app()?.skip(index, None);
                self.membership = StoredMembership::new(Some(id), m);
                BoxedReply::default()
            }
        };
        self.last = Some(id);
        Failpoint::Applied.hit()?;
        Ok(reply)
    }

    /// Write down what was taken, then let everybody see it.
    fn commit(&mut self, term_start: Option<TermStart>) -> io::Result<()> {
        Failpoint::ApplyCommit.hit()?;
        let mark = codec::mark(self.last.as_ref(), &self.membership);
        let seen = self.seen.clone();
        let app = self.app()?;
        seen.commit_busy.during(|| app.commit(mark))?;
        Failpoint::ApplyCommitted.hit()?;
        self.show(term_start);
        Ok(())
    }

    fn show(&self, term_start: Option<TermStart>) {
        self.seen.applied.send_replace(self.last.as_ref().map_or(0, |id| id.index));
        if let Some(start) = term_start {
            self.seen.term_start.send_replace(start);
        }
    }
}

impl<A: Application> RaftStateMachine<Types> for Machine<A> {
    type SnapshotData = Arc<SnapshotDir>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut more = true;
        while more {
            let (mut count, mut bytes, mut start, mut done) = (0, 0, None, vec![]);
            more = false;
            while let Some(item) = entries.next().await {
                let (entry, responder) = item?;
                let (term, index) = (term_of(&entry.log_id), entry.log_id.index);
                if self.last.as_ref().is_none_or(|last| term_of(last) < term) {
                    start = Some(TermStart { term, index });
                }
                count += 1;
                if let EntryPayload::Normal(p) = &entry.payload {
                    bytes += p.app().len();
                }
                let reply = self.take(entry)?;
                if let Some(responder) = responder {
                    done.push((responder, reply));
                }
                if count >= APPLY_BATCH_ENTRIES_MAX || bytes >= APPLY_BATCH_BYTES_MAX {
                    more = true;
                    break;
                }
            }
            if count == 0 {
                return Ok(());
            }
            self.commit(start)?;
            for (responder, reply) in done {
                responder.send(reply);
            }
            if more {
                // A long catch-up must not keep heartbeats from a single-threaded runtime.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// The view is taken here, between two runs of apply; the work is done elsewhere while apply goes on.
    async fn get_snapshot_builder(&mut self) -> Builder {
        let job = self.app().and_then(|app| app.checkpoint());
        Builder { job: Mutex::new(Some(job)), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Arc<SnapshotDir>) -> io::Result<()> {
        Failpoint::Install.hit()?;
        let app = self.app.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let mut app = app.ok_or_else(|| io::Error::other("the state was lost in a failed snapshot install"))?;
        let dir = snapshot.data();
        let source = snapshot.clone();
        let work = move || {
            let installed = source.verify().and_then(|()| app.install(&dir)).and_then(|()| app.mark());
            (app, installed)
        };
        let (app, installed) = blocking(work).await?;
        if let Err(e) = &installed
            && e.kind() != io::ErrorKind::InvalidData
        {
            // The state may have changed already, and then a start needs the checkpoint beside it. One that is itself
            // damaged goes, or every start would fail at it.
            self.snapshots.adopt(&snapshot)?;
        }
        let mark = installed?.ok_or_else(|| codec::bad("an installed snapshot without a mark"))?;
        let (last, membership) = codec::mark_from(mark)?;
        if last != meta.last_log_id {
            return Err(codec::bad("an installed snapshot holds another mark than its head said"));
        }
        self.app = Mutex::new(Some(app));
        (self.last, self.membership) = (last, membership);
        self.snapshots.adopt(&snapshot)?;
        Failpoint::Installed.hit()?;
        self.show(last.as_ref().map(|id| TermStart { term: term_of(id), index: id.index }));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, Arc<SnapshotDir>>>> {
        let Some(s) = self.snapshots.newest() else { return Ok(None) };
        Ok(Some(SnapshotOf::<Types, _> { meta: s.meta()?, snapshot: s }))
    }
}

/// Writes one checkpoint out.
pub struct Builder {
    /// A mutex only for `Sync`.
    job: Mutex<Option<io::Result<CheckpointJob>>>,
    snapshots: Arc<Snapshots>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Arc<SnapshotDir>;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, Arc<SnapshotDir>>> {
        let job = self.job.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let job = job.ok_or_else(|| io::Error::other("a snapshot builder builds once"))??;
        let snapshots = self.snapshots.clone();
        let built = blocking(move || snapshots.build(job)).await??;
        Ok(SnapshotOf::<Types, _> { meta: built.meta()?, snapshot: built })
    }
}
