//! Secrets reach the task that names them, by file and by variable, as nobody else can read them; and nothing is left.

use super::*;

fn using(uses: &[&str], user: &str, script: &str) -> JobSpec {
    let secrets = uses.iter().map(|text| text.parse().unwrap()).collect();
    JobSpec { secrets, user: user.into(), ..sh(script) }
}

fn store(rig: &Rig, name: &str, value: &[u8]) {
    rig.cluster.table.lock().unwrap().secrets.insert(name.into(), value.to_vec());
}

/// The folder in memory of this rig's worker.
fn in_memory(rig: &Rig) -> PathBuf {
    PathBuf::from(format!("/dev/shm/cloudai-{}-w1", rig.cluster.ca.cluster()))
}

fn left(rig: &Rig) -> usize {
    std::fs::read_dir(in_memory(rig)).map_or(0, |entries| entries.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_has_its_secrets_as_files_and_as_variables() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    store(&rig, "token", b"canary\n");
    store(&rig, "other", b"not for this task");
    let script = "cat /run/secrets/token /run/secrets/renamed; echo \"$TOKEN\"; cd /run/secrets && echo *; echo x > token || echo kept";
    let spec = using(&["token", "token=file:renamed", "token=env:TOKEN"], "1234", script);
    let attempt = rig.leader.assign(1, spec)[0];
    let reason = rig.cluster.ending(attempt).await;
    assert!(reason.is_success(), "{reason}");
    let log = rig.leader.log(1, attempt, false, 0).await;
    let text = String::from_utf8_lossy(&log.stdout).into_owned();
    assert_eq!(text, "canary\ncanary\ncanary\n\nrenamed token\nkept\n");
    assert_eq!(left(&rig), 0, "they went with the container's end");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
    assert!(!in_memory(&rig).exists(), "a worker that stops leaves no folder");
    let journal = std::fs::read(rig.worker.data_dir().join("journal")).unwrap_or_default();
    assert!(!journal.windows(6).any(|w| w == b"canary"), "the journal knows nothing of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_any_more_keeps_a_task_from_starting() {
    if !engine() {
        return;
    }
    let rig = Rig::start(|_| {}).await;
    store(&rig, "binary", &[0xff, 0x00]);
    for (job, uses) in [(1, "gone"), (2, "binary=env:BINARY")] {
        let attempt = rig.leader.assign(job, using(&[uses], "", "echo never"))[0];
        let reason = rig.cluster.ending(attempt).await;
        assert_eq!(reason.kind(), ReasonKind::StartFailed, "{reason}");
    }
    assert_eq!((left(&rig), rig.containers().len()), (0, 0));
}

/// A leader is being elected: the task waits, and may be cancelled while it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_waits_for_a_master_that_answers() {
    if !engine() {
        return;
    }
    let rig = Rig::start(|_| {}).await;
    store(&rig, "token", b"canary");
    rig.cluster.table.lock().unwrap().gives_secrets = false;
    let waits = rig.leader.assign(1, using(&["token"], "", "cat /run/secrets/token"))[0];
    let cancelled = rig.leader.assign(2, using(&["token"], "", "echo never"))[0];
    rig.cluster.until("both ask", |t| t.secrets_asked >= 4).await;
    rig.leader.cancel(cancelled);
    assert_eq!(rig.cluster.ending(cancelled).await.kind(), ReasonKind::Cancelled);
    rig.cluster.table.lock().unwrap().gives_secrets = true;
    let reason = rig.cluster.ending(waits).await;
    assert!(reason.is_success(), "{reason}");
}

/// The worker is killed and comes back: what runs keeps its files, what is over leaves none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_worker_keeps_what_is_in_use_and_removes_the_rest() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    store(&rig, "token", b"canary");
    let attempt = rig.leader.assign(1, using(&["token"], "", "sleep 3; [ \"$(cat /run/secrets/token)\" = canary ]"))[0];
    rig.cluster.until_phase(attempt, AttemptPhase::Running).await;
    let leftover = in_memory(&rig).join("of-an-earlier-attempt");
    std::fs::create_dir(&leftover).unwrap();
    std::fs::write(leftover.join("token"), "canary").unwrap();
    let config = rig.worker.config.clone();
    rig.worker.stop().await.unwrap();
    rig.worker = Worker::start(config);
    let reason = rig.cluster.ending(attempt).await;
    assert!(reason.is_success(), "it still reads its secret: {reason}");
    assert!(!leftover.exists());
    assert_eq!(left(&rig), 0);
}
