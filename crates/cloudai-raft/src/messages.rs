//! This crate's protobuf: what it stores (entry bodies, votes, marks) and what masters send each other. Fields are only
//! ever added; the golden files in `tests/golden` must decode for ever. `codec.rs` translates.

use bytes::Bytes;
use prost::Message;

use crate::member::MasterNode;

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Nothing {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LogIdMsg {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

/// Stored under `MetaKey::Vote`, and part of every question and answer between masters.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct VoteMsg {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub node: u64,
    /// A majority granted it: it is a leader's vote.
    #[prost(bool, tag = "3")]
    pub committed: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct VoterSet {
    #[prost(uint64, repeated, tag = "1")]
    pub ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct MemberMsg {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(message, optional, tag = "2")]
    pub node: Option<MasterNode>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct MembershipMsg {
    /// One set, or two while a change is between its two entries.
    #[prost(message, repeated, tag = "1")]
    pub voters: Vec<VoterSet>,
    /// All members, learners too.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<MemberMsg>,
}

/// What a log store keeps as `LogEntry::body`. Term and index stand beside it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EntryBody {
    #[prost(oneof = "BodyKind", tags = "1, 2, 3")]
    pub kind: Option<BodyKind>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum BodyKind {
    /// A new leader's first entry.
    #[prost(message, tag = "1")]
    Blank(Nothing),
    /// The application's.
    #[prost(bytes = "bytes", tag = "2")]
    Normal(Bytes),
    #[prost(message, tag = "3")]
    Membership(MembershipMsg),
}

/// What the application stores with its state: how far it has applied, and the membership there.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MarkMsg {
    #[prost(message, optional, tag = "1")]
    pub applied: Option<LogIdMsg>,
    /// The entry that brought `membership`.
    #[prost(message, optional, tag = "2")]
    pub membership_at: Option<LogIdMsg>,
    #[prost(message, optional, tag = "3")]
    pub membership: Option<MembershipMsg>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct WireEntry {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// An encoded `EntryBody`.
    #[prost(bytes = "bytes", tag = "3")]
    pub body: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AppendMsg {
    #[prost(message, optional, tag = "1")]
    pub vote: Option<VoteMsg>,
    #[prost(message, optional, tag = "2")]
    pub prev: Option<LogIdMsg>,
    #[prost(message, repeated, tag = "3")]
    pub entries: Vec<WireEntry>,
    #[prost(message, optional, tag = "4")]
    pub commit: Option<LogIdMsg>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AppendReplyMsg {
    #[prost(oneof = "AppendResult", tags = "1, 2, 3, 4")]
    pub result: Option<AppendResult>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub enum AppendResult {
    /// The log matches the leader's up to here, and it is on the disk.
    #[prost(message, tag = "1")]
    Matched(LogIdMsg),
    /// The same for an empty log.
    #[prost(message, tag = "2")]
    MatchedNothing(Nothing),
    /// The entry before the first one sent is missing or another one.
    #[prost(message, tag = "3")]
    Conflict(LogIdMsg),
    /// A newer leader or candidate is known.
    #[prost(message, tag = "4")]
    HigherVote(VoteMsg),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct VoteRequestMsg {
    #[prost(message, optional, tag = "1")]
    pub vote: Option<VoteMsg>,
    #[prost(message, optional, tag = "2")]
    pub last: Option<LogIdMsg>,
    /// The leader itself asked for this election.
    #[prost(bool, tag = "3")]
    pub hand_over: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct VoteReplyMsg {
    #[prost(message, optional, tag = "1")]
    pub vote: Option<VoteMsg>,
    #[prost(bool, tag = "2")]
    pub granted: bool,
    #[prost(message, optional, tag = "3")]
    pub last: Option<LogIdMsg>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct TransferMsg {
    #[prost(message, optional, tag = "1")]
    pub from: Option<VoteMsg>,
    #[prost(uint64, tag = "2")]
    pub to: u64,
    #[prost(message, optional, tag = "3")]
    pub last: Option<LogIdMsg>,
}

/// One file of a checkpoint.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileMsg {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// xxh3 (64 bits) of the whole file.
    #[prost(fixed64, tag = "3")]
    pub xxh3: u64,
}

/// The first frame of a snapshot stream.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SnapshotHead {
    #[prost(message, optional, tag = "1")]
    pub vote: Option<VoteMsg>,
    /// The encoded `MarkMsg` read from inside the checkpoint.
    #[prost(bytes = "bytes", tag = "2")]
    pub mark: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub files: Vec<FileMsg>,
}

/// Every further frame: the next piece of a file, in the order of `SnapshotHead::files`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SnapshotChunk {
    /// Position of its file in `SnapshotHead::files`.
    #[prost(uint32, tag = "1")]
    pub file: u32,
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    /// xxh3 (64 bits) of `data`.
    #[prost(fixed64, tag = "3")]
    pub xxh3: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SnapshotReplyMsg {
    #[prost(message, optional, tag = "1")]
    pub vote: Option<VoteMsg>,
}
