//! Who is in the group: node ids, the record that every membership entry carries for a master, and what an
//! operator sees of it. Comes in: what `initialize` and `add_learner` are given. Goes out: addresses for the
//! transport and the leader's address for those who forward. Knows nothing of certificates or of DNS.

use std::collections::BTreeMap;

/// A master's number in the Raft group. Never used again after it was removed: an empty disk under an old id could
/// vote twice.
pub type NodeId = u64;

/// What the membership records about one master. Addresses are `host:port`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MasterNode {
    /// The name that people use for it, such as `master-1`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where it listens for other masters (7602).
    #[prost(string, tag = "2")]
    pub raft_addr: String,
    /// Where it listens for users, SDKs and workers over gRPC (7601).
    #[prost(string, tag = "3")]
    pub grpc_addr: String,
    /// Where it listens for REST, the dashboard and Prometheus (7600).
    #[prost(string, tag = "4")]
    pub http_addr: String,
}

/// A master with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: NodeId,
    pub node: MasterNode,
}

/// Where a transport has to connect, and whom it must find there. The server refuses a call whose `target` is not
/// its own id, so that an address which changed hands never reaches the wrong log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    pub target: NodeId,
    /// `host:port`.
    pub raft_addr: String,
}

/// One line of `Members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    pub node: MasterNode,
    pub is_voter: bool,
    /// The highest log index that it is known to hold. Known on the leader only.
    pub matched: Option<u64>,
    /// Entries that it is behind the leader's last one. Known on the leader only.
    pub lag: Option<u64>,
}

/// The group as this master knows it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Members {
    pub by_id: BTreeMap<NodeId, Member>,
    /// The index of the membership entry in effect.
    pub log_index: Option<u64>,
    /// False while a change is between its first and its last entry.
    pub is_settled: bool,
}

impl Members {
    /// Ids with a vote, ascending.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values().filter(|m| m.is_voter)
    }

    /// Ids that receive the log and do not vote, ascending.
    pub fn learners(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values().filter(|m| !m.is_voter)
    }
}
