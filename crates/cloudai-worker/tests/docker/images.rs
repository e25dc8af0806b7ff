//! Images from a registry: one pull for all who wait, logins, a registry that stalls, a tag that is not there or moves, and room for the next ones.

use std::sync::atomic::Ordering::SeqCst;

use cloudai_registry::{LoginConfig, Logins};
use cloudai_types::image::fingerprint;
use cloudai_worker::ImagesConfig;

use super::support::registry::{Registry, Way, why_not};
use super::*;

const WHICH: &str = "cat /which";

fn can_run() -> bool {
    if !engine() {
        return false;
    }
    if let Some(why) = why_not() {
        eprintln!("NOT RUN: {why}");
        return false;
    }
    true
}

fn of(image: &str, script: &str) -> JobSpec {
    JobSpec { image: image.to_owned(), ..sh(script) }
}

async fn said(rig: &Rig, stream: u64, attempt: cloudai_types::AttemptId) -> String {
    text(&rig.leader.log(stream, attempt, true, 0).await.stdout)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_attempts_share_one_pull() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(None);
    registry.push("shared:1", "once");
    let before = registry.answered().len();
    let mut rig = Rig::start(|c| c.capacity = "cpu=16,memory=4GiB".into()).await;
    let image = format!("{}/shared:1", registry.host);
    let here = u32::from(fingerprint(&image));
    rig.cluster.until("the leader hears of what was here before", |t| !t.images.is_empty()).await;
    let attempts = rig.leader.assign(1, JobSpec { count: 12, ..of(&image, WHICH) });
    for (n, attempt) in attempts.into_iter().enumerate() {
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
        assert_eq!(said(&rig, n as u64 + 1, attempt).await, "once\n");
    }
    let mut asked = registry.answered().split_off(before);
    let tags = asked.iter().filter(|a| a.as_str() == "HEAD /v2/shared/manifests/1").count();
    assert_eq!(tags, 1, "one question for twelve: {asked:?}");
    asked.retain(|a| a.contains("/blobs/"));
    assert_eq!(asked.len(), 2, "one layer and one configuration: {asked:?}");
    asked.dedup();
    assert_eq!(asked.len(), 2, "each once: {asked:?}");
    rig.cluster.until("the leader hears that it has the image now", |t| t.images.contains(&here)).await;
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_login_is_told_and_a_corrected_one_needs_no_restart() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(Some(("ci", "s3cret")));
    registry.push("private:1", "let in");
    let image = format!("{}/private:1", registry.host);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "guessed\n").unwrap();
    let login = LoginConfig { username: "ci".into(), password_file: file.clone() };
    let logins = Logins::new([(registry.host.clone(), login)].into());
    let mut rig = Rig::start(move |c| c.registries = logins).await;
    let wrong = rig.leader.assign(1, of(&image, WHICH))[0];
    let reason = rig.cluster.ending(wrong).await;
    assert_eq!(reason.kind(), ReasonKind::ImagePullFailed, "{reason}");
    assert!(reason.detail.contains("unauthorized") && reason.detail.contains("login of 'ci'"), "{reason}");
    assert!(!reason.detail.contains("guessed"), "{reason}");

    // Another login is another pull: what was remembered of the wrong one does not count.
    std::fs::write(&file, "s3cret\n").unwrap();
    let right = rig.leader.assign(2, of(&image, WHICH))[0];
    assert_eq!(rig.cluster.ending(right).await, EndReason::exit(0));
    assert_eq!(said(&rig, 1, right).await, "let in\n");

    let missing = rig.leader.assign(3, of(&format!("{}/private:2", registry.host), WHICH))[0];
    let reason = rig.cluster.ending(missing).await;
    assert_eq!(reason.kind(), ReasonKind::ImageNotFound, "{reason}");
    assert!(!reason.detail.contains("login"), "{reason}");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_login_a_closed_registry_says_so() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(Some(("ci", "s3cret")));
    registry.push("private:1", "never");
    let mut rig = Rig::start(|_| {}).await;
    let attempt = rig.leader.assign(1, of(&format!("{}/private:1", registry.host), WHICH))[0];
    let reason = rig.cluster.ending(attempt).await;
    assert_eq!(reason.kind(), ReasonKind::ImagePullFailed, "{reason}");
    assert!(reason.detail.contains("no login for this registry"), "{reason}");
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_stalls_in_the_middle_of_a_layer_is_noticed() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(None);
    registry.push("slow:1", "at last");
    let way = Way::to(&registry);
    way.stalls.store(true, SeqCst);
    let mut rig = Rig::start(|c| c.images = ImagesConfig { pull_silence_secs: 2, ..Default::default() }).await;
    let image = format!("{}/slow:1", way.host);
    let stalled = rig.leader.assign(1, of(&image, WHICH))[0];
    let reason = rig.cluster.ending(stalled).await;
    assert_eq!(reason.kind(), ReasonKind::ImagePullFailed, "{reason}");
    assert!(reason.detail.contains("no progress for 2 s"), "{reason}");

    // It heals; what is remembered of the failure passes.
    way.stalls.store(false, SeqCst);
    let until = std::time::Instant::now() + PATIENCE;
    let mut job = 2;
    let healed = loop {
        let attempt = rig.leader.assign(job, of(&image, WHICH))[0];
        let reason = rig.cluster.ending(attempt).await;
        if reason.is_success() {
            break attempt;
        }
        assert_eq!(reason.kind(), ReasonKind::ImagePullFailed, "{reason}");
        assert!(std::time::Instant::now() < until, "it does not heal: {reason}");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        job += 1;
    };
    assert_eq!(said(&rig, 1, healed).await, "at last\n");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_image_is_run_whatever_its_tag_means_by_then() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(None);
    let first = registry.push("moving:1", "first");
    let second = registry.push("moving:1", "second");
    assert_ne!(first, second);
    let image = format!("{}/moving:1", registry.host);
    let mut rig = Rig::start(|_| {}).await;
    let pinned = JobSpec { image_digest: first, ..of(&image, WHICH) };
    let pinned = rig.leader.assign(1, pinned)[0];
    let free = rig.leader.assign(2, of(&image, WHICH))[0];
    assert_eq!(rig.cluster.ending(pinned).await, EndReason::exit(0));
    assert_eq!(rig.cluster.ending(free).await, EndReason::exit(0));
    assert_eq!((said(&rig, 1, pinned).await, said(&rig, 2, free).await), ("first\n".into(), "second\n".into()));
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_used_goes_and_what_is_in_use_or_somebody_elses_stays() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(None);
    let name = |name: &str| format!("{}/{name}:1", registry.host);
    for each in ["old", "kept", "theirs", "new"] {
        registry.push(&format!("{each}:1"), each);
    }
    // Pulled by somebody else before, and used by this worker.
    docker(&["pull", &name("theirs")]).expect("it is pulled");
    let mut rig = Rig::start(|c| c.images = ImagesConfig { cache_bytes: 1, ..Default::default() }).await;
    let kept = rig.leader.assign(1, of(&name("kept"), "sleep 1000"))[0];
    rig.cluster.until_phase(kept, AttemptPhase::Running).await;
    for (job, image) in [(2, "old"), (3, "theirs")] {
        let attempt = rig.leader.assign(job, of(&name(image), WHICH))[0];
        assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
    }
    let waiting = async {
        while rig.containers().len() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("only the one that runs has a container");
    // A pull makes the worker look.
    let new = rig.leader.assign(4, of(&name("new"), WHICH))[0];
    assert_eq!(rig.cluster.ending(new).await, EndReason::exit(0));
    let is_here = |image: &str| docker(&["image", "inspect", &name(image)]).is_some();
    let waiting = async {
        while is_here("old") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("what was not used for longest is removed");
    assert!(is_here("kept"), "a container has it");
    assert!(is_here("theirs"), "somebody else pulled it");
    assert!(docker(&["image", "inspect", IMAGE]).is_some(), "it was never pulled");
    let list = std::fs::read_to_string(rig.worker.data_dir().join("images.json")).unwrap();
    assert!(list.contains(&name("kept")) && !list.contains(&name("theirs")), "{list}");
    rig.leader.cancel(kept);
    assert_eq!(rig.cluster.ending(kept).await.kind(), ReasonKind::Cancelled);
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}
