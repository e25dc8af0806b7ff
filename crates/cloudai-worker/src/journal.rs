//! Endings that no master has acknowledged yet, and the highest fence, on disk. Comes in: records, in any number. Goes out:
//! word of each ending that is durable; at a start, what was there.
//!
//! One append-only file of frames (length, XXH3, protobuf), written by one thread: everything that waits when it comes back from
//! an fsync shares the next one. A torn tail is cut off; so is whatever follows a damaged frame, because a worker can always
//! ask its engine and its leader again. A file that is mostly dead is rewritten.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use cloudai_agent::{EndingRecord, Fence};
use cloudai_types::{AttemptId, EndReason, JobId, Timestamp};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

const HEADER_BYTES: usize = 12;
/// A frame longer than this is damage.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// The file is rewritten above this size, when less than half of its records are alive.
const REWRITE_ABOVE_BYTES: u64 = 1 << 20;

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Ending(Ending),
    #[prost(message, tag = "2")]
    Forget(Attempt),
    #[prost(message, tag = "3")]
    Fence(FenceRow),
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Attempt {
    #[prost(uint64, tag = "1")]
    job: u64,
    #[prost(uint32, tag = "2")]
    index: u32,
    #[prost(uint32, tag = "3")]
    number: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Ending {
    #[prost(message, required, tag = "1")]
    attempt: Attempt,
    #[prost(uint64, tag = "2")]
    assigned_index: u64,
    #[prost(message, required, tag = "3")]
    reason: EndReason,
    #[prost(uint64, tag = "4")]
    started_ms: u64,
    #[prost(uint64, tag = "5")]
    ended_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct FenceRow {
    #[prost(uint64, tag = "1")]
    incarnation: u64,
    #[prost(uint64, tag = "2")]
    index: u64,
}

impl From<AttemptId> for Attempt {
    fn from(a: AttemptId) -> Self {
        Attempt { job: a.task.job.0, index: a.task.index, number: a.number }
    }
}

impl From<Attempt> for AttemptId {
    fn from(a: Attempt) -> Self {
        AttemptId::new(JobId(a.job), a.index, a.number)
    }
}

/// What a journal held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    pub fence: Fence,
    pub endings: Vec<EndingRecord>,
}

enum Order {
    Record(Kind),
    Close,
}

/// The way to the writing thread.
pub struct Journal {
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Reads what is there and starts the writer. `on_durable` is called from the writer's thread.
    pub fn open(path: &Path, on_durable: impl Fn(Vec<AttemptId>) + Send + 'static) -> io::Result<(Journal, Restored)> {
        let (contents, good_bytes) = read(path)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        if file.metadata()?.len() > good_bytes {
            tracing::warn!(path = %path.display(), good_bytes, "the journal ends in a torn or damaged record, which is cut off");
            file.set_len(good_bytes)?;
            file.sync_all()?;
        }
        let restored = Restored { fence: contents.fence, endings: contents.endings.values().cloned().collect() };
        let mut writer = Writer { path: path.to_owned(), file: None, bytes: good_bytes, contents };
        writer.reopen()?;
        let (orders, inbox) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&inbox, &on_durable))?;
        Ok((Journal { orders, thread: Some(thread) }, restored))
    }

    pub fn ending(&self, e: &EndingRecord) {
        self.send(Kind::Ending(Ending {
            attempt: e.attempt.into(),
            assigned_index: e.assigned_index,
            reason: e.reason.clone(),
            started_ms: e.started.0,
            ended_ms: e.ended.0,
        }));
    }

    /// Written with whatever is written next.
    pub fn forget(&self, attempt: AttemptId) {
        self.send(Kind::Forget(attempt.into()));
    }

    pub fn fence(&self, fence: Fence) {
        self.send(Kind::Fence(FenceRow { incarnation: fence.incarnation, index: fence.index }));
    }

    fn send(&self, kind: Kind) {
        // The thread ends only after `Close`.
        let _ = self.orders.send(Order::Record(kind));
    }
}

