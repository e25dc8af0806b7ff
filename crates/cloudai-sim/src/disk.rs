//! A disk with a Raft log on it, in memory. Comes in: appends, votes, purges. Goes out: the same, readable at once and durable
//! after the next sync. A crash loses a tail of what was not synced, as a power cut does: what remains is a prefix of the writes
//! in their order. Knows no entry's meaning.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cloudai_raft::{LogBounds, LogEntry, LogPosition, LogStore, MetaKey, OnDurable};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::dice::Dice;

#[derive(Clone, Default)]
struct Image {
    entries: BTreeMap<u64, LogEntry>,
    purged: Option<LogPosition>,
    meta: BTreeMap<MetaKey, Bytes>,
}

#[derive(Clone)]
enum Op {
    Append(Vec<LogEntry>),
    Truncate(Option<u64>),
    Purge(LogPosition),
    Meta(MetaKey, Option<Bytes>),
}

impl Image {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Append(entries) => self.entries.extend(entries.into_iter().map(|e| (e.index, e))),
            Op::Truncate(None) => self.entries.clear(),
            Op::Truncate(Some(last)) => drop(self.entries.split_off(&(last + 1))),
            Op::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = self.purged.max(Some(upto));
            }
            Op::Meta(key, Some(value)) => drop(self.meta.insert(key, value)),
            Op::Meta(key, None) => drop(self.meta.remove(&key)),
        }
    }
}

struct Disk {
    memory: Image,
    platter: Image,
    unsynced: VecDeque<Op>,
    /// How many operations there ever were; how many are on the platter.
    written: u64,
    synced: u64,
    waiting: VecDeque<(u64, OnDurable)>,
    dice: Dice,
    /// One sync takes so long.
    latency_ms: (u64, u64),
    /// No sync ends before this time.
    stalled_until_ms: u64,
    largest_entry: usize,
}

/// Cheap to clone; survives its host.
#[derive(Clone)]
pub struct SimLog {
    disk: Arc<Mutex<Disk>>,
    dirty: Arc<Notify>,
}

impl SimLog {
    pub fn new(dice: Dice, latency_ms: (u64, u64)) -> Self {
        let disk = Disk {
            memory: Image::default(),
            platter: Image::default(),
            unsynced: VecDeque::new(),
            written: 0,
            synced: 0,
            waiting: VecDeque::new(),
            dice,
            latency_ms,
            stalled_until_ms: 0,
            largest_entry: 0,
        };
        SimLog { disk: Arc::new(Mutex::new(disk)), dirty: Arc::new(Notify::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("the disk does not panic")
    }

    /// What syncs: runs on the host, and dies with it.
    pub async fn sync(self, clock: Clock) {
        loop {
            self.dirty.notified().await;
            loop {
                let (upto, takes_ms) = {
                    let mut disk = self.lock();
                    if disk.waiting.is_empty() {
                        break;
                    }
                    let (low, high) = disk.latency_ms;
                    (disk.written, disk.dice.between(low, high))
                };
                tokio::time::sleep(Duration::from_millis(takes_ms)).await;
                loop {
                    let left = self.lock().stalled_until_ms.saturating_sub(clock.mono_ms());
                    if left == 0 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(left)).await;
                }
                let mut durable = vec![];
                {
                    let mut disk = self.lock();
                    disk.persist(upto);
                    while disk.waiting.front().is_some_and(|(op, _)| *op <= upto) {
                        durable.extend(disk.waiting.pop_front());
                    }
                }
                for (_, on_durable) in durable {
                    on_durable(Ok(()));
                }
            }
        }
    }

    /// The machine went down. `keeps_all`: only its process did, and the kernel writes the rest.
    pub fn crash(&self, keeps_all: bool) {
        let mut disk = self.lock();
        let lost = disk.unsynced.len() as u64;
        // Most of the time everything unsynced is gone: that is what hurts.
        let survive = if keeps_all {
            lost
        } else if disk.dice.chance(700) {
            0
        } else {
            disk.dice.between(0, lost)
        };
        let upto = disk.synced + survive;
        disk.persist(upto);
        disk.unsynced.clear();
        disk.waiting.clear();
        disk.written = disk.synced;
        disk.memory = disk.platter.clone();
    }

    pub fn stall(&self, until_ms: u64) {
        self.lock().stalled_until_ms = until_ms;
    }

    pub fn largest_entry(&self) -> usize {
        self.lock().largest_entry
    }
}

impl Disk {
    fn persist(&mut self, upto: u64) {
        while self.synced < upto {
            let Some(op) = self.unsynced.pop_front() else { return };
            self.platter.apply(op);
            self.synced += 1;
        }
    }

