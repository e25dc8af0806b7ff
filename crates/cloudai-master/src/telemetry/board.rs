//! The newest of what each worker has said. Comes in: samples, and the time. Goes out: what is newer than a version, and how many samples have come.
//! There is no queue: a reader keeps the version that it has seen, and whoever is slow finds the newest of each worker. Bytes are counted for as
//! long as anybody holds them. Who reads, and how it is told, is not known here.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cloudai_proto::v1 as pb;
use cloudai_types::{Millis, Timestamp, limits};

/// Bytes of live telemetry in this process's memory, whoever holds them.
#[derive(Clone, Default, Debug)]
pub struct Weights(Arc<AtomicUsize>);

/// Some of them, until it is dropped.
#[derive(Debug)]
pub struct Weight {
    of: Weights,
    bytes: usize,
}

impl Weights {
    pub fn add(&self, bytes: usize) -> Weight {
        self.0.fetch_add(bytes, Relaxed);
        Weight { of: self.clone(), bytes }
    }

    pub fn total(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Relaxed);
    }
}

/// One sample of one worker.
#[derive(Debug)]
pub struct Said {
    pub worker: String,
    pub sample: pb::UsageSample,
    /// On this process's monotonic clock: when the leader heard of it.
    pub heard: Timestamp,
    weight: Weight,
    json: OnceLock<(Bytes, Weight)>,
}

impl Said {
    /// As JSON, which is made once for all who want it.
    pub fn json(&self, make: impl FnOnce(&Said) -> String) -> Bytes {
        let made = self.json.get_or_init(|| {
            let json = Bytes::from(make(self));
            let weight = self.weight.of.add(json.len());
            (json, weight)
        });
        made.0.clone()
    }
}

struct Slot {
    newest: Arc<Said>,
    version: u64,
    /// Samples of this worker so far.
    count: u64,
}

/// Where a reader of one worker stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    pub version: u64,
    pub count: u64,
}

#[derive(Default)]
pub struct Board {
    slots: BTreeMap<String, Slot>,
    /// Samples that have come, those that were missed on their way included.
    version: u64,
    weights: Weights,
}

impl Board {
    pub fn new(weights: Weights) -> Self {
        Board { weights, ..Board::default() }
    }

    /// A worker's sample takes the place of its last one. What a worker says is not believed blindly: lists and names are cut to their limits.
    pub fn tell(&mut self, worker: &str, mut sample: pb::UsageSample, heard: Timestamp) {
        bound(&mut sample);
        self.version += 1;
        let weight = self.weights.add(size_of::<Said>() + worker.len() + bytes(&sample));
        let said = Said { worker: worker.to_owned(), sample, heard, weight, json: OnceLock::new() };
        let newest = Arc::new(said);
        match self.slots.get_mut(worker) {
            Some(slot) => *slot = Slot { newest, version: self.version, count: slot.count + 1 },
            None => {
                self.slots.insert(worker.to_owned(), Slot { newest, version: self.version, count: 1 });
            }
        }
    }

    /// So many more samples have come somewhere, and were not told here.
    pub fn missed(&mut self, samples: u64) {
        self.version += samples;
    }

    /// What was heard too long ago is no news of anybody.
    pub fn forget_old(&mut self, now: Timestamp) {
        let Millis(kept) = limits::TELEMETRY_KEPT_FOR;
        self.slots.retain(|_, slot| now.0.saturating_sub(slot.newest.heard.0) <= kept);
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// What is newer, with its version, in order of the workers' names.
    pub fn since(&self, version: u64) -> Vec<(u64, Arc<Said>)> {
        let newer = self.slots.values().filter(|slot| slot.version > version);
        newer.map(|slot| (slot.version, slot.newest.clone())).collect()
    }

    /// The newest of one worker, if it is newer.
    pub fn of(&self, worker: &str, seen: Seen) -> Option<(Seen, Arc<Said>)> {
        let slot = self.slots.get(worker).filter(|slot| slot.version > seen.version)?;
        Some((Seen { version: slot.version, count: slot.count }, slot.newest.clone()))
    }
}

fn bound(sample: &mut pb::UsageSample) {
    let too_many = sample.attempts.len().saturating_sub(limits::TELEMETRY_ATTEMPTS_MAX);
    sample.attempts.truncate(limits::TELEMETRY_ATTEMPTS_MAX);
    sample.attempts_left_out = sample.attempts_left_out.saturating_add(too_many as u32);
    sample.gpus.truncate(limits::TELEMETRY_GPUS_MAX);
    for gpu in &mut sample.gpus {
        for text in [&mut gpu.uuid, &mut gpu.model] {
            text.truncate(text.floor_char_boundary(limits::TELEMETRY_NAME_BYTES_MAX));
        }
    }
}

fn bytes(sample: &pb::UsageSample) -> usize {
    let gpus = sample.gpus.iter().map(|gpu| size_of::<pb::GpuUsage>() + gpu.uuid.len() + gpu.model.len());
    gpus.sum::<usize>() + sample.attempts.len() * size_of::<pb::AttemptUsage>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64) -> pb::UsageSample {
        pb::UsageSample { at_ms, ..Default::default() }
    }

