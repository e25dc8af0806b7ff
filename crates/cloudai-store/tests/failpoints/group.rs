//! Three masters in one process, each over its own directory. Comes in: a directory. Goes out: a group that can be proposed to.
//! Knows nothing of faults.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use cloudai_raft::{LogStore, MasterNode, NodeId, Raft, Settings};
use cloudai_store::{RocksLog, RocksState};
use tokio::time::{Instant, sleep};

use crate::common::{Rows, Wires};

pub const SIZE: u64 = 3;
/// Small, so that a short workload makes checkpoints and purges.
const SNAPSHOT_EVERY: u64 = 25;
const KEEP: u64 = 10;

pub struct Member {
    pub id: NodeId,
    pub raft: Raft<Rows>,
    pub state: RocksState,
}

pub struct Group {
    pub wires: Wires,
    pub members: BTreeMap<NodeId, Member>,
}

pub fn dir_of(root: &Path, id: NodeId) -> PathBuf {
    root.join(format!("m{id}"))
}

fn node(id: NodeId) -> MasterNode {
    MasterNode {
        name: format!("m{id}"),
        raft_addr: format!("host-{id}:7602"),
        grpc_addr: format!("host-{id}:7601"),
        http_addr: format!("host-{id}:7600"),
    }
}

impl Group {
    /// All that start. One that cannot is an error, unless `some` will do.
    pub async fn start<L: LogStore>(root: &Path, wrap: impl Fn(NodeId, RocksLog) -> L) -> io::Result<Group> {
        let mut group = Group { wires: Wires::default(), members: BTreeMap::new() };
        for id in 1..=SIZE {
            let dir = dir_of(root, id);
            let mut settings = Settings::new(id, "test", dir.join("snapshots"));
            (settings.snapshot_every_entries, settings.keep_entries) = (SNAPSHOT_EVERY, KEEP);
            (settings.election_min, settings.election_max) = (Duration::from_millis(400), Duration::from_millis(800));
            let log = RocksLog::open(&dir.join("log")).map_err(io::Error::other)?;
            let app = Rows::open(&dir.join("state"));
            let state = app.state.clone();
            let started = Raft::start(settings, wrap(id, log), app, group.wires.transport(id), None).await;
            let raft = started.map_err(|e| io::Error::other(format!("master {id}: {e}")))?;
            group.wires.plug(id, raft.clone());
            group.members.insert(id, Member { id, raft, state });
        }
        for m in group.members.values() {
            m.raft.run();
        }
        let first = &group.members[&1].raft;
        if !first.is_initialized().await.map_err(io::Error::other)? {
            let all = (1..=SIZE).map(|id| (id, node(id))).collect();
            // A node that died of a fault says so; the others cannot lead without members, and the caller's wait ends.
            first.initialize(all).await.map_err(io::Error::other)?;
        }
        Ok(group)
    }

    /// Who leads; of two that think so, the one with the newer term.
    pub fn leader(&self) -> Option<&Member> {
        let leading = self.members.values().filter(|m| m.raft.leadership().borrow().is_leading());
        leading.max_by_key(|m| m.raft.metrics().term)
    }

    pub async fn leader_within(&self, limit: Duration, not: Option<NodeId>) -> Option<&Member> {
        let until = Instant::now() + limit;
        loop {
            if let Some(l) = self.leader().filter(|l| Some(l.id) != not) {
                return Some(l);
            }
            if Instant::now() > until {
                return None;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// True when it was acknowledged. False: it may have happened or not.
    pub async fn put(&self, key: &str, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            let Some(leader) = self.leader() else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let asked = leader.raft.propose(Bytes::from(format!("{key}=v")));
            match tokio::time::timeout(Duration::from_secs(2), asked).await {
                Ok(Ok(_)) => return true,
                Ok(Err(_)) => sleep(Duration::from_millis(20)).await,
                Err(_) => {}
            }
        }
        false
    }
}
