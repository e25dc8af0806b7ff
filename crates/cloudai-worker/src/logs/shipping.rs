//! Brings the logs of ended attempts to the store. Comes in: what is owed to it, oldest first. Goes out: objects, a few at a time, again and
//! again while the store refuses. A success waits for its own (`LogStore::until_stored`), nothing else does; what is owed is known from the
//! files' names, so a worker that was killed goes on where it was.

use cloudai_net::Backoff;
use cloudai_objects::{Store, UploadError};
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::{AttemptId, limits};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::kept::Turn;
use super::store::LogStore;

/// Until it is dropped.
pub async fn ship(logs: LogStore, store: Store, metrics: WorkerMetrics) {
    let mut backoff = Backoff::new(limits::LOG_STORE_RETRY_MIN, limits::LOG_STORE_RETRY_MAX);
    let mut not_before = Instant::now();
    let mut sending: JoinSet<(AttemptId, Result<(), UploadError>)> = JoinSet::new();
    loop {
        let has_room = sending.len() < limits::LOGS_STORED_AT_ONCE;
        let next = async {
            tokio::select! {
                next = logs.next_owed(Turn::FirstTry) => next,
                () = tokio::time::sleep_until(not_before) => logs.next_owed(Turn::Any).await,
            }
        };
        tokio::select! {
            (attempt, path) = next, if has_room => {
                let store = store.clone();
                sending.spawn(async move { (attempt, store.put_log(attempt, &path).await) });
            }
            Some(done) = sending.join_next() => {
                // An error means that the runtime ends.
                let Ok((attempt, stored)) = done else { return };
                let result = if stored.is_ok() { "ok" } else { "error" };
                metrics.logs_stored.with_label_values(&[result]).inc();
                match stored {
                    Ok(()) => {
                        backoff.reset();
                        not_before = Instant::now();
                        logs.sent(attempt, true);
                    }
                    Err(UploadError::File { source, .. }) => {
                        tracing::warn!(%attempt, error = %source, "a log cannot be read here, and is not stored");
                        logs.give_up(attempt);
                    }
                    Err(error) => {
                        let error = said(&error);
                        tracing::warn!(%attempt, error, "a log cannot be stored yet; it is tried again");
                        not_before = Instant::now() + backoff.next(rand::random()).as_duration();
                        logs.sent(attempt, false);
                    }
                }
            }
        }
    }
}

