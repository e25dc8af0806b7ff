//! How far the log was on the disk: what tells a torn end, which a power cut leaves and which is dropped, from damage, which is refused.
//! Comes in: RocksDB's sequence number of the last synced write. Goes out, at a start: the same, as a lower bound.
//!
//! It is told in two places, neither of which costs an fsync. A *note* in a file beside the log, written in place after each fsync: exact
//! after the end of the process, but the kernel takes it to the disk when it likes, so that after a power cut it may be old. And *claims*
//! inside the log: the first write after an fsync says how far that reached, and what follows it on the disk proves it. The last group
//! of writes before a power cut has no claim behind it: damage of these alone is taken for a torn end (`docs/guarantees.md`).
//!
//! A claim is found by a search for this log's own salt in the raw files, also behind the place where RocksDB stops reading. Nobody who
//! writes through the log knows the salt, so no entry can be made to look like a claim. An older note or a missed claim only claims less.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem;
use xxhash_rust::xxh3::xxh3_64;

use crate::db::sync_dir;

pub const NAME: &str = "SYNCED";
/// Sequence number and its xxh3, little endian.
const NOTE_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
/// Salt, sequence number, and the xxh3 of both.
const CLAIM_BYTES: usize = SALT_BYTES + 16;
/// Of a write-ahead log at once.
const READ_BYTES: usize = 1 << 20;

pub struct SyncedNote {
    file: File,
    salt: [u8; SALT_BYTES],
    /// The last write that this process has synced, and the same as the log itself last said.
    synced: AtomicU64,
    claimed: AtomicU64,
}

impl SyncedNote {
    /// The note of the log in `dir`, and the last write that is known to have been synced; `None` when nothing tells. To be called
    /// before RocksDB opens the log, which removes files with claims; what they say is in the note, synced, when this returns.
    pub fn open(dir: &Path) -> io::Result<(SyncedNote, Option<u64>)> {
        fs::create_dir_all(dir)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(NAME))?;
        let mut raw = vec![];
        (&file).take(1 << 10).read_to_end(&mut raw)?;
        let noted = raw.get(..NOTE_BYTES).and_then(summed).map(u64::from_le_bytes);
        if !raw.is_empty() && noted.is_none_or(|_| raw.len() > NOTE_BYTES && summed_salt(&raw).is_none()) {
            tracing::warn!(dir = %dir.display(), "the note of what is synced is damaged; the log is checked with what is left of it");
        }
        let Some(salt) = summed_salt(&raw) else {
            let note = SyncedNote::new(file, new_salt());
            note.write(noted.unwrap_or(0))?;
            note.file.write_all_at(&with_sum(&note.salt), NOTE_BYTES as u64)?;
            note.file.sync_all()?;
            sync_dir(dir)?;
            return Ok((note, noted));
        };
        let note = SyncedNote::new(file, salt);
        let claimed = note.highest_claim(dir)?;
        if claimed > noted {
            note.write(claimed.expect("more than nothing"))?;
            note.file.sync_all()?;
        }
        Ok((note, claimed.max(noted)))
    }

    fn new(file: File, salt: [u8; SALT_BYTES]) -> SyncedNote {
        SyncedNote { file, salt, synced: AtomicU64::default(), claimed: AtomicU64::default() }
    }

    /// Everything up to this write is on the disk. The note itself is not synced.
    pub fn on_synced(&self, sequence: u64) -> io::Result<()> {
        self.write(sequence)?;
        self.synced.store(sequence, Ordering::Release);
        Ok(())
    }

    /// Once after each sync: to be written into the log, where it stands behind what it is about.
    pub fn next_claim(&self) -> Option<Vec<u8>> {
        let synced = self.synced.load(Ordering::Acquire);
        (self.claimed.swap(synced, Ordering::Relaxed) != synced).then(|| self.claim(synced))
    }

    fn write(&self, sequence: u64) -> io::Result<()> {
        self.file.write_all_at(&with_sum(&sequence.to_le_bytes()), 0)
    }

    fn claim(&self, sequence: u64) -> Vec<u8> {
        with_sum(&[&self.salt[..], &sequence.to_le_bytes()].concat())
    }

    fn highest_claim(&self, dir: &Path) -> io::Result<Option<u64>> {
        let mut highest = None;
        for item in fs::read_dir(dir)? {
            let path = item?.path();
            if path.extension().is_some_and(|e| e == "log") {
                highest = highest.max(self.highest_claim_in(File::open(path)?)?);
            }
        }
        Ok(highest)
    }

    fn highest_claim_in(&self, mut wal: impl io::Read) -> io::Result<Option<u64>> {
        let (salt, mut window, mut highest) = (memmem::Finder::new(&self.salt), vec![], None);
        // What is kept of a window is too short to hold a claim, so none is found twice or lost between two.
        while wal.by_ref().take(READ_BYTES as u64).read_to_end(&mut window)? > 0 {
            for at in salt.find_iter(&window) {
                let number = window.get(at..at + CLAIM_BYTES).and_then(summed).map(|body: [u8; SALT_BYTES + 8]| {
                    u64::from_le_bytes(body[SALT_BYTES..].try_into().expect("8 bytes behind the salt"))
                });
                highest = highest.max(number);
            }
            window.drain(..window.len().saturating_sub(CLAIM_BYTES - 1));
        }
        Ok(highest)
    }
}

