//! The bytes of a ring's file. Comes in: records and their numbers; bytes of which nothing is known. Goes out: bytes; the records in them that are
//! whole. Pure.
//!
//! A head, then slots of one size. Records are numbered from 1, and number N lies in slot N modulo their count: so the newest record is found by
//! looking at all of them once, and nothing is ever rewritten but the oldest. Each record has its own checksum; what is torn, old or foreign in a
//! slot is no record, and that is all. All numbers are little endian.

use cloudai_types::{AttemptId, JobId};
use xxhash_rust::xxh3::xxh3_64;

use super::record::{Level, QUANTITIES, Record, Subject};

/// A file of another version is started anew.
pub const VERSION: u32 = 1;
pub const HEAD_BYTES: usize = 32;
pub const RECORD_BYTES: usize = 120;
const MAGIC: [u8; 8] = *b"cloudaiH";
/// Where the record's own bytes begin: the checksum of all that follows is before them.
const SUM_BYTES: usize = 8;

/// Numbers end here, after some billions of years: what says more is no record, and numbers never overflow.
const NUMBER_MAX: u64 = u64::MAX / 2;

const MACHINE: u8 = 1;
const GPU: u8 = 2;
const ATTEMPT: u8 = 3;

/// Why a file cannot be gone on with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("it is no file of a history")]
    Foreign,
    #[error("it is of version {0}, and this is {VERSION}")]
    Version(u32),
    #[error("it has room for {0} records")]
    Slots(u64),
}

pub fn head(slots: u64) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(RECORD_BYTES as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&slots.to_le_bytes());
    let sum = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Whether a file that begins like this is one of ours with so many slots.
pub fn check_head(bytes: &[u8], slots: u64) -> Result<(), HeadError> {
    let Some(bytes) = bytes.get(..HEAD_BYTES) else { return Err(HeadError::Foreign) };
    if bytes[..8] != MAGIC {
        return Err(HeadError::Foreign);
    }
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Err(HeadError::Version(version));
    }
    if u64_at(bytes, 24) != xxh3_64(&bytes[..24]) || u32_at(bytes, 12) as usize != RECORD_BYTES {
        return Err(HeadError::Foreign);
    }
    match u64_at(bytes, 16) {
        found if found == slots => Ok(()),
        found => Err(HeadError::Slots(found)),
    }
}

/// What one slot holds; `None`: nothing, or nothing whole.
pub fn decode(slot: &[u8]) -> Option<(u64, Record)> {
    let bytes = slot.get(..RECORD_BYTES)?;
    let number = u64_at(bytes, 8);
    // Slots that were never written are zeros, and most of a young file.
    if number == 0 || number > NUMBER_MAX || u64_at(bytes, 0) != xxh3_64(&bytes[SUM_BYTES..]) {
        return None;
    }
    let (index, job, attempt) = (u32_at(bytes, 28), u64_at(bytes, 32), u32_at(bytes, 40));
    let subject = match bytes[24] {
        MACHINE => Subject::Machine,
        GPU => Subject::Gpu(index),
        ATTEMPT => Subject::Attempt(AttemptId::new(JobId(job), index, attempt)),
        _ => return None,
    };
    let known = bytes[25];
    let mut record = Record {
        subject,
        at_ms: u64_at(bytes, 16),
        samples: u32_at(bytes, 44),
        levels: [None; QUANTITIES],
        totals: [None; QUANTITIES],
    };
    for n in 0..QUANTITIES {
        let at = 48 + n * 24;
        if known & (1 << n) != 0 {
            record.levels[n] = Some(Level { mean: u64_at(bytes, at), max: u64_at(bytes, at + 8) });
        }
        if known & (1 << (n + QUANTITIES)) != 0 {
            record.totals[n] = Some(u64_at(bytes, at + 16));
        }
    }
    Some((number, record))
}

pub fn encode(number: u64, record: &Record) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(8, &number.to_le_bytes());
    put(16, &record.at_ms.to_le_bytes());
    match record.subject {
        Subject::Machine => put(24, &[MACHINE]),
        Subject::Gpu(index) => {
            put(24, &[GPU]);
            put(28, &index.to_le_bytes());
        }
        Subject::Attempt(attempt) => {
            put(24, &[ATTEMPT]);
            put(28, &attempt.task.index.to_le_bytes());
            put(32, &attempt.task.job.0.to_le_bytes());
            put(40, &attempt.number.to_le_bytes());
        }
    }
    put(44, &record.samples.to_le_bytes());
    let mut known = 0u8;
    for n in 0..QUANTITIES {
        let at = 48 + n * 24;
        if let Some(level) = record.levels[n] {
            known |= 1 << n;
            put(at, &level.mean.to_le_bytes());
            put(at + 8, &level.max.to_le_bytes());
        }
        if let Some(total) = record.totals[n] {
            known |= 1 << (n + QUANTITIES);
            put(at + 16, &total.to_le_bytes());
        }
    }
    put(25, &[known]);
    let sum = xxh3_64(&bytes[SUM_BYTES..]);
    bytes[..SUM_BYTES].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// All records of a file with so many slots, in order of their numbers. Comes in what was read of it, head included: it may be cut anywhere.
