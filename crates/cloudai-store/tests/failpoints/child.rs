//! The process that is ended: a workload that reaches every place, and on a disk what was promised while it ran: `acks` (keys
//! whose proposer had its answer) and `votes-N` (votes that master N had been told are durable).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cloudai_raft::{Failpoint, LogBounds, LogEntry, LogPosition, LogStore, MetaKey, NodeId, OnDurable};
use cloudai_store::RocksLog;

use crate::group::Group;

const PATIENCE: Duration = Duration::from_secs(20);

/// Pieces of the workload while one master is cut off.
const PIECES_MAX: usize = 20;
/// The file that a child leaves which went through its whole workload.
pub const ENDED: &str = "ended";

/// Appended to without fsync: it must outlive this process only. (A power cut is made of a killed process, see `power.rs`.)
#[derive(Clone)]
struct Notes(Arc<Mutex<File>>);

impl Notes {
    fn open(path: &Path) -> Notes {
        Notes(Arc::new(Mutex::new(File::options().create(true).append(true).open(path).unwrap())))
    }

    fn line(&self, text: &str) {
        self.0.lock().unwrap().write_all(format!("{text}\n").as_bytes()).unwrap();
    }
}

/// The log of a master, and who heard what about its votes.
#[derive(Clone)]
struct Witnessed {
    log: RocksLog,
    votes: Notes,
}

impl LogStore for Witnessed {
    fn bounds(&self) -> io::Result<LogBounds> {
        self.log.bounds()
    }
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        self.log.read(from, to, bytes_max)
    }
    fn append(&self, entries: Vec<LogEntry>, on_durable: OnDurable) -> io::Result<()> {
        self.log.append(entries, on_durable)
    }
    fn truncate_after(&self, last: Option<u64>) -> io::Result<()> {
        self.log.truncate_after(last)
    }
    fn purge(&self, upto: LogPosition) -> io::Result<()> {
        self.log.purge(upto)
    }
    fn save_meta(&self, key: MetaKey, value: Option<Bytes>) -> io::Result<()> {
        self.log.save_meta(key, value)
    }
    fn save_meta_synced(&self, key: MetaKey, value: Bytes, on_durable: OnDurable) -> io::Result<()> {
        let (votes, text) = (self.votes.clone(), value.iter().map(|b| format!("{b:02x}")).collect::<String>());
        let told = move |r: io::Result<()>| {
            if r.is_ok() {
                votes.line(&text);
            }
            on_durable(r);
        };
        self.log.save_meta_synced(key, value, Box::new(told))
    }
    fn load_meta(&self, key: MetaKey) -> io::Result<Option<Bytes>> {
        self.log.load_meta(key)
    }
    fn busy_since(&self) -> Option<Instant> {
        self.log.busy_since()
    }
}

/// As the environment says: count, or do one thing at one hit of one place.
fn arm() -> Arc<Vec<AtomicU64>> {
    let hits: Arc<Vec<AtomicU64>> = Arc::new(Failpoint::ALL.iter().map(|_| AtomicU64::new(0)).collect());
    let mode = std::env::var("CHILD_MODE").unwrap();
    let at: u64 = std::env::var("CHILD_HIT").map_or(0, |n| n.parse().unwrap());
    let place = std::env::var("CHILD_PLACE").unwrap_or_default();
    match mode.as_str() {
        "count" => {
            for (i, place) in Failpoint::ALL.iter().enumerate() {
                let hits = hits.clone();
                let count = move || {
                    hits[i].fetch_add(1, Ordering::Relaxed);
                };
                fail::cfg_callback(place.name(), count).unwrap();
            }
        }
        "kill" | "power" => {
            let seen = AtomicU64::new(0);
            let end = move || {
                if seen.fetch_add(1, Ordering::SeqCst) + 1 == at {
                    std::process::abort();
                }
            };
            fail::cfg_callback(place, end).unwrap();
        }
        "error" => fail::cfg(place, &format!("{}1*return->off", before(at))).unwrap(),
        "delay" => fail::cfg(place, &format!("{}1*sleep(1500)->off", before(at))).unwrap(),
        other => panic!("no mode {other}"),
    }
    hits
}

fn before(at: u64) -> String {
    if at > 1 { format!("{}*off->", at - 1) } else { String::new() }
}

