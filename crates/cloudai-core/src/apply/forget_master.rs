//! A master leaves for good: its node id is poisoned.

use super::out::Out;
use crate::command::ForgetMaster;
use crate::event::Event;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, master_key};

/// Again: no change. Also for a node that was authorised and never registered.
pub fn forget_master(hot: &mut Hot, out: &mut Out, command: ForgetMaster) -> Result<Reply, Refusal> {
    let node = command.node;
    if node == 0 || node >= hot.next_node {
        return Err(Refusal::InvalidValue(format!("node id {node} was never given to a master")));
    }
    let master = hot.masters.entry(node).or_default();
    if !master.removed {
        master.removed = true;
        out.put(Family::Master, &master_key(node), master);
        out.event(Event::MasterChanged { node });
        out.news(News::of_cluster(What::MasterRemoved { node, actor: out.actor.clone() }));
    }
    Ok(Reply::Done)
}
