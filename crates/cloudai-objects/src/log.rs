//! Logs of attempts in the same store. Comes in: a file that nobody writes any more. Goes out: one object with its bytes, which are not looked at
//! here; then a stream of them, and their removal.
//!
//! Logs lie apart from results, in `.logs/JOB/INDEX/ATTEMPT`, which no namespace can be named: every attempt has a log, and whoever looks for the
//! results of a job must not meet those of its failures. A log that is there is whole; one that is stored again is the same or longer.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use cloudai_types::{AttemptId, JobId};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::{GetOptions, GetRange, ObjectStore as _};

use crate::download::ReadError;
use crate::remove::RemoveError;
use crate::store::Store;
use crate::upload::{UploadError, blocking};

const LOGS: &str = ".logs";

fn job_key(job: JobId) -> String {
    format!("{LOGS}/{job}")
}

fn key(attempt: AttemptId) -> String {
    format!("{}/{}/{}", job_key(attempt.task.job), attempt.task.index, attempt.number)
}

impl Store {
    /// In parts of bounded size, however long it is.
    pub async fn put_log(&self, attempt: AttemptId, file: &Path) -> Result<(), UploadError> {
        let (from, name) = (file.to_owned(), format!("the log of {attempt}"));
        let opened = blocking(move || File::open(&from)).await?;
        let file = opened.map_err(|source| UploadError::File { path: name.clone(), source })?;
        let at = self.path(&key(attempt)).map_err(|source| UploadError::Store { path: name.clone(), source })?;
        self.send_file(&name, &at, file, &AtomicU64::new(0)).await?;
        Ok(())
    }

    /// From this byte on, which must be one of its own; `None`: the store has no log of this attempt.
    pub async fn log(
        &self,
        attempt: AttemptId,
        from: u64,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, ReadError>>>, ReadError> {
        let at = self.path(&key(attempt)).map_err(ReadError::Store)?;
        let range = (from > 0).then_some(GetRange::Offset(from));
        match self.objects.get_opts(&at, GetOptions { range, ..GetOptions::default() }).await {
            Ok(got) => Ok(Some(got.into_stream().map(|piece| piece.map_err(ReadError::Store)).boxed())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(ReadError::Store(error)),
        }
    }

    /// Of all attempts of a job. None there is no error.
    pub async fn remove_logs(&self, job: JobId) -> Result<(), RemoveError> {
        self.remove_below(&job_key(job)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::StoreConfig;
    use cloudai_types::{TaskId, limits};
    use futures::TryStreamExt as _;

    async fn read(store: &Store, attempt: AttemptId, from: u64) -> Option<Vec<u8>> {
        let pieces: Vec<Bytes> = store.log(attempt, from).await.unwrap()?.try_collect().await.unwrap();
        Some(pieces.concat())
    }

    #[tokio::test]
    async fn logs_lie_apart_from_results_and_go_with_their_job() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("7.log");
        let large = vec![7; limits::RESULT_PART_BYTES + 3];
        let stores = [Store::open(&StoreConfig::directory(&dir.path().join("store"))).unwrap(), Store::in_memory()];
        for store in stores {
            let (first, second, other) =
                (AttemptId::new(JobId(1), 3, 1), AttemptId::new(JobId(1), 3, 2), AttemptId::new(JobId(2), 3, 1));
            assert_eq!(read(&store, first, 0).await, None);
            std::fs::write(&file, "half").unwrap();
            store.put_log(first, &file).await.unwrap();
            std::fs::write(&file, "half and the rest").unwrap();
            store.put_log(first, &file).await.unwrap();
            assert_eq!(read(&store, first, 0).await.unwrap(), b"half and the rest");
            assert_eq!(read(&store, first, 9).await.unwrap(), b"the rest");
            std::fs::write(&file, &large).unwrap();
            store.put_log(second, &file).await.unwrap();
            store.put_log(other, &file).await.unwrap();
            assert!(read(&store, second, 0).await.unwrap() == large);
            std::fs::write(&file, "").unwrap();
            store.put_log(second, &file).await.unwrap();
            assert_eq!(read(&store, second, 0).await.unwrap(), b"", "an empty one is one");
            assert_eq!(store.indexes("default", JobId(1)).await.unwrap(), [0; 0]);
            assert!(store.task("default", TaskId { job: JobId(1), index: 3 }).await.unwrap().is_none());
            store.remove_job("default", JobId(1)).await.unwrap();
            assert!(read(&store, first, 0).await.is_some(), "results are results");
            store.remove_logs(JobId(1)).await.unwrap();
            store.remove_logs(JobId(1)).await.unwrap();
            assert_eq!((read(&store, first, 0).await, read(&store, second, 0).await), (None, None));
            assert!(read(&store, other, 0).await.is_some());
            let gone = std::fs::remove_file(&file);
            gone.unwrap();
            assert!(matches!(store.put_log(other, &file).await, Err(UploadError::File { .. })));
        }
    }

    #[test]
    fn no_namespace_is_named_as_the_logs_are() {
        assert!(cloudai_types::spec::check_name(LOGS).is_err());
    }
}
