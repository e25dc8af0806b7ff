//! What workers use, live, for whoever watches. Comes in: samples, from the sessions where this master leads, else from the leader. Goes out: a frame
//! for all watchers together, about twice a second, and to the sessions how much is wanted. In memory only: nothing is decided by it, nothing of it
//! is replicated, and it may be dropped at every step. Each watcher takes what it can; nothing is queued for it.

mod board;
mod json;
mod leading;
mod live;
mod relay;

use std::sync::{Arc, Mutex, MutexGuard};

use cloudai_proto::v1 as pb;
use cloudai_types::{Timestamp, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use board::{Board, Seen, Weight};
pub use board::{Said, Weights};
pub use leading::{lead, period_ms};
pub use live::MasterLive;
pub use relay::follow;

const UNPOISONED: &str = "nothing panics under this lock";

/// One per master.
pub struct Telemetry {
    started: Instant,
    board: Mutex<Board>,
    weights: Weights,
    frames: watch::Sender<Arc<Frame>>,
    /// Where the samples come from; grows with each new source.
    source: watch::Sender<Source>,
    watchers: watch::Sender<usize>,
    /// Milliseconds between two samples that each session shall send; 0: none.
    wanted_ms: watch::Sender<u32>,
    places: Arc<Semaphore>,
    relays: Arc<Semaphore>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Source {
    number: u64,
    /// It has said what it knows: a first look is worth it.
    is_ready: bool,
}

/// What is new since the frame before, made once for all watchers.
#[derive(Debug)]
pub struct Frame {
    source: u64,
    /// Versions: newer than the first, up to the second.
    from: u64,
    to: u64,
    said: Vec<(u64, Arc<Said>)>,
    json: std::sync::OnceLock<Vec<Part>>,
    _weight: Weight,
}

/// Some of a frame, as text.
type Part = (bytes::Bytes, Weight);

impl Default for Telemetry {
    fn default() -> Self {
        let weights = Weights::default();
        Telemetry {
            started: Instant::now(),
            board: Mutex::new(Board::new(weights.clone())),
            frames: watch::Sender::new(Arc::new(Frame::new(&weights, 0, 0, 0, vec![]))),
            weights,
            source: watch::Sender::default(),
            watchers: watch::Sender::default(),
            wanted_ms: watch::Sender::default(),
            places: Arc::new(Semaphore::new(limits::TELEMETRY_WATCHERS_MAX)),
            relays: Arc::new(Semaphore::new(limits::TELEMETRY_RELAYS_MAX)),
        }
    }
}

impl Frame {
    fn new(weights: &Weights, source: u64, from: u64, to: u64, said: Vec<(u64, Arc<Said>)>) -> Self {
        let weight = weights.add(size_of::<Frame>() + said.len() * size_of::<(u64, Arc<Said>)>());
        Frame { source, from, to, said, json: std::sync::OnceLock::new(), _weight: weight }
    }

    pub fn said(&self) -> impl Iterator<Item = &Arc<Said>> {
        self.said.iter().map(|(_, said)| said)
    }

    /// Of the samples that came after `seen`, those that are not in here.
    fn dropped(&self, seen: u64) -> u64 {
        let came = self.to.saturating_sub(self.from.max(seen));
        came.saturating_sub(self.said.iter().filter(|(version, _)| *version > seen).count() as u64)
    }
}

impl Telemetry {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect(UNPOISONED)
    }

    /// Milliseconds on the clock that [`Said::heard`] is of.
    pub fn now_ms(&self) -> u64 {
        self.now().0
    }

    /// This process's monotonic clock.
    fn now(&self) -> Timestamp {
        Timestamp(self.started.elapsed().as_millis() as u64)
    }

    /// A worker's sample, by its session here.
    pub fn tell(&self, worker: &str, sample: pb::UsageSample) {
        let now = self.now();
        self.board().tell(worker, sample, now);
    }

    /// What the leader tells this follower: `missed` samples were dropped on the way.
    fn take(&self, workers: Vec<pb::WorkerTelemetry>, missed: u64) {
        let now = self.now();
        let mut board = self.board();
        board.missed(missed);
        for told in workers {
            let heard = Timestamp(now.0.saturating_sub(told.age_ms));
            board.tell(&told.worker, told.sample.unwrap_or_default(), heard);
        }
    }

    /// Another source from now on; returns its number. What is known stays: it is the newest that anybody knows.
    fn begin(&self) -> u64 {
        let mut number = 0;
        self.source.send_modify(|source| {
            number = source.number + 1;
            *source = Source { number, is_ready: false };
        });
        number
    }

    fn is_ready(&self, number: u64, is_ready: bool) {
        self.source.send_if_modified(|source| {
            let changes = source.number == number && source.is_ready != is_ready;
            source.is_ready = if changes { is_ready } else { source.is_ready };
            changes
        });
    }

    /// A frame for all watchers, if there is anything to say.
    fn publish(&self) {
        let source = self.source.borrow().number;
        let mut board = self.board();
        board.forget_old(self.now());
        // Under the board's lock, so that frames follow each other without a gap.
        self.frames.send_if_modified(|last| {
            let (from, to) = (last.to, board.version());
            let is_news = to > from || source != last.source;
            if is_news {
                *last = Arc::new(Frame::new(&self.weights, source, from, to, board.since(from)));
            }
            is_news
        });
    }

    /// How much the sessions shall send; changes when somebody comes or the last one has left.
    pub fn wanted_ms(&self) -> watch::Receiver<u32> {
        self.wanted_ms.subscribe()
    }

    fn want(&self, period_ms: u32) {
        self.wanted_ms.send_if_modified(|wanted| std::mem::replace(wanted, period_ms) != period_ms);
    }

    /// A gRPC watcher's place; `None`: all are taken.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// A follower's place.
    pub fn relay_place(&self) -> Option<OwnedSemaphorePermit> {
        self.relays.clone().try_acquire_owned().ok()
    }

    /// Bytes of samples and frames that this process holds, those that watchers have in hand included.
    pub fn held_bytes(&self) -> usize {
        self.weights.total()
    }

    /// Somebody who wants to know, of all workers or of one.
    pub fn watch(self: &Arc<Self>, worker: Option<String>) -> Watcher {
        self.watchers.send_modify(|watchers| *watchers += 1);
        Watcher {
            frames: self.frames.subscribe(),
            source: None,
            seen: Seen::default(),
            dropped: 0,
            worker,
            telemetry: self.clone(),
        }
    }
}

/// Holds the versions that it has seen, and nothing else.
pub struct Watcher {
    telemetry: Arc<Telemetry>,
    /// `None`: all.
    worker: Option<String>,
    frames: watch::Receiver<Arc<Frame>>,
    /// `None`: it has taken nothing yet.
    source: Option<u64>,
    seen: Seen,
    dropped: u64,
}

/// What a watcher gets at once.
#[derive(Debug)]
pub struct Taken {
    /// A frame that others get as well, or one of its own.
    pub frame: Arc<Frame>,
    /// Samples that it has missed so far.
    pub dropped: u64,
    /// They have another source since the last time.
    pub resumed: bool,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.telemetry.watchers.send_modify(|watchers| *watchers -= 1);
    }
}

