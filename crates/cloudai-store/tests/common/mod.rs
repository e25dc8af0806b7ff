//! A small application over the real stores, and a network in memory that can be cut.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part; a test may fail loudly

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cloudai_raft::{
    Application, CallKind, CheckpointJob, HandleError, Link, LogBounds, LogEntry, LogPosition, LogStore, MetaKey,
    NodeId, OnDurable, PeerAddress, Purpose, Raft, Transport, TransportError,
};
use cloudai_store::{Keys, RocksLog, RocksState, RowsOverlay};
use futures::StreamExt;
use futures::stream::BoxStream;

/// Payload `KEY=VALUE`: sets a row. The reply is the number of changes so far, counted in a row of its own, so that an
/// entry applied twice or never shows.
pub struct Rows {
    pub state: RocksState,
    overlay: RowsOverlay,
    pub skipped: BTreeSet<u64>,
}

impl Rows {
    pub fn open(dir: &Path) -> Rows {
        let state = RocksState::open(dir).unwrap();
        Rows { overlay: RowsOverlay::new(&state), state, skipped: BTreeSet::new() }
    }
}

pub fn count(state: &RocksState) -> u64 {
    state.get(0, b"count").unwrap().map_or(0, |v| u64::from_le_bytes(v.try_into().unwrap()))
}

pub fn rows(state: &RocksState) -> Vec<(Vec<u8>, Vec<u8>)> {
    state.scan(1, Keys::All, false, usize::MAX).unwrap()
}

impl Application for Rows {
    type Reply = u64;

    fn apply(&mut self, index: u64, payload: Bytes) -> io::Result<u64> {
        let at = payload.iter().position(|b| *b == b'=').ok_or_else(|| io::Error::other("no = in it"))?;
        let last = self.overlay.get(0, b"last")?.map_or(0, |v| u64::from_le_bytes(v.try_into().unwrap()));
        assert!(index > last, "entry {index} after {last}");
        let n = self.overlay.get(0, b"count")?.map_or(0, |v| u64::from_le_bytes(v.try_into().unwrap())) + 1;
        self.overlay.put(0, b"last", &index.to_le_bytes());
        self.overlay.put(0, b"count", &n.to_le_bytes());
        self.overlay.put(1, &payload[..at], &payload[at + 1..]);
        Ok(n)
    }

    fn skip(&mut self, index: u64, _: Option<u64>) {
        self.skipped.insert(index);
    }

    fn commit(&mut self, mark: Bytes) -> io::Result<()> {
        self.overlay.commit(&mark)
    }

    fn mark(&self) -> io::Result<Option<Bytes>> {
        self.state.mark()
    }

    fn checkpoint(&self) -> io::Result<CheckpointJob> {
        Ok(Box::new(self.state.checkpoint()))
    }

    fn install(&mut self, dir: &Path) -> io::Result<()> {
        self.state.install(dir)?;
        self.overlay = RowsOverlay::new(&self.state);
        Ok(())
    }
}

/// A log whose disk can be said to hang.
#[derive(Clone)]
pub struct HangingLog {
    pub log: RocksLog,
    pub hangs: Arc<AtomicBool>,
}

impl LogStore for HangingLog {
    fn bounds(&self) -> io::Result<LogBounds> {
        self.log.bounds()
    }
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        self.log.read(from, to, bytes_max)
    }
    fn append(&self, entries: Vec<LogEntry>, on_durable: OnDurable) -> io::Result<()> {
        self.log.append(entries, on_durable)
    }
    fn truncate_after(&self, last: Option<u64>) -> io::Result<()> {
        self.log.truncate_after(last)
    }
    fn purge(&self, upto: LogPosition) -> io::Result<()> {
        self.log.purge(upto)
    }
    fn save_meta(&self, key: MetaKey, value: Option<Bytes>) -> io::Result<()> {
        self.log.save_meta(key, value)
    }
    fn save_meta_synced(&self, key: MetaKey, value: Bytes, on_durable: OnDurable) -> io::Result<()> {
        self.log.save_meta_synced(key, value, on_durable)
    }
    fn load_meta(&self, key: MetaKey) -> io::Result<Option<Bytes>> {
        self.log.load_meta(key)
    }
    fn busy_since(&self) -> Option<Instant> {
        match self.hangs.load(Ordering::Relaxed) {
            true => Instant::now().checked_sub(Duration::from_secs(60)),
            false => self.log.busy_since(),
        }
    }
}

type Node = Arc<Mutex<Option<Raft<Rows>>>>;

/// Every node's server side, and who is cut off.
#[derive(Clone, Default)]
pub struct Wires(Arc<Mutex<WiresInner>>);

#[derive(Default)]
struct WiresInner {
    nodes: std::collections::BTreeMap<NodeId, Node>,
    cut: BTreeSet<NodeId>,
    /// Damage the n-th chunk of the next snapshot.
    damage_chunk: Option<usize>,
    snapshots_sent: usize,
    /// Requests on append streams, by sender.
    appends: std::collections::BTreeMap<NodeId, usize>,
}