fn new_salt() -> [u8; SALT_BYTES] {
    let unforeseen = RandomState::new();
    let halves = [unforeseen.hash_one(0), unforeseen.hash_one(1)];
    let mut salt = [0; SALT_BYTES];
    salt[..8].copy_from_slice(&halves[0].to_le_bytes());
    salt[8..].copy_from_slice(&halves[1].to_le_bytes());
    salt
}

fn summed_salt(raw: &[u8]) -> Option<[u8; SALT_BYTES]> {
    raw.get(NOTE_BYTES..NOTE_BYTES + SALT_BYTES + 8).and_then(summed)
}

fn with_sum(body: &[u8]) -> Vec<u8> {
    [body, &xxh3_64(body).to_le_bytes()].concat()
}

/// What stands before its xxh3, if the two fit.
fn summed<const N: usize>(raw: &[u8]) -> Option<[u8; N]> {
    let (body, sum) = raw.split_at_checked(N)?;
    (sum == xxh3_64(body).to_le_bytes()).then(|| body.try_into().expect("split at N"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> (tempfile::TempDir, SyncedNote) {
        let dir = tempfile::tempdir().unwrap();
        let (note, said) = SyncedNote::open(dir.path()).unwrap();
        assert_eq!(said, None, "of a new log nothing is known");
        (dir, note)
    }

    fn said(dir: &tempfile::TempDir) -> Option<u64> {
        SyncedNote::open(dir.path()).unwrap().1
    }

    #[test]
    fn the_note_says_what_was_written_last() {
        let (dir, note) = note();
        note.write(7).unwrap();
        note.write(9).unwrap();
        assert_eq!(said(&dir), Some(9));
        assert_eq!(said(&dir), Some(9), "also at the next start");
    }

    #[test]
    fn each_sync_is_claimed_once_by_what_comes_after_it() {
        let (dir, note) = note();
        assert_eq!(note.next_claim(), None, "nothing is synced yet");
        note.on_synced(7).unwrap();
        assert_eq!((note.next_claim(), note.next_claim()), (Some(note.claim(7)), None));
        note.on_synced(8).unwrap();
        note.on_synced(9).unwrap();
        assert_eq!((note.next_claim(), note.next_claim()), (Some(note.claim(9)), None));
        assert_eq!(said(&dir), Some(9));
    }

    #[test]
    fn a_note_from_before_there_were_claims_is_read_and_gets_a_salt() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), with_sum(&41u64.to_le_bytes())).unwrap();
        let (note, said_first) = SyncedNote::open(dir.path()).unwrap();
        assert_eq!(said_first, Some(41));
        fs::write(dir.path().join("000004.log"), note.claim(50)).unwrap();
        assert_eq!(said(&dir), Some(50));
    }

    #[test]
    fn the_highest_claim_counts_wherever_it_lies_and_stays_known_without_its_file() {
        let (dir, note) = note();
        note.write(5).unwrap();
        for at in [0, 1, READ_BYTES - CLAIM_BYTES, READ_BYTES - 20, READ_BYTES - 1, READ_BYTES, 3 * READ_BYTES - 8] {
            let mut raw = vec![0xa5; at];
            raw.extend(note.claim(at as u64 + 100));
            raw.extend(note.claim(at as u64 + 99));
            raw.extend([0; 50]);
            fs::write(dir.path().join("000012.log"), raw).unwrap();
            assert_eq!(said(&dir), Some(at as u64 + 100), "a claim at {at}");
        }
        fs::remove_file(dir.path().join("000012.log")).unwrap();
        assert_eq!(said(&dir), Some(3 * READ_BYTES as u64 + 92));
    }

    #[test]
    fn what_is_no_whole_claim_of_this_log_is_none() {
        let (dir, note) = note();
        note.write(5).unwrap();
        let (_other_dir, other) = self::note();
        let mut bad = note.claim(100);
        bad[SALT_BYTES] ^= 1;
        let forged = with_sum(&[&[0; SALT_BYTES][..], &100u64.to_le_bytes()].concat());
        let cut_off = note.claim(100)[..CLAIM_BYTES - 1].to_vec();
        fs::write(dir.path().join("000012.log"), [other.claim(100), bad, forged, cut_off].concat()).unwrap();
        fs::write(dir.path().join("000013.sst"), note.claim(100)).unwrap();
        assert_eq!(said(&dir), Some(5));
    }
}
