//! A job out of flags, alone or on top of a file. Comes in: what clap parsed. Goes out: a checked submit. A flag wins over the file.

use std::path::PathBuf;

use cloudai_proto::v1::SubmitRequest;
use cloudai_types::resources::{parse_cpu, parse_size};
use cloudai_types::spec::{Mount, WORKER_LABEL};
use cloudai_types::volume::Volume;
use cloudai_types::{NearRule, OnDisconnect, Preference, PullPolicy, RequestId, SecretUse, ValidJobSpec, signal};

use crate::exit::Failure;
use crate::input::job_file::{
    self, JobFile, parse_array, parse_disconnect, parse_grace, parse_mount, parse_pull, parse_timeout,
};
use crate::input::pairs;
use crate::input::placement_text::{
    PlacementText, Required, parse_near, parse_preference, parse_required, parse_spread,
};
use crate::input::retry_flags::RetryFlags;
use crate::input::volume_text::{parse_named, parse_tmpfs};

/// What to run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct JobFlags {
    /// Image to run; the command follows after `--`
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
    /// Command and its arguments; without: the image's own
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// For people; default: after the image
    #[arg(long)]
    pub name: Option<String>,
    /// Environment variable KEY=VALUE (repeatable); KEY alone takes this shell's value
    #[arg(long, short = 'e', value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// CPUs of one task, for example 0.5
    #[arg(long, value_parser = cpu)]
    pub cpu: Option<u64>,
    /// Memory of one task, for example 32m or 2GiB
    #[arg(long, short = 'm', value_parser = size)]
    pub memory: Option<u64>,
    /// GPUs of one task
    #[arg(long)]
    pub gpu: Option<u32>,
    /// Scratch space of one task, for example 1g
    #[arg(long, value_parser = size)]
    pub storage: Option<u64>,
    /// Label that the worker must have, or an expression such as 'zone in (eu,us)', '!gpu' or 'cores>8' (repeatable)
    #[arg(long, value_name = "KEY=VALUE|EXPR", value_parser = parse_required)]
    pub require: Vec<Required>,
    /// Workers that come first: an expression, and a weight from 1 (default) to 100 beside the others (repeatable)
    #[arg(long, value_name = "EXPR[:WEIGHT]", value_parser = parse_preference)]
    pub prefer: Vec<Preference>,
    /// Taint that does not keep it away (repeatable)
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub tolerate: Vec<String>,
    /// No two of its tasks on one worker, or on workers with the same value of a label
    #[arg(long, value_name = "worker|LABEL")]
    pub apart: Option<String>,
    /// Its tasks go where the fewest of them are; with N they wait rather than be over N ahead
    #[arg(long, value_name = "worker|LABEL[:N]", value_parser = parse_spread)]
    pub spread: Option<(String, u32)>,
    /// Label of the job, for rules of other jobs of its namespace (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::parse)]
    pub label: Vec<(String, String)>,
    /// No task on a worker with a task of a job whose labels meet EXPR, or with the same value of LABEL as such a worker (repeatable)
    #[arg(long, value_name = "EXPR[@LABEL]", value_parser = parse_near)]
    pub apart_from: Vec<NearRule>,
    /// Its tasks go only where a task of a job is whose labels meet EXPR: to that worker, or to one with the same value of LABEL (repeatable)
    #[arg(long, value_name = "EXPR[@LABEL]", value_parser = parse_near)]
    pub together_with: Vec<NearRule>,
    /// Only on this worker
    #[arg(long, value_name = "NAME")]
    pub worker: Option<String>,
    /// Higher runs first; -1000 to 1000
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// Tries that a failing task gets
    #[arg(long)]
    pub max_attempts: Option<u32>,
    /// Run time of one try, for example 2s or 1h30m
    #[arg(long, value_parser = parse_timeout)]
    pub timeout: Option<u64>,
    /// Processes and threads of one try at a time
    #[arg(long, value_name = "N")]
    pub processes_max: Option<u32>,
    /// Open files of each of its processes
    #[arg(long, value_name = "N")]
    pub open_files: Option<u32>,
    /// Size of /dev/shm, counted within the memory; for example 256m
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub shm: Option<u64>,
    /// Signal that asks it to stop: a name or a number; default SIGTERM
    #[arg(long, value_name = "SIGNAL", value_parser = signal::parse)]
    pub stop_signal: Option<u32>,
    /// Between that signal and SIGKILL, for example 30s; default 10s
    #[arg(long, value_name = "DURATION", value_parser = parse_grace)]
    pub grace: Option<u64>,
    /// Who it is: UID, UID:GID, or root where the worker allows that
    #[arg(long)]
    pub user: Option<String>,
    /// none, default, or a network of the worker that its operator allows
    #[arg(long)]
    pub network: Option<String>,
    /// When to ask the registry for the image: always, missing (default) or never
    #[arg(long, value_name = "WHEN", value_parser = parse_pull)]
    pub pull: Option<PullPolicy>,
    /// Let it write over the files of its image; needs --storage
    #[arg(long)]
    pub writable_root: bool,
    /// What a worker does with the task when it cannot reach the masters
    #[arg(long, value_name = "continue|stop", value_parser = parse_disconnect)]
    pub on_disconnect: Option<OnDisconnect>,
    /// Path of the worker made visible, if its operator allowed it; read-only unless :rw follows (repeatable)
    #[arg(long, value_name = "SOURCE:TARGET[:rw]", value_parser = parse_mount)]
    pub mount: Vec<Mount>,
    /// Named volume of the worker, made when it is first used, kept after the task (repeatable)
    #[arg(long, value_name = "NAME:/TARGET[:ro]", value_parser = parse_named)]
    pub volume: Vec<Volume>,
    /// Folder in memory, counted within the memory (repeatable)
    #[arg(long, value_name = "/TARGET:SIZE", value_parser = parse_tmpfs)]
    pub tmpfs: Vec<Volume>,
    /// How long it may wait before its first try; it has failed then
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    pub queue_timeout: Option<u64>,
    /// All its tasks start together, or none does; where one fails, none goes on
    #[arg(long)]
    pub gang: bool,
    /// It may be stopped for a task of a higher priority, and started again, where its namespace allows that
    #[arg(long)]
    pub preemptible: bool,
    #[command(flatten)]
    pub retry: RetryFlags,
    /// Store what each task writes to /cloudai/out when it succeeds
    #[arg(long)]
    pub results: bool,
    /// Results to be placed in /cloudai/in/NAME: of JOB, JOB/INDEX or JOB/INDEX/PATH (repeatable)
    #[arg(long, value_name = "NAME=FROM", value_parser = pairs::parse)]
    pub input: Vec<(String, String)>,
    /// Secret of the namespace: as the file /run/secrets/NAME, or elsewhere as it says (repeatable)
    #[arg(long, value_name = "NAME[=env:VARIABLE|=file:FILE]")]
    pub secret: Vec<SecretUse>,
    /// The same key is the same job, however often it is sent within 24 h
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// Also for arrays and files; `run` takes neither.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ManyFlags {
    /// Job file in YAML or JSON; `-` for standard input. Flags win over it
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Tasks of the job: 0-999, or 1000
    #[arg(long, value_parser = parse_array)]
    pub array: Option<u32>,
}

