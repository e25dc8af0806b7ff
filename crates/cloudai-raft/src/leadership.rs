//! Who leads, as one narrow value that changes only when it changes. Comes in: openraft's server metrics and what was
//! applied. Goes out: a watch. A leader appears as `Leading` only after its own blank entry was applied here.

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::watch;

use crate::machine::TermStart;
use crate::member::{NodeId, Peer};
use crate::types::Types;

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
    /// Leads, and has applied its own blank entry at `since_index`: its state holds everything that was ever committed
    /// before.
    Leading { since_index: u64 },
}

impl Leadership {
    /// Whether this master may act as the leader.
    pub fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
    }
}

/// Keeps `out` current until the node has stopped. `me` never changes.
pub(crate) async fn watch_leadership(
    me: NodeId,
    mut server: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
    mut term_start: watch::Receiver<TermStart>,
    out: watch::Sender<Leadership>,
) {
    loop {
        let now = observe(me, &server.borrow_and_update(), *term_start.borrow_and_update());
        out.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                tracing::info!(
                    term = now.term,
                    leader = now.leader.as_ref().map(|l| l.node.name.as_str()),
                    role = ?now.role,
                    "leadership"
                );
                *before = now;
            }
            changed
        });
        let gone = tokio::select! {
            r = server.changed() => r.is_err(),
            r = term_start.changed() => r.is_err(),
        };
        if gone {
            // Nobody leads through a node that has stopped.
            out.send_modify(|l| *l = Leadership { term: l.term, ..Leadership::default() });
            return;
        }
    }
}

fn observe(me: NodeId, server: &RaftServerMetrics<Types>, start: TermStart) -> Leadership {
    let term = server.vote.leader_id.term;
    let node_of = |id: NodeId| server.membership_config.get_node(&id).cloned().unwrap_or_default();
    let leader = server.current_leader.map(|id| Peer { id, node: node_of(id) });
    let leads = server.state == ServerState::Leader && server.current_leader == Some(me);
    let role = match (leads, start.term == term) {
        (false, _) => Role::Following,
        (true, false) => Role::Assuming,
        // Only this node writes entries of a term that it leads, and its blank entry is the first of them.
        (true, true) => Role::Leading { since_index: start.index },
    };
    Leadership { term, leader, role }
}
