//! Damage of each kind of file below a master's log and state: found with words that say what and what next, or proven harmless:
//! then everything that was synced is still there. Seeded positions; `CORRUPTION_SEED=N` tries others.
#![allow(clippy::unwrap_used)] // a test may fail loudly

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use bytes::Bytes;
use cloudai_raft::{LogEntry, LogPosition, LogStore, MetaKey};
use cloudai_store::{Keys, RocksLog, RocksState, RowBatch};

/// Positions per kind of file.
const POSITIONS: u64 = 24;
const ENTRIES: u64 = 400;
const PURGED: u64 = 50;
const VOTE: &[u8] = b"a vote of term 7";

struct Random(u64);

impl Random {
    fn new(what: &str) -> Random {
        let seed: u64 = std::env::var("CORRUPTION_SEED").map_or(1, |s| s.parse().unwrap());
        println!("CORRUPTION_SEED={seed} repeats {what}");
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n.max(1)
    }
}

/// A log as a killed master leaves it, `restarts` times started before: with restarts, entries are in table files too.
fn log_of_a_killed_master(dir: &Path, restarts: u64) {
    let live = dir.with_extension("live");
    for part in 0..=restarts {
        let log = RocksLog::open(&live).unwrap();
        let (from, to) = (part * ENTRIES / (restarts + 1), (part + 1) * ENTRIES / (restarts + 1));
        for i in from..to {
            let (tx, rx) = channel();
            let body = Bytes::from(vec![i as u8; 300]);
            log.append(vec![LogEntry { term: 7, index: i, body }], Box::new(move |r| tx.send(r).unwrap())).unwrap();
            rx.recv().unwrap().unwrap();
        }
        if part == 0 {
            log.purge(LogPosition { term: 7, index: PURGED }).unwrap();
        }
        let (tx, rx) = channel();
        log.save_meta_synced(MetaKey::Vote, Bytes::from_static(VOTE), Box::new(move |r| tx.send(r).unwrap())).unwrap();
        rx.recv().unwrap().unwrap();
        if part == restarts {
            copy(&live, dir);
        }
    }
    fs::remove_dir_all(&live).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for f in fs::read_dir(from).unwrap() {
        let f = f.unwrap();
        match f.file_type().unwrap().is_dir() {
            true => copy(&f.path(), &to.join(f.file_name())),
            false => drop(fs::copy(f.path(), to.join(f.file_name())).unwrap()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    FlippedBit(u64),
    ZeroedPage(u64),
    CutTo(u64),
    Removed,
    Emptied,
}

impl Damage {
    fn any(random: &mut Random, size: u64) -> Damage {
        match random.below(8) {
            0 => Damage::CutTo(random.below(size)),
            1 => Damage::ZeroedPage(random.below(size)),
            2 => Damage::Removed,
            3 => Damage::Emptied,
            _ => Damage::FlippedBit(random.below(size * 8)),
        }
    }

    fn apply(self, path: &Path) {
        let mut raw = fs::read(path).unwrap();
        match self {
            Damage::FlippedBit(at) => raw[(at / 8) as usize] ^= 1 << (at % 8),
            Damage::ZeroedPage(at) => {
                let end = raw.len().min(at as usize + 512);
                raw[at as usize..end].fill(0);
            }
            Damage::CutTo(at) => raw.truncate(at as usize),
            Damage::Removed => return fs::remove_file(path).unwrap(),
            Damage::Emptied => raw.clear(),
        }
        fs::write(path, raw).unwrap();
    }
}

fn files_of(dir: &Path, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
    let mut found: Vec<PathBuf> = names
        .filter(|p| is_meant(p.file_name().unwrap().to_str().unwrap()) && p.metadata().unwrap().len() > 0)
        .collect();
    found.sort();
    found
}

/// Everything that was synced, byte by byte.
fn is_whole(log: &RocksLog) -> Result<(), String> {
    let bounds = log.bounds().map_err(|e| e.to_string())?;
    if bounds.purged.map(|p| p.index) != Some(PURGED) {
        return Err(format!("the purge mark is {:?}", bounds.purged));
    }
    let entries = log.read(PURGED + 1, ENTRIES, usize::MAX).map_err(|e| e.to_string())?;
    let is_right = |(i, e): (u64, &LogEntry)| e.index == i && e.term == 7 && e.body.iter().all(|b| *b == i as u8);
    let right = (PURGED + 1..).zip(&entries).take_while(|pair| is_right(*pair)).count();
    if right as u64 != ENTRIES - PURGED - 1 {
        return Err(format!("only {right} entries are right"));
    }
    match log.load_meta(MetaKey::Vote).map_err(|e| e.to_string())? {
        Some(vote) if vote == VOTE => Ok(()),
        other => Err(format!("the vote is {other:?}")),
    }
}

/// A log never opens with less than was synced, and what it says of damage tells what to do.
fn log_files(kind: &str, restarts: u64, is_meant: impl Fn(&str) -> bool) {
    let (root, mut random) = (tempfile::tempdir().unwrap(), Random::new(kind));
    let good = root.path().join("good");
    log_of_a_killed_master(&good, restarts);
    let (mut refused, mut harmless) = (0, 0);
    for i in 0..POSITIONS {
        let dir = root.path().join(format!("{i}"));
        copy(&good, &dir);
        let files = files_of(&dir, &is_meant);
        assert!(!files.is_empty(), "there is no {kind} to damage");
        let file = &files[random.below(files.len() as u64) as usize];
        let damage = Damage::any(&mut random, file.metadata().unwrap().len());
        damage.apply(file);
        let what = format!("{damage:?} of {}", file.display());
        match RocksLog::open(&dir) {
            Err(e) => {
                let text = e.to_string();
                assert!(e.is_damage(), "{what}: {text}");
                assert!(text.contains("under a new id") && text.contains(dir.to_str().unwrap()), "{what}: {text}");
                refused += 1;
            }
            Ok(log) => {
                is_whole(&log).unwrap_or_else(|e| panic!("{what} was not found, and is not harmless: {e}"));
                harmless += 1;
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }
    println!("{kind}: {refused} refused, {harmless} harmless");
}

#[test]
fn a_damaged_write_ahead_log_is_found() {
    log_files("write-ahead log", 0, |n| n.ends_with(".log"));
}

/// Where the records of a write-ahead log's last block begin: checksum (4), length (2), type (1), and the batch.
fn headers_of_the_last_block(raw: &[u8]) -> Vec<usize> {
    const BLOCK: usize = 32 << 10;
    let (mut at, mut found) = (raw.len() / BLOCK * BLOCK, vec![]);
    while at + 7 <= raw.len() && raw[at + 6] != 0 {
        found.push(at);
        at += 7 + usize::from(u16::from_le_bytes([raw[at + 4], raw[at + 5]]));
    }
    found
}

/// In the last block RocksDB takes a length that leads behind the file's end for a torn tail, and drops what follows without a word:
/// only the note of what is synced tells.
#[test]
fn a_wrong_length_at_the_end_is_no_torn_tail() {
    let root = tempfile::tempdir().unwrap();
    let (good, dir) = (root.path().join("good"), root.path().join("damaged"));
    log_of_a_killed_master(&good, 0);
    let wal = files_of(&good, |n| n.ends_with(".log")).pop().unwrap();
    let raw = fs::read(&wal).unwrap();
    let headers = headers_of_the_last_block(&raw);
    assert!(headers.len() > 5, "{} records in the last block", headers.len());
    let mut found = 0;
    for at in headers {
        copy(&good, &dir);
        let mut damaged = raw.clone();
        damaged[at + 4..at + 6].copy_from_slice(&[0xff, 0x7f]);
        fs::write(dir.join(wal.file_name().unwrap()), &damaged).unwrap();
        match RocksLog::open(&dir) {
            Err(e) => assert!(e.to_string().contains("had been synced"), "the record at {at}: {e}"),
            // A batch without a write: nothing is gone with it.
            Ok(log) => {
                is_whole(&log).unwrap_or_else(|e| panic!("the record at {at} was lost without a word: {e}"));
                drop(log);
                fs::remove_dir_all(&dir).unwrap();
                continue;
            }
        }
        found += 1;
        // Without the note it would have opened, and this master would have forgotten what it had promised.
        fs::remove_dir_all(&dir).unwrap();
        copy(&good, &dir);
        fs::write(dir.join(wal.file_name().unwrap()), &damaged).unwrap();
        fs::remove_file(dir.join("SYNCED")).unwrap();
        assert!(RocksLog::open(&dir).is_ok_and(|log| is_whole(&log).is_err()), "the record at {at}");
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(found > 5, "the note told only {found} times");
}

/// Records: a purge mark, the vote, and an empty batch.
const BEHIND_THE_LAST_ENTRY: usize = 3;

/// A note that the kernel had not written back for long when the power went: it claims less than it could.
fn with_an_old_note(dir: &Path) {
    let number = 1u64.to_le_bytes();
    let mut raw = fs::read(dir.join("SYNCED")).unwrap();
    raw[..16].copy_from_slice(&[number, xxhash_rust::xxh3::xxh3_64(&number).to_le_bytes()].concat());
    fs::write(dir.join("SYNCED"), raw).unwrap();
}

/// A master's log whose note is old, and the records of its last block.
struct PowerCut {
    good: PathBuf,
    wal: PathBuf,
    raw: Vec<u8>,
    headers: Vec<usize>,
}

impl PowerCut {
    fn new(root: &Path) -> PowerCut {
        let good = root.join("good");
        log_of_a_killed_master(&good, 0);
        with_an_old_note(&good);
        let wal = files_of(&good, |n| n.ends_with(".log")).pop().unwrap();
        let raw = fs::read(&wal).unwrap();
        let headers = headers_of_the_last_block(&raw);
        PowerCut { good, wal, raw, headers }
    }

    /// A copy of it with these bytes as zeros.
    fn zeroed(&self, dir: &Path, bytes: std::ops::Range<usize>) {
        copy(&self.good, dir);
        let mut raw = self.raw.clone();
        raw[bytes].fill(0);
        fs::write(dir.join(self.wal.file_name().unwrap()), raw).unwrap();
    }
}

/// What a journalling file system may leave of a write that was not synced: the file has its full length, and pages that were not written
/// read as zeros.
#[test]
fn zeros_in_what_was_not_synced_are_a_torn_end() {
    let root = tempfile::tempdir().unwrap();
    let (cut, dir) = (PowerCut::new(root.path()), root.path().join("torn"));
    let [last_entry, behind_it] = *cut.headers[cut.headers.len() - BEHIND_THE_LAST_ENTRY - 1..].first_chunk().unwrap();
    assert!(behind_it - last_entry > 300, "an entry has a body of 300 bytes");
    for at in (last_entry + 1..cut.raw.len()).step_by(7) {
        cut.zeroed(&dir, at..cut.raw.len());
        let log =
            RocksLog::open(&dir).unwrap_or_else(|e| panic!("zeros from {at} on, {last_entry} is the last entry: {e}"));
        let entries = log.read(PURGED + 1, ENTRIES, usize::MAX).unwrap();
        assert!(entries.len() as u64 >= ENTRIES - PURGED - 2, "zeros from {at} on: {} entries", entries.len());
        drop(log);
        let again = RocksLog::open(&dir).unwrap().read(PURGED + 1, ENTRIES, usize::MAX).unwrap();
        assert_eq!(again.len(), entries.len(), "the next start reads the same");
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn what_a_later_write_says_was_synced_is_never_taken_for_a_torn_end() {
    let root = tempfile::tempdir().unwrap();
    let (cut, dir) = (PowerCut::new(root.path()), root.path().join("damaged"));
    let mut found = 0;
    // Each but the last entry, whose sync nothing tells that was written later.
    for pair in cut.headers[..cut.headers.len() - BEHIND_THE_LAST_ENTRY].windows(2) {
        cut.zeroed(&dir, pair[0] + 8..pair[1]);
        // The first start has dropped what lay behind the damage; the second one knows it all the same.
        for start in 1..=2 {
            let e = RocksLog::open(&dir).map(drop).expect_err("a lost entry");
            assert!(
                e.is_damage() && e.to_string().contains("had been synced"),
                "{start}: the record at {}: {e}",
                pair[0]
            );
        }
        found += 1;
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(found > 5, "{found} records were damaged");
}

#[test]
fn a_damaged_table_file_is_found() {
    log_files("table file", 2, |n| n.ends_with(".sst"));
}

#[test]
fn a_damaged_manifest_is_found() {
    log_files("manifest", 2, |n| n.starts_with("MANIFEST"));
}

#[test]
fn a_damaged_current_file_is_found() {
    log_files("CURRENT", 1, |n| n == "CURRENT");
}

#[test]
fn a_damaged_note_of_what_is_synced_is_harmless() {
    log_files("SYNCED", 1, |n| n == "SYNCED");
}

#[test]
fn damaged_options_and_identity_are_harmless() {
    log_files("OPTIONS", 1, |n| n.starts_with("OPTIONS") || n == "IDENTITY");
}

#[test]
fn a_log_that_ends_early_because_the_power_went_opens_with_what_was_synced() {
    let root = tempfile::tempdir().unwrap();
    let (good, dir) = (root.path().join("good"), root.path().join("torn"));
    log_of_a_killed_master(&good, 0);
    copy(&good, &dir);
    // The machine lost its page cache: a write after the last fsync was half on the disk.
    let wal = files_of(&dir, |n| n.ends_with(".log")).pop().unwrap();
    let mut raw = fs::read(&wal).unwrap();
    let record = raw[..200].to_vec();
    raw.extend_from_slice(&record[..150]);
    fs::write(&wal, raw).unwrap();
    is_whole(&RocksLog::open(&dir).unwrap()).unwrap();
    let wal = files_of(&good, |n| n.ends_with(".log")).pop().unwrap();
    File::options().append(true).open(&wal).unwrap().set_len(wal.metadata().unwrap().len() + 100).unwrap();
    is_whole(&RocksLog::open(&good).unwrap()).unwrap();
}

const ROWS: u64 = 3_000;

fn state_of_a_killed_master(dir: &Path, restarts: u64) {
    let live = dir.with_extension("live");
    for part in 0..=restarts {
        let state = RocksState::open(&live).unwrap();
        let (from, to) = (part * ROWS / (restarts + 1), (part + 1) * ROWS / (restarts + 1));
        for i in from..to {
            let mut batch = RowBatch::default();
            // Every second value is large enough for a file of its own kind.
            batch.put(3, &i.to_be_bytes(), &vec![i as u8; if i % 2 == 0 { 300 } else { 100 }]);
            state.write(batch, format!("{i}").as_bytes()).unwrap();
        }
        // What was not flushed is not on the disk at all: the log applies it again.
        state.checkpoint()(&dir.with_extension(format!("checkpoint-{part}"))).unwrap();
        if part == restarts {
            copy(&live, dir);
        }
    }
    fs::remove_dir_all(&live).unwrap();
}

/// The rows up to the mark, no row after it, each as it was written: a state may go back, because the log applies again what it lacks,
/// but it may never be of two moments.
fn is_of_one_moment(state: &RocksState) -> Result<Option<u64>, String> {
    let mark = state.mark().map_err(|e| e.to_string())?;
    let rows = state.scan(3, Keys::All, false, usize::MAX).map_err(|e| e.to_string())?;
    let upto = mark.map(|m| std::str::from_utf8(&m).unwrap().parse::<u64>().unwrap());
    let wanted = upto.map_or(0, |n| n + 1);
    let is_right = |(i, (k, v)): (u64, &(Vec<u8>, Vec<u8>))| *k == i.to_be_bytes() && v.iter().all(|b| *b == i as u8);
    let right = (0..).zip(&rows).take_while(|pair| is_right(*pair)).count() as u64;
    match right == wanted && rows.len() as u64 == wanted {
        true => Ok(upto),
        false => panic!("marked {upto:?}, {right} rows of {} are right", rows.len()),
    }
}

fn state_files(kind: &str, restarts: u64, is_meant: impl Fn(&str) -> bool) {
    let (root, mut random) = (tempfile::tempdir().unwrap(), Random::new(kind));
    let good = root.path().join("good");
    state_of_a_killed_master(&good, restarts);
    let (mut refused, mut at_a_read, mut back, mut harmless) = (0, 0, 0, 0);
    for i in 0..POSITIONS {
        let dir = root.path().join(format!("{i}"));
        copy(&good, &dir);
        let mut files = files_of(&dir.join("sm-1"), &is_meant);
        files.extend(files_of(&dir, &is_meant));
        assert!(!files.is_empty(), "there is no {kind} to damage");
        let file = &files[random.below(files.len() as u64) as usize];
        let damage = Damage::any(&mut random, file.metadata().unwrap().len());
        damage.apply(file);
        match RocksState::open(&dir) {
            Err(e) => {
                assert!(e.is_damage(), "{damage:?} of {}: {e}", file.display());
                assert!(e.to_string().contains("under a new id"), "{e}");
                assert!(dir.join("sm-1").exists(), "a state that is refused is kept: {e}");
                refused += 1;
            }
            Ok(state) => match is_of_one_moment(&state) {
                Err(e) => {
                    assert!(e.contains(cloudai_raft::DAMAGED), "{damage:?} of {}: {e}", file.display());
                    at_a_read += 1;
                }
                Ok(mark) if mark == Some(ROWS - 1) => harmless += 1,
                // The purge mark of the log decides whether the log can make up for it (`StartError::Hole`).
                Ok(_) => back += 1,
            },
        }
        fs::remove_dir_all(&dir).unwrap();
    }
    println!(
        "{kind}: {refused} refused, {at_a_read} found at a read, {back} went back to an earlier moment, {harmless} harmless"
    );
}

#[test]
fn a_damaged_table_file_of_the_state_is_found() {
    state_files("table file of the state", 2, |n| n.ends_with(".sst"));
}

#[test]
fn a_damaged_file_of_large_values_is_found() {
    state_files("file of large values", 2, |n| n.ends_with(".blob"));
}

#[test]
fn a_damaged_manifest_of_the_state_is_found() {
    state_files("manifest of the state", 2, |n| n.starts_with("MANIFEST"));
}

#[test]
fn a_damaged_current_of_the_state_is_found() {
    state_files("CURRENT and CURRENT_SM", 1, |n| n.starts_with("CURRENT"));
}
