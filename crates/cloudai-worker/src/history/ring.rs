//! One file of records, which keeps the newest. Comes in: records. Goes out: those that are kept, oldest first. What the file's bytes mean is known
//! in `format`; here are the hands. Every call waits for the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::format::{self, HEAD_BYTES, HeadError, RECORD_BYTES};
use super::record::Record;

pub struct Ring {
    file: File,
    slots: u64,
    /// The number of the next record.
    next: u64,
}

impl Ring {
    /// How many records fit into so many bytes; at least one.
    pub fn slots_in(bytes: u64) -> u64 {
        (bytes.saturating_sub(HEAD_BYTES as u64) / RECORD_BYTES as u64).max(1)
    }

    /// Goes on with the file that is there. One that it cannot go on with is started anew, and its error is said: what was in it is lost.
    pub fn open(path: &Path, slots: u64) -> io::Result<(Ring, Option<HeadError>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let is_new = file.metadata()?.len() == 0;
        let mut ring = Ring { file, slots, next: 1 };
        let found = ring.bytes()?;
        let problem = match format::check_head(&found, slots) {
            Ok(()) => None,
            Err(_) if is_new => None,
            Err(error) => Some(error),
        };
        if is_new || problem.is_some() {
            ring.file.set_len(0)?;
            ring.file.write_all_at(&format::head(slots), 0)?;
        } else {
            ring.next = format::records(&found, slots).last().map_or(1, |(number, _)| number + 1);
        }
        // Slots that are not there read as empty: one that was cut off, or never written.
        ring.file.set_len(HEAD_BYTES as u64 + slots * RECORD_BYTES as u64)?;
        Ok((ring, problem))
    }

    /// The oldest make room. Nothing is synced: a power cut costs the newest of it.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        // More than there is room for would only write over itself.
        let kept = usize::try_from(self.slots).map_or(records.len(), |slots| records.len().min(slots));
        let mut left = &records[records.len() - kept..];
        while !left.is_empty() {
            let slot = self.next % self.slots;
            let room = usize::try_from(self.slots - slot).unwrap_or(usize::MAX);
            let (now, later) = left.split_at(left.len().min(room));
            let bytes: Vec<u8> = (self.next..).zip(now).flat_map(|(number, r)| format::encode(number, r)).collect();
            self.file.write_all_at(&bytes, HEAD_BYTES as u64 + slot * RECORD_BYTES as u64)?;
            self.next += now.len() as u64;
            left = later;
        }
        Ok(())
    }

    /// Those that `wanted` takes, oldest first.
    pub fn records(&self, wanted: impl Fn(&Record) -> bool) -> io::Result<Vec<Record>> {
        let all = format::records(&self.bytes()?, self.slots);
        Ok(all.into_iter().map(|(_, record)| record).filter(wanted).collect())
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let size = HEAD_BYTES as u64 + self.slots * RECORD_BYTES as u64;
        let size = self.file.metadata()?.len().min(size);
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        let mut read = 0;
        while read < bytes.len() {
            match self.file.read_at(&mut bytes[read..], read as u64)? {
                0 => break,
                n => read += n,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::{Level, QUANTITIES, Subject};
    use proptest::prelude::*;

    fn record(at_ms: u64) -> Record {
        let levels = [Some(Level { mean: at_ms, max: at_ms }), None, None];
        Record { subject: Subject::Machine, at_ms, samples: 1, levels, totals: [None; QUANTITIES] }
    }

    fn times(ring: &Ring) -> Vec<u64> {
        ring.records(|_| true).unwrap().iter().map(|r| r.at_ms).collect()
    }

    #[test]
    fn the_newest_are_kept_also_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let (mut ring, problem) = Ring::open(&path, 4).unwrap();
        assert_eq!((times(&ring), problem), (vec![], None));
        let size = path.metadata().unwrap().len();
        ring.append(&[record(1), record(2), record(3)]).unwrap();
        assert_eq!(times(&ring), [1, 2, 3]);
        drop(ring);
        let (mut ring, problem) = Ring::open(&path, 4).unwrap();
        assert_eq!((times(&ring), problem), (vec![1, 2, 3], None));
        ring.append(&[record(4), record(5)]).unwrap();
        assert_eq!(times(&ring), [2, 3, 4, 5]);
        ring.append(&(6..20).map(record).collect::<Vec<_>>()).unwrap();
        assert_eq!(times(&ring), [16, 17, 18, 19]);
        ring.append(&[record(1)]).unwrap();
        assert_eq!(times(&ring), [17, 18, 19, 1], "the clock was set back; the order is that of writing");
        assert_eq!(path.metadata().unwrap().len(), size, "it never grows");
        assert_eq!(ring.records(|r| r.at_ms == 18).unwrap(), [record(18)]);
    }

    #[test]
    fn what_is_damaged_is_skipped_and_what_is_another_files_is_started_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let (mut ring, _) = Ring::open(&path, 4).unwrap();
        ring.append(&[record(1), record(2), record(3)]).unwrap();
        drop(ring);
        let mut bytes = std::fs::read(&path).unwrap();
        // Number 2 lies in slot 2.
        bytes[HEAD_BYTES + 2 * RECORD_BYTES + 50] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (mut ring, problem) = Ring::open(&path, 4).unwrap();
        assert_eq!((times(&ring), problem), (vec![1, 3], None));
        ring.append(&[record(4)]).unwrap();
        assert_eq!(times(&ring), [1, 3, 4]);
        drop(ring);
        std::fs::write(&path, &bytes[..HEAD_BYTES + 2 * RECORD_BYTES + 7]).unwrap();
        let (ring, problem) = Ring::open(&path, 4).unwrap();
        assert_eq!((times(&ring), problem), (vec![1], None), "cut off");
        drop(ring);
        let (ring, problem) = Ring::open(&path, 5).unwrap();
        assert_eq!((times(&ring), problem), (vec![], Some(HeadError::Slots(4))));
        drop(ring);
        std::fs::write(&path, "something else").unwrap();
        let (mut ring, problem) = Ring::open(&path, 5).unwrap();
        assert_eq!((times(&ring), problem), (vec![], Some(HeadError::Foreign)));
        ring.append(&[record(9)]).unwrap();
        drop(ring);
        assert_eq!(times(&Ring::open(&path, 5).unwrap().0), [9]);
    }

    proptest! {
        /// Any writes, restarts and cuts: what is there is an end of what was written, without what was cut.
        #[test]
        fn a_ring_is_the_end_of_what_was_written(
            slots in 1u64..9,
            steps in proptest::collection::vec(0usize..12, 1..12),
            cut in 0u64..2_000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("ring");
            let mut written = vec![];
            for n in steps {
                // Restarted before each.
                let (mut ring, problem) = Ring::open(&path, slots).unwrap();
                prop_assert_eq!(problem, None);
                let more: Vec<u64> = (0..n as u64).map(|m| written.len() as u64 + m).collect();
                ring.append(&more.iter().copied().map(record).collect::<Vec<_>>()).unwrap();
                written.extend(more);
                let from = written.len().saturating_sub(slots as usize);
                prop_assert_eq!(times(&ring), written[from..].to_vec());
            }
            let before = times(&Ring::open(&path, slots).unwrap().0);
            OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let (ring, problem) = Ring::open(&path, slots).unwrap();
            let after = times(&ring);
            prop_assert_eq!(problem.is_some(), (1..HEAD_BYTES as u64).contains(&cut));
            prop_assert!(after.iter().all(|at| before.contains(at)) && after.is_sorted());
        }
    }
}
