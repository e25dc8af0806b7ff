//! Who leads, as one narrow value that changes only when it changes. Comes in: openraft's server metrics and what was
//! applied. Goes out: a watch. A leader appears as `Leading` only after its own blank entry was applied here.

use crate::member::Peer;

/// Who leads, as this master sees it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The newest term that this master has seen.
    pub term: u64,
    /// Who leads in `term`; this master itself included. `None`: an election is on, or nobody was heard yet.
    pub leader: Option<Peer>,
    pub role: Role,
}

/// This master's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// Follower, candidate or learner.
    #[default]
    Following,
    /// Elected, but the entries of earlier leaders are not all applied yet: act on nothing.
    Assuming,
    /// Leads, and has applied its own blank entry at `since_index`: its state holds everything that was ever committed before.
    Leading { since_index: u64 },
}

impl Leadership {
    /// Whether this master may act as the leader.
    pub fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
    }
}
