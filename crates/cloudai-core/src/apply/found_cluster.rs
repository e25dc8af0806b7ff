//! The cluster gets its name, once. The founders' node ids are taken from then on.

use cloudai_types::limits;

use crate::command::FoundCluster;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};

pub fn found_cluster(hot: &mut Hot, command: FoundCluster) -> Result<Reply, Refusal> {
    let FoundCluster { cluster, founders } = command;
    if !hot.cluster.is_empty() {
        return Err(Refusal::AlreadyFounded);
    }
    if cluster.len() != 16 || !cluster.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Refusal::InvalidValue("a cluster id has 16 characters of 0-9 and a-f".to_owned()));
    }
    if founders == 0 || founders > limits::MASTERS_MAX as u64 {
        return Err(Refusal::InvalidValue(format!("{founders} founders; 1 to {} are allowed", limits::MASTERS_MAX)));
    }
    hot.cluster = cluster;
    hot.next_node = hot.next_node.max(founders + 1);
    Ok(Reply::Done)
}
