//! A power cut, made of a killed process: what the kernel had not been told to sync is gone. Comes in: the directories of a killed
//! group. Goes out: each log's write-ahead log is whole up to the last write that an fsync covered, and torn behind it. A state keeps no log
//! of its own: a killed process has lost already what it had not flushed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::group::{SIZE, dir_of};

pub fn cut(root: &Path) {
    for id in 1..=SIZE {
        let dir = dir_of(root, id);
        let log = dir.join("log");
        if let Some(synced) = synced(&log) {
            for wal in wals(&log) {
                let raw = fs::read(&wal).unwrap();
                fs::write(&wal, torn(&raw, end_of(&raw, synced), id)).unwrap();
            }
        }
    }
}

const PAGE: usize = 4 << 10;

/// Each master's file system leaves another kind of end: the file is shorter; it has its length, and what was not synced reads as zeros; the
/// first page of what was not synced is there, the others are zeros.
fn torn(raw: &[u8], synced: usize, id: u64) -> Vec<u8> {
    let mut torn = raw.to_vec();
    match id % 3 {
        0 => torn.truncate(synced),
        1 => torn[synced..].fill(0),
        _ => torn[synced.next_multiple_of(PAGE).min(raw.len())..].fill(0),
    }
    torn
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
fn end_of(raw: &[u8], synced: u64) -> usize {
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
    end
}
