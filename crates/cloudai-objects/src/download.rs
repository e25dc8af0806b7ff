//! Stored results, read again. Comes in: whose results, which file, which bytes of it. Goes out: the manifest, a stream of bytes, or a
//! file whose sum was checked.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cloudai_types::{AttemptId, JobId, TaskId, limits};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;

use crate::key::{ResultKey, job_prefix, task_prefix};
use crate::manifest::{Manifest, ManifestError, StoredFile};
use crate::store::Store;
use crate::sum::Sum;

/// Why something stored cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the store does not answer, or refuses: {0}")]
    Store(#[source] object_store::Error),
    #[error("the manifest has {0} bytes; {max} are allowed", max = limits::RESULT_MANIFEST_BYTES_MAX)]
    ManifestTooLarge(u64),
    #[error("the manifest cannot be used: {0}")]
    Manifest(#[from] ManifestError),
    #[error("'{path}' has {size} bytes, and bytes {start} to {end} were asked for")]
    Range { path: String, size: u64, start: u64, end: u64 },
    #[error("'{0}' is in the manifest and not in the store: somebody removed it")]
    Gone(String),
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{} cannot be written", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("'{path}' is damaged: its sum is {found}, and {wanted} was stored")]
    Sum { path: String, wanted: String, found: String },
}

impl Store {
    /// What this attempt stored; `None`: nothing, or not all of it yet.
    pub async fn manifest(&self, key: &ResultKey) -> Result<Option<Manifest>, ReadError> {
        let at = self.path(&key.manifest()).map_err(ReadError::Store)?;
        let got = match self.objects.get(&at).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(ReadError::Store(error)),
        };
        if got.meta.size > limits::RESULT_MANIFEST_BYTES_MAX {
            return Err(ReadError::ManifestTooLarge(got.meta.size));
        }
        let bytes = got.bytes().await.map_err(ReadError::Store)?;
        Ok(Some(Manifest::parse(&bytes, key)?))
    }

    /// The results of a task: those of the last of its attempts that stored any.
    pub async fn task(&self, namespace: &str, task: TaskId) -> Result<Option<(ResultKey, Manifest)>, ReadError> {
        let mut numbers: Vec<u32> = self.below(&task_prefix(namespace, task)).await?;
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            let Ok(key) = ResultKey::new(namespace, AttemptId { task, number }) else { return Ok(None) };
            if let Some(manifest) = self.manifest(&key).await? {
                return Ok(Some((key, manifest)));
            }
        }
        Ok(None)
    }

    /// The indexes of a job that have anything in the store, in their order.
    pub async fn indexes(&self, namespace: &str, job: JobId) -> Result<Vec<u32>, ReadError> {
        let mut indexes = self.below(&job_prefix(namespace, job)).await?;
        indexes.sort_unstable();
        Ok(indexes)
    }

    /// The numbers that come next below a prefix.
    async fn below(&self, prefix: &str) -> Result<Vec<u32>, ReadError> {
        let at = self.path(prefix).map_err(ReadError::Store)?;
        let listed = self.objects.list_with_delimiter(Some(&at)).await.map_err(ReadError::Store)?;
        let number = |p: &object_store::path::Path| p.filename().and_then(|name| name.parse::<u32>().ok());
        Ok(listed.common_prefixes.iter().filter_map(number).collect())
    }

    /// Some bytes of a stored file, as they come.
    pub async fn read(
        &self,
        key: &ResultKey,
        file: &StoredFile,
        bytes: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, ReadError>>, ReadError> {
        if bytes.start > bytes.end || bytes.end > file.size {
            let (path, size) = (file.path.clone(), file.size);
            return Err(ReadError::Range { path, size, start: bytes.start, end: bytes.end });
        }
        if bytes.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let at = self.path(&key.object(&file.object)).map_err(ReadError::Store)?;
        let options = GetOptions { range: Some(GetRange::Bounded(bytes)), ..GetOptions::default() };
        match self.objects.get_opts(&at, options).await {
            Ok(got) => Ok(got.into_stream().map_err(ReadError::Store).boxed()),
            Err(object_store::Error::NotFound { .. }) => Err(ReadError::Gone(file.path.clone())),
            Err(error) => Err(ReadError::Store(error)),
        }
    }

    /// A stored file as a new file, which is left only if its sum is right. The folder must belong to the caller alone.
    pub async fn fetch(&self, key: &ResultKey, file: &StoredFile, to: &Path) -> Result<(), FetchError> {
        let stream = self.read(key, file, 0..file.size).await?;
        let failed = |source| FetchError::Io { path: to.to_owned(), source };
        let out = tokio::fs::OpenOptions::new().write(true).create_new(true).open(to).await.map_err(failed)?;
        let copied = copy(stream, file, out, to).await;
        if copied.is_err() {
            // The error says what went wrong; that its rest cannot be removed either adds nothing to it.
            let _ = tokio::fs::remove_file(to).await;
        }
        copied
    }
}

async fn copy(
    mut stream: BoxStream<'static, Result<Bytes, ReadError>>,
    file: &StoredFile,
    mut out: tokio::fs::File,
    to: &Path,
) -> Result<(), FetchError> {
    let failed = |source| FetchError::Io { path: to.to_owned(), source };
    let mut sum = Sum::new();
    while let Some(piece) = stream.try_next().await? {
        sum.add(&piece);
        out.write_all(&piece).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)?;
    let found = sum.finish();
    if found != file.sha256 {
        return Err(FetchError::Sum { path: file.path.clone(), wanted: file.sha256.clone(), found });
    }
    Ok(())
}
