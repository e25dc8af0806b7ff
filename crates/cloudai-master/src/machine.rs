//! The replicated state machine: core's `apply` over hot state and rows. Comes in: committed entries, in order. Goes out:
//! replies, one row batch per commit, and events and news to the [`Hub`] after the commit. Knows neither Raft's roles nor callers.
//!
//! Readers and `apply` share [`State`]: hot state and the writes that are not in the database yet, under one lock, so that a
//! reader always sees both as of the same log index.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Instant;

use bytes::Bytes;
use cloudai_core::load::LoadError;
use cloudai_core::news::{News, What};
use cloudai_core::rows::{Family, RowScan, Rows};
use cloudai_core::{Event, Hot, Proposal, Reply};
use cloudai_raft::{Application, CheckpointJob, DAMAGED};
use cloudai_telemetry::{MasterMetrics, SnapshotOp};
use cloudai_types::limits;
use prost::Message;

use crate::hub::Hub;
use crate::observed::Claims;
use crate::state_store::{RowWrites, StateStore};
use crate::traces::Traces;

/// Hot state plus the writes that the database does not have yet.
pub struct State {
    pub hot: Hot,
    /// Since the last commit began.
    pending: RowWrites,
    /// On their way into the database.
    committing: Arc<RowWrites>,
    /// The log index that `hot` stands at.
    pub index: u64,
}

/// What readers hold. Cheap to clone.
pub struct Shared<S> {
    state: Arc<RwLock<State>>,
    store: S,
}

impl<S: Clone> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Shared { state: self.state.clone(), store: self.store.clone() }
    }
}

/// Poison cannot spread wrong state here: `apply` is total, so a panic under this lock is a bug that ends the process.
const UNPOISONED: &str = "apply is total and readers do not panic under the lock";

impl<S: StateStore> Shared<S> {
    /// Loads hot state from the rows (I9).
    pub fn open(store: S) -> io::Result<Self> {
        let hot = load(&store)?;
        let index = marked_index(&store)?;
        let state = State { hot, pending: RowWrites::default(), committing: Arc::default(), index };
        Ok(Shared { state: Arc::new(RwLock::new(state)), store })
    }

    /// Never hold the guard across an await, and not for longer than a scheduling pass: `apply` waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect(UNPOISONED)
    }

    /// A row as of the same index as the state in `guard`.
    pub fn get(&self, guard: &State, family: Family, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match guard.pending.get(family, key).or_else(|| guard.committing.get(family, key)) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.store.get(family, key),
        }
    }

    /// A decoded row. A row that does not decode is damage, and named so.
    pub fn row<M: Message + Default>(&self, guard: &State, family: Family, key: &[u8]) -> io::Result<Option<M>> {
        self.get(guard, family, key)?.map(|bytes| decode(family, &bytes)).transpose()
    }

    /// Rows as of the same index, for those who go on without one that cannot be read.
    pub fn rows<'a>(&'a self, guard: &'a State) -> impl Rows + 'a {
        ReadRows { shared: self, state: guard }
    }

    /// Rows as of the last commit, which a linearizable read has waited for.
    pub fn store(&self) -> &S {
        &self.store
    }
}

pub fn decode<M: Message + Default>(family: Family, bytes: &[u8]) -> io::Result<M> {
    M::decode(bytes)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{DAMAGED}: a row of {family:?}: {e}")))
}

struct ReadRows<'a, S> {
    shared: &'a Shared<S>,
    state: &'a State,
}

impl<S: StateStore> Rows for ReadRows<'_, S> {
    fn get(&self, family: Family, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.get(self.state, family, key).ok().flatten()
    }
}

struct StoreRows<'a, S> {
    store: &'a S,
    error: std::cell::RefCell<Option<io::Error>>,
    /// Newest first.
    unwritten: &'a [&'a RowWrites],
}

impl<S: StateStore> Rows for StoreRows<'_, S> {
    fn get(&self, family: Family, key: &[u8]) -> Option<Vec<u8>> {
        if let Some(value) = self.unwritten.iter().find_map(|w| w.get(family, key)) {
            return value.map(<[u8]>::to_vec);
        }
        self.store.get(family, key).unwrap_or_else(|e| {
            self.error.borrow_mut().get_or_insert(e);
            None
        })
    }
}

/// What a start reads.
struct Scans<'a, S>(&'a S);

impl<S: StateStore> RowScan for Scans<'_, S> {
    fn scan(&self, family: Family, from: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        self.0.scan(family, from, None, false, each)
    }
}

/// The log index that the stored rows stand at.
fn marked_index<S: StateStore>(store: &S) -> io::Result<u64> {
    store.mark()?.map_or(Ok(0), |mark| cloudai_raft::index_of_mark(&mark))
}

fn load<S: StateStore>(store: &S) -> io::Result<Hot> {
    cloudai_core::load::load(&Scans(store)).map_err(|e| match e {
        LoadError::Io(e) => e,
        LoadError::Damaged { .. } => io::Error::new(io::ErrorKind::InvalidData, format!("{DAMAGED}: {e}")),
    })
}

/// The application that Raft drives.
pub struct Machine<S> {
    shared: Shared<S>,
    hub: Arc<Hub>,
    metrics: MasterMetrics,
    traces: Arc<Traces>,
    /// Events since the last commit, with their log index.
    events: Vec<(u64, Vec<Event>)>,
    /// News since the last commit, with their log index and time.
    news: Vec<(u64, u64, Vec<News>)>,
}

