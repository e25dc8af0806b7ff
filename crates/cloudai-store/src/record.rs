//! How one log entry and the purge mark look in the database. Comes in: entries. Goes out: keys and checked values, and
//! back.

use std::io;

use bytes::Bytes;
use cloudai_raft::{LogEntry, LogPosition};
use xxhash_rust::xxh3::Xxh3;

/// First byte of each stored value.
const VERSION: u8 = 1;
/// Version, xxh3 (little endian), term (little endian).
pub const HEAD_BYTES: usize = 1 + 8 + 8;

pub fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn checksum(index: u64, term: u64, body: &[u8]) -> u64 {
    let mut h = Xxh3::new();
    h.update(&index.to_le_bytes());
    h.update(&term.to_le_bytes());
    h.update(body);
    h.digest()
}

/// Replaces what is in `v`: an append of many entries fills one buffer again and again.
pub fn encode_into(v: &mut Vec<u8>, e: &LogEntry) {
    v.clear();
    v.reserve(HEAD_BYTES + e.body.len());
    v.push(VERSION);
    v.extend_from_slice(&checksum(e.index, e.term, &e.body).to_le_bytes());
    v.extend_from_slice(&e.term.to_le_bytes());
    v.extend_from_slice(&e.body);
}

fn u64_at(raw: &[u8], at: usize) -> Option<u64> {
    raw.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)
}

pub fn decode(index: u64, raw: Bytes) -> Result<LogEntry, &'static str> {
    if raw.first() != Some(&VERSION) {
        return Err("unknown version");
    }
    let (Some(sum), Some(term)) = (u64_at(&raw, 1), u64_at(&raw, 9)) else { return Err("too short") };
    let body = raw.slice(HEAD_BYTES..);
    if checksum(index, term, &body) != sum { Err("bad checksum") } else { Ok(LogEntry { term, index, body }) }
}

pub fn index_of(key: &[u8]) -> io::Result<u64> {
    let bytes = key.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a log key that is no index"))?;
    Ok(u64::from_be_bytes(bytes))
}

pub fn encode_position(p: LogPosition) -> [u8; 16] {
    let mut v = [0; 16];
    v[..8].copy_from_slice(&p.term.to_le_bytes());
    v[8..].copy_from_slice(&p.index.to_le_bytes());
    v
}

pub fn decode_position(raw: &[u8]) -> io::Result<LogPosition> {
    match (u64_at(raw, 0), u64_at(raw, 8)) {
        (Some(term), Some(index)) => Ok(LogPosition { term, index }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a purge mark that is too short")),
    }
}
