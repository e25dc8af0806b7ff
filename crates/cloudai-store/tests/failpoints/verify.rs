//! After the fault: the same directories are opened again, without any. Comes in: directories and what was promised. Goes out: which
//! promise is broken, if one is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cloudai_raft::{LogStore, MetaKey};
use cloudai_store::RocksLog;
use tokio::time::Instant;

use crate::common::{count, rows};
use crate::group::{Group, SIZE, dir_of};

const PATIENCE: Duration = Duration::from_secs(60);

pub fn verify(root: &Path) -> Result<(), String> {
    for id in 1..=SIZE {
        no_vote_went_back(root, id)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(nothing_is_lost(root))
}

fn no_vote_went_back(root: &Path, id: u64) -> Result<(), String> {
    let promised = fs::read_to_string(root.join(format!("votes-{id}"))).unwrap_or_default();
    let Some(promised) = promised.lines().last() else { return Ok(()) };
    let promised: Vec<u8> =
        (0..promised.len()).step_by(2).map(|i| u8::from_str_radix(&promised[i..i + 2], 16).unwrap()).collect();
    let log = RocksLog::open(&dir_of(root, id).join("log")).map_err(|e| format!("master {id}: {e}"))?;
    let stored = log.load_meta(MetaKey::Vote).map_err(|e| e.to_string())?.unwrap_or_default();
    let (then, now) = (vote(&promised), vote(&stored));
    // In one term a vote may only become a leader's (committed).
    let is_kept =
        now.term > then.term || (now.term == then.term && now.node == then.node && now.committed >= then.committed);
    if is_kept { Ok(()) } else { Err(format!("the vote of master {id} went back from {then:?} to {now:?}")) }
}

#[derive(Debug, Default)]
struct Vote {
    term: u64,
    node: u64,
    committed: u64,
}

/// Three protobuf varints: term, node, committed.
fn vote(raw: &[u8]) -> Vote {
    let (mut v, mut at) = (Vote::default(), 0);
    while at < raw.len() {
        let tag = raw[at] >> 3;
        let (mut value, mut shift) = (0u64, 0);
        loop {
            at += 1;
            value |= u64::from(raw[at] & 0x7f) << shift;
            shift += 7;
            if raw[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1;
        match tag {
            1 => v.term = value,
            2 => v.node = value,
            3 => v.committed = value,
            other => panic!("a vote has no field {other}"),
        }
    }
    v
}

async fn nothing_is_lost(root: &Path) -> Result<(), String> {
    let group = Group::start(root, |_, log| log).await.map_err(|e| format!("starting again: {e}"))?;
    if !group.put("after", PATIENCE).await {
        return Err("the group does not work again".into());
    }
    let last = group.leader().ok_or("nobody leads")?.raft.applied_index();
    for m in group.members.values() {
        let waited = m.raft.await_applied(last, Instant::now() + PATIENCE).await;
        waited.map_err(|e| format!("master {} does not catch up: {e}", m.id))?;
    }
    let acked: BTreeSet<String> =
        fs::read_to_string(root.join("acks")).unwrap_or_default().lines().map(str::to_owned).collect();
    let states: Vec<_> = group.members.values().map(|m| (count(&m.state), rows(&m.state))).collect();
    if states.windows(2).any(|w| w[0] != w[1]) {
        let counts: Vec<_> = states.iter().map(|(n, rows)| (*n, rows.len())).collect();
        return Err(format!("the masters hold different states: {counts:?}"));
    }
    let held: BTreeSet<String> = states[0].1.iter().map(|(k, _)| String::from_utf8(k.clone()).unwrap()).collect();
    let lost: Vec<_> = acked.difference(&held).collect();
    let outcome = if lost.is_empty() { Ok(()) } else { Err(format!("acknowledged and lost: {lost:?}")) };
    for m in group.members.values() {
        group.wires.unplug(m.id);
        m.raft.shutdown().await;
    }
    outcome
}