pub fn run() {
    let root = PathBuf::from(std::env::var_os("CHILD_DIR").unwrap());
    let is_faulty = std::env::var("CHILD_MODE").unwrap() != "count";
    let hits = arm();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(workload(&root, is_faulty));
    let counted: Vec<String> = Failpoint::ALL
        .iter()
        .zip(hits.iter())
        .map(|(p, h)| format!("{} {}\n", p.name(), h.load(Ordering::Relaxed)))
        .collect();
    std::fs::write(root.join("hits"), counted.concat()).unwrap();
    if let Err(why) = done {
        // A fault may end a master while the group is born: then there is nothing to work with, and nothing was promised.
        println!("the workload ended early: {why}");
        assert!(is_faulty, "{why}");
    }
    // No orderly end: that would be another test. Not even exit(): it takes RocksDB's globals away under running threads.
    std::fs::write(root.join(ENDED), "").unwrap();
    std::process::abort();
}

/// Births a group, loads it, leaves a follower behind until it needs a checkpoint, makes a leader write what nobody else gets,
/// and moves the leadership. With a fault it goes as far as it can.
async fn workload(root: &Path, is_faulty: bool) -> Result<(), String> {
    let votes = |id: NodeId| Notes::open(&root.join(format!("votes-{id}")));
    let acks = Notes::open(&root.join("acks"));
    let wrap = |id: NodeId, log: RocksLog| Witnessed { log, votes: votes(id) };
    let group = Group::start(root, wrap).await.map_err(|e| e.to_string())?;
    let limit = if is_faulty { Duration::from_secs(6) } else { PATIENCE };
    let mut next = 0;
    let mut put = async |count: usize| -> Result<(), String> {
        for _ in 0..count {
            let key = format!("k{next}");
            next += 1;
            if !group.put(&key, limit).await {
                return Err(format!("{key} was not acknowledged in time"));
            }
            acks.line(&key);
        }
        Ok(())
    };
    put(40).await?;
    let leader = group.leader_within(limit, None).await.ok_or("nobody leads")?.id;
    let behind = (1..=3).rev().find(|id| *id != leader).expect("three masters");
    group.wires.cut(behind, true);
    let has = group.members[&behind].raft.metrics().last_log_index;
    let purged = || group.leader().map_or(0, |l| l.raft.metrics().purged_index);
    // The log alone must not be enough for it any more.
    for _ in 0..PIECES_MAX {
        put(20).await?;
        if purged() > has {
            break;
        }
    }
    group.wires.cut(behind, false);
    put(5).await?;
    caught_up(&group, is_faulty).await?;

    // Entries that only the old leader has: it truncates them when it hears of the new one.
    let old = group.leader_within(limit, None).await.ok_or("nobody leads")?;
    // Just after a checkpoint: the next one would purge what the old leader compares with.
    let at = old.raft.metrics().last_log_index;
    put((30 - at % 25) as usize).await?;
    let before = old.raft.metrics().last_log_index;
    group.wires.cut(old.id, true);
    for i in 0..5 {
        let alone = old.raft.enqueue(Bytes::from(format!("alone{i}=v")));
        let _unacknowledged = tokio::time::timeout(Duration::from_millis(200), alone).await;
    }
    group.leader_within(limit, Some(old.id)).await.ok_or("nobody leads instead")?;
    if !is_faulty && old.raft.metrics().last_log_index <= before {
        return Err("the old leader wrote nothing that nobody else has".into());
    }
    // Few: with many the old leader would need a checkpoint, and truncate nothing.
    put(3).await?;
    group.wires.cut(old.id, false);
    caught_up(&group, is_faulty).await?;
    put(30).await?;
    caught_up(&group, is_faulty).await?;
    if let Some(leader) = group.leader() {
        let _moved = tokio::time::timeout(limit, leader.raft.transfer_leader(None)).await;
    }
    put(20).await?;
    caught_up(&group, is_faulty).await
}

/// All that are alive hold everything. One that a fault stopped is left out.
async fn caught_up(group: &Group, is_faulty: bool) -> Result<(), String> {
    let highest = group.members.values().map(|m| m.raft.applied_index()).max().unwrap_or(0);
    for m in group.members.values() {
        let limit = if is_faulty { Duration::from_secs(4) } else { PATIENCE };
        let waited = m.raft.await_applied(highest, tokio::time::Instant::now() + limit).await;
        if let Err(e) = waited
            && !is_faulty
        {
            return Err(format!("master {} stays behind: {e}", m.id));
        }
    }
    Ok(())
}
