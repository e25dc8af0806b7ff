//! What each process holds at a moment. Comes in: the cluster's processes, looked at anew each time. Goes out: a series per process and
//! kind. A process that was restarted begins a new series: what it held before is nobody's growth; its disk's goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::machine::{disk_bytes, open_files, resident_bytes, threads};
use crate::soak::trend::{Key, Series};
use crate::{pages, tls};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Resident.
    Memory,
    /// Of a master: resident, without what its databases keep in caches and write buffers. A leak shows here also while those fill.
    OwnMemory,
    /// What they keep; shown, and judged as a part of `Memory`.
    DatabaseMemory,
    Disk,
    /// Parts of `Disk`, to see where it goes; judged as a whole.
    LogDisk,
    StateDisk,
    CheckpointsDisk,
    Files,
    Threads,
    /// Tasks of the async runtime.
    Tasks,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Memory => "memory",
            What::OwnMemory => "memory without databases",
            What::DatabaseMemory => "memory of the databases",
            What::Disk => "disk",
            What::LogDisk => "disk of the log",
            What::StateDisk => "disk of the state",
            What::CheckpointsDisk => "disk of checkpoints",
            What::Files => "files",
            What::Threads => "threads",
            What::Tasks => "tasks",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            What::Memory
            | What::OwnMemory
            | What::DatabaseMemory
            | What::Disk
            | What::LogDisk
            | What::StateDisk
            | What::CheckpointsDisk => "MB",
            What::Files | What::Threads | What::Tasks => "",
        }
    }

    /// Growth over the second half that counts as flat, for a series around `middle`: a part of it, and never less than the step
    /// in which it moves anyway. Memory: memtables and the allocator's pages. Disk: a write-ahead log and a compaction that wait
    /// for their turn, and request ids, which are kept for 24 hours (about 100 bytes per submit). Files: tables of RocksDB.
    pub fn bound(self, middle: f64) -> f64 {
        match self {
            What::Memory | What::OwnMemory => (middle * 0.10).max(24.0),
            What::Disk => (middle * 0.15).max(64.0),
            What::DatabaseMemory | What::LogDisk | What::StateDisk | What::CheckpointsDisk => f64::INFINITY,
            What::Files => (middle * 0.10).max(12.0),
            What::Threads => 2.0,
            What::Tasks => (middle * 0.10).max(16.0),
        }
    }
}

pub struct Sampler {
    /// `run/NAME.json` of `cloudai dev`: who runs with which pid.
    run_dir: PathBuf,
    root: PathBuf,
    tls: Arc<rustls::ClientConfig>,
    series: BTreeMap<Key, Series>,
    pids: BTreeMap<String, u32>,
    count: usize,
}

/// What is read of `run/NAME.json`.
#[derive(Deserialize)]
struct Record {
    name: String,
    role: String,
    http: Option<String>,
    running: Option<Running>,
}

#[derive(Deserialize)]
struct Running {
    pid: u32,
}

const METRICS_WITHIN: Duration = Duration::from_secs(2);
const TASKS_METRIC: &str = "cloudai_runtime_tasks ";
const DATABASE_METRICS: [&str; 2] =
    ["cloudai_storage_memory_bytes{part=\"caches\"} ", "cloudai_storage_memory_bytes{part=\"write_buffers\"} "];

impl Sampler {
    pub fn new(cluster: &Cluster) -> anyhow::Result<Sampler> {
        Ok(Sampler {
            run_dir: cluster.dir().join("run"),
            root: cluster.dir().to_owned(),
            tls: tls::client(&cluster.admin_identity(), false, &[])?,
            series: BTreeMap::new(),
            pids: BTreeMap::new(),
            count: 0,
        })
    }

    pub fn series(&self) -> &BTreeMap<Key, Series> {
        &self.series
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The newest sample, for people who watch.
    pub fn last(&self) -> String {
        let of = |what: What| {
            let newest = self.series.iter().filter(|((name, w), _)| *w == what && name.starts_with("master"));
            newest.filter_map(|(_, s)| Some(format!("{:.0}", s.last()?.1))).collect::<Vec<_>>().join("/")
        };
        format!("memory {} MB, disk {} MB, tasks {}", of(What::Memory), of(What::Disk), of(What::Tasks))
    }

    /// A process that is down at this moment has no sample of its own, but of its disk.
    pub async fn sample(&mut self, at: Duration) {
        self.count += 1;
        for record in self.records() {
            let Record { name, role, http, running } = record;
            if role == "master" {
                let dir = self.root.join(&name);
                let parts = [("raft", What::LogDisk), ("state", What::StateDisk), ("snapshots", What::CheckpointsDisk)];
                for (part, what) in parts.into_iter().chain([("", What::Disk)]) {
                    let occupied = disk_bytes(&dir.join(part)) as f64 / 1e6;
                    self.series.entry((name.clone(), what)).or_default().push((at.as_secs_f64(), occupied));
                }
            }
            let Some(pid) = running.map(|r| r.pid).filter(|pid| resident_bytes(*pid) > 0) else { continue };
            if self.pids.insert(name.clone(), pid).is_some_and(|old| old != pid) {
                for what in
                    [What::Memory, What::OwnMemory, What::DatabaseMemory, What::Files, What::Threads, What::Tasks]
                {
                    self.series.remove(&(name.clone(), what));
                }
            }
            let mut add = |what: What, value: f64| {
                self.series.entry((name.clone(), what)).or_default().push((at.as_secs_f64(), value));
            };
            let resident = resident_bytes(pid) as f64;
            add(What::Memory, resident / 1e6);
            add(What::Files, open_files(pid) as f64);
            add(What::Threads, threads(pid) as f64);
            let page = match http {
                Some(http) => tokio::time::timeout(METRICS_WITHIN, pages::page(&self.tls, &http)).await,
                None => continue,
            };
            let Ok(Ok(page)) = page else { continue };
            if let Some(tasks) = pages::value(&page, TASKS_METRIC) {
                add(What::Tasks, tasks);
            }
            let parts: Vec<f64> = DATABASE_METRICS.iter().filter_map(|name| pages::value(&page, name)).collect();
            if parts.len() == DATABASE_METRICS.len() {
                let databases: f64 = parts.iter().sum();
                add(What::OwnMemory, (resident - databases) / 1e6);
                add(What::DatabaseMemory, databases / 1e6);
            }
        }
    }

    fn records(&self) -> Vec<Record> {
        let read = |path: &Path| serde_json::from_str::<Record>(&std::fs::read_to_string(path).ok()?).ok();
        let files = std::fs::read_dir(&self.run_dir).into_iter().flatten().flatten().map(|e| e.path());
        files.filter(|p| p.extension().is_some_and(|e| e == "json")).filter_map(|p| read(&p)).collect()
    }
}
