//! How far the log was on the disk, noted beside it after each fsync. Comes in: RocksDB's sequence number of the last synced
//! write. Goes out, at a start: the same, as a lower bound.
//!
//! RocksDB takes damage in the last block of its write-ahead log for a torn tail and drops what follows. This note tells the two
//! apart: what it counts had been synced, so it cannot be torn. It is written in place and not synced itself: an older note only
//! claims less.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

pub const NAME: &str = "SYNCED";
/// Sequence number and its xxh3, little endian.
const BYTES: usize = 16;

pub struct SyncedNote(File);

impl SyncedNote {
    /// The note's file, and what it says; `None` when there is none, or when it is itself damaged.
    pub fn open(dir: &Path) -> io::Result<(SyncedNote, Option<u64>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(NAME))?;
        let mut raw = [0; BYTES];
        let read = file.read_at(&mut raw, 0)?;
        let (number, sum) = raw.split_at(8);
        let said = (read == BYTES && xxh3_64(number).to_le_bytes() == sum)
            .then(|| u64::from_le_bytes(number.try_into().expect("split at 8")));
        if read > 0 && said.is_none() {
            tracing::warn!(dir = %dir.display(), "the note of what is synced is damaged; the log is checked without it");
        }
        Ok((SyncedNote(file), said))
    }

    pub fn write(&self, sequence: u64) -> io::Result<()> {
        let number = sequence.to_le_bytes();
        let mut raw = [0; BYTES];
        raw[..8].copy_from_slice(&number);
        raw[8..].copy_from_slice(&xxh3_64(&number).to_le_bytes());
        self.0.write_all_at(&raw, 0)
    }
}
