//! A job's spec: what a user asks to run. Comes in: a [`JobSpec`] from a file, flags or the wire. Goes out: a
//! [`ValidJobSpec`], which has one constructor; inner code never checks again.
//!
//! The struct carries its protobuf tags: it is persisted once per job, in the log and in a row. Tags only grow.

use std::collections::BTreeMap;

use crate::placement::{Placement, Rules};
use crate::resources::{Bytes, Resources};
use crate::results::{self, InputSource};
use crate::retry::RetryRules;
use crate::secrets::{self, SecretUse};
use crate::volume::{self, Volume, VolumeKind};
use crate::{image, limits, signal};

/// What a worker does with a running task when it cannot reach the masters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum OnDisconnect {
    /// Keep working; a late result is fenced if the task was replaced.
    Continue = 0,
    /// Stop before the lease ends, so that two attempts never overlap.
    Stop = 1,
}

/// When a worker asks the registry for the image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum PullPolicy {
    /// Where the worker does not have it.
    Missing = 0,
    /// For each attempt, so that a tag that was moved is seen.
    Always = 1,
    /// Not at all: a worker that does not have it cannot run the task.
    Never = 2,
}

impl PullPolicy {
    pub const ALL: [PullPolicy; 3] = [PullPolicy::Missing, PullPolicy::Always, PullPolicy::Never];

    /// The word in job files and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            PullPolicy::Missing => "missing",
            PullPolicy::Always => "always",
            PullPolicy::Never => "never",
        }
    }
}

/// A host path made visible inside the container; the worker's operator must have allowed it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct Mount {
    /// Absolute path on the worker.
    #[prost(string, tag = "1")]
    pub source: String,
    /// Absolute path inside the container.
    #[prost(string, tag = "2")]
    pub target: String,
    /// It may be written to. Since format 5 of the log.
    #[prost(bool, tag = "3")]
    pub write: bool,
}

