//! The files in which a worker keeps what was used. What lies on its disk may be torn, old or foreign: it is read without a panic, and what is taken for a
//! record survives being written.

use cloudai_worker::history_format::{HEAD_BYTES, check_head, decode, encode, head, records};

/// Enough to wrap around within an input.
const SLOTS_MAX: u64 = 16;

pub fn run(data: &[u8]) {
    let Some((first, file)) = data.split_first() else { return };
    let slots = u64::from(*first) % SLOTS_MAX + 1;
    if check_head(file, slots).is_ok() {
        assert_eq!(file[..HEAD_BYTES], head(slots), "a head that is accepted is the one that would be written");
    }
    let found = records(file, slots);
    assert!(found.len() as u64 <= slots, "more records than there is room for");
    assert!(found.is_sorted_by(|(a, _), (b, _)| a < b), "two records of one number");
    for (number, record) in found {
        assert_eq!(decode(&encode(number, &record)), Some((number, record)), "a record changes when it is written");
    }
}
