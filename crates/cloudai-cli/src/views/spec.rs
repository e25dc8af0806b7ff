//! A spec, in the words of a job file; amounts as numbers.

use std::collections::BTreeMap;

use cloudai_types::resources::Bytes;
use cloudai_types::{JobSpec, OnDisconnect, PullPolicy, Volume, VolumeKind, signal};
use serde::Serialize;

use crate::times::{duration, seconds};
use crate::views::placement::{PlacementView, near, requires};
use crate::views::resources::{ResourcesView, labels};
use crate::views::retry::RetryView;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MountView {
    pub source: String,
    pub target: String,
    pub write: bool,
}

impl MountView {
    fn text(&self) -> String {
        format!("{}:{}{}", self.source, self.target, if self.write { ":rw" } else { "" })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VolumeView {
    /// `named`, `nfs`, `tmpfs`.
    pub kind: &'static str,
    pub target: String,
    pub read_only: bool,
    /// Null: it is not named.
    pub name: Option<String>,
    /// Null: it is no folder in memory.
    pub size_bytes: Option<u64>,
    /// `SERVER:/PATH`; null: it is no share of a server.
    pub share: Option<String>,
    /// Null: the usual ones.
    pub options: Option<String>,
}

impl From<Volume> for VolumeView {
    fn from(v: Volume) -> Self {
        let is = |kind: VolumeKind| v.kind == kind as i32;
        VolumeView {
            kind: v.kind().name(),
            read_only: v.read_only,
            size_bytes: is(VolumeKind::Tmpfs).then_some(v.size_bytes),
            share: is(VolumeKind::Nfs).then(|| format!("{}:{}", v.server, v.path)),
            name: is(VolumeKind::Named).then(|| v.name.clone()),
            options: (!v.options.is_empty()).then_some(v.options),
            target: v.target,
        }
    }
}

impl VolumeView {
    /// `cache:/cache:ro`, `64.0 MiB in memory:/fast`.
    fn text(&self) -> String {
        let memory = self.size_bytes.map(|bytes| format!("{} in memory", Bytes(bytes)));
        let from = self.name.clone().or(self.share.clone()).or(memory).unwrap_or_default();
        format!("{from}:{}{}", self.target, if self.read_only { ":ro" } else { "" })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpecView {
    pub name: String,
    pub image: String,
    /// What the tag meant when the job was submitted; null: it is not pinned.
    pub image_digest: Option<String>,
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub resources: ResourcesView,
    pub require: BTreeMap<String, String>,
    pub priority: i32,
    pub count: u32,
    pub max_attempts: u32,
    /// Seconds; null: no limit.
    pub timeout: Option<f64>,
    pub on_disconnect: &'static str,
    pub mounts: Vec<MountView>,
    /// Null: the usual number.
    pub processes_max: Option<u32>,
    /// Null: the usual number.
    pub open_files: Option<u32>,
    /// Null: the usual size.
    pub shm_bytes: Option<u64>,
    /// Null: SIGTERM.
    pub stop_signal: Option<String>,
    /// Seconds; null: the usual time.
    pub grace: Option<f64>,
    /// Null: the image's, if that is not root.
    pub user: Option<String>,
    /// Null: the worker's first.
    pub network: Option<String>,
    pub pull: &'static str,
    pub writable_root: bool,
    /// Null: the usual rules.
    pub retry: Option<RetryView>,
    pub results: bool,
    /// Name → `JOB`, `JOB/INDEX` or `JOB/INDEX/PATH`.
    pub inputs: BTreeMap<String, String>,
    /// Names, and where the task finds them: `NAME`, `NAME=env:VARIABLE` or `NAME=file:FILE`.
    pub secrets: Vec<String>,
    /// Seconds; null: no limit.
    pub queue_timeout: Option<f64>,
    pub volumes: Vec<VolumeView>,
    /// All its tasks start together.
    pub gang: bool,
    /// It may be stopped for a task of a higher priority.
    pub preemptible: bool,
    /// What rules of other jobs know it by.
    pub labels: BTreeMap<String, String>,
    /// Null: no rules but `require`.
    pub placement: Option<PlacementView>,
}

impl From<JobSpec> for SpecView {
    fn from(s: JobSpec) -> Self {
        SpecView {
            on_disconnect: match s.on_disconnect() {
                OnDisconnect::Continue => "continue",
                OnDisconnect::Stop => "stop",
            },
            pull: s.pull().name(),
            name: s.name,
            image: s.image,
            image_digest: (!s.image_digest.is_empty()).then_some(s.image_digest),
            command: s.command,
            env: s.env,
            resources: s.resources.into(),
            require: s.require,
            priority: s.priority,
            count: s.count,
            max_attempts: s.max_attempts,
            timeout: (s.timeout_ms > 0).then(|| seconds(s.timeout_ms)),
            mounts: s
                .mounts
                .into_iter()
                .map(|m| MountView { source: m.source, target: m.target, write: m.write })
                .collect(),
            processes_max: (s.processes_max > 0).then_some(s.processes_max),
            open_files: (s.open_files > 0).then_some(s.open_files),
            shm_bytes: (s.shm_bytes > 0).then_some(s.shm_bytes),
            stop_signal: (s.stop_signal > 0).then(|| signal::name(s.stop_signal)),
            grace: (s.grace_ms > 0).then(|| seconds(s.grace_ms)),
            user: (!s.user.is_empty()).then_some(s.user),
            network: (!s.network.is_empty()).then_some(s.network),
            writable_root: s.writable_root,
            retry: s.retry.map(Into::into),
            results: s.results,
            inputs: s.inputs,
            secrets: s.secrets.iter().map(ToString::to_string).collect(),
            queue_timeout: (s.queue_timeout_ms > 0).then(|| seconds(s.queue_timeout_ms)),
            volumes: s.volumes.into_iter().map(Into::into).collect(),
            gang: s.gang,
            preemptible: s.preemptible,
            labels: s.labels,
            placement: s.placement.map(Into::into),
        }
    }
}

impl SpecView {
    /// `asks`: the resources, as people read them.
    pub fn facts(&self, asks: &str) -> Vec<(&'static str, String)> {
        vec![
            ("pinned to", self.image_digest.clone().unwrap_or_default()),
            ("command", self.command.join(" ")),
            ("each task", asks.to_owned()),
            ("gang", if self.gang { "all start together".to_owned() } else { String::new() }),
            ("makes room", if self.preemptible { "for higher priorities".to_owned() } else { String::new() }),
            ("labels", labels(&self.labels)),
            ("requires", requires(labels(&self.require), self.placement.as_ref())),
            ("prefers", self.placement.as_ref().map_or(String::new(), PlacementView::prefers)),
            ("tolerates", self.placement.as_ref().map_or(String::new(), |p| p.tolerate.join(","))),
            ("apart by", self.placement.as_ref().and_then(|p| p.apart.clone()).unwrap_or_default()),
            ("spread over", self.placement.as_ref().map_or(String::new(), PlacementView::spread_over)),
            ("apart from", self.placement.as_ref().map_or(String::new(), |p| near(&p.apart_from))),
            ("together with", self.placement.as_ref().map_or(String::new(), |p| near(&p.together_with))),
            ("env", self.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("\n")),
            ("mounts", self.mounts.iter().map(MountView::text).collect::<Vec<_>>().join("\n")),
            ("volumes", self.volumes.iter().map(VolumeView::text).collect::<Vec<_>>().join("\n")),
            ("inputs", self.inputs.iter().map(|(name, from)| format!("{name}={from}")).collect::<Vec<_>>().join("\n")),
            ("secrets", self.secrets.join("\n")),
            ("results", if self.results { "stored".to_owned() } else { String::new() }),
            ("processes", self.processes_max.map_or(String::new(), |n| format!("up to {n}"))),
            ("open files", self.open_files.map_or(String::new(), |n| format!("up to {n}"))),
            ("shared memory", self.shm_bytes.map_or(String::new(), |n| Bytes(n).to_string())),
            ("user", self.user.clone().unwrap_or_default()),
            ("network", self.network.clone().unwrap_or_default()),
            ("pull", if self.pull == PullPolicy::Missing.name() { String::new() } else { self.pull.to_owned() }),
            ("image's files", if self.writable_root { "writable".to_owned() } else { String::new() }),
            ("stops with", self.stops_with()),
            ("attempts", if self.max_attempts > 1 { format!("up to {}", self.max_attempts) } else { String::new() }),
            ("retries", self.retry.as_ref().map_or(String::new(), RetryView::text)),
            ("timeout", self.timeout.map_or(String::new(), |t| duration((t * 1000.0) as u64))),
            ("queue timeout", self.queue_timeout.map_or(String::new(), |t| duration((t * 1000.0) as u64))),
        ]
    }

    /// `SIGINT, SIGKILL after 30.0s`: what differs from the usual.
    fn stops_with(&self) -> String {
        let kill = self.grace.map(|g| format!("SIGKILL after {}", duration((g * 1000.0) as u64)));
        self.stop_signal.iter().cloned().chain(kill).collect::<Vec<_>>().join(", ")
    }
}
