//! What attempts used, as the kernel counts it in cgroups that outlive their containers; and that nothing of them is left.

use cloudai_types::Usage;

use super::*;

const MIB: u64 = 1 << 20;

/// Whether this engine's cgroups can be looked at from here, and their version. What cannot be looked at is said.
fn cgroups() -> Option<u8> {
    if !engine() {
        return None;
    }
    let said = docker(&["info", "--format", "{{.CgroupDriver}} {{.CgroupVersion}}"]).expect("the engine answers");
    match said.as_str() {
        "cgroupfs 1" => {
            eprintln!("NOT RUN on cgroup v2: this engine uses v1");
            Some(1)
        }
        "cgroupfs 2" => {
            eprintln!("NOT RUN on cgroup v1: this engine uses v2");
            Some(2)
        }
        other => {
            eprintln!(
                "NOT RUN: the engine's cgroups ({other}) are not this worker's to make; use native.cgroupdriver=cgroupfs"
            );
            None
        }
    }
}

/// The folders of this cluster's workers in every hierarchy, and what is in them.
fn left(cluster: &Cluster) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let hierarchies = mounts.lines().filter(|l| l.contains(" - cgroup")).map(|l| l.split(' ').nth(4).unwrap());
    let dirs = |path: &std::path::Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
    };
    let ours = format!("cloudai-{}-", cluster.ca.cluster());
    let is_ours = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&ours));
    let folders: Vec<PathBuf> = hierarchies.flat_map(|h| dirs(h.as_ref())).filter(is_ours).collect();
    let parents = folders.iter().flat_map(|f| dirs(f)).collect();
    (folders, parents)
}