fn cpu(text: &str) -> Result<u64, String> {
    parse_cpu(text).map_err(|e| e.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|e| e.to_string())
}

/// A checked job, ready to be sent; the spec is as it was given, the masters fill defaults the same way.
pub fn request(flags: &JobFlags, many: &ManyFlags, namespace: &str) -> Result<SubmitRequest, Failure> {
    let JobFile { mut spec, namespace: file_namespace } = match &many.file {
        Some(path) => job_file::read(path)?,
        None => JobFile::default(),
    };
    overlay(flags, many, &mut spec)?;
    if spec.image.is_empty() {
        return Err(Failure::invalid("no image is named")
            .next("write `cloudai job submit IMAGE -- CMD`, or -f FILE with `image:` in it"));
    }
    let namespace = if namespace.is_empty() { file_namespace.unwrap_or_default() } else { namespace.to_owned() };
    if !namespace.is_empty() {
        cloudai_types::spec::check_name(&namespace).map_err(|why| Failure::invalid(format!("the namespace {why}")))?;
    }
    let request_id = match &flags.idempotency_key {
        Some(key) => key.parse::<RequestId>().map_err(|e| Failure::invalid(e.to_string()))?.to_string(),
        None => cloudai_client::request_id(),
    };
    // The same check as the masters', so that a mistake costs no round trip.
    let spec = ValidJobSpec::parse(spec)
        .map_err(|e| {
            let faults: Vec<String> = e.faults.iter().map(|f| format!("  {f}")).collect();
            Failure::invalid("the job spec is not valid").why(faults.join("\n"))
        })?
        .into_inner();
    Ok(SubmitRequest { request_id, namespace, spec: Some(spec) })
}

