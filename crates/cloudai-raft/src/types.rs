//! openraft's type configuration. Nothing in here leaves the crate.

use std::any::Any;
use std::fmt;
use std::sync::Mutex;

use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::type_config::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};

use crate::codec;
use crate::member::{MasterNode, NodeId};

/// One entry's payload, never looked into between proposer and application. It carries its encoded body along: an entry is
/// encoded once, by the leader, and the same bytes go to every follower and into every log.
#[derive(Clone)]
pub struct Payload {
    /// An encoded `EntryBody`, with `app` inside.
    body: Bytes,
    app: Bytes,
}

impl Payload {
    pub fn new(app: &[u8]) -> Payload {
        let body = codec::normal_body(app);
        Payload { app: body.slice(body.len() - app.len()..), body }
    }

    /// `app` was decoded from `body`.
    pub fn decoded(body: Bytes, app: Bytes) -> Payload {
        Payload { body, app }
    }

    /// The encoded `EntryBody`.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What the application proposed.
    pub fn app(&self) -> &Bytes {
        &self.app
    }

    pub fn into_app(self) -> Bytes {
        self.app
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.app == other.app
    }
}

impl Eq for Payload {}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload({} B)", self.app.len())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The application's reply on its way from `apply` to the proposer. Boxed, so that openraft's types need not be generic
/// over the application: one small allocation per entry, not per command. The mutex only makes it `Sync`.
#[derive(Default)]
pub struct BoxedReply(Mutex<Option<Box<dyn Any + Send>>>);

impl BoxedReply {
    pub fn new<R: Send + 'static>(reply: R) -> BoxedReply {
        BoxedReply(Mutex::new(Some(Box::new(reply))))
    }

    /// `None` when the entry carried nothing for the application, or for another reply type.
    pub fn into_inner<R: 'static>(self) -> Option<R> {
        let any = self.0.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())?;
        any.downcast::<R>().ok().map(|r| *r)
    }
}

impl fmt::Debug for BoxedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reply")
    }
}

// `leader_id_std` is classic Raft: one leader in a term. (The default, `leader_id_adv`, allows several.)
openraft::declare_raft_types!(
    pub Types:
        D = Payload,
        R = BoxedReply,
        NodeId = NodeId,
        Node = MasterNode,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, NodeId>,
        AsyncRuntime = crate::runtime::Runtime,
);

pub type Entry = EntryOf<Types>;
pub type LogId = LogIdOf<Types>;
pub type Vote = VoteOf<Types>;
pub type Membership = openraft::Membership<NodeId, MasterNode>;
pub type StoredMembership = StoredMembershipOf<Types>;
pub type SnapshotMeta = SnapshotMetaOf<Types>;

/// The term that wrote `id`.
pub fn term_of(id: &LogId) -> u64 {
    **id.committed_leader_id()
}