    fn write(&mut self, op: Op, on_durable: Option<OnDurable>) {
        self.memory.apply(op.clone());
        self.unsynced.push_back(op);
        self.written += 1;
        if let Some(on_durable) = on_durable {
            let at = self.written;
            self.waiting.push_back((at, on_durable));
        }
    }
}

fn position(e: &LogEntry) -> LogPosition {
    LogPosition { term: e.term, index: e.index }
}

impl LogStore for SimLog {
    fn bounds(&self) -> io::Result<LogBounds> {
        let disk = self.lock();
        Ok(LogBounds { purged: disk.memory.purged, last: disk.memory.entries.values().next_back().map(position) })
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        let disk = self.lock();
        let (mut out, mut bytes) = (vec![], 0usize);
        for entry in disk.memory.entries.range(from..to).map(|(_, e)| e) {
            bytes = bytes.saturating_add(entry.body.len());
            if bytes > bytes_max && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn append(&self, entries: Vec<LogEntry>, on_durable: OnDurable) -> io::Result<()> {
        let mut disk = self.lock();
        disk.largest_entry = entries.iter().map(|e| e.body.len()).max().unwrap_or(0).max(disk.largest_entry);
        disk.write(Op::Append(entries), Some(on_durable));
        self.dirty.notify_one();
        Ok(())
    }

    fn truncate_after(&self, last: Option<u64>) -> io::Result<()> {
        self.lock().write(Op::Truncate(last), None);
        Ok(())
    }

    fn purge(&self, upto: LogPosition) -> io::Result<()> {
        self.lock().write(Op::Purge(upto), None);
        Ok(())
    }

    fn save_meta(&self, key: MetaKey, value: Option<Bytes>) -> io::Result<()> {
        self.lock().write(Op::Meta(key, value), None);
        Ok(())
    }

    fn save_meta_synced(&self, key: MetaKey, value: Bytes, on_durable: OnDurable) -> io::Result<()> {
        self.lock().write(Op::Meta(key, Some(value)), Some(on_durable));
        self.dirty.notify_one();
        Ok(())
    }

    fn load_meta(&self, key: MetaKey) -> io::Result<Option<Bytes>> {
        Ok(self.lock().memory.meta.get(&key).cloned())
    }

    fn busy_since(&self) -> Option<Instant> {
        None // the watchdog is a thread on the system's clock: it is not part of the simulation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_leaves_a_prefix_and_a_dead_process_everything() {
        let entry = |index| LogEntry { term: 1, index, body: Bytes::from_static(b"x") };
        let log = SimLog::new(Dice::new(1), (1, 1));
        log.append(vec![entry(1), entry(2)], Box::new(|_| {})).expect("memory");
        log.crash(true);
        assert_eq!(log.bounds().expect("memory").last, Some(LogPosition { term: 1, index: 2 }));
        for _ in 0..20 {
            log.append(vec![entry(3)], Box::new(|_| {})).expect("memory");
            log.save_meta(MetaKey::Committed, Some(Bytes::from_static(b"3"))).expect("memory");
            log.crash(false);
            let has_entry = log.bounds().expect("memory").last == Some(LogPosition { term: 1, index: 3 });
            let has_meta = log.load_meta(MetaKey::Committed).expect("memory").is_some();
            assert!(has_entry || !has_meta, "the later write without the earlier one");
            log.truncate_after(Some(2)).expect("memory");
            log.save_meta(MetaKey::Committed, None).expect("memory");
            log.crash(true);
        }
    }
}