impl Drop for Journal {
    /// Writes what waits.
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
struct Contents {
    fence: Fence,
    endings: BTreeMap<AttemptId, EndingRecord>,
    records: u64,
}

impl Contents {
    fn take(&mut self, kind: Kind) {
        self.records += 1;
        match kind {
            Kind::Ending(e) => {
                let attempt = e.attempt.into();
                let record = EndingRecord {
                    attempt,
                    assigned_index: e.assigned_index,
                    reason: e.reason,
                    started: Timestamp(e.started_ms),
                    ended: Timestamp(e.ended_ms),
                };
                self.endings.insert(attempt, record);
            }
            Kind::Forget(a) => {
                self.endings.remove(&a.into());
            }
            Kind::Fence(f) => {
                self.fence = self.fence.max(Fence { incarnation: f.incarnation, index: f.index });
            }
        }
    }

    fn alive(&self) -> impl Iterator<Item = Kind> + '_ {
        let fence = FenceRow { incarnation: self.fence.incarnation, index: self.fence.index };
        std::iter::once(Kind::Fence(fence)).chain(self.endings.values().map(|e| {
            Kind::Ending(Ending {
                attempt: e.attempt.into(),
                assigned_index: e.assigned_index,
                reason: e.reason.clone(),
                started_ms: e.started.0,
                ended_ms: e.ended.0,
            })
        }))
    }
}

fn push_frame(out: &mut Vec<u8>, kind: Kind) {
    let payload = Record { kind: Some(kind) }.encode_to_vec();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&xxh3_64(&payload).to_le_bytes());
    out.extend_from_slice(&payload);
}

/// The contents, and how many bytes of the file made sense.
fn read(path: &Path) -> io::Result<(Contents, u64)> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => vec![],
        Err(e) => return Err(e),
    };
    let mut contents = Contents::default();
    let mut at = 0;
    while let Some(frame) = frame_at(&bytes[at..]) {
        let Ok(Record { kind: Some(kind) }) = Record::decode(frame) else { break };
        contents.take(kind);
        at += HEADER_BYTES + frame.len();
    }
    Ok((contents, at as u64))
}

fn frame_at(bytes: &[u8]) -> Option<&[u8]> {
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let sum = u64::from_le_bytes(bytes.get(4..HEADER_BYTES)?.try_into().ok()?);
    if len > FRAME_BYTES_MAX {
        return None;
    }
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + len)?;
    (xxh3_64(payload) == sum).then_some(payload)
}

struct Writer {
    path: PathBuf,
    /// `None` after a failure: the next batch rewrites the whole file, because what a failed fsync left behind is not known.
    file: Option<File>,
    bytes: u64,
    contents: Contents,
}

impl Writer {
    fn reopen(&mut self) -> io::Result<()> {
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        Ok(())
    }

    fn run(mut self, inbox: &mpsc::Receiver<Order>, on_durable: &impl Fn(Vec<AttemptId>)) {
        let mut closing = false;
        while !closing {
            let Ok(first) = inbox.recv() else { return };
            let mut batch = vec![];
            let mut durable = vec![];
            let mut must_sync = false;
            for order in std::iter::once(first).chain(inbox.try_iter()) {
                match order {
                    Order::Close => closing = true,
                    Order::Record(kind) => {
                        if let Kind::Ending(e) = &kind {
                            durable.push(e.attempt.into());
                            must_sync = true;
                        }
                        push_frame(&mut batch, kind.clone());
                        self.contents.take(kind);
                    }
                }
            }
            if let Err(error) = self.write(&batch, must_sync || closing) {
                // The endings are reported all the same: their containers stay until they are acknowledged, so a restart
                // would find them again. Without this a full disk would hold up tasks that are done.
                if self.file.take().is_some() {
                    tracing::error!(%error, path = %self.path.display(), "the journal cannot be written; endings are reported without it");
                }
            }
            if !durable.is_empty() {
                on_durable(durable);
            }
        }
    }