impl Watcher {
    /// Returns when there is a source that has said what it knows. Whoever waits has the deadline.
    pub async fn ready(&self) {
        // Closed: this master stops, and so does whoever waits.
        let _ = self.telemetry.source.subscribe().wait_for(|source| source.is_ready).await;
    }

    /// At first everything that is known, then what is new.
    pub async fn next(&mut self) -> Taken {
        loop {
            if self.source.is_some() && self.frames.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(taken) = self.take() {
                return taken;
            }
        }
    }

    fn take(&mut self) -> Option<Taken> {
        let frame = self.frames.borrow_and_update().clone();
        let is_first = self.source.is_none();
        let source = frame.source;
        let resumed = self.source.replace(source).is_some_and(|before| before != source);
        let frame = match &self.worker {
            Some(worker) => self.newest_of(&worker.clone(), source, is_first),
            None if is_first || self.seen.version < frame.from => self.catch_up(source, is_first),
            // It has caught up beyond this one.
            None if frame.to <= self.seen.version => None,
            None => {
                self.dropped += frame.dropped(self.seen.version);
                self.seen.version = frame.to;
                Some(frame)
            }
        };
        let frame = match frame {
            Some(frame) => frame,
            None if resumed => self.frame_of(source, vec![]),
            None => return None,
        };
        Some(Taken { frame, dropped: self.dropped, resumed })
    }

    fn frame_of(&self, source: u64, said: Vec<(u64, Arc<Said>)>) -> Arc<Frame> {
        Arc::new(Frame::new(&self.telemetry.weights, source, 0, 0, said))
    }

    /// Frames went by: the newest of everybody who has said something meanwhile.
    fn catch_up(&mut self, source: u64, is_first: bool) -> Option<Arc<Frame>> {
        let (version, said) = {
            let board = self.telemetry.board();
            (board.version(), board.since(self.seen.version))
        };
        if !is_first {
            self.dropped += (version - self.seen.version).saturating_sub(said.len() as u64);
        }
        self.seen.version = version;
        Some(self.frame_of(source, said))
    }

    fn newest_of(&mut self, worker: &str, source: u64, is_first: bool) -> Option<Arc<Frame>> {
        let newer = self.telemetry.board().of(worker, self.seen);
        let Some((seen, said)) = newer else { return is_first.then(|| self.frame_of(source, vec![])) };
        // Forgotten and heard again, it counts from one.
        if !is_first {
            self.dropped += seen.count.saturating_sub(self.seen.count).saturating_sub(1);
        }
        self.seen = seen;
        Some(self.frame_of(source, vec![(seen.version, said)]))
    }
}

#[cfg(test)]
mod tests;