/// One immutable spec, stored once, for `count` identical tasks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JobSpec {
    /// For people; need not be unique. Letters, digits, `.`, `_`, `-`.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub image: String,
    /// The command and its arguments; empty: the image's own.
    #[prost(string, repeated, tag = "3")]
    pub command: Vec<String>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub env: BTreeMap<String, String>,
    /// What each task holds while it runs.
    #[prost(message, required, tag = "5")]
    pub resources: Resources,
    /// Labels that the worker must have with exactly this value.
    #[prost(btree_map = "string, string", tag = "6")]
    pub require: BTreeMap<String, String>,
    /// Higher first; then the order of submission.
    #[prost(sint32, tag = "7")]
    pub priority: i32,
    /// Number of tasks; indexes are `0..count`.
    #[prost(uint32, tag = "8")]
    pub count: u32,
    /// Attempts that the user pays for, infrastructure losses apart. 1: no second try.
    #[prost(uint32, tag = "9")]
    pub max_attempts: u32,
    /// Run time of one attempt in milliseconds; 0: no limit.
    #[prost(uint64, tag = "10")]
    pub timeout_ms: u64,
    #[prost(enumeration = "OnDisconnect", tag = "11")]
    pub on_disconnect: i32,
    #[prost(message, repeated, tag = "12")]
    pub mounts: Vec<Mount>,
    /// Processes and threads of one attempt at a time; 0: [`limits::PROCESSES_DEFAULT`]. Since format 4 of the log.
    #[prost(uint32, tag = "13")]
    pub processes_max: u32,
    /// Open files of each process; 0: [`limits::OPEN_FILES_DEFAULT`]. This field and all below: since format 4 of the log.
    #[prost(uint32, tag = "14")]
    pub open_files: u32,
    /// Size of `/dev/shm`, counted within the memory; 0: [`limits::SHM_BYTES_DEFAULT`].
    #[prost(uint64, tag = "15")]
    pub shm_bytes: u64,
    /// Number of the signal that asks the task to stop; 0: SIGTERM.
    #[prost(uint32, tag = "16")]
    pub stop_signal: u32,
    /// Between that signal and SIGKILL in milliseconds; 0: [`limits::STOP_GRACE`].
    #[prost(uint64, tag = "17")]
    pub grace_ms: u64,
    /// `UID`, `UID:GID` or `root`; empty: the image's, if that is not root, otherwise nobody.
    #[prost(string, tag = "18")]
    pub user: String,
    /// `none`, `default`, or the name of a network of the worker's engine; empty: the first that the worker's operator lists.
    #[prost(string, tag = "19")]
    pub network: String,
    /// What follows a failed attempt, where that is not the usual.
    #[prost(message, optional, tag = "20")]
    pub retry: Option<RetryRules>,
    /// What each task writes to [`results::OUT_DIR`] is stored when it succeeds.
    #[prost(bool, tag = "30")]
    pub results: bool,
    /// Name below [`results::IN_DIR`] → whose results are placed there, an [`InputSource`] as text.
    #[prost(btree_map = "string, string", tag = "31")]
    pub inputs: BTreeMap<String, String>,
    /// The name of the job's namespace, whose results and named volumes it uses: `apply` fills it in, whatever a user says.
    #[prost(string, tag = "32")]
    pub namespace: String,
    #[prost(enumeration = "PullPolicy", tag = "40")]
    pub pull: i32,
    /// The image's own files may be written over, on storage that the task asked for. Otherwise only its scratch is writable.
    #[prost(bool, tag = "41")]
    pub writable_root: bool,
    /// What the image's tag meant when the job was submitted, `sha256:…`: the leader asks the registry, whatever a user says. Empty: not
    /// pinned. Since format 5 of the log.
    #[prost(string, tag = "50")]
    pub image_digest: String,
    /// Secrets of the job's namespace that each task gets. Since format 5 of the log.
    #[prost(message, repeated, tag = "55")]
    pub secrets: Vec<SecretUse>,
    /// How long each task may wait for its first attempt, in milliseconds since the submit; 0: no limit. Since format 5 of the log.
    #[prost(uint64, tag = "60")]
    pub queue_timeout_ms: u64,
    /// Since format 5 of the log.
    #[prost(message, repeated, tag = "61")]
    pub volumes: Vec<Volume>,
    /// All tasks start together, or none does; and where one of them fails, none goes on. Since format 7 of the log.
    #[prost(bool, tag = "62")]
    pub gang: bool,
    /// It may be stopped for a task of a higher priority, and started again, where its namespace allows that. Since format 7 of the log.
    #[prost(bool, tag = "63")]
    pub preemptible: bool,
    /// Where its tasks may go, and would rather go, beside room and `require`. Most jobs do not mind. Since format 7 of the log.
    #[prost(message, optional, tag = "70")]
    pub placement: Option<Placement>,
    /// What rules of other jobs of its namespace know it by ([`Placement::apart_from`], `together_with`), and people. Since format 7 of the log.
    #[prost(btree_map = "string, string", tag = "80")]
    pub labels: BTreeMap<String, String>,
}

impl JobSpec {
    /// The image by the name under which it is pulled and run.
    pub fn pinned_image(&self) -> String {
        image::pinned(&self.image, &self.image_digest)
    }

    /// What it names is of its namespace: results, inputs, named volumes.
    pub fn needs_namespace(&self) -> bool {
        self.needs_store() || self.volumes.iter().any(|v| v.kind == VolumeKind::Named as i32)
    }

    /// How many tasks start together or not at all; 0: each by itself.
    pub fn gang_size(&self) -> u32 {
        if self.gang { self.count } else { 0 }
    }

    /// It reads or writes results: its worker needs the store.
    pub fn needs_store(&self) -> bool {
        self.results || !self.inputs.is_empty()
    }
}

/// What is wrong with one field. `field` is its path in a spec file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Fault {
    pub field: &'static str,
    pub problem: String,
}