/// What the flags say on top of what the spec says.
pub fn overlay(flags: &JobFlags, many: &ManyFlags, spec: &mut cloudai_types::JobSpec) -> Result<(), Failure> {
    if let Some(image) = &flags.image {
        spec.image.clone_from(image);
    }
    if !flags.command.is_empty() {
        spec.command.clone_from(&flags.command);
    }
    if let Some(name) = &flags.name {
        spec.name.clone_from(name);
    }
    for text in &flags.env {
        let (k, v) = match text.split_once('=') {
            Some((k, v)) => (k.to_owned(), v.to_owned()),
            None => {
                let value = std::env::var(text).map_err(|_| {
                    Failure::invalid(format!("the variable {text} of --env {text} is not set here"))
                        .next("write --env KEY=VALUE")
                })?;
                (text.clone(), value)
            }
        };
        spec.env.insert(k, v);
    }
    let placement = PlacementText {
        require: flags.require.clone(),
        prefer: flags.prefer.clone(),
        tolerate: flags.tolerate.clone(),
        apart: flags.apart.clone(),
        spread: flags.spread.clone(),
        apart_from: flags.apart_from.clone(),
        together_with: flags.together_with.clone(),
    };
    placement.over(spec);
    spec.require.extend(flags.worker.iter().map(|name| (WORKER_LABEL.to_owned(), name.clone())));
    spec.labels.extend(flags.label.iter().cloned());
    spec.mounts.extend(flags.mount.iter().cloned());
    spec.volumes.extend(flags.volume.iter().chain(&flags.tmpfs).cloned());
    spec.queue_timeout_ms = flags.queue_timeout.unwrap_or(spec.queue_timeout_ms);
    spec.gang |= flags.gang;
    spec.preemptible |= flags.preemptible;
    spec.results |= flags.results;
    spec.inputs.extend(pairs::map(&flags.input));
    spec.secrets.extend(flags.secret.iter().cloned());
    let r = &mut spec.resources;
    r.cpu_milli = flags.cpu.unwrap_or(r.cpu_milli);
    r.memory_bytes = flags.memory.unwrap_or(r.memory_bytes);
    r.storage_bytes = flags.storage.unwrap_or(r.storage_bytes);
    r.gpus = flags.gpu.unwrap_or(r.gpus);
    spec.priority = flags.priority.unwrap_or(spec.priority);
    spec.max_attempts = flags.max_attempts.unwrap_or(spec.max_attempts);
    spec.processes_max = flags.processes_max.unwrap_or(spec.processes_max);
    spec.open_files = flags.open_files.unwrap_or(spec.open_files);
    spec.shm_bytes = flags.shm.unwrap_or(spec.shm_bytes);
    spec.stop_signal = flags.stop_signal.unwrap_or(spec.stop_signal);
    spec.grace_ms = flags.grace.unwrap_or(spec.grace_ms);
    if let Some(user) = &flags.user {
        spec.user.clone_from(user);
    }
    if let Some(network) = &flags.network {
        spec.network.clone_from(network);
    }
    spec.pull = flags.pull.map_or(spec.pull, |p| p as i32);
    spec.writable_root |= flags.writable_root;
    spec.timeout_ms = flags.timeout.unwrap_or(spec.timeout_ms);
    spec.count = many.array.unwrap_or(spec.count);
    if let Some(d) = flags.on_disconnect {
        spec.on_disconnect = d as i32;
    }
    spec.retry = flags.retry.over(spec.retry.take());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.yaml");
        std::fs::write(&path, "image: alpine\ncpu: 1\nmemory: 1g\nenv: {A: 1}\nnamespace: lab\n").unwrap();
        let flags = JobFlags { cpu: Some(250), env: vec!["A=2".into(), "B=3".into()], ..Default::default() };
        let many = ManyFlags { file: Some(path), array: Some(7) };
        let r = request(&flags, &many, "").unwrap();
        let s = r.spec.unwrap();
        assert_eq!((s.resources.cpu_milli, s.resources.memory_bytes, s.count), (250, 1 << 30, 7));
        assert_eq!((s.env["A"].as_str(), s.env["B"].as_str(), r.namespace.as_str()), ("2", "3", "lab"));
        assert_eq!(r.request_id.len(), 32);
        assert_eq!(request(&flags, &many, "prod").unwrap().namespace, "prod");
    }

    #[test]
    fn how_it_is_held_to_its_place_is_said_by_flags_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.yaml");
        std::fs::write(&path, "image: alpine\nuser: 7\npull: never\nwritable_root: true\nstorage: 1g\ngrace: 5s\n")
            .unwrap();
        let flags = JobFlags {
            user: Some("8:9".into()),
            stop_signal: Some(2),
            network: Some("none".into()),
            ..Default::default()
        };
        let s = request(&flags, &ManyFlags { file: Some(path), array: None }, "").unwrap().spec.unwrap();
        assert_eq!((s.user.as_str(), s.network.as_str(), s.stop_signal, s.grace_ms), ("8:9", "none", 2, 5_000));
        assert_eq!((s.pull(), s.writable_root), (PullPolicy::Never, true));
        let flags = JobFlags { image: Some("x".into()), user: Some("app".into()), ..Default::default() };
        assert!(request(&flags, &ManyFlags::default(), "").unwrap_err().why.contains("UID:GID"));
    }

    #[test]
    fn a_wrong_spec_names_its_faults_and_ends_with_2() {
        let flags = JobFlags {
            image: Some("busybox".into()),
            priority: Some(5000),
            name: Some("a b".into()),
            ..Default::default()
        };
        let f = request(&flags, &ManyFlags::default(), "").unwrap_err();
        assert_eq!(f.code.number(), 2);
        assert!(f.why.contains("name:") && f.why.contains("priority:"), "{}", f.why);
        assert_eq!(request(&JobFlags::default(), &ManyFlags::default(), "").unwrap_err().code.number(), 2);
        let flags = JobFlags { image: Some("x".into()), idempotency_key: Some("a b".into()), ..Default::default() };
        assert_eq!(request(&flags, &ManyFlags::default(), "").unwrap_err().code.number(), 2);
    }
}
