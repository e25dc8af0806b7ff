//! A job file: YAML (and so JSON), the same words as the flags. Comes in: a path or stdin. Goes out: a [`JobSpec`] and what goes with
//! it, or an error with the line. Unknown fields are errors: a typing mistake must not silently change a job.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use cloudai_types::resources::{parse_cpu, parse_size};
use cloudai_types::spec::{Mount, WORKER_LABEL};
use cloudai_types::{
    JobSpec, OnDisconnect, PullPolicy, ReasonKind, Resources, RetryAction, RetryRule, RetryRules, SecretUse, limits,
    signal,
};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::exit::Failure;
use crate::input::placement_text::{NearEntry, PlacementText, PreferEntry, RequireEntry, Required, SpreadEntry};
use crate::input::volume_text::VolumeEntry;
use crate::input::workflow_file::DependencyEntry;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobFile {
    pub spec: JobSpec,
    pub namespace: Option<String>,
}

/// The file's fields. In the file's own words, so that an error names what stands there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fields {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<Spanned<String>>,
    image: Option<String>,
    command: Vec<Scalar>,
    env: BTreeMap<String, Scalar>,
    cpu: Option<Cpu>,
    memory: Option<Size>,
    storage: Option<Size>,
    gpu: u32,
    require: RequireEntry,
    prefer: Vec<PreferEntry>,
    tolerate: Vec<Scalar>,
    apart: Option<Scalar>,
    spread: Option<SpreadEntry>,
    labels: BTreeMap<String, Scalar>,
    apart_from: Vec<NearEntry>,
    together_with: Vec<NearEntry>,
    /// Only on this one.
    worker: Option<String>,
    priority: i32,
    array: Option<Array>,
    max_attempts: u32,
    processes_max: u32,
    open_files: u32,
    shm: Option<Size>,
    timeout: Option<Timeout>,
    stop_signal: Option<StopSignal>,
    grace: Option<Grace>,
    user: Option<Scalar>,
    network: Option<Scalar>,
    pull: Option<Pull>,
    writable_root: bool,
    on_disconnect: Option<Disconnect>,
    mounts: Vec<MountText>,
    retry: Option<Retry>,
    results: bool,
    inputs: BTreeMap<String, Scalar>,
    secrets: Vec<SecretText>,
    queue_timeout: Option<Timeout>,
    volumes: Vec<VolumeEntry>,
    gang: bool,
    preemptible: bool,
    /// Only in a workflow's file.
    pub(super) depends_on: Vec<Spanned<DependencyEntry>>,
    /// Only in a template's file, which reads them itself.
    pub(super) parameters: Option<Spanned<IgnoredAny>>,
}

/// What follows a failed attempt.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Retry {
    reasons: BTreeMap<Reason, Action>,
    delay: Option<Delay>,
    delay_factor: Option<Factor>,
    delay_max: Option<Delay>,
    jitter: Option<Factor>,
    memory_factor: Option<Factor>,
    memory_max: Option<Size>,
}

impl From<Retry> for RetryRules {
    fn from(r: Retry) -> Self {
        let rule =
            |(Reason(kind), Action(action)): (Reason, Action)| RetryRule { reason: kind as i32, action: action as i32 };
        RetryRules {
            rules: r.reasons.into_iter().map(rule).collect(),
            delay_ms: r.delay.map_or(0, |d| d.0),
            delay_factor_percent: r.delay_factor.map_or(0, |f| f.0),
            delay_max_ms: r.delay_max.map_or(0, |d| d.0),
            jitter_percent: r.jitter.map_or(0, |f| f.0),
            memory_factor_percent: r.memory_factor.map_or(0, |f| f.0),
            memory_max_bytes: r.memory_max.map_or(0, |s| s.0),
        }
    }
}

/// Reads a file of at most [`limits::SPEC_FILE_BYTES_MAX`] bytes; a larger one is refused by its size, before it is read. `-` is stdin.
pub fn read(path: &Path) -> Result<JobFile, Failure> {
    let text = read_text(path, "job", limits::SPEC_FILE_BYTES_MAX)?;
    parse(&text).map_err(|e| Failure::invalid(format!("{} is no valid job file", shown(path))).why(e))
}

pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// `kind`: what the file is of, for people.
pub(super) fn read_text(path: &Path, kind: &str, max: usize) -> Result<String, Failure> {
    let (shown, max) = (shown(path), max as u64);
    let too_large = |bytes: String| {
        Failure::new(crate::exit::Code::Usage, "too_large", format!("{shown} is too large for a {kind} file"))
            .why(format!("it has {bytes} bytes, and {max} are allowed"))
            .next("put large data into the image or into a mounted file, and only its name into the job")
    };
    let failed = |e: std::io::Error| {
        let f = Failure::invalid(format!("{shown} cannot be read")).why(&e);
        match e.kind() {
            std::io::ErrorKind::NotFound => f.next("check the path; `-f -` reads standard input"),
            _ => f,
        }
    };
    let mut bytes = vec![];
    if path == Path::new("-") {
        std::io::stdin().lock().take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len > max {
            return Err(too_large(len.to_string()));
        }
        file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > max {
        return Err(too_large(format!("more than {max}")));
    }
    String::from_utf8(bytes).map_err(|e| Failure::invalid(format!("{shown} is no text")).why(e))
}

/// The error is a text with line, column and the lines around it.
pub fn parse(text: &str) -> Result<JobFile, String> {
    of_fields(serde_saphyr::from_str(text).map_err(|e| e.to_string())?)
}

/// What the fields of a job's file say.
pub(super) fn of_fields(mut fields: Fields) -> Result<JobFile, String> {
    if let Some(first) = fields.depends_on.first() {
        return Err(at(
            &first.referenced,
            "depends_on is for jobs of a workflow; submit one with `cloudai workflow submit`",
        ));
    }
    if let Some(parameters) = &fields.parameters {
        let what = "parameters are for templates; create one with `cloudai template create`";
        return Err(at(&parameters.referenced, what));
    }
    let namespace = fields.namespace.take().map(|namespace| namespace.value);
    Ok(JobFile { spec: fields.into_spec(), namespace })
}

/// An error in the form of those that the file's own rules give.
pub(super) fn at(location: &Location, what: &str) -> String {
    format!("error: line {} column {}: {what}", location.line(), location.column())
}

impl Fields {
    pub(super) fn into_spec(self) -> JobSpec {
        let fields = self;
        let texts = |m: BTreeMap<String, Scalar>| m.into_iter().map(|(k, v)| (k, v.0)).collect();
        let mut placement = PlacementText {
            require: fields.require.0,
            prefer: fields.prefer.into_iter().map(|p| p.0).collect(),
            tolerate: fields.tolerate.into_iter().map(|t| t.0).collect(),
            apart: fields.apart.map(|a| a.0),
            spread: fields.spread.map(|SpreadEntry(over, max_skew)| (over, max_skew)),
            apart_from: fields.apart_from.into_iter().map(|near| near.0).collect(),
            together_with: fields.together_with.into_iter().map(|near| near.0).collect(),
        };
        placement.require.extend(fields.worker.map(|name| Required::Label(WORKER_LABEL.to_owned(), name)));
        let mut spec = JobSpec {
            name: fields.name.unwrap_or_default(),
            image: fields.image.unwrap_or_default(),
            command: fields.command.into_iter().map(|w| w.0).collect(),
            env: texts(fields.env),
            resources: Resources {
                cpu_milli: fields.cpu.map_or(0, |c| c.0),
                memory_bytes: fields.memory.map_or(0, |s| s.0),
                storage_bytes: fields.storage.map_or(0, |s| s.0),
                gpus: fields.gpu,
            },
            // Below, with what goes with it.
            require: BTreeMap::new(),
            placement: None,
            priority: fields.priority,
            count: fields.array.map_or(0, |a| a.0),
            max_attempts: fields.max_attempts,
            timeout_ms: fields.timeout.map_or(0, |t| t.0),
            on_disconnect: fields.on_disconnect.map_or(OnDisconnect::Continue, |d| d.0) as i32,
            mounts: fields.mounts.into_iter().map(|m| m.0).collect(),
            processes_max: fields.processes_max,
            open_files: fields.open_files,
            shm_bytes: fields.shm.map_or(0, |s| s.0),
            stop_signal: fields.stop_signal.map_or(0, |s| s.0),
            grace_ms: fields.grace.map_or(0, |g| g.0),
            user: fields.user.map_or(String::new(), |u| u.0),
            network: fields.network.map_or(String::new(), |n| n.0),
            pull: fields.pull.map_or(PullPolicy::Missing, |p| p.0) as i32,
            writable_root: fields.writable_root,
            retry: fields.retry.map(RetryRules::from),
            results: fields.results,
            inputs: texts(fields.inputs),
            // The masters fill it in.
            namespace: String::new(),
            image_digest: String::new(),
            secrets: fields.secrets.into_iter().map(|s| s.0).collect(),
            queue_timeout_ms: fields.queue_timeout.map_or(0, |t| t.0),
            volumes: fields.volumes.into_iter().map(|v| v.0).collect(),
            gang: fields.gang,
            preemptible: fields.preemptible,
            labels: texts(fields.labels),
        };
        placement.over(&mut spec);
        spec
    }
}

/// `0-999` or `1000`: the number of tasks.
pub fn parse_array(text: &str) -> Result<u32, String> {
    let t = text.trim();
    let wrong = || format!("'{t}' is no array: write 0-999 or 1000 for a thousand tasks");
    match t.split_once('-') {
        None => match t.parse() {
            Ok(0) => Err("an array has at least one task".to_owned()),
            Ok(n) => Ok(n),
            Err(_) => Err(wrong()),
        },
        Some((first, last)) => {
            let (first, last): (u32, u32) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
            if first != 0 {
                return Err(format!("'{t}': indexes begin at 0; write 0-{}", last.saturating_sub(first)));
            }
            last.checked_add(1).ok_or_else(wrong)
        }
    }
}

/// `SOURCE:TARGET`, read-only unless `:rw` follows; `:ro` may be written.
pub fn parse_mount(text: &str) -> Result<Mount, String> {
    let (bare, write) = match text.strip_suffix(":rw") {
        Some(bare) => (bare, true),
        None => (text.strip_suffix(":ro").unwrap_or(text), false),
    };
    match bare.split_once(':') {
        Some((source, target)) if !source.is_empty() && !target.is_empty() && !target.contains(':') => {
            Ok(Mount { source: source.to_owned(), target: target.to_owned(), write })
        }
        Some(_) | None => Err(format!("'{text}' is no mount: write SOURCE:TARGET, both absolute; :rw to write to it")),
    }
}

pub fn parse_timeout(text: &str) -> Result<u64, String> {
    match milliseconds(text)? {
        0 => Err(format!("'{text}': a timeout is at least 1 ms; leave it out for no limit")),
        ms => Ok(ms),
    }
}

/// How long a task may take to stop.
pub fn parse_grace(text: &str) -> Result<u64, String> {
    match milliseconds(text)? {
        0 => Err(format!("'{text}': a grace is at least 1 ms; stop_signal SIGKILL gives none")),
        ms => Ok(ms),
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let d = crate::times::parse_duration(text)?;
    u64::try_from(d.as_millis()).map_err(|_| format!("'{text}' is too long"))
}

pub fn parse_pull(text: &str) -> Result<PullPolicy, String> {
    let known = PullPolicy::ALL.into_iter().find(|p| p.name() == text);
    known.ok_or_else(|| format!("'{text}' is none of always, missing and never"))
}

/// A text as it stands there, also when it looks like a number or a boolean.
#[derive(Debug)]
pub(super) struct Scalar(pub(super) String);
struct Cpu(u64);
struct Size(u64);
struct Array(u32);
struct Timeout(u64);
struct Grace(u64);
struct StopSignal(u32);
struct Pull(PullPolicy);
struct MountText(Mount);
struct SecretText(SecretUse);
struct Disconnect(OnDisconnect);
struct Delay(u64);
struct Factor(u32);
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Reason(ReasonKind);
struct Action(RetryAction);

/// Types that are written as one scalar, a text or a number.
macro_rules! scalar {
    ($name:ident, $expected:literal, $parse:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct V;
                impl Visitor<'_> for V {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, s: &str) -> Result<$name, E> {
                        let parse: fn(&str) -> Result<_, String> = $parse;
                        parse(s).map($name).map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, n: u64) -> Result<$name, E> {
                        self.visit_str(&n.to_string())
                    }
                    fn visit_i64<E: de::Error>(self, n: i64) -> Result<$name, E> {
                        self.visit_str(&n.to_string())
                    }
                    fn visit_f64<E: de::Error>(self, n: f64) -> Result<$name, E> {
                        self.visit_str(&n.to_string())
                    }
                    fn visit_bool<E: de::Error>(self, b: bool) -> Result<$name, E> {
                        self.visit_str(if b { "true" } else { "false" })
                    }
                }
                d.deserialize_str(V)
            }
        }
    };
}

