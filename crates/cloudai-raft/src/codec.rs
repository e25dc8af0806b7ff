//! openraft's values to bytes and back, by the messages of `messages.rs`. Comes in: openraft values, or bytes from a
//! disk or a connection. Goes out: the other; whatever makes no sense is an error and never a panic.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use prost::Message;
use prost::encoding::WireType;

use crate::log_store::{LogEntry, LogPosition};
use crate::member::MasterNode;
pub use crate::messages::*;
use crate::types::*;

pub fn bad(what: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// Decode one message, naming it in the error.
pub fn decode<M: Message + Default>(what: &str, raw: Bytes) -> io::Result<M> {
    M::decode(raw).map_err(|e| bad(format!("{what}: {e}")))
}

pub fn encode(m: &impl Message) -> Bytes {
    m.encode_to_vec().into()
}

pub fn log_id(id: &LogId) -> LogIdMsg {
    LogIdMsg { term: term_of(id), index: id.index }
}

pub fn log_id_from(m: LogIdMsg) -> LogId {
    LogId::new_term_index(m.term, m.index)
}

pub fn position(id: &LogId) -> LogPosition {
    LogPosition { term: term_of(id), index: id.index }
}

pub fn position_from(p: LogPosition) -> LogId {
    LogId::new_term_index(p.term, p.index)
}

pub fn vote(v: &Vote) -> VoteMsg {
    VoteMsg { term: v.leader_id.term, node: v.leader_id.voted_for, committed: v.committed }
}

pub fn vote_from(m: VoteMsg) -> Vote {
    if m.committed { Vote::new_committed(m.term, m.node) } else { Vote::new(m.term, m.node) }
}

/// A vote that must be there.
pub fn need_vote(m: Option<VoteMsg>) -> io::Result<Vote> {
    m.map(vote_from).ok_or_else(|| bad("the vote is missing"))
}

pub fn membership(m: &Membership) -> MembershipMsg {
    MembershipMsg {
        voters: m.get_joint_config().iter().map(|c| VoterSet { ids: c.iter().copied().collect() }).collect(),
        members: m.nodes().map(|(id, n)| MemberMsg { id: *id, node: Some(n.clone()) }).collect(),
    }
}

pub fn membership_from(m: MembershipMsg) -> io::Result<Membership> {
    // `Membership::new` refuses the empty one, which a node has until it hears of its cluster.
    if m.voters.is_empty() {
        return Ok(Membership::default());
    }
    let voters: Vec<BTreeSet<u64>> = m.voters.into_iter().map(|s| s.ids.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, MasterNode> = m.members.into_iter().map(|m| (m.id, m.node.unwrap_or_default())).collect();
    Membership::new(voters, nodes).map_err(bad)
}

pub fn mark(applied: Option<&LogId>, m: &StoredMembership) -> Bytes {
    encode(&MarkMsg {
        applied: applied.map(log_id),
        membership_at: m.log_id().as_ref().map(log_id),
        membership: Some(membership(m.membership())),
    })
}

pub fn mark_from(raw: Bytes) -> io::Result<(Option<LogId>, StoredMembership)> {
    let m: MarkMsg = decode("mark", raw)?;
    let members = membership_from(m.membership.unwrap_or_default())?;
    Ok((m.applied.map(log_id_from), StoredMembership::new(m.membership_at.map(log_id_from), members)))
}

pub fn body(e: &Entry) -> Bytes {
    let kind = match &e.payload {
        EntryPayload::Blank => BodyKind::Blank(Nothing {}),
        EntryPayload::Normal(p) => return p.body().clone(),
        EntryPayload::Membership(m) => BodyKind::Membership(membership(m)),
    };
    encode(&EntryBody { kind: Some(kind) })
}

/// `EntryBody` with `BodyKind::Normal(app)`: a tag, a length, and the application's bytes at the end.
pub fn normal_body(app: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(1 + 10 + app.len());
    prost::encoding::encode_key(2, WireType::LengthDelimited, &mut body);
    prost::encoding::encode_varint(app.len() as u64, &mut body);
    body.extend_from_slice(app);
    body.into()
}

pub fn entry_from(term: u64, index: u64, body: Bytes) -> io::Result<Entry> {
    let b: EntryBody = decode("entry body", body.clone())?;
    let payload = match b.kind.ok_or_else(|| bad(format!("entry {index} has no kind that this version knows")))? {
        BodyKind::Blank(Nothing {}) => EntryPayload::Blank,
        BodyKind::Normal(p) => EntryPayload::Normal(Payload::decoded(body, p)),
        BodyKind::Membership(m) => EntryPayload::Membership(membership_from(m)?),
    };
    Ok(Entry { log_id: LogId::new_term_index(term, index), payload })
}

pub fn stored_entry(e: &Entry) -> LogEntry {
    LogEntry { term: term_of(&e.log_id), index: e.log_id.index, body: body(e) }
}

pub fn append(r: &AppendEntriesRequest<Types>) -> Bytes {
    let wire = |e: &Entry| WireEntry { term: term_of(&e.log_id), index: e.log_id.index, body: body(e) };
    encode(&AppendMsg {
        vote: Some(vote(&r.vote)),
        prev: r.prev_log_id.as_ref().map(log_id),
        entries: r.entries.iter().map(wire).collect(),
        commit: r.leader_commit.as_ref().map(log_id),
    })
}

pub fn append_from(frame: Bytes) -> io::Result<AppendEntriesRequest<Types>> {
    let m: AppendMsg = decode("append request", frame)?;
    let entries: Vec<Entry> =
        m.entries.into_iter().map(|e| entry_from(e.term, e.index, e.body)).collect::<Result<_, _>>()?;
    Ok(AppendEntriesRequest {
        vote: need_vote(m.vote)?,
        prev_log_id: m.prev.map(log_id_from),
        entries,
        leader_commit: m.commit.map(log_id_from),
    })
}

pub fn append_reply(r: StreamAppendResult<Types>) -> Bytes {
    let result = match r {
        Ok(Some(id)) => AppendResult::Matched(log_id(&id)),
        Ok(None) => AppendResult::MatchedNothing(Nothing {}),
        Err(StreamAppendError::Conflict(id)) => AppendResult::Conflict(log_id(&id)),
        Err(StreamAppendError::HigherVote(v)) => AppendResult::HigherVote(vote(&v)),
    };
    encode(&AppendReplyMsg { result: Some(result) })
}

pub fn append_reply_from(frame: Bytes) -> io::Result<StreamAppendResult<Types>> {
    let m: AppendReplyMsg = decode("append reply", frame)?;
    Ok(match m.result.ok_or_else(|| bad("append reply: empty"))? {
        AppendResult::Matched(id) => Ok(Some(log_id_from(id))),
        AppendResult::MatchedNothing(Nothing {}) => Ok(None),
        AppendResult::Conflict(id) => Err(StreamAppendError::Conflict(log_id_from(id))),
        AppendResult::HigherVote(v) => Err(StreamAppendError::HigherVote(vote_from(v))),
    })
}

pub fn vote_request(r: &VoteRequest<Types>) -> Bytes {
    encode(&VoteRequestMsg {
        vote: Some(vote(&r.vote)),
        last: r.last_log_id.as_ref().map(log_id),
        hand_over: r.leadership_transfer,
    })
}

pub fn vote_request_from(frame: Bytes) -> io::Result<VoteRequest<Types>> {
    let m: VoteRequestMsg = decode("vote request", frame)?;
    let mut r = VoteRequest::new(need_vote(m.vote)?, m.last.map(log_id_from));
    r.leadership_transfer = m.hand_over;
    Ok(r)
}

pub fn vote_reply(r: &VoteResponse<Types>) -> Bytes {
    encode(&VoteReplyMsg {
        vote: Some(vote(&r.vote)),
        granted: r.vote_granted,
        last: r.last_log_id.as_ref().map(log_id),
    })
}

pub fn vote_reply_from(frame: Bytes) -> io::Result<VoteResponse<Types>> {
    let m: VoteReplyMsg = decode("vote reply", frame)?;
    Ok(VoteResponse::new(need_vote(m.vote)?, m.last.map(log_id_from), m.granted))
}

pub fn transfer(r: &TransferLeaderRequest<Types>) -> Bytes {
    encode(&TransferMsg { from: Some(vote(r.from_leader())), to: *r.to_node_id(), last: r.last_log_id().map(log_id) })
}

pub fn transfer_from(frame: Bytes) -> io::Result<TransferLeaderRequest<Types>> {
    let m: TransferMsg = decode("transfer request", frame)?;
    Ok(TransferLeaderRequest::new(need_vote(m.from)?, m.to, m.last.map(log_id_from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn node(n: u64) -> MasterNode {
        MasterNode {
            name: format!("master-{n}"),
            raft_addr: format!("10.0.0.{n}:7602"),
            grpc_addr: format!("10.0.0.{n}:7601"),
            http_addr: format!("10.0.0.{n}:7600"),
        }
    }

    /// Voters 1 and 2 on their way to 1, 2, 3; 4 is a learner.
    fn joint() -> Membership {
        let nodes: BTreeMap<u64, MasterNode> = (1..=4).map(|n| (n, node(n))).collect();
        Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([1, 2, 3])], nodes).unwrap()
    }

    fn id(term: u64, index: u64) -> LogId {
        LogId::new_term_index(term, index)
    }

    /// The committed bytes of one kind. What they decode to must never change; a change of what is encoded today needs
    /// a new file beside the old one. `WRITE_GOLDEN=1` writes a file that does not exist yet.
    fn golden(name: &str, encoded: &Bytes) -> Bytes {
        let path = Path::new("tests/golden").join(format!("{name}.bin"));
        if !path.exists() && std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, encoded).unwrap();
        }
        let stored = Bytes::from(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        assert_eq!(&stored, encoded, "{name} is encoded differently now");
        stored
    }

    #[test]
    fn golden_entries_decode_for_ever() {
        let kinds = [
            ("entry-blank-v1", EntryPayload::Blank),
            ("entry-normal-v1", EntryPayload::Normal(Payload::new(b"any bytes \x00\xff"))),
            ("entry-membership-v1", EntryPayload::Membership(joint())),
        ];
        for (name, payload) in kinds {
            let entry = Entry { log_id: id(7, 42), payload };
            assert_eq!(entry_from(7, 42, golden(name, &body(&entry))).unwrap(), entry, "{name}");
        }
    }

    #[test]
    fn golden_meta_decodes_for_ever() {
        for (name, v) in [("vote-v1", Vote::new(7, 3)), ("vote-committed-v1", Vote::new_committed(7, 3))] {
            let stored = golden(name, &encode(&vote(&v)));
            assert_eq!(need_vote(Some(decode("vote", stored).unwrap())).unwrap(), v);
        }
        let stored = golden("committed-v1", &encode(&log_id(&id(7, 41))));
        assert_eq!(log_id_from(decode("commit", stored).unwrap()), id(7, 41));
        let members = StoredMembership::new(Some(id(6, 30)), joint());
        let stored = golden("mark-v1", &mark(Some(&id(7, 41)), &members));
        assert_eq!(mark_from(stored).unwrap(), (Some(id(7, 41)), members));
        let nothing = StoredMembership::default();
        assert_eq!(mark_from(mark(None, &nothing)).unwrap(), (None, nothing), "a node that knows no members yet");
    }

    #[test]
    fn golden_messages_between_masters_decode_for_ever() {
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(7, 1),
            prev_log_id: Some(id(6, 40)),
            entries: vec![
                Entry { log_id: id(7, 41), payload: EntryPayload::Blank },
                Entry { log_id: id(7, 42), payload: EntryPayload::Normal(Payload::new(b"x")) },
            ],
            leader_commit: Some(id(6, 39)),
        };
        let again = append_from(golden("append-v1", &append(&request))).unwrap();
        assert_eq!(
            (again.vote, again.prev_log_id, again.leader_commit),
            (request.vote, request.prev_log_id, request.leader_commit)
        );
        assert_eq!(again.entries, request.entries);

        let answers = [
            ("append-matched-v1", Ok(Some(id(7, 42)))),
            ("append-matched-nothing-v1", Ok(None)),
            ("append-conflict-v1", Err(StreamAppendError::Conflict(id(6, 40)))),
            ("append-higher-vote-v1", Err(StreamAppendError::HigherVote(Vote::new(8, 2)))),
        ];
        for (name, answer) in answers {
            assert_eq!(append_reply_from(golden(name, &append_reply(answer.clone()))).unwrap(), answer, "{name}");
        }

        let mut ask = VoteRequest::new(Vote::new(8, 2), Some(id(7, 42)));
        ask.leadership_transfer = true;
        assert_eq!(vote_request_from(golden("vote-request-v1", &vote_request(&ask))).unwrap(), ask);
        let answer = VoteResponse::new(Vote::new(8, 2), Some(id(7, 42)), true);
        assert_eq!(vote_reply_from(golden("vote-reply-v1", &vote_reply(&answer))).unwrap(), answer);
        let order = TransferLeaderRequest::new(Vote::new_committed(7, 1), 2, Some(id(7, 42)));
        assert_eq!(transfer_from(golden("transfer-v1", &transfer(&order))).unwrap(), order);

        let head = SnapshotHead {
            vote: Some(vote(&Vote::new_committed(7, 1))),
            mark: mark(Some(&id(7, 41)), &StoredMembership::default()),
            files: vec![FileMsg { name: "000012.sst".into(), size: 5, xxh3: 0x0123_4567_89ab_cdef }],
        };
        assert_eq!(decode::<SnapshotHead>("head", golden("snapshot-head-v1", &encode(&head))).unwrap(), head);
        let chunk = SnapshotChunk { file: 3, offset: 9, xxh3: 77, data: Bytes::from_static(b"12345") };
        assert_eq!(decode::<SnapshotChunk>("chunk", golden("snapshot-chunk-v1", &encode(&chunk))).unwrap(), chunk);
        let reply = SnapshotReplyMsg { vote: Some(vote(&Vote::new_committed(7, 1))) };
        assert_eq!(decode::<SnapshotReplyMsg>("reply", golden("snapshot-reply-v1", &encode(&reply))).unwrap(), reply);
    }

    #[test]
    fn rubbish_is_an_error_and_never_a_panic() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            let mut raw = vec![];
            for _ in 0..(seed % 40) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                raw.push((seed >> 33) as u8);
            }
            seed = seed.wrapping_add(0x1234_5678_9abc_def1);
            let raw = Bytes::from(raw);
            // Whatever it answers, it answers.
            let _outcomes = (
                entry_from(1, 1, raw.clone()).is_ok(),
                append_from(raw.clone()).is_ok(),
                append_reply_from(raw.clone()).is_ok(),
                vote_request_from(raw.clone()).is_ok(),
                vote_reply_from(raw.clone()).is_ok(),
                transfer_from(raw.clone()).is_ok(),
                mark_from(raw.clone()).is_ok(),
                decode::<SnapshotHead>("head", raw).is_ok(),
            );
        }
        assert!(append_from(Bytes::new()).is_err(), "no vote");
        assert!(entry_from(1, 1, Bytes::new()).is_err(), "no kind");
    }
}
