//! A worker with real containers. Needs an engine; without one each test says NOT RUN.

// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used)]

#[path = "docker/hardening.rs"]
mod hardening;
#[path = "docker/images.rs"]
mod images;
#[path = "docker/limits.rs"]
mod limits;
#[path = "docker/logs.rs"]
mod logs;
#[path = "docker/results.rs"]
mod results;
#[path = "docker/secrets.rs"]
mod secrets;
mod support;
#[path = "docker/usage.rs"]
mod usage;
#[path = "docker/volumes.rs"]
mod volumes;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Once;

use cloudai_proto::v1::AttemptPhase;
use cloudai_types::spec::Mount;
use cloudai_types::{EndReason, JobSpec, OnDisconnect, ReasonKind};
use cloudai_worker::{ExecutorKind, WorkerConfig};
use support::*;

/// Raised when its contents change: an engine keeps what an earlier run has built.
const IMAGE: &str = "cloudai-worker-test:2";

fn docker(args: &[&str]) -> Option<String> {
    let out = Command::new("docker").args(args).stdin(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// True when there is an engine with our image: a static busybox and nothing else.
fn engine() -> bool {
    static IMPORT: Once = Once::new();
    if docker(&["version", "--format", "{{.Server.Version}}"]).is_none() {
        eprintln!("NOT RUN: no container engine answers (`docker version` fails); start one to run this test");
        return false;
    }
    IMPORT.call_once(|| {
        if docker(&["image", "inspect", IMAGE]).is_some() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let tmp = dir.path().join("tmp");
        std::fs::create_dir_all(&tmp).unwrap();
        // The engine gives the scratch the rights that the image has at its place.
        std::fs::set_permissions(&tmp, PermissionsExt::from_mode(0o1777)).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|p| p.exists());
        std::fs::copy(busybox.expect("a static busybox (package busybox-static)"), bin.join("busybox")).unwrap();
        for name in ["sh", "sleep", "cat", "echo", "true", "kill", "head", "tr", "tail", "dd", "seq"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
        let mut tar = Command::new("tar")
            .args(["-C", dir.path().to_str().unwrap(), "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let import =
            Command::new("docker").args(["import", "-", IMAGE]).stdin(tar.stdout.take().unwrap()).output().unwrap();
        assert!(tar.wait().unwrap().success() && import.status.success(), "{import:?}");
    });
    true
}

/// A cluster with one worker; its containers go when the test ends, however it ends.
struct Rig {
    cluster: std::sync::Arc<Cluster>,
    leader: Master,
    worker: Worker,
}

impl Rig {
    async fn start(change: impl FnOnce(&mut WorkerConfig)) -> Rig {
        let cluster = Cluster::new();
        let leader = Master::start(&cluster, "m1").await;
        let mut config = Worker::config(&cluster, &[&leader], ExecutorKind::Docker);
        change(&mut config);
        let worker = Worker::start(config);
        leader.until_connected().await;
        Rig { cluster, leader, worker }
    }

    fn run(&self, job: u64, script: &str) -> cloudai_types::AttemptId {
        self.leader.assign(job, sh(script))[0]
    }

    fn containers(&self) -> Vec<String> {
        containers(&self.cluster)
    }

    async fn until_no_containers(&self) {
        let waiting = async {
            while !self.containers().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("left: {:?}", self.containers()));
    }
}

/// Those of attempts.
fn containers(cluster: &Cluster) -> Vec<String> {
    labelled(cluster, "cloudai.attempt")
}

/// Those that keep a network for short tasks.
fn sandboxes(cluster: &Cluster) -> Vec<String> {
    labelled(cluster, "cloudai.sandbox")
}

fn labelled(cluster: &Cluster, label: &str) -> Vec<String> {
    let ours = format!("label=cloudai.cluster={}", cluster.ca.cluster());
    let filters = ["--filter", &ours, "--filter", &format!("label={label}")];
    let ids = docker(&[&["ps", "-aq", "--no-trunc"], &filters[..]].concat()).expect("the engine answers");
    ids.lines().map(str::to_owned).collect()
}

impl Drop for Rig {
    fn drop(&mut self) {
        for id in containers(&self.cluster).into_iter().chain(sandboxes(&self.cluster)) {
            docker(&["rm", "-f", "-v", &id]);
        }
        for name in volumes::of(&self.cluster) {
            docker(&["volume", "rm", "-f", &name]);
        }
    }
}

fn sh(script: &str) -> JobSpec {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    JobSpec { image: IMAGE.into(), command, count: 1, ..Default::default() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endings_logs_and_nothing_left() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let good = rig.run(1, "echo hello; echo sorrow >&2; echo \"task $CLOUDAI_TASK_INDEX\"");
    let three = rig.run(2, "exit 3");
    let signalled = rig.run(3, "kill -9 $$");
    let missing = {
        let spec = JobSpec { image: IMAGE.into(), command: vec!["no-such-program".into()], ..Default::default() };
        rig.leader.assign(4, spec)[0]
    };
    let not_a_program = {
        let spec = JobSpec { image: IMAGE.into(), command: vec!["/bin".into()], ..Default::default() };
        rig.leader.assign(5, spec)[0]
    };
    assert_eq!(rig.cluster.ending(good).await, EndReason::exit(0));
    assert_eq!(rig.cluster.ending(three).await, EndReason::exit(3));
    let r = rig.cluster.ending(signalled).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::Signal, Some(137)));
    for attempt in [missing, not_a_program] {
        let r = rig.cluster.ending(attempt).await;
        assert_eq!(r.kind(), ReasonKind::StartFailed, "{r}");
    }
    let log = rig.leader.log(1, good, true, 0).await;
    assert_eq!((text(&log.stdout), text(&log.stderr)), ("hello\ntask 0\n".into(), "sorrow\n".into()));
    let tail = rig.leader.log(2, good, false, 1).await;
    // Which of the two streams was last is the engine's word.
    assert_eq!((tail.stdout.len() + tail.stderr.len()), 7, "one of the two last lines: {:?}", text(&tail.stdout));
    {
        let table = rig.cluster.table.lock().unwrap();
        let (_, started, ended) = table.ended[&good];
        assert!(started > 0 && ended >= started.saturating_sub(1_000), "{started} {ended}");
    }
    rig.until_no_containers().await;
    let log = rig.leader.log(3, good, true, 0).await;
    assert_eq!(text(&log.stdout), "hello\ntask 0\n", "the log outlives the container");
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_timeouts_cancels_and_refusals() {
    if !engine() {
        return;
    }
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("data"), "from the host\n").unwrap();
    let mut rig = Rig::start(|c| c.allowed_mounts = vec![shared.path().to_owned().into()]).await;
    let mount = |source: &str| Mount { source: source.into(), target: "/in".into(), write: false };
    let inside = shared.path().join("data").to_str().unwrap().to_owned();

    let oom = {
        let mut spec = sh("tail /dev/zero");
        spec.resources.memory_bytes = 16 << 20;
        rig.leader.assign(1, spec)[0]
    };
    let limited = rig.leader.assign(2, JobSpec { timeout_ms: 300, ..sh("sleep 1000") })[0];
    let cancelled = rig.run(3, "echo up; sleep 1000");
    let reads = rig.leader.assign(4, JobSpec { mounts: vec![mount(&inside)], ..sh("cat /in; echo x > /in") })[0];
    let forbidden = rig.leader.assign(5, JobSpec { mounts: vec![mount("/etc")], ..sh("true") })[0];
    let image = "localhost:1/no-such-image:1";
    let unknown = rig.leader.assign(6, JobSpec { image: image.into(), ..sh("true") })[0];
    let malformed = rig.leader.assign(7, JobSpec { image: "UPPER//x".into(), ..sh("true") })[0];

    assert_eq!(rig.cluster.ending(forbidden).await.kind(), ReasonKind::Rejected);
    let r = rig.cluster.ending(unknown).await;
    assert_eq!(r.kind(), ReasonKind::ImagePullFailed, "{r}");
    let r = rig.cluster.ending(malformed).await;
    assert_eq!(r.kind(), ReasonKind::ImageNotFound, "{r}");
    let r = rig.cluster.ending(oom).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::OutOfMemory, Some(137)), "{r}");
    let r = rig.cluster.ending(limited).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::Timeout, Some(143)), "{r}");
    let r = rig.cluster.ending(reads).await;
    assert_ne!(r.exit_code, Some(0), "the mount is read-only");
    let log = rig.leader.log(1, reads, true, 0).await;
    assert_eq!(text(&log.stdout), "from the host\n");
    assert_eq!(std::fs::read_to_string(&inside).unwrap(), "from the host\n");

    rig.cluster.until_phase(cancelled, AttemptPhase::Running).await;
    rig.leader.cancel(cancelled);
    let r = rig.cluster.ending(cancelled).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::Cancelled, Some(143)), "init passes SIGTERM on: {r}");
    let log = rig.leader.log(2, unknown, true, 0).await;
    assert!(text(&log.markers).contains("did not start"), "{}", text(&log.markers));
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_worker_adopts_what_runs_and_reports_what_ended() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let long = rig.run(1, "echo one; sleep 3; echo two; exit 5");
    let short = rig.run(2, "echo first; sleep 1; echo last; exit 6");
    let outside = rig.run(3, "sleep 1000");
    let bound = rig.leader.assign(4, JobSpec { on_disconnect: OnDisconnect::Stop as i32, ..sh("sleep 1000") })[0];
    for a in [long, short, outside, bound] {
        rig.cluster.until_phase(a, AttemptPhase::Running).await;
    }
    rig.worker.stop().await.unwrap();
    assert_eq!(rig.containers().len(), 4, "stopping the worker stops no container");
    // In the meantime one ends, and one is given to another worker.
    let waiting = async {
        while docker(&["ps", "-aq", "--filter", "status=exited", "--filter", &format!("label=cloudai.attempt={short}")])
            .is_none_or(|ids| ids.is_empty())
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it ends without a worker");
    rig.cluster.table.lock().unwrap().live.remove(&outside);

    rig.worker = Worker::start(WorkerConfig { join_token: None, ..rig.worker.config.clone() });
    assert_eq!(rig.cluster.ending(short).await, EndReason::exit(6));
    assert_eq!(rig.cluster.ending(long).await, EndReason::exit(5));
    for (stream, attempt, all) in [(1, long, "one\ntwo\n"), (2, short, "first\nlast\n")] {
        let log = rig.leader.log(stream, attempt, true, 0).await;
        assert_eq!(text(&log.stdout), all, "each line once, before and after the restart");
    }
    // Its lease was young enough, so it goes on until it is cancelled.
    rig.leader.cancel(bound);
    assert_eq!(rig.cluster.ending(bound).await.kind(), ReasonKind::Cancelled);
    rig.until_no_containers().await;
    {
        let table = rig.cluster.table.lock().unwrap();
        assert!(!table.ended.contains_key(&outside), "its ending was refused");
        for a in [long, short] {
            let preparing = table.phases[&a].iter().filter(|p| **p == AttemptPhase::Preparing as i32).count();
            assert!(preparing <= 1, "{a} was started once: {:?}", table.phases[&a]);
        }
    }
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_streams_while_it_is_written_and_many_run_at_once() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|c| c.log_bytes_max = 400 << 10).await;
    let follow = rig.run(1, "echo early; sleep 2; echo late");
    rig.leader.open_log(1, follow, true, 0);
    rig.cluster.until("the first line is here", |t| t.uploads[&1].stdout == b"early\n").await;
    assert!(!rig.cluster.table.lock().unwrap().ended.contains_key(&follow), "while the task runs");
    let many = rig.leader.assign(2, JobSpec { count: 20, ..sh("echo $CLOUDAI_TASK_INDEX") });
    let loud = rig.run(3, "seq 1 200000; echo the result");
    let long = rig.run(4, "seq 1 3000; echo sorrow >&2");
    rig.cluster.until("the log is complete", |t| t.uploads[&1].complete).await;
    assert_eq!(rig.cluster.table.lock().unwrap().uploads[&1].stdout, b"early\nlate\n");
    for (n, a) in many.iter().enumerate() {
        assert_eq!(rig.cluster.ending(*a).await, EndReason::exit(0));
        let log = rig.leader.log(100 + n as u64, *a, true, 0).await;
        assert_eq!(text(&log.stdout), format!("{n}\n"));
    }
    assert_eq!(rig.cluster.ending(long).await, EndReason::exit(0));
    let log = rig.leader.log(3, long, true, 0).await;
    let lines: Vec<String> = (1..=3000).map(|n| format!("{n}\n")).collect();
    assert!(text(&log.stdout) == lines.concat(), "each line once, in order: {} bytes", log.stdout.len());
    assert_eq!((text(&log.stderr), text(&log.markers)), ("sorrow\n".into(), String::new()));
    assert_eq!(rig.cluster.ending(loud).await, EndReason::exit(0));
    let log = rig.leader.log(2, loud, true, 0).await;
    assert!(log.stdout.starts_with(b"1\n2\n") && log.stdout.ends_with(b"the result\n"));
    assert!(text(&log.markers).contains("left out"), "{}", text(&log.markers));
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

