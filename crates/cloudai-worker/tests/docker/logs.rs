//! Where the log of a container goes when it has ended.

use bytes::Bytes;
use cloudai_objects::Store;
use cloudai_types::AttemptId;
use cloudai_worker::StoreConfig;
use futures::TryStreamExt as _;

use super::*;

/// The stored log, as far as it is text.
async fn stored(store: &Store, attempt: AttemptId) -> Option<String> {
    let pieces: Vec<Bytes> = store.log(attempt, 0).await.unwrap()?.try_collect().await.unwrap();
    Some(text(&pieces.concat()))
}

async fn until_stored(store: &Store, attempt: AttemptId) -> String {
    let waiting = async {
        loop {
            if let Some(log) = stored(store, attempt).await {
                return log;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is stored")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_log_goes_to_the_store_and_that_of_a_result_before_its_success() {
    if !engine() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::directory(&dir.path().join("store"));
    let store = Store::open(&config).unwrap();
    let mut rig = Rig::start(|c| c.results = config).await;
    let storing = JobSpec { results: true, namespace: "default".into(), ..sh("echo with a result") };
    let result = rig.leader.assign(1, storing)[0];
    assert!(rig.cluster.ending(result).await.is_success());
    assert!(stored(&store, result).await.expect("it is there already").contains("with a result"));

    let failed = rig.run(2, "echo it failed; exit 3");
    let silent = rig.run(3, "true");
    let never = rig.leader.assign(4, JobSpec { command: vec!["no-such-program".into()], ..sh("") })[0];
    for (attempt, has) in [(failed, "it failed"), (silent, ""), (never, "no-such-program")] {
        rig.cluster.ending(attempt).await;
        let log = until_stored(&store, attempt).await;
        assert!(log.contains(has), "{attempt}: {log}");
    }
    // What the worker has is what the store has, and it still answers itself.
    let log = rig.leader.log(1, failed, true, 0).await;
    assert_eq!(text(&log.stdout), "it failed\n");

    // One that ends while no worker is there is stored by the next, whole.
    let late = rig.run(5, "echo early; sleep 1; echo late");
    rig.cluster.until_phase(late, AttemptPhase::Running).await;
    rig.worker.stop().await.unwrap();
    assert_eq!(stored(&store, late).await, None, "half a log is not stored");
    let exited = format!("label=cloudai.attempt={late}");
    let waiting = async {
        while docker(&["ps", "-aq", "--filter", "status=exited", "--filter", &exited]).is_none_or(|ids| ids.is_empty())
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it ends without a worker");
    rig.worker = Worker::start(WorkerConfig { join_token: None, ..rig.worker.config.clone() });
    rig.cluster.ending(late).await;
    let log = until_stored(&store, late).await;
    assert!(log.contains("early") && log.contains("late"), "{log}");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}