scalar!(Scalar, "a text", |s| Ok(s.to_owned()));
scalar!(Cpu, "a number of CPUs such as 0.5 or 500m", |s| parse_cpu(s).map_err(|e| e.to_string()));
scalar!(Size, "a size such as 32m or 1GiB", |s| parse_size(s).map_err(|e| e.to_string()));
scalar!(Array, "an array such as 0-999", parse_array);
scalar!(Timeout, "a duration such as 2s or 1h30m", parse_timeout);
scalar!(Grace, "a duration such as 30s", parse_grace);
scalar!(StopSignal, "a signal such as SIGTERM or 15", signal::parse);
scalar!(Pull, "always, missing or never", parse_pull);
scalar!(MountText, "a mount such as /data:/input", parse_mount);
scalar!(SecretText, "a secret such as token or token=env:TOKEN", str::parse);
scalar!(Disconnect, "continue or stop", parse_disconnect);
scalar!(Delay, "a duration such as 2s or 10m", parse_delay);
scalar!(Factor, "a number such as 1.5", parse_factor);
scalar!(Reason, "a reason such as out_of_memory", parse_reason);
scalar!(Action, "retry, fail or elsewhere", parse_action);

pub fn parse_disconnect(text: &str) -> Result<OnDisconnect, String> {
    match text {
        "continue" => Ok(OnDisconnect::Continue),
        "stop" => Ok(OnDisconnect::Stop),
        _ => Err(format!("'{text}' is neither continue nor stop")),
    }
}