/// Runs tasks that say which network they are in until one was in a sandbox that was there before it. The sandbox's id.
async fn until_one_is_used(rig: &Rig, job: &mut u64, spec: JobSpec) -> String {
    for _ in 0..40 {
        *job += 1;
        let before = sandboxes(&rig.cluster);
        let attempt = rig.leader.assign(*job, spec.clone())[0];
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
        let log = rig.leader.log(*job, attempt, true, 0).await;
        let said = text(&log.stdout).lines().next().unwrap_or_default().to_owned();
        if let Some(id) = before.into_iter().find(|id| !said.is_empty() && id.starts_with(&said)) {
            return id;
        }
    }
    panic!("no task was in any of the sandboxes {:?}", sandboxes(&rig.cluster));
}

async fn until_gone(rig: &Rig, sandbox: &str) {
    let waiting = async {
        while sandboxes(&rig.cluster).iter().any(|id| id == sandbox) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("what a task has touched is removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_tasks_use_a_network_one_after_the_other_and_a_touched_one_is_not_used_again() {
    if !engine() {
        return;
    }
    // Who may write to the files of its network: root, and only where the job has asked for that.
    let mut rig = Rig::start(|c| c.allow_root = true).await;
    let mut job = 0;
    // The engine calls a task in a sandbox by the sandbox's name.
    let quiet = until_one_is_used(&rig, &mut job, sh("cat /etc/hostname")).await;
    let again = until_one_is_used(&rig, &mut job, sh("cat /etc/hostname")).await;
    assert!(sandboxes(&rig.cluster).contains(&quiet) && sandboxes(&rig.cluster).contains(&again), "both are kept");

    let write = JobSpec {
        user: "root".into(),
        writable_root: true,
        resources: cloudai_types::Resources { storage_bytes: 1 << 20, ..Default::default() },
        ..sh("cat /etc/hostname; echo 6.6.6.6 the-next-task >> /etc/hosts")
    };
    let written = until_one_is_used(&rig, &mut job, write).await;
    until_gone(&rig, &written).await;
    // Its kind of task is known to touch its network now, and gets none any more.
    for _ in 0..3 {
        job += 1;
        let attempt = rig.run(job, "cat /etc/hostname; cat /etc/hosts");
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
        let said = text(&rig.leader.log(job, attempt, true, 0).await.stdout);
        assert!(!said.contains("the-next-task"), "{said}");
        let name = said.lines().next().unwrap();
        assert!(!sandboxes(&rig.cluster).iter().any(|id| id.starts_with(name)), "{name} is a sandbox");
    }
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
    assert_eq!(sandboxes(&rig.cluster), Vec::<String>::new(), "a worker that stops leaves no sandbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_sent_a_packet_or_died_costs_no_task() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let mut job = 0;
    // Somebody removes them all, while the worker counts on them.
    until_one_is_used(&rig, &mut job, sh("cat /etc/hostname")).await;
    for id in sandboxes(&rig.cluster) {
        docker(&["kill", &id]).expect("it runs");
    }
    for _ in 0..4 {
        job += 1;
        let attempt = rig.run(job, "echo fine");
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
    }
    // Somebody connects from outside: the sandbox's kernel answers, if only to refuse.
    until_one_is_used(&rig, &mut job, sh("cat /etc/hostname")).await;
    for id in sandboxes(&rig.cluster) {
        let network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let ip = docker(&["inspect", "-f", network, &id]).expect("it is there");
        // A dead one has no address.
        if !ip.is_empty() {
            let refused = std::net::TcpStream::connect((ip.as_str(), 1)).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{ip}");
        }
    }
    let talked = until_one_is_used(&rig, &mut job, sh("cat /etc/hostname")).await;
    until_gone(&rig, &talked).await;

    // A task that runs in a sandbox keeps it over a restart of the worker; afterwards it goes.
    rig.worker.stop().await.unwrap();
    rig.worker = Worker::start(WorkerConfig { join_token: None, ..rig.worker.config.clone() });
    until_one_is_used(&rig, &mut job, sh("cat /etc/hostname")).await;
    let long = rig.run(1_000, "cat /etc/hostname; sleep 1000");
    rig.cluster.until_phase(long, AttemptPhase::Running).await;
    let network = |id: &str| docker(&["inspect", "-f", "{{.HostConfig.NetworkMode}}", id]).unwrap_or_default();
    let mode = network(&rig.containers().pop().expect("it runs"));
    let id = mode.strip_prefix("container:").expect("it is in a sandbox").to_owned();
    rig.worker.stop().await.unwrap();
    assert_eq!(sandboxes(&rig.cluster), std::slice::from_ref(&id), "the one that is in use stays");
    let config = WorkerConfig { join_token: None, fresh_networks: true, ..rig.worker.config.clone() };
    rig.worker = Worker::start(config);
    rig.cluster.until_phase(long, AttemptPhase::Running).await;
    rig.leader.cancel(long);
    assert_eq!(rig.cluster.ending(long).await.kind(), ReasonKind::Cancelled);
    until_gone(&rig, &id).await;
    rig.until_no_containers().await;
    for _ in 0..3 {
        job += 1;
        let attempt = rig.run(job, "cat /etc/hostname");
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
    }
    assert_eq!(sandboxes(&rig.cluster), Vec::<String>::new(), "this worker's operator wants none");
    rig.worker.stop().await.unwrap();
}

/// `cargo test -p cloudai-worker --test docker -- --ignored --nocapture`: what the engine gives this worker, beside a bare client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn containers_per_second() {
    const CONTAINERS: u32 = 60;
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    for round in 1..=2u64 {
        let begun = std::time::Instant::now();
        rig.leader.assign(round, JobSpec { count: CONTAINERS, ..JobSpec { command: vec!["true".into()], ..sh("") } });
        rig.cluster.until("all have ended", |t| t.ended.len() == (u64::from(CONTAINERS) * round) as usize).await;
        rig.until_no_containers().await;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{CONTAINERS} containers, from assignment to removal: {:.2}/s", f64::from(CONTAINERS) / seconds);
    }
    rig.worker.stop().await.unwrap();
}