fn said(error: &UploadError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Source};
    use super::*;
    use bytes::Bytes;
    use cloudai_objects::StoreConfig;
    use cloudai_types::JobId;
    use futures::{FutureExt as _, TryStreamExt as _};

    fn id(n: u32) -> AttemptId {
        AttemptId::new(JobId(1), n, 1)
    }

    fn write(logs: &LogStore, n: u32) {
        let mut writer = logs.writer(id(n)).unwrap();
        let data = Bytes::from(format!("line of {n}\n"));
        writer.append(vec![Frame { time_ns: 1, source: Source::Stdout, data }]);
        writer.finish(u64::from(n));
    }

    fn open(dir: &std::path::Path, metrics: &WorkerMetrics) -> LogStore {
        LogStore::open(&dir.join("logs"), 1 << 20, 1 << 30, Some(metrics.clone())).unwrap()
    }

    async fn stored(store: &Store, n: u32) -> Option<Vec<u8>> {
        let pieces: Vec<Bytes> = store.log(id(n), 0).await.unwrap()?.try_collect().await.unwrap();
        Some(pieces.concat())
    }

    async fn until_none_is_owed(metrics: &WorkerMetrics, logs: &LogStore, n: std::ops::Range<u32>) {
        while metrics.logs_owed.get() > 0 || n.clone().any(|n| logs.is_owed(id(n))) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn every_log_that_ended_is_stored_once_and_stays_readable_here() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = WorkerMetrics::new("1.2.3");
        let logs = open(dir.path(), &metrics);
        let store = Store::open(&StoreConfig::directory(&dir.path().join("store"))).unwrap();
        let mut unfinished = logs.writer(id(99)).unwrap();
        unfinished.append(vec![Frame { time_ns: 1, source: Source::Stdout, data: Bytes::from_static(b"x") }]);
        (0..20).for_each(|n| write(&logs, n));
        let shipping = tokio::spawn(ship(logs.clone(), store.clone(), metrics.clone()));
        until_none_is_owed(&metrics, &logs, 0..20).await;
        shipping.abort();
        for n in 0..20 {
            let bytes = stored(&store, n).await.expect("it is stored");
            assert!(bytes.ends_with(format!("line of {n}\n").as_bytes()));
            let mut reader = logs.reader(id(n), false, Default::default()).await.unwrap();
            assert_eq!(reader.next(false).await.unwrap().unwrap().len(), 1);
        }
        assert_eq!(stored(&store, 99).await, None, "one that is written is not stored");
        assert_eq!(metrics.logs_stored.with_label_values(&["ok"]).get(), 20);
        drop((unfinished, logs));
        // The next worker owes only what was not stored.
        let logs = open(dir.path(), &metrics);
        assert_eq!(metrics.logs_owed.get(), 1);
        assert_eq!((logs.is_owed(id(3)), logs.is_owed(id(99))), (false, true));
    }

    #[tokio::test]
    async fn a_log_that_goes_on_after_it_was_stored_is_stored_again() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = WorkerMetrics::new("1.2.3");
        let logs = open(dir.path(), &metrics);
        let store = Store::open(&StoreConfig::directory(&dir.path().join("store"))).unwrap();
        write(&logs, 1);
        let shipping = tokio::spawn(ship(logs.clone(), store.clone(), metrics.clone()));
        until_none_is_owed(&metrics, &logs, 1..2).await;
        // As of a container that is found again.
        let mut writer = logs.writer(id(1)).unwrap();
        writer.append(vec![Frame { time_ns: 2, source: Source::Stdout, data: Bytes::from_static(b"the rest\n") }]);
        writer.finish(5);
        until_none_is_owed(&metrics, &logs, 1..2).await;
        shipping.abort();
        assert!(stored(&store, 1).await.unwrap().ends_with(b"the rest\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_refused_for_itself_delays_no_success() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = WorkerMetrics::new("1.2.3");
        let logs = open(dir.path(), &metrics);
        let at = dir.path().join("store");
        let store = Store::open(&StoreConfig::directory(&at)).unwrap();
        // A folder where its object has to be, with something in it.
        std::fs::create_dir_all(at.join(format!(".logs/{}/1/1/in the way", JobId(1)))).unwrap();
        write(&logs, 1);
        let shipping = tokio::spawn(ship(logs.clone(), store.clone(), metrics.clone()));
        let refusals = metrics.logs_stored.with_label_values(&["error"]);
        while refusals.get() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // In the middle of the pause after the third.
        let waiting = logs.until_stored(id(1)).now_or_never();
        write(&logs, 2);
        logs.until_stored(id(2)).await;
        assert_eq!((waiting, refusals.get()), (None, 3), "it did not wait for the other one's next try");
        assert!(stored(&store, 2).await.is_some());
        shipping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_refuses_is_asked_again_and_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = WorkerMetrics::new("1.2.3");
        let logs = open(dir.path(), &metrics);
        let at = dir.path().join("store");
        let store = Store::open(&StoreConfig::directory(&at)).unwrap();
        // A file where the folder of all logs has to be.
        std::fs::write(at.join(".logs"), "").unwrap();
        write(&logs, 1);
        let shipping = tokio::spawn(ship(logs.clone(), store.clone(), metrics.clone()));
        while metrics.logs_stored.with_label_values(&["error"]).get() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        write(&logs, 2);
        assert!(logs.until_stored(id(2)).now_or_never().is_none());
        logs.until_stored(id(7)).await; // of one that has no log
        std::fs::remove_file(at.join(".logs")).unwrap();
        logs.until_stored(id(2)).await;
        until_none_is_owed(&metrics, &logs, 1..3).await;
        shipping.abort();
        assert!(stored(&store, 1).await.is_some() && stored(&store, 2).await.is_some());
    }
}