    fn write(&mut self, batch: &[u8], sync: bool) -> io::Result<()> {
        let dead = self.contents.records > 2 * (self.contents.endings.len() as u64 + 1);
        if self.file.is_none() || (self.bytes > REWRITE_ABOVE_BYTES && dead) {
            return self.rewrite();
        }
        let file = self.file.as_mut().expect("looked at above");
        file.write_all(batch)?;
        self.bytes += batch.len() as u64;
        if sync { file.sync_data() } else { Ok(()) }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = vec![];
        for kind in self.contents.alive() {
            push_frame(&mut bytes, kind);
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        self.bytes = bytes.len() as u64;
        self.contents.records = self.contents.endings.len() as u64 + 1;
        self.reopen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::Usage;
    use std::sync::{Arc, Mutex};

    fn ending(n: u32) -> EndingRecord {
        EndingRecord {
            attempt: AttemptId::new(JobId(1), n, 1),
            assigned_index: 9,
            reason: EndReason::exit(n as i32)
                .with_usage((n > 0).then_some(Usage { cpu_micros: Some(7), ..Usage::default() })),
            started: Timestamp(1),
            ended: Timestamp(2),
        }
    }

    fn open(path: &Path) -> (Journal, Restored, Arc<Mutex<Vec<AttemptId>>>) {
        let durable = Arc::new(Mutex::new(vec![]));
        let seen = durable.clone();
        let (journal, restored) = Journal::open(path, move |a| seen.lock().unwrap().extend(a)).unwrap();
        (journal, restored, durable)
    }

    #[test]
    fn endings_and_the_highest_fence_come_back_until_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (journal, restored, durable) = open(&path);
        assert_eq!(restored, Restored::default());
        for n in 0..3 {
            journal.ending(&ending(n));
        }
        journal.fence(Fence { incarnation: 1, index: 7 });
        journal.fence(Fence { incarnation: 1, index: 5 });
        journal.forget(ending(1).attempt);
        drop(journal);
        assert_eq!(durable.lock().unwrap().len(), 3);
        let (_journal, restored, _) = open(&path);
        assert_eq!(restored.fence, Fence { incarnation: 1, index: 7 });
        assert_eq!(restored.endings, [ending(0), ending(2)]);
    }

    #[test]
    fn any_cut_and_any_flipped_byte_leaves_a_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (journal, ..) = open(&path);
        for n in 0..4 {
            journal.ending(&ending(n));
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let all: Vec<EndingRecord> = (0..4).map(ending).collect();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (journal, restored, _) = open(&path);
            assert!(all.starts_with(&restored.endings), "cut at {cut}");
            assert!(restored.endings.len() < 4);
            // What is written after the repair is found again.
            journal.ending(&ending(9));
            drop(journal);
            assert!(open(&path).1.endings.contains(&ending(9)), "cut at {cut}");
        }
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            let (_j, restored, _) = open(&path);
            assert!(all.starts_with(&restored.endings) && restored.endings.len() < 4, "flip at {at}");
        }
    }

    #[test]
    fn a_file_that_is_mostly_dead_is_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (journal, ..) = open(&path);
        let mut long = ending(1);
        long.reason = EndReason::new(cloudai_types::ReasonKind::EngineError, "x".repeat(1000));
        for n in 0..4_000 {
            long.attempt.task.index = n;
            journal.ending(&long);
            journal.forget(long.attempt);
        }
        journal.ending(&ending(7));
        drop(journal);
        // One more batch sees the size.
        let (journal, ..) = open(&path);
        journal.ending(&ending(8));
        drop(journal);
        assert!(std::fs::metadata(&path).unwrap().len() < 1_000);
        assert_eq!(open(&path).1.endings, [ending(7), ending(8)]);
    }
}
