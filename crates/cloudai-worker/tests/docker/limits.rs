//! Limits as programs meet them: storage, open files, shared memory; and how a program is asked to stop.

use std::os::unix::fs::MetadataExt as _;

use cloudai_types::{AttemptId, Resources};

use super::*;

const MIB: u64 = 1 << 20;

/// Whether this process may look at the engine's disk.
fn sees_the_disk() -> bool {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        eprintln!("NOT RUN: only root may look at what a task has written");
    }
    engine() && is_root
}

fn with_storage(mib: u64, script: &str) -> JobSpec {
    JobSpec { resources: Resources { storage_bytes: mib * MIB, ..Default::default() }, ..sh(script) }
}

async fn is_over(rig: &Rig, attempt: AttemptId) {
    let r = rig.cluster.ending(attempt).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::DiskQuota, Some(137)), "{r}");
    assert!(r.detail.starts_with("it wrote ") && r.detail.ends_with(" and asked for 8.0 MiB of storage"), "{r}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_its_storage_ends_while_its_neighbour_goes_on() {
    if !sees_the_disk() {
        return;
    }
    let mut rig = Rig::start(|c| c.allow_root = true).await;
    let write = |mib: u64, path: &str| format!("dd if=/dev/zero of={path} bs=1M count={mib}; sleep 1000");
    let neighbour = rig.leader.assign(1, with_storage(64, &write(16, "/tmp/x")))[0];
    rig.cluster.until_phase(neighbour, AttemptPhase::Running).await;
    let scratch = rig.leader.assign(2, with_storage(8, &write(24, "/tmp/x")))[0];
    let own_files = JobSpec { user: "root".into(), writable_root: true, ..with_storage(8, &write(24, "/x")) };
    let own_files = rig.leader.assign(3, own_files)[0];
    is_over(&rig, scratch).await;
    is_over(&rig, own_files).await;
    assert!(!rig.cluster.table.lock().unwrap().ended.contains_key(&neighbour), "it goes on");

    // Without storage the scratch is in memory, and full at its size: the program hears of it at once.
    let none = rig.run(4, "dd if=/dev/zero of=/tmp/x bs=1M count=200 || exit 7");
    assert_eq!(rig.cluster.ending(none).await, EndReason::exit(7));
    let log = rig.leader.log(1, none, true, 0).await;
    assert!(text(&log.stderr).contains("No space left on device"), "{}", text(&log.stderr));

    // A worker that restarts goes on looking.
    let later = rig.leader.assign(5, with_storage(8, &format!("sleep 2; {}", write(24, "/tmp/x"))))[0];
    rig.cluster.until_phase(later, AttemptPhase::Running).await;
    rig.worker.stop().await.unwrap();
    rig.worker = Worker::start(WorkerConfig { join_token: None, ..rig.worker.config.clone() });
    is_over(&rig, later).await;

    rig.leader.cancel(neighbour);
    assert_eq!(rig.cluster.ending(neighbour).await.kind(), ReasonKind::Cancelled);
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_files_and_shared_memory_are_what_the_job_says() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    // This one opens all of its files before it reads the first.
    let many = "ulimit -n; cd /tmp; i=0; while [ $i -lt 100 ]; do echo $i > $i; set -- \"$@\" $i; i=$((i+1)); done; \
        tail -n 1 \"$@\" > /dev/null || exit 7";
    let few = rig.leader.assign(1, JobSpec { open_files: 64, ..sh(many) })[0];
    let enough = rig.leader.assign(2, JobSpec { open_files: 200, ..sh(many) })[0];
    let usual = rig.run(3, "ulimit -n; ulimit -c; cat /proc/self/mounts");
    let large = rig.leader.assign(4, JobSpec { shm_bytes: 16 * MIB, ..sh("cat /proc/self/mounts") })[0];
    assert_eq!(rig.cluster.ending(few).await, EndReason::exit(7));
    let log = rig.leader.log(1, few, true, 0).await;
    assert!(text(&log.stdout) == "64\n" && text(&log.stderr).contains("can't open"), "{}", text(&log.stderr));
    assert_eq!(rig.cluster.ending(enough).await, EndReason::exit(0));
    for (stream, attempt, begins, size) in [(3, usual, "16384\n0\n", "size=65536k"), (4, large, "", "size=16384k")] {
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
        let said = text(&rig.leader.log(stream, attempt, true, 0).await.stdout);
        let shm = said.lines().find(|l| l.split(' ').nth(1) == Some("/dev/shm")).unwrap();
        assert!(said.starts_with(begins) && shm.contains(size), "{said}");
    }
    // More than an engine has itself it cannot give, unless it may do anything.
    let too_many = rig.leader.assign(5, JobSpec { open_files: 1_048_576, ..sh("ulimit -n") })[0];
    let r = rig.cluster.ending(too_many).await;
    if r.is_success() {
        eprintln!("NOT RUN: more open files than the engine has: this one gives as many as it likes");
    } else {
        assert_eq!(r.kind(), ReasonKind::Rejected, "{r}");
        assert!(r.detail.contains("ask for fewer"), "{r}");
    }
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_asked_to_stop_as_its_job_says_and_has_the_time_that_it_says() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let asked = "trap 'echo asked; exit 5' INT; trap '' TERM; echo up; while true; do sleep 0.1; done";
    let polite = rig.leader.assign(1, JobSpec { stop_signal: 2, ..sh(asked) })[0];
    let deaf = "trap '' TERM; echo up; while true; do sleep 0.1; done";
    let short = rig.leader.assign(2, JobSpec { grace_ms: 500, ..sh(deaf) })[0];
    let long = rig.leader.assign(3, JobSpec { grace_ms: 3_600_000, ..sh(deaf) })[0];
    let kept = rig.leader.assign(4, JobSpec { stop_signal: 2, ..sh(asked) })[0];
    for (stream, attempt) in [(1, polite), (2, short), (3, long), (4, kept)] {
        // Not before it listens.
        rig.leader.open_log(stream, attempt, true, 0);
        rig.cluster.until("it is up", |t| t.uploads[&stream].stdout == b"up\n").await;
    }
    for attempt in [polite, short, long] {
        rig.leader.cancel(attempt);
    }
    let r = rig.cluster.ending(polite).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::Cancelled, Some(5)), "{r}");
    rig.cluster.until("it has heard it", |t| t.uploads[&1].stdout == b"up\nasked\n").await;
    let r = rig.cluster.ending(short).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::Cancelled, Some(137)), "{r}");
    assert!(!rig.cluster.table.lock().unwrap().ended.contains_key(&long), "it may take an hour");

    // What is written on a container holds for the next run of the worker.
    rig.worker.stop().await.unwrap();
    rig.leader.cancel(kept);
    rig.worker = Worker::start(WorkerConfig { join_token: None, ..rig.worker.config.clone() });
    let r = rig.cluster.ending(kept).await;
    assert_eq!((r.kind(), r.exit_code), (ReasonKind::Cancelled, Some(5)), "{r}");
    rig.worker.stop().await.unwrap();
}