impl Wires {
    pub fn plug(&self, id: NodeId, raft: Raft<Rows>) {
        self.0.lock().unwrap().nodes.insert(id, Arc::new(Mutex::new(Some(raft))));
    }

    pub fn unplug(&self, id: NodeId) {
        if let Some(node) = self.0.lock().unwrap().nodes.remove(&id) {
            node.lock().unwrap().take();
        }
    }

    pub fn cut(&self, id: NodeId, is_cut: bool) {
        let mut w = self.0.lock().unwrap();
        if is_cut {
            w.cut.insert(id)
        } else {
            w.cut.remove(&id)
        };
    }

    pub fn damage_next_snapshot(&self, chunk: usize) {
        self.0.lock().unwrap().damage_chunk = Some(chunk);
    }

    pub fn snapshots_sent(&self) -> usize {
        self.0.lock().unwrap().snapshots_sent
    }

    /// So many requests this one has sent on append streams: not those without a stream, as heartbeats are.
    pub fn appends_of(&self, from: NodeId) -> usize {
        self.0.lock().unwrap().appends.get(&from).copied().unwrap_or(0)
    }

    pub fn transport(&self, me: NodeId) -> Wire {
        Wire { me, wires: Arc::downgrade(&self.0) }
    }
}

#[derive(Clone)]
pub struct Wire {
    me: NodeId,
    wires: Weak<Mutex<WiresInner>>,
}

pub struct WireLink {
    wire: Wire,
    target: NodeId,
}

impl Transport for Wire {
    type Link = WireLink;

    fn link(&self, peer: PeerAddress, _purpose: Purpose) -> WireLink {
        assert_eq!(peer.raft_addr, format!("host-{}:7602", peer.target));
        WireLink { wire: self.clone(), target: peer.target }
    }
}

fn is_open(wire: &Wire, target: NodeId) -> bool {
    let Some(w) = wire.wires.upgrade() else { return false };
    let w = w.lock().unwrap();
    !w.cut.contains(&wire.me) && !w.cut.contains(&target) && w.nodes.contains_key(&target)
}

impl Wire {
    fn appends(&self) {
        if let Some(w) = self.wires.upgrade() {
            *w.lock().unwrap().appends.entry(self.me).or_default() += 1;
        }
    }
}

impl WireLink {
    fn peer(&self) -> Result<Raft<Rows>, TransportError> {
        let gone = || TransportError::Unreachable(format!("{} is cut off", self.target));
        if !is_open(&self.wire, self.target) {
            return Err(gone());
        }
        let w = self.wire.wires.upgrade().ok_or_else(gone)?;
        let node = w.lock().unwrap().nodes.get(&self.target).cloned().ok_or_else(gone)?;
        let raft = node.lock().unwrap().clone();
        raft.ok_or_else(gone)
    }
}

fn broken(e: HandleError) -> TransportError {
    TransportError::Broken(e.to_string())
}

impl Link for WireLink {
    async fn call(&self, kind: CallKind, frame: Bytes, _deadline: Duration) -> Result<Bytes, TransportError> {
        let answer = self.peer()?.handle_call(kind, frame).await.map_err(broken)?;
        self.peer().map(|_| answer)
    }

    async fn append_stream(
        &self,
        frames: BoxStream<'static, Bytes>,
        _open_within: Duration,
    ) -> Result<BoxStream<'static, Result<Bytes, TransportError>>, TransportError> {
        let (counted, wire, target) = (self.wire.clone(), self.wire.clone(), self.target);
        let there = frames.inspect(move |_| counted.appends()).map(move |f| match is_open(&wire, target) {
            true => Ok(f),
            false => Err(TransportError::Broken("cut".into())),
        });
        let (wire, target) = (self.wire.clone(), self.target);
        let back = self.peer()?.handle_append_stream(there).map(move |r| {
            if is_open(&wire, target) { r.map_err(broken) } else { Err(TransportError::Broken("cut".into())) }
        });
        Ok(back.boxed())
    }

    async fn send_snapshot(&self, chunks: BoxStream<'static, io::Result<Bytes>>) -> Result<Bytes, TransportError> {
        let peer = self.peer()?;
        let damage = {
            let w = self.wire.wires.upgrade().unwrap();
            let mut w = w.lock().unwrap();
            w.snapshots_sent += 1;
            w.damage_chunk.take()
        };
        let chunks = chunks.enumerate().map(move |(i, c)| {
            let c = c.map_err(|e| TransportError::Broken(e.to_string()))?;
            Ok(if Some(i) == damage {
                let mut raw = c.to_vec();
                let last = raw.len() - 1;
                raw[last] ^= 1;
                Bytes::from(raw)
            } else {
                c
            })
        });
        peer.handle_snapshot(chunks.boxed()).await.map_err(broken)
    }
}
