//! What the log and the masters' frames hold: records of the database, entries, votes, marks.

use bytes::Bytes;
use cloudai_core::Proposal;
use cloudai_raft::{LogEntry, garbage};
use cloudai_store::record;
use prost::Message;

pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            garbage::decode_all(rest);
            if let Ok(proposal) = Proposal::decode(rest) {
                let bytes = proposal.encode_to_vec();
                let again = Proposal::decode(bytes.as_slice()).expect("what was written is read");
                assert_eq!(again.encode_to_vec(), bytes);
            }
        }
        1 => {
            let index = u64::from_be_bytes(*rest.first_chunk().unwrap_or(&[0; 8]));
            if let Ok(entry) = record::decode(index, Bytes::copy_from_slice(rest.get(8..).unwrap_or(&[]))) {
                assert_eq!(encoded(&entry), rest[8..], "a record that is accepted is the one that was written");
            }
            if let Ok(position) = record::decode_position(rest) {
                assert_eq!(record::encode_position(position)[..], rest[..16]);
            }
            let _ = record::index_of(rest);
        }
        // A good record with one bit turned is never taken for another.
        _ => {
            let Some((at, body)) = rest.split_first_chunk::<2>() else { return };
            let entry = LogEntry { term: 5, index: 9, body: Bytes::copy_from_slice(body) };
            let mut raw = encoded(&entry);
            assert!(record::decode(9, Bytes::copy_from_slice(&raw)) == Ok(entry), "a record is read as it was written");
            let bit = usize::from(u16::from_be_bytes(*at)) % (raw.len() * 8);
            raw[bit / 8] ^= 1 << (bit % 8);
            assert!(record::decode(9, raw.into()).is_err(), "one turned bit is found");
        }
    }
}

fn encoded(entry: &LogEntry) -> Vec<u8> {
    let mut raw = vec![];
    record::encode_into(&mut raw, entry);
    raw
}