/// All that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the job spec is not valid: {}", faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
pub struct SpecError {
    pub faults: Vec<Fault>,
}

/// A spec that passed every check.
#[derive(Clone, PartialEq, Debug)]
pub struct ValidJobSpec(JobSpec);

impl ValidJobSpec {
    /// The only way in. Fills `count` and `max_attempts` with 1 where they are 0, and names a job after its image.
    pub fn parse(mut spec: JobSpec) -> Result<Self, SpecError> {
        if spec.count == 0 {
            spec.count = 1;
        }
        if spec.max_attempts == 0 {
            spec.max_attempts = 1;
        }
        if spec.name.is_empty() {
            spec.name = name_from_image(&spec.image);
        }
        spec.secrets.iter_mut().for_each(SecretUse::complete);
        // Rules that say nothing are none.
        spec.retry = spec.retry.filter(|rules| *rules != RetryRules::default());
        let mut faults = vec![];
        check(&spec, &mut |field, problem| faults.push(Fault { field, problem }));
        // In one order, so that equal rules are the same bytes.
        spec.placement = match spec.placement.as_ref().map(Rules::parse) {
            None => None,
            Some(Ok(rules)) => Some(rules.placement()).filter(|placement| *placement != Placement::default()),
            Some(Err(fault)) => {
                faults.push(fault);
                None
            }
        };
        if faults.is_empty() { Ok(ValidJobSpec(spec)) } else { Err(SpecError { faults }) }
    }

    pub fn get(&self) -> &JobSpec {
        &self.0
    }
    pub fn into_inner(self) -> JobSpec {
        self.0
    }
}

/// `registry:5000/team/data-processing:1` → `data-processing`.
fn name_from_image(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let base = last.split(['@', ':']).next().unwrap_or(last);
    let name: String = base.chars().filter(|c| is_name_char(*c)).take(limits::NAME_BYTES_MAX).collect();
    if name.is_empty() { "job".to_owned() } else { name }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// A name of a job, worker, master or namespace: it becomes part of file names, keys and certificates.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
        return Err(format!("has {} characters; 1 to {} are allowed", name.len(), limits::NAME_BYTES_MAX));
    }
    if let Some(c) = name.chars().find(|c| !is_name_char(*c)) {
        return Err(format!("contains {c:?}; letters, digits, '.', '_' and '-' are allowed"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("must begin with a letter or a digit".to_owned());
    }
    Ok(())
}

/// The label that says which worker it is: the leader gives it to each, by its certificate. A job that requires it runs there and nowhere else.
pub const WORKER_LABEL: &str = "cloudai.worker";

/// Labels of a worker or requirements of a job.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    check_so_many_labels(labels, limits::LABELS_MAX)
}

fn check_so_many_labels(labels: &BTreeMap<String, String>, most: usize) -> Result<(), String> {
    if labels.len() > most {
        return Err(format!("has {} entries; {most} are allowed", labels.len()));
    }
    for (k, v) in labels {
        if k.is_empty() || k.len() > limits::LABEL_BYTES_MAX || v.len() > limits::LABEL_BYTES_MAX {
            return Err(format!("'{k}' or its value is empty or over {} bytes", limits::LABEL_BYTES_MAX));
        }
        if !k.bytes().chain(v.bytes()).all(|b| b.is_ascii_graphic() && b != b'=' && b != b',') {
            return Err(format!("'{k}' or its value has a character that is not allowed (spaces, '=', ',')"));
        }
    }
    Ok(())
}

/// `1000`, `1000:1000` or `root`, as numbers: a name would mean what each image says.
pub fn parse_user(text: &str) -> Result<(u32, u32), String> {
    if text == "root" {
        return Ok((0, 0));
    }
    let wrong = || format!("'{text}' is no user: write UID, UID:GID (numbers) or root");
    let number = |part: &str| match part.parse::<u32>() {
        Ok(n) if n <= limits::USER_NUMBER_MAX && part.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        Ok(_) | Err(_) => Err(wrong()),
    };
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    Ok((number(user)?, number(group)?))
}

