//! What containers write is stored, and read by the next ones; also by a worker that was not there when they ended.

use std::collections::BTreeMap;

use cloudai_objects::{ResultKey, Store};
use cloudai_types::{AttemptId, JobId, Results};
use cloudai_worker::StoreConfig;

use super::*;

struct Stored {
    rig: Rig,
    config: StoreConfig,
    dir: tempfile::TempDir,
}

impl Stored {
    async fn start() -> Stored {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig::directory(&dir.path().join("store"));
        let results = config.clone();
        let rig = Rig::start(move |c| c.results = results).await;
        Stored { rig, config, dir }
    }

    async fn text(&self, attempt: AttemptId, path: &str) -> String {
        let store = Store::open(&self.config).unwrap();
        let key = ResultKey::new("default", attempt).unwrap();
        let manifest = store.manifest(&key).await.unwrap().expect("it is stored");
        let to = self.dir.path().join("fetched");
        store.fetch(&key, manifest.file(path).expect("it is in the manifest"), &to).await.unwrap();
        let text = std::fs::read_to_string(&to).unwrap();
        std::fs::remove_file(&to).unwrap();
        text
    }

    /// A success with what it stored.
    async fn results(&self, attempt: AttemptId) -> Results {
        let reason = self.rig.cluster.ending(attempt).await;
        assert!(reason.is_success(), "{reason}");
        *reason.results.expect("it stored something")
    }

    async fn until_no_folders(&self) {
        let folders = || std::fs::read_dir(self.rig.worker.data_dir().join("outputs")).unwrap().count();
        let waiting = async {
            while folders() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("no folder is left");
    }
}

fn storing(script: &str, inputs: &[(&str, String)]) -> JobSpec {
    let inputs: BTreeMap<String, String> = inputs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    JobSpec { results: true, inputs, namespace: "default".into(), ..sh(script) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_container_writes_the_next_one_reads() {
    if !engine() {
        return;
    }
    let mut s = Stored::start().await;
    let script = "busybox mkdir -p /cloudai/out/deep; echo a,b >/cloudai/out/t.csv; echo odd >'/cloudai/out/deep/o d'; \
                  busybox ln -s /etc/passwd /cloudai/out/link; busybox mkfifo /cloudai/out/fifo";
    let first = s.rig.leader.assign(1, storing(script, &[]))[0];
    let results = s.results(first).await;
    assert_eq!((results.files_total, results.left_out, results.lists_all()), (2, 2, true), "{results:?}");
    assert_eq!((s.text(first, "t.csv").await, s.text(first, "deep/o d").await), ("a,b\n".into(), "odd\n".into()));
    {
        let table = s.rig.cluster.table.lock().unwrap();
        let phases = &table.phases[&first];
        assert!(phases.is_sorted(), "{phases:?}");
    }
    let failed = s.rig.leader.assign(2, storing("echo half >/cloudai/out/half; exit 3", &[]))[0];
    assert_eq!(s.rig.cluster.ending(failed).await, EndReason::exit(3), "what failed is not stored");

    let job = JobId(1);
    let script = "cat /cloudai/in/all/0/t.csv /cloudai/in/one/deep/'o d' /cloudai/in/file; \
                  { echo x >/cloudai/in/one/x; } 2>/dev/null || echo read-only";
    let inputs = [("all", job.to_string()), ("one", format!("{job}/0")), ("file", format!("{job}/0/t.csv"))];
    let reader = s.rig.leader.assign(3, storing(script, &inputs))[0];
    assert_eq!(s.results(reader).await.files_total, 0, "nothing written is a result as well");
    let log = s.rig.leader.log(1, reader, true, 0).await;
    assert_eq!(text(&log.stdout), "a,b\nodd\na,b\nread-only\n");

    let missing = s.rig.leader.assign(4, storing("echo never", &[("x", format!("{}/0", JobId(99)))]))[0];
    let reason = s.rig.cluster.ending(missing).await;
    assert_eq!(reason.kind(), ReasonKind::StartFailed, "{reason}");
    s.rig.until_no_containers().await;
    s.until_no_folders().await;
    s.rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_a_container_that_ended_without_a_worker_are_stored_once() {
    if !engine() {
        return;
    }
    let mut s = Stored::start().await;
    let late = s.rig.leader.assign(1, storing("sleep 1; echo late >/cloudai/out/late", &[]))[0];
    s.rig.cluster.until_phase(late, AttemptPhase::Running).await;
    s.rig.worker.stop().await.unwrap();
    let exited = format!("label=cloudai.attempt={late}");
    let waiting = async {
        while docker(&["ps", "-aq", "--filter", "status=exited", "--filter", &exited]).is_none_or(|ids| ids.is_empty())
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it ends without a worker");
    s.rig.worker = Worker::start(WorkerConfig { join_token: None, ..s.rig.worker.config.clone() });
    assert_eq!(s.results(late).await.files_total, 1);
    assert_eq!(s.text(late, "late").await, "late\n");
    s.rig.until_no_containers().await;
    s.until_no_folders().await;
    s.rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_a_job_that_needs_one_is_rejected() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    let attempt = rig.leader.assign(1, storing("echo x", &[]))[0];
    let reason = rig.cluster.ending(attempt).await;
    assert_eq!(reason.kind(), ReasonKind::Rejected, "{reason}");
    rig.worker.stop().await.unwrap();
}