/// A pause between two attempts.
pub fn parse_delay(text: &str) -> Result<u64, String> {
    match milliseconds(text)? {
        0 => Err(format!("'{text}': a delay is at least 1 ms; leave it out for the usual one")),
        ms => Ok(ms),
    }
}

/// `1.5` → 150, in hundredths.
pub fn parse_factor(text: &str) -> Result<u32, String> {
    let number: f64 = text.trim().parse().map_err(|_| format!("'{text}' is no number: write for example 1.5"))?;
    if !(0.0..=1e6).contains(&number) {
        return Err(format!("'{text}' is below 0, or too large"));
    }
    Ok((number * 100.0).round() as u32)
}

/// The word of a reason, as `cloudai task show` prints it.
pub fn parse_reason(text: &str) -> Result<ReasonKind, String> {
    ReasonKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
        let words: Vec<&str> = ReasonKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("'{text}' is no reason: choose one of {}", words.join(", "))
    })
}

pub fn parse_action(text: &str) -> Result<RetryAction, String> {
    let found = RetryAction::ALL.into_iter().find(|action| action.name() == text);
    found.ok_or_else(|| format!("'{text}' is none of retry, fail, elsewhere"))
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}
macro_rules! debug_by_number {
    ($($name:ident),*) => { $(impl std::fmt::Debug for $name {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{:?}", self.0)
        }
    })* };
}
debug_by_number!(
    Size, Array, Timeout, Grace, StopSignal, Pull, MountText, SecretText, Disconnect, Delay, Factor, Reason, Action
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: &str = "
name: train
namespace: ml
image: registry:5000/team/train:2
command: [python3, train.py, --epochs, 3]
env:
  MODE: fast
  DEBUG: true
  PORT: 8080
cpu: 0.5
memory: 32m
storage: 1g
gpu: 1
require: {zone: eu, disk: ssd}
priority: -5
array: 0-999
max_attempts: 3
processes_max: 100
open_files: 1024
shm: 16m
timeout: 2s
stop_signal: INT
grace: 1m30s
user: 1000
network: none
pull: always
writable_root: true
on_disconnect: stop
mounts:
  - /data/in:/input
  - /data/out:/output:rw
queue_timeout: 10m
volumes: ['cache:/cache']
retry:
  reasons: {signal: elsewhere, exit_code: fail}
  delay: 5s
  delay_factor: 3
  delay_max: 10m
  jitter: 0.2
  memory_factor: 1.5
  memory_max: 1g
results: true
inputs: {raw: 3gk7q2zx/0}
secrets: [token, 'token=env:TOKEN']
";

    #[test]
    fn a_full_file_becomes_a_spec() {
        let f = parse(FULL).unwrap();
        assert_eq!(f.namespace.as_deref(), Some("ml"));
        let s = f.spec;
        assert_eq!(s.command, ["python3", "train.py", "--epochs", "3"]);
        assert_eq!(s.env["DEBUG"], "true");
        assert_eq!(s.env["PORT"], "8080");
        let r = Resources { cpu_milli: 500, memory_bytes: 32 << 20, storage_bytes: 1 << 30, gpus: 1 };
        assert_eq!((s.resources, s.priority, s.count, s.max_attempts, s.timeout_ms), (r, -5, 1000, 3, 2000));
        assert_eq!(s.on_disconnect, OnDisconnect::Stop as i32);
        let mount = |source: &str, target: &str, write| Mount { source: source.into(), target: target.into(), write };
        assert_eq!(s.mounts, [mount("/data/in", "/input", false), mount("/data/out", "/output", true)]);
        assert_eq!((s.queue_timeout_ms, s.volumes.len()), (600_000, 1));
        assert_eq!((s.require["disk"].as_str(), s.processes_max), ("ssd", 100));
        assert_eq!((s.open_files, s.shm_bytes, s.stop_signal, s.grace_ms), (1024, 16 << 20, 2, 90_000));
        assert_eq!((s.user.as_str(), s.network.as_str(), s.pull()), ("1000", "none", PullPolicy::Always));
        assert!(s.writable_root);
        let rule = |kind: ReasonKind, action: RetryAction| RetryRule { reason: kind as i32, action: action as i32 };
        let retry = RetryRules {
            rules: vec![
                rule(ReasonKind::ExitCode, RetryAction::Fail),
                rule(ReasonKind::Signal, RetryAction::Elsewhere),
            ],
            delay_ms: 5_000,
            delay_factor_percent: 300,
            delay_max_ms: 600_000,
            jitter_percent: 20,
            memory_factor_percent: 150,
            memory_max_bytes: 1 << 30,
        };
        assert_eq!(s.retry, Some(retry));
        assert_eq!((s.results, s.inputs["raw"].as_str()), (true, "3gk7q2zx/0"));
        let secrets: Vec<String> = s.secrets.iter().map(ToString::to_string).collect();
        assert_eq!(secrets, ["token", "token=env:TOKEN"]);
    }

    #[test]
    fn json_is_a_job_file_too_and_numbers_need_no_quotes() {
        let s = parse(r#"{"image": "busybox", "cpu": 2, "memory": 1048576, "timeout": 1.5, "array": 3}"#).unwrap().spec;
        assert_eq!((s.resources.cpu_milli, s.resources.memory_bytes, s.timeout_ms, s.count), (2000, 1 << 20, 1500, 3));
    }

    #[test]
    fn mistakes_show_their_line() {
        for (text, line, says) in [
            ("image: busybox\ncommand: [a]\ncpus: 2\n", "line 3", "cpus"),
            ("image: busybox\nmemory: lots\n", "line 2", "lots"),
            ("image: busybox\narray: 5-9\n", "line 2", "begin at 0"),
            ("image: busybox\n\non_disconnect: maybe\n", "line 3", "maybe"),
            ("image: [1, 2\nname: x\n", "line", ""),
            ("image: busybox\nimage: alpine\n", "line 2", "image"),
            ("image: busybox\nmounts:\n  - nowhere\n", "line 3", "nowhere"),
            ("image: busybox\nsecrets:\n  - token=shown\n", "line 3", "env:VARIABLE"),
            ("image: busybox\nretry:\n  reasons: {bad_luck: retry}\n", "line 3", "out_of_memory"),
            ("image: busybox\nretry:\n  reasons:\n    timeout: again\n", "line 4", "elsewhere"),
            ("image: busybox\nretry:\n  jitter: much\n", "line 3", "1.5"),
            ("image: busybox\nretry:\n  patience: 1\n", "line 3", "patience"),
            ("image: busybox\nstop_signal: SIGNONE\n", "line 2", "SIGNONE"),
            ("image: busybox\npull: sometimes\n", "line 2", "sometimes"),
            ("image: busybox\ngrace: 0s\n", "line 2", "at least 1 ms"),
            ("image: busybox\ndepends_on:\n  - other\n", "line 3", "workflow submit"),
        ] {
            let e = parse(text).unwrap_err();
            assert!(e.contains(line) && e.contains(says), "{text:?} → {e}");
        }
    }

    #[test]
    fn a_huge_file_is_refused_by_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.yaml");
        let file = File::create(&path).unwrap();
        // Sparse: 100 MB without writing them.
        file.set_len(100 << 20).unwrap();
        let f = read(&path).unwrap_err();
        assert_eq!((f.code.number(), f.kind), (2, "too_large"));
        assert!(f.why.contains("104857600"), "{}", f.why);
        assert_eq!(read(&dir.path().join("absent.yaml")).unwrap_err().code.number(), 2);
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_file_with_our_words_panics_the_parser(
            lines in prop::collection::vec((
                prop::sample::select(vec!["image", "command", "env", "cpu", "memory", "array", "timeout", "mounts", "gpu", "x"]),
                prop::sample::select(vec!["1", "-1", "[", "]", "{a: b}", "*x", "&x 1", "!!int 3", "'", "0-9", "1e99", "~", "|\n  x", "9999999999999999999999"]),
            ), 0..6)
        ) {
            let text: String = lines.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
            let _ = parse(&text).map(|f| cloudai_types::ValidJobSpec::parse(f.spec));
        }

        #[test]
        fn no_array_mount_or_duration_panics(text in ".{0,30}") {
            let _ = (parse_array(&text), parse_mount(&text), parse_timeout(&text));
        }
    }
}