    fn shown(said: Vec<(u64, Arc<Said>)>) -> Vec<(u64, String, u64)> {
        said.into_iter().map(|(version, said)| (version, said.worker.clone(), said.sample.at_ms)).collect()
    }

    fn of(version: u64, worker: &str, at_ms: u64) -> (u64, String, u64) {
        (version, worker.to_owned(), at_ms)
    }

    #[test]
    fn a_reader_finds_the_newest_of_each_and_no_backlog() {
        let mut board = Board::default();
        for (worker, at_ms) in [("b", 1), ("a", 2), ("b", 3), ("b", 4)] {
            board.tell(worker, sample(at_ms), Timestamp(0));
        }
        assert_eq!(shown(board.since(0)), [of(2, "a", 2), of(4, "b", 4)]);
        assert_eq!(shown(board.since(2)), [of(4, "b", 4)]);
        assert_eq!((shown(board.since(4)), board.version()), (vec![], 4));
        let (seen, said) = board.of("b", Seen::default()).expect("it has said something");
        assert_eq!((seen, said.sample.at_ms), (Seen { version: 4, count: 3 }, 4));
        assert!(board.of("b", seen).is_none() && board.of("c", Seen::default()).is_none());
        board.missed(5);
        assert_eq!((shown(board.since(4)), board.version()), (vec![], 9));
    }

    #[test]
    fn what_is_old_goes_and_its_bytes_with_the_last_who_holds_it() {
        let weights = Weights::default();
        let mut board = Board::new(weights.clone());
        board.tell("a", sample(1), Timestamp(0));
        let one = weights.total();
        board.tell("b", sample(1), Timestamp(60_000));
        let held = board.since(0);
        board.forget_old(Timestamp(limits::TELEMETRY_KEPT_FOR.0 + 1));
        assert_eq!(shown(board.since(0)), [of(2, "b", 1)]);
        assert_eq!(weights.total(), 2 * one, "somebody still holds the other");
        drop(held);
        assert_eq!(weights.total(), one);
        let json = board.since(0)[0].1.json(|said| format!("{{\"at\":{}}}", said.sample.at_ms));
        assert_eq!((&json[..], weights.total()), (&b"{\"at\":1}"[..], one + json.len()));
        assert_eq!(board.since(0)[0].1.json(|_| unreachable!("it is made once")), json);
        drop(board);
        assert_eq!(weights.total(), 0);
    }

    #[test]
    fn a_worker_that_says_too_much_is_cut() {
        let gpu = pb::GpuUsage { uuid: "é".repeat(200), ..Default::default() };
        let many = pb::UsageSample {
            gpus: vec![gpu; limits::TELEMETRY_GPUS_MAX + 1],
            attempts: vec![pb::AttemptUsage::default(); limits::TELEMETRY_ATTEMPTS_MAX + 7],
            attempts_left_out: 2,
            ..Default::default()
        };
        let mut board = Board::default();
        board.tell("a", many, Timestamp(0));
        let said = &board.since(0)[0].1.sample;
        assert_eq!(
            (said.gpus.len(), said.attempts.len()),
            (limits::TELEMETRY_GPUS_MAX, limits::TELEMETRY_ATTEMPTS_MAX)
        );
        assert_eq!((said.gpus[0].uuid.len(), said.attempts_left_out), (limits::TELEMETRY_NAME_BYTES_MAX, 9));
    }
}
