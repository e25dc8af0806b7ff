//! What an operator decides about a worker. Comes in: a TOML file, which the command line overlays with environment and flags. Goes
//! out: a checked [`WorkerConfig`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cloudai_objects::{Location, LocationError, StoreConfig};
use cloudai_registry::{LoginError, Logins};
use cloudai_telemetry::{TracingConfig, TracingError};
use cloudai_types::{HourlyPrice, Millis, Resources, limits};
use serde::{Deserialize, Serialize};

use crate::allowed_mount::AllowedMount;
use crate::capacity::{CapacityOverride, parse_capacity};
use crate::log_mirror_config::LogMirrorConfig;
use crate::stop_config::StopConfig;
use crate::volumes_config::VolumesConfig;

/// What runs the tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// Containers of the local Docker engine.
    #[default]
    Docker,
    /// No containers, for tests of scale: `sleep SECONDS` takes that long, `exit N` ends with N, anything else ends at once. Attempts
    /// live in this process's memory only: after a restart they are simply run again.
    Noop,
}

#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Identity, journal and logs. One worker per directory.
    pub data_dir: PathBuf,
    /// The authorised name; empty: what the token or the certificate says.
    pub name: String,
    /// gRPC addresses (HOST:PORT) of masters; one that answers is enough to find the leader.
    pub masters: Vec<String>,
    /// Needed once, as long as `data_dir` holds no certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_token: Option<String>,
    pub executor: ExecutorKind,
    /// Overrides what was found, for example `cpu=64,memory=256GiB`; what it does not name stays as found.
    pub capacity: String,
    /// What is kept for the machine itself, for example `cpu=1,memory=2GiB`: tasks get the capacity without it.
    pub reserve: String,
    /// What it costs, as a decimal number such as `0.35`, in the currency of all workers: for the policy `cost`. Empty: nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub price_per_hour: String,
    /// Labels beside those given at authorisation, which win.
    pub labels: BTreeMap<String, String>,
    /// Host paths that tasks may mount: read-only and below, or, where the entry says so, also to write to, and then only itself.
    pub allowed_mounts: Vec<AllowedMount>,
    /// Whether a job may ask for root. Without it nobody is.
    pub allow_root: bool,
    /// What a job may name as its network: `default` (the engine's own), `none`, or names of the engine. The first is what one gets that names
    /// none. Empty: `default` and `none`.
    pub networks: Vec<String>,
    /// Each task gets a network namespace that no task had before, also a short one: see docs/operations.md.
    pub fresh_networks: bool,
    /// The engine's socket.
    pub docker_socket: PathBuf,
    /// NVIDIA's management library, where it is not where the driver's package puts it.
    #[serde(skip_serializing_if = "is_empty")]
    pub nvml_library: PathBuf,
    /// The program that guards `on_disconnect: stop` tasks beside this one ([`crate::guard`]): the command line says its own. Empty: none is
    /// started, and a worker that is paused stops nothing.
    #[serde(skip)]
    pub guard_program: PathBuf,
    /// Where `/metrics` answers; empty: nowhere.
    pub metrics_addr: String,
    /// Where the executor `noop` writes down each start and end as it happens, one JSON line each: evidence for tests of fencing.
    /// Empty: nowhere.
    #[serde(skip_serializing_if = "is_empty")]
    pub noop_record: PathBuf,
    /// One attempt's log.
    pub log_bytes_max: u64,
    /// All logs of ended attempts together; the oldest go first.
    pub logs_total_bytes_max: u64,
    /// What is kept of how much all attempts used, in bytes on the disk; the oldest goes first. 0: [`limits::HISTORY_BYTES_DEFAULT`].
    #[serde(skip_serializing_if = "is_zero")]
    pub history_bytes: u64,
    /// Task output as JSON lines, for log shippers.
    #[serde(skip_serializing_if = "LogMirrorConfig::is_usual")]
    pub log_mirror: LogMirrorConfig,
    /// Where tasks' secrets are while they run, in a folder of this worker's own: on a tmpfs that the engine sees too. Empty: `/dev/shm`.
    #[serde(skip_serializing_if = "is_empty")]
    pub secrets_dir: PathBuf,
    /// Where results go and inputs come from: the same on every master and worker.
    #[serde(skip_serializing_if = "StoreConfig::is_unset")]
    pub results: StoreConfig,
    #[serde(skip_serializing_if = "ImagesConfig::is_default")]
    pub images: ImagesConfig,
    /// Logins at registries, for jobs of namespaces that have stored none.
    #[serde(skip_serializing_if = "Logins::is_empty")]
    pub registries: Logins,
    /// What happens to tasks when it is asked to stop.
    #[serde(skip_serializing_if = "StopConfig::is_usual")]
    pub stop: StopConfig,
    /// Which volumes tasks may have.
    #[serde(skip_serializing_if = "VolumesConfig::is_usual")]
    pub volumes: VolumesConfig,
    /// Where spans of traces go.
    #[serde(skip_serializing_if = "TracingConfig::is_unset")]
    pub tracing: TracingConfig,
}

