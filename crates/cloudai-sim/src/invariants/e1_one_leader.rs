//! E1: at most one leader in a term, ever.

use std::collections::BTreeMap;

use cloudai_raft::Role;

use super::{Invariant, Verdict, View};
use crate::network::HostId;

#[derive(Default)]
pub struct OneLeader {
    leaders: BTreeMap<u64, HostId>,
}

impl Invariant for OneLeader {
    fn name(&self) -> &'static str {
        "E1"
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        for master in view.masters {
            let Some(node) = &master.node else { continue };
            let (role, term) = {
                let leadership = node.raft.leadership();
                let l = leadership.borrow();
                (l.role, l.term)
            };
            if role == Role::Following {
                continue;
            }
            let first = *self.leaders.entry(term).or_insert(master.host);
            if first != master.host {
                return Err(format!("m{first} and m{} both led term {term}", master.host));
            }
        }
        Ok(())
    }
}
