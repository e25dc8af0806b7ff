//! Every decoder of this crate over the same bytes, for fuzzers. Comes in: bytes of nobody. Goes out: how many decoders took them.
//! What one of them takes must be written and read again as the same.

use bytes::Bytes;

use crate::codec;
use crate::codec::{EntryBody, decode, encode};

/// Panics when a decoder does, or when a value does not survive being written.
pub fn decode_all(raw: &[u8]) -> usize {
    let raw = Bytes::copy_from_slice(raw);
    let mut taken = 0;
    let mut survives = |again: Option<(Bytes, Option<Bytes>)>| {
        if let Some((once, twice)) = again {
            taken += 1;
            assert_eq!(Some(once), twice, "a decoded value changes when it is written and read");
        }
    };
    let entry = |body: Bytes| codec::entry_from(3, 7, body).ok().map(|e| codec::body(&e));
    survives(entry(raw.clone()).map(|once| (once.clone(), entry(once))));
    let append = |frame: Bytes| codec::append_from(frame).ok().map(|r| codec::append(&r));
    survives(append(raw.clone()).map(|once| (once.clone(), append(once))));
    let append_reply = |frame: Bytes| codec::append_reply_from(frame).ok().map(codec::append_reply);
    survives(append_reply(raw.clone()).map(|once| (once.clone(), append_reply(once))));
    let vote = |frame: Bytes| codec::vote_request_from(frame).ok().map(|r| codec::vote_request(&r));
    survives(vote(raw.clone()).map(|once| (once.clone(), vote(once))));
    let vote_reply = |frame: Bytes| codec::vote_reply_from(frame).ok().map(|r| codec::vote_reply(&r));
    survives(vote_reply(raw.clone()).map(|once| (once.clone(), vote_reply(once))));
    let transfer = |frame: Bytes| codec::transfer_from(frame).ok().map(|r| codec::transfer(&r));
    survives(transfer(raw.clone()).map(|once| (once.clone(), transfer(once))));
    let mark = |raw: Bytes| codec::mark_from(raw).ok().map(|(applied, m)| codec::mark(applied.as_ref(), &m));
    survives(mark(raw.clone()).map(|once| (once.clone(), mark(once))));
    let body = |raw: Bytes| decode::<EntryBody>("entry body", raw).ok().map(|m| encode(&m));
    survives(body(raw.clone()).map(|once| (once.clone(), body(once))));
    taken
}
