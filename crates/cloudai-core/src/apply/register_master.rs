//! A master tells its node id, its disk and its addresses, at every start. The first disk of a node id wins for ever.

use cloudai_types::limits;

use super::check_name;
use super::out::Out;
use crate::command::RegisterMaster;
use crate::event::Event;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, MasterRow, master_key};

/// Again with nothing new: no change.
pub fn register_master(hot: &mut Hot, out: &mut Out, command: RegisterMaster) -> Result<Reply, Refusal> {
    let RegisterMaster { node, name, disk, raft_addr, grpc_addr, http_addr, version } = command;
    let known = hot.masters.get(&node);
    if let Some(known) = known {
        if known.removed {
            return Err(Refusal::NodeRemoved(node));
        }
        if known.disk != disk {
            return Err(Refusal::WrongDisk(node));
        }
    }
    if node == 0 || node >= hot.next_node {
        return Err(Refusal::InvalidValue(format!("node id {node} was never given to a master: authorise it first")));
    }
    check_name(&name)?;
    if disk.is_empty() {
        return Err(Refusal::InvalidValue("the disk has no id".to_owned()));
    }
    if [&disk, &raft_addr, &grpc_addr, &http_addr].iter().any(|text| text.len() > limits::TEXT_BYTES_MAX) {
        return Err(Refusal::InvalidValue(format!("a disk id or address is over {} bytes", limits::TEXT_BYTES_MAX)));
    }
    let row = MasterRow { name, disk, raft_addr, grpc_addr, http_addr, version, removed: false };
    if known != Some(&row) {
        out.put(Family::Master, &master_key(node), &row);
        hot.masters.insert(node, row);
        out.event(Event::MasterChanged { node });
        out.news(News::of_cluster(What::MasterChanged { node }));
    }
    Ok(Reply::MasterRegistered)
}