async fn until_no_parents(rig: &Rig) {
    let waiting = async {
        while !left(&rig.cluster).1.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(gone.is_ok(), "left: {:?}", left(&rig.cluster).1);
}

async fn known(rig: &Rig, attempt: cloudai_types::AttemptId) -> Usage {
    rig.cluster.usage(attempt).await.expect("it was measured")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_attempt_used_is_in_its_ending_and_nothing_is_left() {
    let Some(version) = cgroups() else { return };
    let mut rig = Rig::start(|_| {}).await;
    let idle = rig.run(1, "sleep 1");
    let hungry = rig.run(2, "dd if=/dev/zero of=/dev/null bs=50M count=1");
    let busy = rig.run(3, "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done");
    let many = rig.run(4, "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait");
    for attempt in [idle, hungry, busy, many] {
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
    }
    let (idle, hungry) = (known(&rig, idle).await, known(&rig, hungry).await);
    let (busy, many) = (known(&rig, busy).await, known(&rig, many).await);
    eprintln!("idle {idle:?}\nhungry {hungry:?}\nbusy {busy:?}\nmany {many:?}");
    assert!((50 * MIB..80 * MIB).contains(&hungry.memory_peak_bytes.unwrap()), "{hungry:?}");
    assert!(idle.memory_peak_bytes.unwrap() < 40 * MIB, "{idle:?}");
    let (least, most) = (idle.cpu_micros.unwrap(), busy.cpu_micros.unwrap());
    assert!(least > 0 && most > least + 200_000, "idle {least} µs, busy {most} µs");
    if let Some(processes) = many.processes_max {
        assert!((10..100).contains(&processes), "{many:?}");
    }
    match version {
        1 => assert_eq!(idle.written_bytes, None, "version 1 does not count what the kernel writes later"),
        _ => assert!(idle.read_bytes.is_some() && idle.written_bytes.is_some(), "{idle:?}"),
    }
    rig.until_no_containers().await;
    until_no_parents(&rig).await;
    rig.worker.stop().await.unwrap();
    assert_eq!(left(&rig.cluster).0, Vec::<PathBuf>::new(), "a worker without containers leaves no folder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_reached_is_named_while_the_neighbours_go_on() {
    if cgroups().is_none() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let neighbour = rig.run(1, "sleep 1000");
    rig.cluster.until_phase(neighbour, AttemptPhase::Running).await;
    let too_large = {
        let mut spec = sh("tail /dev/zero");
        spec.resources.memory_bytes = 32 * MIB;
        rig.leader.assign(2, spec)[0]
    };
    let fork = "i=0; while [ $i -lt 100 ]; do sleep 10 & i=$((i+1)); done; exit 9";
    let too_many = rig.leader.assign(3, JobSpec { processes_max: 64, ..sh(fork) })[0];
    let enough = rig.leader.assign(4, JobSpec { processes_max: 200, ..sh(fork) })[0];

    let r = rig.cluster.ending(too_large).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::OutOfMemory, Some(137)), "{r}");
    let peak = known(&rig, too_large).await.memory_peak_bytes.unwrap();
    // The kernel reserves in batches: a little more than the limit is counted above the container.
    assert!((31 * MIB..34 * MIB).contains(&peak), "{peak}");
    let r = rig.cluster.ending(too_many).await;
    assert_eq!(r.kind(), ReasonKind::ExitCode, "{r}");
    if known(&rig, too_many).await.processes_max.is_some() {
        assert_eq!(r.detail, "it had reached the limit of 64 processes");
    } else {
        eprintln!("NOT RUN: the detail of the limit of processes: this kernel counts no peak of them");
    }
    let r = rig.cluster.ending(enough).await;
    assert_eq!((r.exit_code, r.detail.as_str()), (Some(9), ""), "all of its processes fit");

    let log = rig.leader.log(1, too_many, true, 0).await;
    assert!(text(&log.stderr).contains("fork"), "the program was refused one: {}", text(&log.stderr));
    assert!(!rig.cluster.table.lock().unwrap().ended.contains_key(&neighbour), "it goes on");
    rig.leader.cancel(neighbour);
    assert_eq!(rig.cluster.ending(neighbour).await.kind(), ReasonKind::Cancelled);
    assert!(known(&rig, neighbour).await.cpu_micros.unwrap() > 0, "also of one that was stopped");
    rig.until_no_containers().await;
    until_no_parents(&rig).await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_worker_reads_the_counters_of_what_it_finds_and_removes_the_rest() {
    if cgroups().is_none() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let eat = "dd if=/dev/zero of=/dev/null bs=40M count=1;";
    let running = rig.run(1, &format!("{eat} sleep 3; exit 4"));
    let ended = rig.run(2, &format!("{eat} sleep 1; exit 5"));
    for attempt in [running, ended] {
        rig.cluster.until_phase(attempt, AttemptPhase::Running).await;
    }
    rig.worker.stop().await.unwrap();
    let label = format!("label=cloudai.attempt={ended}");
    let waiting = async {
        while docker(&["ps", "-aq", "--filter", "status=exited", "--filter", &label]).is_none_or(|ids| ids.is_empty()) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it ends without a worker");
    let (folders, _) = left(&rig.cluster);
    let orphan = folders.first().expect("its containers are in it").join("of-nobody");
    std::fs::create_dir(&orphan).unwrap();

    rig.worker = Worker::start(WorkerConfig { join_token: None, ..rig.worker.config.clone() });
    for (attempt, code) in [(running, 4), (ended, 5)] {
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(code));
        let usage = known(&rig, attempt).await;
        assert!(usage.memory_peak_bytes.unwrap() >= 40 * MIB, "{usage:?}");
    }
    assert!(!orphan.exists(), "what nobody owns is removed at the start");
    rig.until_no_containers().await;
    until_no_parents(&rig).await;
    rig.worker.stop().await.unwrap();
    assert_eq!(left(&rig.cluster).0, Vec::<PathBuf>::new());
}

/// An image that is not there: no container, no usage, and no parent that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_ran_used_nothing() {
    if cgroups().is_none() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let missing = rig.leader.assign(1, JobSpec { image: "localhost:1/no-such-image:1".into(), ..sh("true") })[0];
    let no_program = JobSpec { image: IMAGE.into(), command: vec!["/bin".into()], ..Default::default() };
    let no_program = rig.leader.assign(2, no_program)[0];
    assert_eq!(rig.cluster.ending(missing).await.kind(), ReasonKind::ImagePullFailed);
    assert_eq!(rig.cluster.usage(missing).await, None);
    assert_eq!(rig.cluster.ending(no_program).await.kind(), ReasonKind::StartFailed);
    rig.until_no_containers().await;
    until_no_parents(&rig).await;
    rig.worker.stop().await.unwrap();
}
