//! A master tells its cluster, at every start, which disk and addresses stand behind its node id, until somebody who leads has
//! heard it; and the leader brings the group in line with who is registered. Comes in: this node's own record; registered
//! masters. Goes out: a registration; learners, promotions and removals. A refusal is final: this disk is not that node.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cloudai_core::command::{Kind, RegisterMaster, VERSION};
use cloudai_core::reply::Refusal;
use cloudai_core::{Command, Reply};
use cloudai_proto::v1 as pb;
use cloudai_raft::MasterNode;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::node::Node;
use crate::raft_link::header;
use crate::state_store::StateStore;

/// What a redeemed token gave, kept beside the node file: a crash in between must not lose it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joined {
    pub node: u64,
    /// Raft addresses of the masters at that time.
    pub masters: Vec<String>,
}

const JOINED_FILE: &str = "joined.json";

impl Joined {
    pub fn save(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let mut file = std::fs::File::create(dir.join(JOINED_FILE))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::File::open(dir)?.sync_all()
    }

    pub fn load(dir: &Path) -> Option<Joined> {
        serde_json::from_slice(&std::fs::read(dir.join(JOINED_FILE)).ok()?).ok()
    }
}

/// Pause between two rounds over all masters.
const ROUND: Duration = Duration::from_millis(300);
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// Runs until this start has been registered.
pub async fn run<S: StateStore>(node: Arc<Node<S>>) {
    let mut leadership = node.raft.leadership();
    loop {
        if node.leading().is_some() {
            match register(&node, record(&node)).await {
                Ok(None) => return,
                Ok(Some(refusal)) => return refused(&node, refusal),
                Err(status) => tracing::debug!(%status, "the registration has no outcome yet"),
            }
        }
        for address in others(&node) {
            let asked = node.masters.register(address.clone(), request(&node));
            match tokio::time::timeout(ASK_WITHIN, asked).await {
                Ok(Ok(reply)) if reply.refused.is_empty() => return,
                Ok(Ok(reply)) => return refused(&node, reply.refused),
                Ok(Err(status)) => tracing::debug!(address, %status, "not registered there"),
                Err(_) => tracing::debug!(address, "no answer to the registration"),
            }
        }
        // A new leader is asked at once: until its disk is registered, a wiped one could not be told from it.
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            // Closed for good, it would answer at once, again and again: then only the round counts.
            Ok(()) = leadership.changed() => {}
        }
    }
}

fn refused<S: StateStore>(node: &Node<S>, reason: String) {
    tracing::error!(reason, "this master is refused by its cluster");
    node.stop.send_replace(Some(reason));
}

fn others<S: StateStore>(node: &Node<S>) -> BTreeSet<String> {
    let mut addresses: BTreeSet<String> = node.raft.members().by_id.into_values().map(|m| m.node.raft_addr).collect();
    addresses.extend(node.config.founders.iter().map(|f| f.raft_addr.clone()));
    addresses.extend(Joined::load(&node.config.data_dir).map(|j| j.masters).unwrap_or_default());
    addresses.remove(&node.own.raft_addr);
    addresses
}

fn request<S: StateStore>(node: &Node<S>) -> pb::RegisterRequest {
    pb::RegisterRequest {
        header: Some(header(&node.me, 0, &node.directory)),
        name: node.own.name.clone(),
        raft_addr: node.own.raft_addr.clone(),
        grpc_addr: node.own.grpc_addr.clone(),
        http_addr: node.own.http_addr.clone(),
        version: VERSION,
    }
}

fn record<S: StateStore>(node: &Node<S>) -> RegisterMaster {
    from_request(request(node))
}

pub fn from_request(r: pb::RegisterRequest) -> RegisterMaster {
    let header = r.header.unwrap_or_default();
    RegisterMaster {
        node: header.from,
        name: r.name,
        disk: header.from_disk,
        raft_addr: r.raft_addr,
        grpc_addr: r.grpc_addr,
        http_addr: r.http_addr,
        version: r.version,
    }
}

/// On the leader. `Ok(Some)`: refused for good, and why.
pub async fn register<S: StateStore>(node: &Node<S>, record: RegisterMaster) -> Result<Option<String>, Status> {
    let actor = format!("master/{}", record.name);
    match node.proposer.propose(Command::new(actor, Kind::RegisterMaster(record))).await {
        Ok((_, Reply::MasterRegistered)) => Ok(None),
        Ok((_, Reply::Refused(refusal @ (Refusal::WrongDisk(_) | Refusal::NodeRemoved(_))))) => {
            Ok(Some(refusal.to_string()))
        }
        // For example before the cluster has founded itself: it asks again.
        Ok((_, Reply::Refused(refusal))) => Err(Status::unavailable(refusal.to_string())),
        Ok((_, other)) => Err(crate::control::errors::unexpected(&other)),
        Err(error) => Err(crate::control::errors::write(&error)),
    }
}

/// How often the leader compares the group with the registered masters, besides when they change.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// A learner that is not caught up by then is tried again later.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(30);

/// Runs while this master leads: registered masters become learners, then voters; removed ones leave.
pub async fn align_group<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    loop {
        tokio::select! {
            () = leading.cancelled() => return,
            () = node.hub.members.notified() => {}
            () = tokio::time::sleep(COMPARE_EVERY) => {}
        }
        let work = async {
            let _one_at_a_time = node.members_lock.lock().await;
            if let Err(error) = align_once(node).await {
                tracing::warn!(%error, "the group of masters is not as it should be yet");
            }
        };
        tokio::select! {
            () = leading.cancelled() => return,
            () = work => {}
        }
    }
}

async fn align_once<S: StateStore>(node: &Node<S>) -> Result<(), cloudai_raft::MembershipError> {
    let registered = node.shared.read().hot.masters.clone();
    let members = node.raft.members();
    for (id, master) in registered {
        match members.by_id.get(&id) {
            None if !master.removed => {
                let joins = MasterNode {
                    name: master.name.clone(),
                    raft_addr: master.raft_addr,
                    grpc_addr: master.grpc_addr,
                    http_addr: master.http_addr,
                };
                tracing::info!(node = id, name = master.name, "a master joins the group as a learner");
                node.raft.add_learner(id, joins).await?;
                node.raft.promote(id, CATCH_UP_WITHIN).await?;
                tracing::info!(node = id, name = master.name, "the master has caught up and votes");
            }
            Some(member) if !master.removed && !member.is_voter => {
                node.raft.promote(id, CATCH_UP_WITHIN).await?;
                tracing::info!(node = id, name = master.name, "the master has caught up and votes");
            }
            Some(_) if master.removed && id != node.me.node => {
                tracing::info!(node = id, name = master.name, "a removed master leaves the group");
                node.raft.remove(id).await?;
            }
            None | Some(_) => {}
        }
    }
    Ok(())
}
