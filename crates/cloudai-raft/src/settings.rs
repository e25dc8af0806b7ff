//! The times and sizes of one Raft node, with the defaults that were measured. Comes in: the master's configuration.
//! Goes out: a checked openraft configuration. Knows nothing of files or of the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::member::NodeId;

/// How one node of the group behaves. All masters should agree on the three times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This master's id, never used by another one before.
    pub node_id: NodeId,
    /// The cluster's id; appears in logs only. Identity is checked by the transport.
    pub cluster: String,
    /// Directory for checkpoints and for those being received; must be on the same file system as the state.
    pub snapshots_dir: PathBuf,
    /// How often the leader says that it is alive.
    pub heartbeat: Duration,
    /// A follower that hears nothing for `election_max` (the leader's lease) waits a random time between
    /// `election_min` and `election_max` more, and then asks for votes.
    pub election_min: Duration,
    pub election_max: Duration,
    /// Make a checkpoint after this many entries.
    pub snapshot_every_entries: u64,
    /// Entries kept behind a checkpoint, so that a slow follower or a transfer in progress needs no second one.
    pub keep_entries: u64,
    /// The longest time one checkpoint may take to reach another master.
    pub snapshot_send_max: Duration,
}

impl Settings {
    /// The measured defaults: heartbeat 100 ms, election 300–600 ms (a killed leader is replaced after about 1 s).
    pub fn new(node_id: NodeId, cluster: impl Into<String>, snapshots_dir: impl Into<PathBuf>) -> Settings {
        Settings {
            node_id,
            cluster: cluster.into(),
            snapshots_dir: snapshots_dir.into(),
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
            snapshot_every_entries: 50_000,
            keep_entries: 20_000,
            snapshot_send_max: Duration::from_secs(600),
        }
    }
}

impl Settings {
    /// openraft's configuration, checked.
    pub(crate) fn openraft(&self) -> Result<openraft::Config, String> {
        let ms = |d: Duration| d.as_millis() as u64;
        let snapshot_ms = ms(self.snapshot_send_max);
        if self.keep_entries == 0 {
            return Err("keep_entries must not be 0: a follower behind a fully purged log cannot catch up".into());
        }
        let config = openraft::Config {
            cluster_name: self.cluster.clone(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election_min),
            election_timeout_max: ms(self.election_max),
            install_snapshot_timeout: snapshot_ms,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_every_entries),
            max_in_snapshot_log_to_keep: self.keep_entries,
            // Above the distance of two snapshots, or a follower would get a second one instead of the log (#613).
            replication_lag_threshold: self.snapshot_every_entries.saturating_mul(2).max(5_000),
            purge_batch_size: 1_000.min(self.keep_entries),
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(false),
            // A follower whose disk lost what it had acknowledged is sent it again. The alternative is a panic of this leader, which may be
            // the last one to hold those entries.
            allow_log_reversion: Some(true),
            quorum_loss_probe_interval: Some(3 * ms(self.election_max)),
            backoff: "50ms".into(),
            ..openraft::Config::default()
        };
        config.validate().map_err(|e| e.to_string())
    }
}
