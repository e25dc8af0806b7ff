//! The revoked identities. Comes in: the whole set, from replicated state, whenever it changes. Goes out: yes or no, at every
//! handshake and every call. Who revokes, and why, is not known here.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::identity::{Identity, Role, Serial};

/// Both kinds of revocation: a name until it is authorised again, and single certificates for as long as they would be valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedSet {
    pub names: BTreeSet<(Role, String)>,
    pub serials: BTreeSet<Serial>,
}

/// Shared by the listeners and the handlers of a process; written by whoever follows the replicated state.
#[derive(Clone, Default)]
pub struct Revoked(Arc<ArcSwap<RevokedSet>>);

impl Revoked {
    /// Live connections are not touched: cut them with [`crate::Connections::cut`] afterwards.
    pub fn replace(&self, set: RevokedSet) {
        self.0.store(Arc::new(set));
    }

    pub fn contains(&self, identity: &Identity) -> bool {
        let set = self.0.load();
        // A set has no borrowed form of a pair; there are few revoked names, and none in the common case.
        set.serials.contains(&identity.serial)
            || set.names.iter().any(|(role, name)| *role == identity.role && *name == identity.name)
    }
}

impl std::fmt::Debug for Revoked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = self.0.load();
        write!(f, "Revoked({} names, {} serials)", set.names.len(), set.serials.len())
    }
}
