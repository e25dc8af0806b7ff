//! What tasks see beside their image: named volumes, paths of the machine, folders in memory, shares of a server.

use std::os::unix::fs::MetadataExt as _;

use cloudai_types::{Volume, VolumeKind};
use cloudai_worker::{AllowedMount, VolumesConfig};

use super::*;

/// Volumes of this cluster that the engine has, named ones and those of attempts.
pub fn of(cluster: &Cluster) -> Vec<String> {
    let ours = format!("label=cloudai.cluster={}", cluster.ca.cluster());
    let names = docker(&["volume", "ls", "-q", "--filter", &ours]).unwrap_or_default();
    names.lines().map(str::to_owned).collect()
}

fn named(name: &str, target: &str) -> Volume {
    Volume { name: name.into(), target: target.into(), ..Volume::default() }
}

fn with(volumes: Vec<Volume>, script: &str) -> JobSpec {
    // The masters fill the namespace in.
    JobSpec { volumes, namespace: "default".into(), ..sh(script) }
}

async fn said(rig: &Rig, stream: u64, attempt: cloudai_types::AttemptId) -> String {
    let reason = rig.cluster.ending(attempt).await;
    let log = rig.leader.log(stream, attempt, true, 0).await;
    assert_eq!(reason, EndReason::exit(0), "{} {}", text(&log.stdout), text(&log.stderr));
    text(&log.stdout)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_volume_outlives_its_task_and_is_its_namespaces_own() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|c| c.allow_root = true).await;
    // Only root may open a new volume to everybody: elsewhere the task must be root itself.
    let user = if is_root() { "" } else { "root" };
    let as_user = |spec: JobSpec| JobSpec { user: user.into(), ..spec };
    let first = rig.leader.assign(1, as_user(with(vec![named("cache", "/cache")], "echo kept > /cache/x")))[0];
    assert_eq!(said(&rig, 1, first).await, "");
    rig.until_no_containers().await;
    let second = as_user(with(vec![named("cache", "/again")], "cat /again/x"));
    let second = rig.leader.assign(2, second)[0];
    assert_eq!(said(&rig, 2, second).await, "kept\n", "the second task in turn sees what the first one wrote");
    let reads = Volume { read_only: true, ..named("cache", "/c") };
    let reads = as_user(with(vec![reads], "cat /c/x; echo y > /c/y || echo refused"));
    let reads = rig.leader.assign(3, reads)[0];
    assert_eq!(said(&rig, 3, reads).await, "kept\nrefused\n");
    // Another namespace's volume of the same name is another one.
    let other = JobSpec { namespace: "team".into(), ..with(vec![named("cache", "/c")], "cat /c/x || echo empty") };
    let other = rig.leader.assign(4, as_user(other))[0];
    assert_eq!(said(&rig, 4, other).await, "empty\n");
    rig.until_no_containers().await;
    let cluster = rig.cluster.ca.cluster().to_string();
    let mut names = of(&rig.cluster);
    names.sort();
    assert_eq!(names, [format!("cloudai-{cluster}-4-team-cache"), format!("cloudai-{cluster}-7-default-cache")]);
    rig.worker.stop().await.unwrap();

    // A worker that starts again leaves them alone; one whose operator keeps none refuses.
    let config = WorkerConfig {
        join_token: None,
        volumes: VolumesConfig { named: false, ..VolumesConfig::default() },
        ..rig.worker.config.clone()
    };
    rig.worker = Worker::start(config);
    rig.leader.until_connected().await;
    let refused = rig.leader.assign(5, with(vec![named("cache", "/c")], "true"))[0];
    let reason = rig.cluster.ending(refused).await;
    assert_eq!(reason.kind(), ReasonKind::Rejected, "{reason}");
    assert!(reason.detail.contains("volumes.named"), "{reason}");
    assert_eq!(of(&rig.cluster).len(), 2);
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_volume_of_that_name_is_not_used() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let name = format!("cloudai-{}-7-default-cache", rig.cluster.ca.cluster());
    docker(&["volume", "create", &name]).expect("the engine makes it");
    let attempt = rig.leader.assign(1, with(vec![named("cache", "/cache")], "true"))[0];
    let reason = rig.cluster.ending(attempt).await;
    docker(&["volume", "rm", &name]);
    assert_eq!(reason.kind(), ReasonKind::EngineError, "{reason}");
    assert!(reason.detail.contains("no worker of this cluster made"), "{reason}");
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_of_the_machine_is_written_to_only_where_the_list_says_so() {
    if !engine() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (reads, writes) = (dir.path().join("reads"), dir.path().join("writes"));
    for d in [&reads, &writes] {
        std::fs::create_dir(d).unwrap();
        // The task is nobody.
        std::fs::set_permissions(d, PermissionsExt::from_mode(0o1777)).unwrap();
    }
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/etc", writes.join("out")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
    let (r, w) = (reads.clone(), writes.clone());
    let mut rig = Rig::start(move |c| {
        c.allowed_mounts = vec![r.into(), AllowedMount { path: w, write: true }];
    })
    .await;
    let mount = |source: &std::path::Path, write| Mount {
        source: source.to_str().unwrap().to_owned(),
        target: "/m".into(),
        write,
    };
    let with =
        |source: &std::path::Path, write, script: &str| JobSpec { mounts: vec![mount(source, write)], ..sh(script) };
    let good = rig.leader.assign(1, with(&writes, true, "echo from the task > /m/x && cat /m/x"))[0];
    assert_eq!(said(&rig, 1, good).await, "from the task\n");
    assert_eq!(std::fs::read_to_string(writes.join("x")).unwrap(), "from the task\n");
    let reader = rig.leader.assign(2, with(&writes, false, "cat /m/x; echo y > /m/y || echo refused"))[0];
    assert_eq!(said(&rig, 2, reader).await, "from the task\nrefused\n");
    let refused = [
        (reads.clone(), "read-only"),
        (std::path::PathBuf::from("/etc"), "does not allow"),
        (dir.path().join("link"), "does not allow"),
        (writes.join("out"), "does not allow"),
        (writes.join("../reads"), "read-only"),
    ];
    for (n, (source, says)) in refused.into_iter().enumerate() {
        let attempt = rig.leader.assign(10 + n as u64, with(&source, true, "true"))[0];
        let reason = rig.cluster.ending(attempt).await;
        assert_eq!(reason.kind(), ReasonKind::Rejected, "{}: {reason}", source.display());
        assert!(reason.detail.contains(says), "{}: {reason}", source.display());
    }
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_memory_holds_its_size_and_is_gone_afterwards() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let kind = VolumeKind::Tmpfs as i32;
    let fast = |size_bytes| vec![Volume { kind, target: "/fast".into(), size_bytes, ..Volume::default() }];
    let fits = rig.leader.assign(1, with(fast(8 << 20), "dd if=/dev/zero of=/fast/x bs=1M count=7 && echo fits"))[0];
    assert_eq!(said(&rig, 1, fits).await, "fits\n");
    let over = rig.leader.assign(2, with(fast(8 << 20), "dd if=/dev/zero of=/fast/x bs=1M count=9 || exit 7"))[0];
    assert_eq!(rig.cluster.ending(over).await, EndReason::exit(7));
    let log = rig.leader.log(2, over, true, 0).await;
    assert!(text(&log.stderr).contains("No space left on device"), "{}", text(&log.stderr));
    // It is the task's own memory.
    let mut hungry = with(fast(1 << 30), "dd if=/dev/zero of=/fast/x bs=1M count=200");
    hungry.resources.memory_bytes = 32 << 20;
    let hungry = rig.leader.assign(3, hungry)[0];
    let reason = rig.cluster.ending(hungry).await;
    assert_eq!(reason.kind(), ReasonKind::OutOfMemory, "{reason}");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

/// What is written to a volume that others share is none of the task's own storage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_volume_is_not_counted_as_storage() {
    if !engine() || !is_root() {
        eprintln!("NOT RUN: only root may look at what a task has written");
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let mut spec =
        with(vec![named("large", "/large")], "dd if=/dev/zero of=/large/x bs=1M count=32 && sleep 4 && echo done");
    spec.resources.storage_bytes = 8 << 20;
    let attempt = rig.leader.assign(1, spec)[0];
    assert_eq!(said(&rig, 1, attempt).await, "done\n");
    rig.worker.stop().await.unwrap();
}

/// Without a server: that the engine is asked for the right mount, that nothing is left of it, and that the list of shares holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_is_mounted_as_the_operator_allows_it_and_goes_with_its_container() {
    if !engine() {
        return;
    }
    let volumes = VolumesConfig { named: true, nfs: vec!["127.0.0.1:/export/team".into()] };
    let mut rig = Rig::start(|c| c.volumes = volumes).await;
    let share = |server: &str, path: &str| Volume {
        kind: VolumeKind::Nfs as i32,
        target: "/n".into(),
        read_only: true,
        server: server.into(),
        path: path.into(),
        // A server that is not there is given up soon.
        options: "vers=3,nolock,soft,timeo=1,retrans=1".into(),
        ..Volume::default()
    };
    let forbidden = [("127.0.0.1", "/export"), ("127.0.0.2", "/export/team"), ("127.0.0.1", "/export/teams")];
    for (job, (server, path)) in (1..).zip(forbidden) {
        let attempt = rig.leader.assign(job, with(vec![share(server, path)], "true"))[0];
        let reason = rig.cluster.ending(attempt).await;
        assert_eq!(reason.kind(), ReasonKind::Rejected, "{reason}");
        assert!(reason.detail.contains("volumes.nfs"), "{reason}");
    }
    assert_eq!(of(&rig.cluster), [] as [String; 0]);

    // Nobody serves it: the start fails, after the engine has made the volume. It is looked at while it is there.
    let attempt = rig.leader.assign(7, with(vec![share("127.0.0.1", "/export/team/a")], "true"))[0];
    let mut seen = None;
    for _ in 0..2_000 {
        if let Some(name) = of(&rig.cluster).first() {
            seen = docker(&["volume", "inspect", "--format", "{{json .}}", name]).or(seen);
        }
        if rig.cluster.table.lock().unwrap().ended.contains_key(&attempt) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let reason = rig.cluster.ending(attempt).await;
    if reason.is_success() {
        eprintln!("somebody serves 127.0.0.1:/export/team/a: mounted for real");
    } else {
        eprintln!("NOT RUN: a real mount, because no kernel NFS server answers at 127.0.0.1 ({reason})");
        assert!(matches!(reason.kind(), ReasonKind::EngineError | ReasonKind::StartFailed), "{reason}");
    }
    match seen {
        Some(json) => {
            for part in [
                "\"type\":\"nfs\"",
                "\"device\":\":/export/team/a\"",
                "addr=127.0.0.1,ro,nosuid,nodev,vers=3,nolock,soft,timeo=1,retrans=1",
                "\"Driver\":\"local\"",
                &format!("\"cloudai.attempt\":\"{attempt}\""),
            ] {
                assert!(json.contains(part), "{part} in {json}");
            }
        }
        None => eprintln!("NOT RUN: the volume's options, because it was gone before it could be looked at"),
    }
    rig.until_no_containers().await;
    assert_eq!(of(&rig.cluster), [] as [String; 0], "it goes with its container");
    rig.worker.stop().await.unwrap();
}

/// A volume of an attempt whose container somebody else has removed; a named one stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_of_shares_is_swept_at_the_next_start() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let cluster = format!("cloudai.cluster={}", rig.cluster.ca.cluster());
    let make = |labels: &[&str]| {
        let labels: Vec<&str> = labels.iter().flat_map(|l| ["--label", l]).collect();
        docker(&[&["volume", "create", "--label", &cluster], &labels[..]].concat()).expect("the engine makes it")
    };
    let left = make(&["cloudai.worker=w1", "cloudai.attempt=x/0.1"]);
    let others = make(&["cloudai.worker=w2", "cloudai.attempt=x/0.1"]);
    let named = make(&["cloudai.namespace=default", "cloudai.volume=x"]);
    rig.worker.stop().await.unwrap();
    rig.worker = Worker::start(WorkerConfig { join_token: None, ..rig.worker.config.clone() });
    rig.cluster.until("it is back", |t| t.hellos.len() == 2).await;
    let mut names = of(&rig.cluster);
    names.sort();
    let mut kept = vec![others, named];
    kept.sort();
    assert_eq!((names.contains(&left), names), (false, kept));
    rig.worker.stop().await.unwrap();
}

/// Every ending is acknowledged, every container is removed, then the worker ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_leaves_leaves_nothing_behind() {
    if !engine() {
        return;
    }
    let stop = cloudai_worker::StopConfig { mode: cloudai_worker::StopMode::Drain, deadline_secs: 2 };
    let mut rig = Rig::start(|c| c.stop = stop).await;
    let short = rig.run(1, "sleep 1; echo done");
    let stubborn = rig.leader.assign(2, JobSpec { grace_ms: 500, ..sh("trap '' TERM; sleep 1000") })[0];
    for attempt in [short, stubborn] {
        rig.cluster.until_phase(attempt, AttemptPhase::Running).await;
    }
    rig.worker.leave();
    rig.worker.result().await.unwrap();
    assert_eq!(rig.cluster.ending(short).await, EndReason::exit(0));
    let reason = rig.cluster.ending(stubborn).await;
    assert_eq!((reason.kind(), reason.exit_code), (ReasonKind::Preempted, Some(137)), "{reason}");
    assert_eq!(rig.containers(), [] as [String; 0]);
}