/// `none`, `default`, or a network of the engine; never the host's or another container's.
pub fn check_network(name: &str) -> Result<(), String> {
    if name == "host" {
        return Err("is 'host': no task shares the network of its worker".to_owned());
    }
    check_name(name)
}

/// What holds the task to its place.
fn check_isolation(spec: &JobSpec, fault: &mut impl FnMut(&'static str, String)) {
    let files = limits::OPEN_FILES_MIN..=limits::OPEN_FILES_MAX;
    if spec.open_files != 0 && !files.contains(&spec.open_files) {
        let (least, most) = (limits::OPEN_FILES_MIN, limits::OPEN_FILES_MAX);
        fault("open_files", format!("is {}; {least} to {most} are allowed", spec.open_files));
    }
    let memory = spec.resources.memory_bytes;
    if memory > 0 && spec.shm_bytes > memory {
        let (shm, memory) = (Bytes(spec.shm_bytes), Bytes(memory));
        fault("shm", format!("is {shm}, and all of the memory is {memory}: it is counted within the memory"));
    }
    if spec.stop_signal != 0 && !signal::is_signal(spec.stop_signal) {
        fault("stop_signal", format!("is {}, which is no signal", spec.stop_signal));
    }
    if spec.grace_ms > limits::GRACE_MAX.0 {
        fault("grace", format!("is over {} minutes", limits::GRACE_MAX.0 / 60_000));
    }
    if !spec.user.is_empty()
        && let Err(problem) = parse_user(&spec.user)
    {
        fault("user", problem);
    }
    if !spec.network.is_empty()
        && let Err(problem) = check_network(&spec.network)
    {
        fault("network", problem);
    }
    if PullPolicy::try_from(spec.pull).is_err() {
        fault("pull", "is none of always, missing and never".into());
    }
    if spec.writable_root && spec.resources.storage_bytes == 0 {
        fault("writable_root", "needs storage: say how much may be written".into());
    }
}

fn check(spec: &JobSpec, fault: &mut impl FnMut(&'static str, String)) {
    if let Err(problem) = check_name(&spec.name) {
        fault("name", problem);
    }
    if spec.image.is_empty() {
        fault("image", "is missing; name the image to run".into());
    } else if spec.image.len() > limits::IMAGE_BYTES_MAX
        || spec.image.starts_with('-')
        || !spec.image.bytes().all(|b| b.is_ascii_graphic())
    {
        fault("image", format!("is no image name (at most {} printable characters)", limits::IMAGE_BYTES_MAX));
    }
    if !spec.image_digest.is_empty()
        && let Err(problem) = image::Digest::parse(&spec.image_digest)
    {
        fault("image_digest", problem.to_string());
    }
    if spec.command.len() > limits::COMMAND_WORDS_MAX {
        fault("command", format!("has {} words; {} are allowed", spec.command.len(), limits::COMMAND_WORDS_MAX));
    }
    if spec.command.iter().any(|w| w.contains('\0')) {
        fault("command", "contains a NUL character".into());
    }
    if spec.env.len() > limits::ENV_VARS_MAX {
        fault("env", format!("has {} variables; {} are allowed", spec.env.len(), limits::ENV_VARS_MAX));
    }
    if let Some(k) = spec.env.iter().find(|(k, v)| k.is_empty() || k.contains(['=', '\0']) || v.contains('\0')) {
        fault("env", format!("'{}' is no variable name, or its value holds a NUL character", k.0));
    }
    if let Err(problem) = check_labels(&spec.require) {
        fault("require", problem);
    }
    if spec.priority.unsigned_abs() > limits::PRIORITY_MAX.unsigned_abs() {
        fault("priority", format!("is {}; -{max} to {max} are allowed", spec.priority, max = limits::PRIORITY_MAX));
    }
    if spec.count > limits::ARRAY_TASKS_MAX {
        fault("array", format!("has {} tasks; {} are allowed", spec.count, limits::ARRAY_TASKS_MAX));
    }
    if spec.gang && spec.count > limits::GANG_TASKS_MAX {
        fault("gang", format!("has {} tasks; {} can start together", spec.count, limits::GANG_TASKS_MAX));
    }
    if spec.max_attempts > limits::ATTEMPTS_MAX {
        fault("max_attempts", format!("is {}; {} are allowed", spec.max_attempts, limits::ATTEMPTS_MAX));
    }
    if spec.timeout_ms > limits::TIMEOUT_MAX.0 {
        fault("timeout", format!("is over {} days", limits::TIMEOUT_MAX.0 / 86_400_000));
    }
    if spec.queue_timeout_ms > limits::QUEUE_TIMEOUT_MAX.0 {
        fault("queue_timeout", format!("is over {} days", limits::QUEUE_TIMEOUT_MAX.0 / 86_400_000));
    }
    if OnDisconnect::try_from(spec.on_disconnect).is_err() {
        fault("on_disconnect", "is neither continue nor stop".into());
    }
    if spec.mounts.len() > limits::MOUNTS_MAX {
        fault("mounts", format!("has {} entries; {} are allowed", spec.mounts.len(), limits::MOUNTS_MAX));
    }
    for m in &spec.mounts {
        let clean = |p: &str| {
            p.starts_with('/') && !p.split('/').any(|s| s == "..") && !p.contains([':', '\0', ',']) && p.len() <= 4096
        };
        if !clean(&m.source) || !clean(&m.target) || m.target == "/" {
            fault("mounts", format!("'{}:{}' is no pair of absolute paths without '..'", m.source, m.target));
        }
    }
    let processes = limits::PROCESSES_MIN..=limits::PROCESSES_MAX;
    if spec.processes_max != 0 && !processes.contains(&spec.processes_max) {
        let (least, most) = (limits::PROCESSES_MIN, limits::PROCESSES_MAX);
        let text = format!("is {}; {least} to {most} are allowed, and 0 for the usual number", spec.processes_max);
        fault("processes_max", text);
    }
    check_isolation(spec, fault);
    // Only for a spec that has some: what an older format let in must still be let in.
    if !spec.volumes.is_empty() {
        volume::check_all(spec, fault);
    }
    if let Some(placement) = &spec.placement
        && !(placement.apart.is_empty() && placement.spread.is_empty())
        && spec.count > limits::SPREAD_TASKS_MAX
    {
        let most = limits::SPREAD_TASKS_MAX;
        fault("array", format!("has {} tasks; with apart or spread {most} are allowed", spec.count));
    }
    if let Err(problem) = check_so_many_labels(&spec.labels, limits::JOB_LABELS_MAX) {
        fault("labels", problem);
    }
    if let Some(rules) = &spec.retry {
        rules.check(spec.resources.memory_bytes, fault);
    }
    if spec.needs_store() {
        check_results(spec, fault);
    }
    if !spec.secrets.is_empty() {
        secrets::check(spec, fault);
    }
    let bytes = prost::Message::encoded_len(spec);
    if bytes > limits::SPEC_BYTES_MAX {
        fault("spec", format!("is {bytes} bytes; {} are allowed", limits::SPEC_BYTES_MAX));
    }
}

/// Only for a spec that reads or writes results: what an older format let in must still be let in.
fn check_results(spec: &JobSpec, fault: &mut impl FnMut(&'static str, String)) {
    if spec.inputs.len() > limits::INPUTS_MAX {
        fault("inputs", format!("has {} entries; {} are allowed", spec.inputs.len(), limits::INPUTS_MAX));
    }
    for (name, source) in &spec.inputs {
        if let Err(problem) = check_name(name) {
            fault("inputs", format!("the name '{name}' {problem}"));
        }
        if let Err(problem) = source.parse::<InputSource>() {
            fault("inputs", format!("{name}: {problem}; write JOB, JOB/INDEX or JOB/INDEX/PATH"));
        }
    }
    let is_ours = |target: &str| {
        let parts: Vec<&str> = target.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        parts.first() == Some(&"cloudai")
    };
    if let Some(m) = spec.mounts.iter().find(|m| is_ours(&m.target)) {
        fault(
            "mounts",
            format!("'{}' lies where results and inputs are ({}, {})", m.target, results::OUT_DIR, results::IN_DIR),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(spec: JobSpec) -> Vec<&'static str> {
        ValidJobSpec::parse(spec).err().map_or(vec![], |e| e.faults.iter().map(|f| f.field).collect())
    }

    #[test]
    fn defaults_are_one_task_one_attempt_and_the_images_name() {
        let spec = JobSpec { image: "reg:5000/team/data-processing:1".into(), ..Default::default() };
        let valid = ValidJobSpec::parse(spec).expect("valid");
        assert_eq!((valid.get().count, valid.get().max_attempts), (1, 1));
        assert_eq!(valid.get().name, "data-processing");
    }

    #[test]
    fn each_field_has_its_fault() {
        let ok = JobSpec { image: "busybox".into(), ..Default::default() };
        assert_eq!(faults(JobSpec::default()), ["image"]);
        assert_eq!(faults(JobSpec { name: "a b".into(), ..ok.clone() }), ["name"]);
        assert_eq!(faults(JobSpec { count: 1_000_001, ..ok.clone() }), ["array"]);
        assert_eq!(faults(JobSpec { max_attempts: 101, ..ok.clone() }), ["max_attempts"]);
        assert_eq!(faults(JobSpec { priority: i32::MIN, ..ok.clone() }), ["priority"]);
        assert_eq!(faults(JobSpec { timeout_ms: u64::MAX, ..ok.clone() }), ["timeout"]);
        assert_eq!(faults(JobSpec { on_disconnect: 9, ..ok.clone() }), ["on_disconnect"]);
        assert_eq!(faults(JobSpec { command: vec!["x".repeat(300 << 10)], ..ok.clone() }), ["spec"]);
        assert_eq!(faults(JobSpec { processes_max: 1, ..ok.clone() }), ["processes_max"]);
        assert_eq!(faults(JobSpec { processes_max: u32::MAX, ..ok.clone() }), ["processes_max"]);
        let retry = |rules| JobSpec { retry: Some(rules), ..ok.clone() };
        assert_eq!(faults(retry(RetryRules { jitter_percent: 200, ..RetryRules::default() })), ["retry.jitter"]);
        let silent = ValidJobSpec::parse(retry(RetryRules::default())).expect("rules that say nothing");
        assert_eq!(silent.get().retry, None);
        assert_eq!(faults(JobSpec { open_files: 1, ..ok.clone() }), ["open_files"]);
        assert_eq!(faults(JobSpec { open_files: u32::MAX, ..ok.clone() }), ["open_files"]);
        assert_eq!(faults(JobSpec { stop_signal: 32, ..ok.clone() }), ["stop_signal"]);
        assert_eq!(faults(JobSpec { grace_ms: u64::MAX, ..ok.clone() }), ["grace"]);
        assert_eq!(faults(JobSpec { pull: 7, ..ok.clone() }), ["pull"]);
        assert_eq!(faults(JobSpec { writable_root: true, ..ok.clone() }), ["writable_root"]);
        assert_eq!(faults(JobSpec { queue_timeout_ms: u64::MAX, ..ok.clone() }), ["queue_timeout"]);
        assert_eq!(faults(JobSpec { gang: true, count: limits::GANG_TASKS_MAX + 1, ..ok.clone() }), ["gang"]);
        let placement = |placement| JobSpec { placement: Some(placement), ..ok.clone() };
        assert_eq!(faults(placement(Placement { require: vec!["a b".into()], ..Placement::default() })), ["require"]);
        let apart = Placement { apart: "worker".into(), ..Placement::default() };
        assert_eq!(faults(JobSpec { count: limits::SPREAD_TASKS_MAX + 1, ..placement(apart) }), ["array"]);
        let silent = ValidJobSpec::parse(placement(Placement::default())).expect("rules that say nothing");
        assert_eq!(silent.get().placement, None);
        let mounts = vec![Mount { source: "/a/../etc".into(), target: "/in".into(), write: false }];
        assert_eq!(faults(JobSpec { mounts, ..ok.clone() }), ["mounts"]);
        let require = BTreeMap::from([("zone".to_owned(), "a b".to_owned())]);
        assert_eq!(faults(JobSpec { require, ..ok.clone() }), ["require"]);
        let labels = |count: usize| (0..count).map(|n| (format!("l{n}"), "x".to_owned())).collect();
        assert_eq!(faults(JobSpec { labels: labels(limits::JOB_LABELS_MAX), ..ok.clone() }), [""; 0]);
        assert_eq!(faults(JobSpec { labels: labels(limits::JOB_LABELS_MAX + 1), ..ok.clone() }), ["labels"]);
        let labels = BTreeMap::from([("app".to_owned(), "a,b".to_owned())]);
        assert_eq!(faults(JobSpec { labels, ..ok.clone() }), ["labels"]);
        let input = |name: &str, from: String| BTreeMap::from([(name.to_owned(), from)]);
        let job = crate::ids::JobId(1);
        assert_eq!(faults(JobSpec { inputs: input("a", format!("{job}/0")), ..ok.clone() }), [""; 0]);
        assert_eq!(faults(JobSpec { inputs: input("a", format!("{job}/../b")), ..ok.clone() }), ["inputs"]);
        assert_eq!(faults(JobSpec { inputs: input("../a", format!("{job}")), ..ok.clone() }), ["inputs"]);
        let mounts = vec![Mount { source: "/a".into(), target: "//cloudai/out".into(), write: false }];
        assert_eq!(faults(JobSpec { mounts: mounts.clone(), ..ok.clone() }), [""; 0], "as before there were results");
        assert_eq!(faults(JobSpec { mounts, results: true, ..ok }), ["mounts"]);
    }

    #[test]
    fn shared_memory_is_a_part_of_the_memory() {
        let with = |memory_bytes, shm_bytes| {
            let resources = Resources { memory_bytes, ..Default::default() };
            faults(JobSpec { image: "i".into(), resources, shm_bytes, ..Default::default() })
        };
        assert_eq!(with(64, 65), ["shm"]);
        assert_eq!(
            (with(64, 64), with(0, 1 << 40)),
            (vec![], vec![]),
            "without a limit of memory there is none of this"
        );
    }

    #[test]
    fn a_user_is_numbers_and_a_network_never_the_hosts() {
        assert_eq!(parse_user("1000"), Ok((1000, 1000)));
        assert_eq!(
            (parse_user("1000:0"), parse_user("root"), parse_user("0")),
            (Ok((1000, 0)), Ok((0, 0)), Ok((0, 0)))
        );
        for bad in ["", "app", "1000:", ":1", "+1", "-1", "1:2:3", "2147483648", "4294967296", "1 "] {
            assert!(parse_user(bad).is_err(), "{bad}");
        }
        for good in ["none", "default", "bridge", "team-a_2.x"] {
            assert_eq!(check_network(good), Ok(()), "{good}");
        }
        for bad in ["", "host", "container:abc", "-x", "a b", "a/b"] {
            assert!(check_network(bad).is_err(), "{bad}");
        }
        let ok = JobSpec { image: "i".into(), ..Default::default() };
        assert_eq!(faults(JobSpec { user: "app".into(), network: "host".into(), ..ok }), ["user", "network"]);
    }
}