impl<S: StateStore> Machine<S> {
    pub fn new(shared: Shared<S>, hub: Arc<Hub>, metrics: MasterMetrics) -> Self {
        hub.events.begin(shared.read().index);
        Machine { shared, hub, metrics, traces: Arc::default(), events: vec![], news: vec![] }
    }

    /// One that tells what it applies as leader.
    #[must_use]
    pub fn traced(self, traces: Arc<Traces>) -> Self {
        Machine { traces, ..self }
    }
}

impl<S: StateStore> Application for Machine<S> {
    /// One reply per command of the entry.
    type Reply = Vec<Reply>;

    fn apply(&mut self, index: u64, payload: Bytes) -> io::Result<Vec<Reply>> {
        let proposal = Proposal::decode(payload).map_err(|e| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{DAMAGED}: log entry {index} does not decode: {e}"))
        })?;
        let mut guard = self.shared.state.write().expect(UNPOISONED);
        let begun = Instant::now();
        let State { hot, pending, committing, index: at } = &mut *guard;
        let leads = self.hub.leads.load(Relaxed);
        let claims = leads.then(|| Claims::of(hot, &proposal));
        let traced = if leads { self.traces.entry(&proposal) } else { None };
        let unwritten = [&*pending, &**committing];
        let rows = StoreRows { store: &self.shared.store, error: std::cell::RefCell::new(None), unwritten: &unwritten };
        let mut applied =
            cloudai_core::apply(hot, &rows, index, proposal).map_err(|e| io::Error::other(e.to_string()))?;
        if let Some(error) = rows.error.into_inner() {
            return Err(error);
        }
        pending.add_entry(std::mem::take(&mut applied.writes));
        *at = index;
        if let Some(claims) = claims {
            claims.count(hot, &self.metrics.leader);
        }
        self.metrics.apply_seconds.observe(begun.elapsed().as_secs_f64());
        let at_ms = hot.clock_ms;
        if let Some(traced) = traced {
            self.traces.applied(&traced, index, &applied, &guard.hot, &self.shared.rows(&guard));
        }
        if !applied.events.is_empty() {
            self.events.push((index, applied.events));
        }
        if !applied.news.is_empty() {
            self.news.push((index, at_ms, applied.news));
        }
        Ok(applied.replies)
    }

    fn skip(&mut self, index: u64, begins: Option<u64>) {
        self.shared.state.write().expect(UNPOISONED).index = index;
        // Blank entries have no time.
        self.news.extend(begins.map(|term| (index, 0, vec![News::of_cluster(What::LeaderChanged { term })])));
    }

    fn commit(&mut self, mark: Bytes) -> io::Result<()> {
        // The writes stay readable until the database has them.
        let writes = {
            let mut guard = self.shared.state.write().expect(UNPOISONED);
            guard.committing = Arc::new(std::mem::take(&mut guard.pending));
            guard.committing.clone()
        };
        let start = Instant::now();
        self.shared.store.write(&writes, mark)?;
        let took = start.elapsed();
        self.metrics.commit_seconds.observe(took.as_secs_f64());
        if took > limits::DISK_SLOW.as_duration() {
            tracing::warn!(
                ms = took.as_millis() as u64,
                bytes = writes.bytes(),
                "the state is slow: one commit took this long"
            );
        }
        self.shared.state.write().expect(UNPOISONED).committing = Arc::default();
        for (index, events) in self.events.drain(..) {
            self.hub.publish(index, events);
        }
        for (index, at_ms, news) in self.news.drain(..) {
            self.hub.events.add(index, at_ms, news);
        }
        Ok(())
    }

    fn mark(&self) -> io::Result<Option<Bytes>> {
        self.shared.store.mark()
    }

    fn checkpoint(&self) -> io::Result<CheckpointJob> {
        let (job, metrics) = (self.shared.store.checkpoint()?, self.metrics.clone());
        Ok(Box::new(move |dir| {
            let begun = Instant::now();
            let built = job(dir);
            metrics.snapshot_ended(SnapshotOp::Build, begun.elapsed(), built.is_ok());
            if built.is_ok() {
                metrics.snapshot_bytes.set(i64::try_from(size(dir)).unwrap_or(i64::MAX));
            }
            built
        }))
    }

    fn install(&mut self, dir: &Path) -> io::Result<()> {
        let begun = Instant::now();
        let installed = self.replace_by(dir);
        self.metrics.snapshot_ended(SnapshotOp::Install, begun.elapsed(), installed.is_ok());
        installed
    }
}

/// Of the flat files in a directory, in bytes; those that cannot be asked count nothing.
fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten();
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|meta| meta.len()).sum()
}

impl<S: StateStore> Machine<S> {
    /// Another state takes the place of this one.
    fn replace_by(&mut self, dir: &Path) -> io::Result<()> {
        self.shared.store.install(dir)?;
        let hot = load(&self.shared.store)?;
        let index = marked_index(&self.shared.store)?;
        let mut guard = self.shared.state.write().expect(UNPOISONED);
        guard.index = index;
        guard.hot = hot;
        guard.pending = RowWrites::default();
        self.events.clear();
        self.news.clear();
        drop(guard);
        self.hub.events.begin(index);
        self.hub.reset();
        Ok(())
    }
}
