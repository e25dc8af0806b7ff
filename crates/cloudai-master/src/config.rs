//! A master's configuration, as it stands in its file. Comes in: TOML, overlaid by environment and flags in the command line.
//! Goes out: plain values with defaults. Reads nothing by itself.

use std::path::PathBuf;

use cloudai_objects::StoreConfig;
use cloudai_registry::Logins;
use cloudai_telemetry::TracingConfig;
use cloudai_types::{NodeId, limits};
use serde::{Deserialize, Serialize};

pub const HTTP_PORT: u16 = 7600;
pub const GRPC_PORT: u16 = 7601;
pub const RAFT_PORT: u16 = 7602;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterConfig {
    /// The name that people use, such as `master-1`; also in its certificate.
    pub name: String,
    /// Holds the identity, the log, the state and snapshots.
    pub data_dir: PathBuf,
    /// Where the identity (key.pem, cert.pem, ca.pem, and the CA's key ca-key.pem) lies; default `data_dir/identity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_dir: Option<PathBuf>,
    /// The file with the keys that seal secrets; default `secrets.key` beside the CA's key. The same on every master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_key: Option<PathBuf>,
    /// `host:port` to listen on.
    #[serde(default = "default_http")]
    pub http_listen: String,
    #[serde(default = "default_grpc")]
    pub grpc_listen: String,
    #[serde(default = "default_raft")]
    pub raft_listen: String,
    /// Host that others reach this master at; default: the listen address's host, or this machine's name when that is unspecified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise_host: Option<String>,
    /// How long an ended job is kept, in seconds; 0: for ever. The leader's counts, so all masters should agree.
    #[serde(default = "default_job_retention", skip_serializing_if = "is_default_job_retention")]
    pub job_retention_secs: u64,
    /// The founders of a new cluster, this master included. Empty for a master that joins an existing one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub founders: Vec<Founder>,
    /// For joining: masters to ask (`host:port` of their gRPC) and the one-time token of `cloudai cluster add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    #[serde(default)]
    pub raft: RaftTimes,
    /// Pages of other hosts that may read this master's HTTP port from a browser, as `https://HOST[:PORT]`; none: only its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cors_origins: Vec<String>,
    /// The store that workers write results to, for users who read them through a master.
    #[serde(default, skip_serializing_if = "StoreConfig::is_unset")]
    pub results: StoreConfig,
    #[serde(default, skip_serializing_if = "ImagesConfig::is_default")]
    pub images: ImagesConfig,
    /// Logins at registries, for jobs of namespaces that have stored none.
    #[serde(default, skip_serializing_if = "Logins::is_empty")]
    pub registries: Logins,
    /// Where spans of traces go, and which traces begin here. All masters should agree.
    #[serde(default, skip_serializing_if = "TracingConfig::is_unset")]
    pub tracing: TracingConfig,
}

/// How the leader asks registries what a tag means when a job is submitted. All masters should agree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagesConfig {
    /// Also names without a registry are looked up, at Docker Hub. Otherwise they are taken as they are.
    pub pin_short_names: bool,
    /// Registries (`HOST[:PORT]`) that are asked without encryption, beside those on this machine.
    pub insecure: Vec<String>,
}

impl ImagesConfig {
    fn is_default(&self) -> bool {
        *self == ImagesConfig::default()
    }
}

/// One of the first masters. Ids count from 1 and are never reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founder {
    pub id: NodeId,
    pub name: String,
    pub raft_addr: String,
    pub grpc_addr: String,
    pub http_addr: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    pub masters: Vec<String>,
    #[serde(default)]
    pub token: String,
}

/// Milliseconds. All masters should agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftTimes {
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
    /// A checkpoint is made after so many log entries.
    pub snapshot_every_entries: u64,
}

impl Default for RaftTimes {
    fn default() -> Self {
        RaftTimes { heartbeat_ms: 100, election_min_ms: 300, election_max_ms: 600, snapshot_every_entries: 50_000 }
    }
}

fn default_job_retention() -> u64 {
    limits::JOB_RETENTION.0 / 1_000
}
fn is_default_job_retention(secs: &u64) -> bool {
    *secs == default_job_retention()
}
fn default_http() -> String {
    format!("0.0.0.0:{HTTP_PORT}")
}
fn default_grpc() -> String {
    format!("0.0.0.0:{GRPC_PORT}")
}
fn default_raft() -> String {
    format!("0.0.0.0:{RAFT_PORT}")
}

impl MasterConfig {
    /// Everything else at its default.
    pub fn new(name: String, data_dir: PathBuf) -> Self {
        MasterConfig {
            name,
            data_dir,
            identity_dir: None,
            secrets_key: None,
            http_listen: default_http(),
            grpc_listen: default_grpc(),
            raft_listen: default_raft(),
            advertise_host: None,
            job_retention_secs: default_job_retention(),
            founders: vec![],
            join: None,
            raft: RaftTimes::default(),
            cors_origins: vec![],
            results: StoreConfig::default(),
            images: ImagesConfig::default(),
            registries: Logins::default(),
            tracing: TracingConfig::default(),
        }
    }

    pub fn identity_dir(&self) -> PathBuf {
        self.identity_dir.clone().unwrap_or_else(|| self.data_dir.join("identity"))
    }

    pub fn secrets_key(&self) -> PathBuf {
        self.secrets_key.clone().unwrap_or_else(|| self.identity_dir().join(crate::secret_keys::FILE))
    }
}
