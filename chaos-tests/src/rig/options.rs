//! What a rig consists of, and how fast its load is. Plain values.

use std::time::Duration;

use crate::cluster::Executor;

/// A cluster to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// m1, m2, …
    pub masters: u32,
    /// w1, w2, …
    pub workers: u32,
    pub executor: Executor,
    /// What each worker claims, as in `cpu=64,memory=256GiB`.
    pub capacity: String,
    /// Of each master's own disk.
    pub disk_mib: u32,
    /// Small, so that snapshots and purges happen while it runs.
    pub snapshot_every_entries: u32,
    /// Further lines of every master's configuration, in its `[raft]` part.
    pub raft_lines: Vec<String>,
    /// Environment of every master, such as failpoints.
    pub master_env: Vec<(String, String)>,
    /// The program that the masters begin as; None: the one under test.
    pub masters_begin_as: Option<std::path::PathBuf>,
    /// Words before a master's command line, such as `strace -f …`; by master's name.
    pub wrapped: Vec<(String, Vec<String>)>,
}

impl Options {
    /// Three masters, workers that play their tasks.
    pub fn noop() -> Self {
        Options {
            masters: 3,
            workers: 3,
            executor: Executor::Noop,
            capacity: "cpu=64,memory=256GiB".into(),
            disk_mib: 384,
            snapshot_every_entries: 500,
            raft_lines: vec![],
            master_env: vec![],
            masters_begin_as: None,
            wrapped: vec![],
        }
    }

    /// With real containers.
    pub fn docker() -> Self {
        Options { executor: Executor::Docker, capacity: "cpu=4,memory=4GiB".into(), ..Options::noop() }
    }
}

/// How fast, and with how many clients. Open loop: an operation starts when it is due, whatever became of those before it.
#[derive(Debug, Clone)]
pub struct Pace {
    pub clients: u32,
    /// Submits per second of all clients together.
    pub submits: u32,
    /// Reads and register operations per second of all clients together.
    pub reads: u32,
}

impl Pace {
    /// What every drill runs with.
    pub fn standard() -> Self {
        Pace { clients: 8, submits: 200, reads: 40 }
    }
}

/// The traffic that must have been acknowledged before a fault counts: in this long before it …
pub const GATE_SPAN: Duration = Duration::from_secs(5);
/// … so many submits per second.
pub const GATE_RATE: f64 = 100.0;
/// In the short size, which slow and busy machines run too.
pub const GATE_SPAN_SHORT: Duration = Duration::from_secs(2);
pub const GATE_RATE_SHORT: f64 = 20.0;