pub fn records(file: &[u8], slots: u64) -> Vec<(u64, Record)> {
    let after_head = file.get(HEAD_BYTES..).unwrap_or_default();
    let whole = after_head.chunks_exact(RECORD_BYTES);
    let in_place = whole.zip(0..slots).filter_map(|(slot, n)| decode(slot).filter(|(number, _)| number % slots == n));
    let mut all: Vec<(u64, Record)> = in_place.collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    all
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn any_record() -> impl Strategy<Value = Record> {
        let subject = prop_oneof![
            Just(Subject::Machine),
            (0u32..32).prop_map(Subject::Gpu),
            (any::<u64>(), any::<u32>(), any::<u32>())
                .prop_map(|(job, index, number)| Subject::Attempt(AttemptId::new(JobId(job), index, number))),
        ];
        let level = || proptest::option::of((any::<u64>(), any::<u64>()).prop_map(|(mean, max)| Level { mean, max }));
        let total = || proptest::option::of(any::<u64>());
        (subject, any::<u64>(), any::<u32>(), [level(), level(), level()], [total(), total(), total()])
            .prop_map(|(subject, at_ms, samples, levels, totals)| Record { subject, at_ms, samples, levels, totals })
    }

    #[test]
    fn a_head_says_whose_file_it_is() {
        assert_eq!(check_head(&head(900), 900), Ok(()));
        assert_eq!(check_head(&head(900), 901), Err(HeadError::Slots(900)));
        assert_eq!(check_head(&head(900)[..31], 900), Err(HeadError::Foreign));
        assert_eq!(check_head(b"something else that is long enough", 900), Err(HeadError::Foreign));
        let mut newer = head(900);
        newer[8] = 2;
        assert_eq!(check_head(&newer, 900), Err(HeadError::Version(2)), "before its checksum, which may be another");
        let mut turned = head(900);
        turned[16] ^= 1;
        assert_eq!(check_head(&turned, 900), Err(HeadError::Foreign));
    }

    /// Version 1 on a disk is this, for ever: another layout is another version.
    #[test]
    fn the_bytes_of_version_1() {
        let record = Record {
            subject: Subject::Attempt(AttemptId::new(JobId(7), 3, 2)),
            at_ms: 1_790_000_000_000,
            samples: 60,
            levels: [Some(Level { mean: 500, max: 900 }), None, Some(Level { mean: 1, max: 2 })],
            totals: [Some(4_000), None, None],
        };
        let bytes = encode(5, &record);
        let mut wanted = [0u8; RECORD_BYTES];
        let words: [(usize, &[u8]); 11] = [
            (8, &5u64.to_le_bytes()),
            (16, &1_790_000_000_000u64.to_le_bytes()),
            (24, &[3, 0b0000_1101]),
            (28, &3u32.to_le_bytes()),
            (32, &7u64.to_le_bytes()),
            (40, &2u32.to_le_bytes()),
            (44, &60u32.to_le_bytes()),
            (48, &500u64.to_le_bytes()),
            (56, &900u64.to_le_bytes()),
            (64, &4_000u64.to_le_bytes()),
            (96, &[1, 0, 0, 0, 0, 0, 0, 0, 2]),
        ];
        for (at, word) in words {
            wanted[at..at + word.len()].copy_from_slice(word);
        }
        assert_eq!(bytes[8..], wanted[8..]);
        assert_eq!(decode(&bytes), Some((5, record)));
    }

    /// An input that the fuzzer keeps, made by another program than this.
    #[test]
    fn a_file_of_version_1_is_read() {
        let kept = include_bytes!("../../../cloudai-fuzz/corpus/history/wrapped");
        let file = &kept[1..];
        assert_eq!(check_head(file, 4), Ok(()));
        let found = records(file, 4);
        assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), vec![5, 6, 7, 8]);
        let (_, newest) = found[3];
        assert_eq!(newest.subject, Subject::Attempt(AttemptId::new(JobId(7), 3, 2)));
        assert_eq!((newest.samples, newest.levels[0]), (60, Some(Level { mean: 900, max: 1_500 })));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_one_turned_bit_is_found(
            number in 1..=NUMBER_MAX, record in any_record(), at in 0..RECORD_BYTES * 8
        ) {
            let mut bytes = encode(number, &record);
            prop_assert_eq!(decode(&bytes), Some((number, record)));
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn a_file_of_anything_is_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000), slots in 0u64..20
        ) {
            prop_assert!(records(&bytes, slots).len() <= slots as usize);
            let _ = check_head(&bytes, slots);
        }
    }
}
