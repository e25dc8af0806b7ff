//! A power cut, made of a killed process: what the kernel had not been told to sync is gone. Comes in: the directories of a killed
//! group. Goes out: each log's write-ahead log ends with the last write that an fsync covered. A state keeps no log of its own:
//! a killed process has lost already what it had not flushed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::group::{SIZE, dir_of};

pub fn cut(root: &Path) {
    for id in 1..=SIZE {
        let dir = dir_of(root, id);
        let log = dir.join("log");
        if let Some(synced) = synced(&log) {
            for wal in wals(&log) {
                truncate(&wal, end_of(&fs::read(&wal).unwrap(), synced));
            }
        }
    }
}

fn truncate(path: &Path, size: u64) {
    File::options().write(true).open(path).unwrap().set_len(size).unwrap();
}

fn wals(dir: &Path) -> Vec<PathBuf> {
    let items = fs::read_dir(dir).into_iter().flatten().flatten().map(|i| i.path());
    items.filter(|p| p.extension().is_some_and(|e| e == "log")).collect()
}

/// The sequence number that the log's note says is synced; none before the first fsync.
fn synced(log: &Path) -> Option<u64> {
    let raw = fs::read(log.join("SYNCED")).ok()?;
    Some(u64::from_le_bytes(raw.get(..8)?.try_into().ok()?))
}

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// Where the last record ends whose batch begins at or before `synced`. RocksDB's format: blocks of 32 KiB, records of checksum
/// (4), length (2), type (1; full, first, middle, last); a batch begins with its sequence number.
fn end_of(raw: &[u8], synced: u64) -> u64 {
    let (mut at, mut end) = (0, 0);
    let mut keeps = false;
    while at + HEADER <= raw.len() {
        let left = BLOCK - at % BLOCK;
        if left < HEADER {
            at += left;
            continue;
        }
        let length = u16::from_le_bytes([raw[at + 4], raw[at + 5]]) as usize;
        let kind = raw[at + 6];
        let body = at + HEADER;
        let known = (1..=4).contains(&kind) && body + length <= raw.len();
        if !known {
            break;
        }
        if matches!(kind, 1 | 2) {
            let Some(sequence) = raw.get(body..body + 8) else { break };
            keeps = u64::from_le_bytes(sequence.try_into().unwrap()) <= synced;
        }
        at = body + length;
        match (kind, keeps) {
            (1 | 4, true) => end = at,
            (_, false) => break,
            _ => {}
        }
    }
    end as u64
}