/// How a worker fetches images, and how many it keeps.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagesConfig {
    /// The images that this worker has pulled, together; over that, those not used for longest go. 0: all are kept.
    pub cache_bytes: u64,
    /// What is to stay free on the engine's disk; below that, those not used for longest go. 0: the disk is not looked at.
    pub min_free_bytes: u64,
    /// A pull without progress for so many seconds has failed. 0: [`limits::PULL_SILENCE_MAX`].
    pub pull_silence_secs: u64,
}

impl ImagesConfig {
    fn is_default(&self) -> bool {
        *self == ImagesConfig::default()
    }

    pub fn pull_silence(&self) -> Millis {
        match self.pull_silence_secs {
            0 => limits::PULL_SILENCE_MAX,
            secs => Millis(secs.saturating_mul(1_000).min(limits::TIMEOUT_MAX.0)),
        }
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl std::fmt::Debug for WorkerConfig {
    /// Without the token: it must not get into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerConfig")
            .field("data_dir", &self.data_dir)
            .field("name", &self.name)
            .field("masters", &self.masters)
            .field("executor", &self.executor)
            .field("capacity", &self.capacity)
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a configuration, with the field's name.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("masters: name at least one master's gRPC address (HOST:PORT)")]
    NoMasters,
    #[error("masters: {0}")]
    Address(#[from] cloudai_net::channel::AddressError),
    #[error("data_dir: name a directory for identity, journal and logs")]
    NoDataDir,
    #[error("name: {0}")]
    Name(String),
    #[error("labels: {0}")]
    Labels(String),
    #[error("capacity: {0}")]
    Capacity(#[from] crate::capacity::CapacityError),
    #[error("reserve: {0}")]
    Reserve(crate::capacity::CapacityError),
    #[error("price_per_hour: {0}")]
    Price(#[from] cloudai_types::PriceError),
    #[error("allowed_mounts: {} is no absolute path", .0.display())]
    Mount(PathBuf),
    #[error("secrets_dir: {} is no absolute path", .0.display())]
    SecretsDir(PathBuf),
    #[error("history_bytes: {0} is not between {min} and {max}; leave it out for the default", min = limits::HISTORY_BYTES_MIN, max = limits::HISTORY_BYTES_MAX)]
    History(u64),
    #[error("networks: '{name}' {problem}")]
    Network { name: String, problem: String },
    #[error("networks: has {0} entries; {max} are allowed", max = limits::NETWORKS_MAX)]
    Networks(usize),
    #[error("stop: {0}")]
    Stop(String),
    #[error("volumes: {0}")]
    Volumes(String),
    #[error("log_mirror: {0}")]
    LogMirror(String),
    #[error("tracing: {0}")]
    Tracing(#[from] TracingError),
    #[error("results: {0}")]
    Results(#[from] LocationError),
    #[error(transparent)]
    Registries(#[from] LoginError),
    #[error("noop_record: only the executor noop keeps one; leave it out")]
    Record,
    #[error("join_token: {0}")]
    Token(#[from] cloudai_net::token::TokenError),
}

impl WorkerConfig {
    pub fn docker_socket(&self) -> &Path {
        if self.docker_socket.as_os_str().is_empty() { Path::new("/var/run/docker.sock") } else { &self.docker_socket }
    }

    pub fn log_bytes_max(&self) -> u64 {
        if self.log_bytes_max == 0 { limits::LOG_BYTES_MAX } else { self.log_bytes_max }
    }

    pub fn logs_total_bytes_max(&self) -> u64 {
        if self.logs_total_bytes_max == 0 { limits::LOGS_TOTAL_BYTES_MAX } else { self.logs_total_bytes_max }
    }

    pub fn history_bytes(&self) -> u64 {
        if self.history_bytes == 0 { limits::HISTORY_BYTES_DEFAULT } else { self.history_bytes }
    }

    pub fn identity_dir(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    pub fn capacity_override(&self) -> Result<CapacityOverride, ConfigError> {
        Ok(parse_capacity(&self.capacity)?)
    }

    /// What is kept from tasks, beside the capacity. An amount that is not named is nothing.
    pub fn reserve(&self) -> Result<Resources, ConfigError> {
        Ok(parse_capacity(&self.reserve).map_err(ConfigError::Reserve)?.as_amounts())
    }

    pub fn price(&self) -> Result<HourlyPrice, ConfigError> {
        if self.price_per_hour.is_empty() { Ok(HourlyPrice::default()) } else { Ok(self.price_per_hour.parse()?) }
    }

    /// Everything that can be known without touching the machine.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(ConfigError::NoDataDir);
        }
        if self.masters.is_empty() {
            return Err(ConfigError::NoMasters);
        }
        for m in &self.masters {
            cloudai_net::channel::parse_address(m)?;
        }
        if !self.name.is_empty() {
            cloudai_types::spec::check_name(&self.name).map_err(ConfigError::Name)?;
        }
        cloudai_types::spec::check_labels(&self.labels).map_err(ConfigError::Labels)?;
        self.capacity_override()?;
        self.reserve()?;
        self.price()?;
        if let Some(token) = &self.join_token {
            token.parse::<cloudai_net::JoinToken>()?;
        }
        if self.executor != ExecutorKind::Noop && !is_empty(&self.noop_record) {
            return Err(ConfigError::Record);
        }
        if !(limits::HISTORY_BYTES_MIN..=limits::HISTORY_BYTES_MAX).contains(&self.history_bytes()) {
            return Err(ConfigError::History(self.history_bytes));
        }
        if self.networks.len() > limits::NETWORKS_MAX {
            return Err(ConfigError::Networks(self.networks.len()));
        }
        for name in &self.networks {
            let checked = cloudai_types::spec::check_network(name);
            checked.map_err(|problem| ConfigError::Network { name: name.clone(), problem })?;
        }
        if !is_empty(&self.secrets_dir) && !self.secrets_dir.is_absolute() {
            return Err(ConfigError::SecretsDir(self.secrets_dir.clone()));
        }
        if !self.results.is_unset() {
            Location::parse(&self.results)?;
        }
        self.registries.check()?;
        self.stop.check().map_err(ConfigError::Stop)?;
        self.log_mirror.check().map_err(ConfigError::LogMirror)?;
        self.volumes.shares().map_err(ConfigError::Volumes)?;
        self.tracing.check()?;
        match self.allowed_mounts.iter().find(|m| !m.path.is_absolute()) {
            Some(m) => Err(ConfigError::Mount(m.path.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins(file: &str) -> Logins {
        let login = cloudai_registry::LoginConfig { username: "ci".into(), password_file: file.into() };
        Logins::new([("reg:5000".to_owned(), login)].into())
    }

    #[test]
    fn a_pull_may_be_silent_for_a_while() {
        let of = |pull_silence_secs| ImagesConfig { pull_silence_secs, ..Default::default() }.pull_silence();
        assert_eq!((of(0), of(2), of(u64::MAX)), (limits::PULL_SILENCE_MAX, Millis(2_000), limits::TIMEOUT_MAX));
    }

    #[test]
    fn a_file_reads_back_and_an_unknown_field_is_refused() {
        let config = WorkerConfig {
            data_dir: "/var/lib/cloudai".into(),
            name: "w1".into(),
            masters: vec!["m1:7601".into()],
            join_token: Some("secret".into()),
            executor: ExecutorKind::Noop,
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            price_per_hour: "0.35".into(),
            results: StoreConfig::directory(Path::new("/var/lib/results")),
            images: ImagesConfig { cache_bytes: 1 << 30, ..Default::default() },
            registries: logins("/etc/cloudai/password"),
            allowed_mounts: vec![PathBuf::from("/data").into(), AllowedMount { path: "/scratch".into(), write: true }],
            stop: StopConfig { mode: crate::StopMode::Drain, deadline_secs: 60 },
            volumes: VolumesConfig { named: false, nfs: vec!["nas:/a".into()] },
            log_mirror: LogMirrorConfig { dir: "/var/log/cloudai".into(), file_bytes_max: 1 << 21 },
            tracing: TracingConfig { endpoint: "http://tempo:4317".into(), ratio: 0.5, ..TracingConfig::default() },
            ..Default::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<WorkerConfig>(&text).unwrap(), config);
        assert!(!format!("{config:?}").contains("secret"));
        assert!(toml::from_str::<WorkerConfig>("colour = 'red'").unwrap_err().to_string().contains("colour"));
    }

    #[test]
    fn each_mistake_has_its_field() {
        let ok = WorkerConfig { data_dir: "d".into(), masters: vec!["127.0.0.1:7601".into()], ..Default::default() };
        ok.check().unwrap();
        let field = |c: WorkerConfig| c.check().unwrap_err().to_string().split(':').next().unwrap().to_owned();
        assert_eq!(field(WorkerConfig { masters: vec![], ..ok.clone() }), "masters");
        assert_eq!(field(WorkerConfig { masters: vec!["nowhere".into()], ..ok.clone() }), "masters");
        assert_eq!(field(WorkerConfig { data_dir: "".into(), ..ok.clone() }), "data_dir");
        assert_eq!(field(WorkerConfig { noop_record: "/r".into(), ..ok.clone() }), "noop_record");
        assert_eq!(field(WorkerConfig { name: "a b".into(), ..ok.clone() }), "name");
        assert_eq!(field(WorkerConfig { capacity: "cpu=x".into(), ..ok.clone() }), "capacity");
        assert_eq!(field(WorkerConfig { reserve: "memory=x".into(), ..ok.clone() }), "reserve");
        assert_eq!(field(WorkerConfig { price_per_hour: "0.35 EUR".into(), ..ok.clone() }), "price_per_hour");
        assert_eq!(field(WorkerConfig { join_token: Some("x".into()), ..ok.clone() }), "join_token");
        assert_eq!(field(WorkerConfig { networks: vec!["none".into(), "host".into()], ..ok.clone() }), "networks");
        assert_eq!(field(WorkerConfig { networks: vec!["lab".into(); 65], ..ok.clone() }), "networks");
        assert_eq!(field(WorkerConfig { secrets_dir: "shm".into(), ..ok.clone() }), "secrets_dir");
        assert_eq!(field(WorkerConfig { history_bytes: 4_096, ..ok.clone() }), "history_bytes");
        let results = StoreConfig { location: "ftp://x".into(), ..Default::default() };
        assert_eq!(field(WorkerConfig { results, ..ok.clone() }), "results");
        assert_eq!(field(WorkerConfig { registries: logins("password"), ..ok.clone() }), "registries");
        let stop = StopConfig { deadline_secs: 5, ..StopConfig::default() };
        assert_eq!(field(WorkerConfig { stop, ..ok.clone() }), "stop");
        let log_mirror = LogMirrorConfig { dir: "logs".into(), file_bytes_max: 0 };
        assert_eq!(field(WorkerConfig { log_mirror, ..ok.clone() }), "log_mirror");
        let volumes = VolumesConfig { nfs: vec!["nas".into()], ..VolumesConfig::default() };
        assert_eq!(field(WorkerConfig { volumes, ..ok.clone() }), "volumes");
        let tracing = TracingConfig { endpoint: "tempo".into(), ..TracingConfig::default() };
        assert_eq!(field(WorkerConfig { tracing, ..ok.clone() }), "tracing");
        let relative = vec![PathBuf::from("etc").into()];
        assert_eq!(field(WorkerConfig { allowed_mounts: relative, ..ok }), "allowed_mounts");
    }
}
