//! One attempt's output folder into the store. Comes in: the folder, and whose it is. Goes out: objects, and last of all the manifest
//! that makes them a result.
//!
//! Memory is bounded by the store's parts, whatever the files' sizes and number. Every file is read once: its sum is that of the bytes
//! that were sent. An upload that is dropped or killed leaves objects without a manifest, which the next one writes over.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use cloudai_types::limits;
use futures::TryStreamExt as _;
use futures::stream::FuturesOrdered;
use object_store::{ObjectStoreExt as _, PutPayload};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use crate::download::ReadError;
use crate::folder::{Folder, WalkError};
use crate::key::{self, ResultKey};
use crate::manifest::{LeftOut, Manifest, StoredFile, Why};
use crate::media_type;
use crate::store::Store;
use crate::sum::Sum;

/// Why an attempt's results are not stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the output folder cannot be opened")]
    Folder(#[source] io::Error),
    #[error("the output folder cannot be stored: {0}")]
    Walk(#[from] WalkError),
    #[error("'{path}' cannot be read")]
    File { path: String, source: io::Error },
    #[error("'{path}' has more than {} bytes", limits::RESULT_FILE_BYTES_MAX)]
    FileTooLarge { path: String },
    #[error("all files together have more than {} bytes", limits::RESULT_TOTAL_BYTES_MAX)]
    TooLarge,
    #[error("an earlier manifest of this attempt cannot be read")]
    Earlier(#[source] ReadError),
    #[error("what a broken upload left cannot be removed")]
    Leftovers(#[source] io::Error),
    #[error("the store does not take '{path}'")]
    Store { path: String, source: object_store::Error },
    /// The worker stops.
    #[error("the upload was ended from outside")]
    Ended,
}

impl UploadError {
    /// The task wrote what cannot be stored: another try fails the same way. Otherwise the store or the machine is at fault.
    pub fn is_the_tasks(&self) -> bool {
        match self {
            UploadError::Walk(WalkError::TooManyFiles | WalkError::TooManyEntries)
            | UploadError::FileTooLarge { .. }
            | UploadError::TooLarge => true,
            UploadError::Folder(_)
            | UploadError::Walk(WalkError::Io { .. })
            | UploadError::File { .. }
            | UploadError::Earlier(_)
            | UploadError::Leftovers(_)
            | UploadError::Store { .. }
            | UploadError::Ended => false,
        }
    }
}

/// What became of one file.
enum Sent {
    Stored(StoredFile),
    LeftOut(LeftOut),
}

/// A file on its way: what was read of it so far.
pub(crate) struct Reading {
    file: File,
    sum: Sum,
    size: u64,
}

impl Store {
    /// Stores what lies in `folder`. An attempt that is stored already is not stored again.
    pub async fn upload(&self, key: &ResultKey, folder: &Path) -> Result<Manifest, UploadError> {
        if let Some(stored) = self.manifest(key).await.map_err(UploadError::Earlier)? {
            return Ok(stored);
        }
        self.sweep(key).await?;
        let at = folder.to_owned();
        let (folder, found) = blocking(move || {
            let folder = Folder::open(&at).map_err(UploadError::Folder)?;
            let found = folder.walk()?;
            Ok::<_, UploadError>((Arc::new(folder), found))
        })
        .await??;
        let total = AtomicU64::new(0);
        let (mut files, mut left_out, mut left_out_total) = (vec![], found.left_out, found.left_out_total);
        let mut waiting = found.files.into_iter().enumerate();
        let mut sending = FuturesOrdered::new();
        loop {
            while sending.len() < limits::RESULT_FILES_AT_ONCE
                && let Some((nth, path)) = waiting.next()
            {
                let object = key::object_name(&path, nth);
                sending.push_back(self.send(key, folder.clone(), path, object, &total));
            }
            match sending.try_next().await? {
                Some(Sent::Stored(file)) => files.push(file),
                Some(Sent::LeftOut(one)) => {
                    left_out_total = left_out_total.saturating_add(1);
                    if left_out.len() < limits::RESULT_LEFT_OUT_MAX {
                        left_out.push(one);
                    }
                }
                None => break,
            }
        }
        let manifest = Manifest::new(key, files, left_out, left_out_total);
        let failed = |source| UploadError::Store { path: "manifest.json".to_owned(), source };
        let at = self.path(&key.manifest()).map_err(failed)?;
        self.objects.put(&at, PutPayload::from(Bytes::from(manifest.to_json()))).await.map_err(failed)?;
        Ok(manifest)
    }

    async fn send(
        &self,
        key: &ResultKey,
        folder: Arc<Folder>,
        path: String,
        object: String,
        total: &AtomicU64,
    ) -> Result<Sent, UploadError> {
        let (name, read_failed) = (path.clone(), path.clone());
        let opened = blocking(move || folder.file(&name)).await?;
        let file = match opened {
            Ok(file) => file,
            Err(error) if was_swapped(&error) => return Ok(Sent::LeftOut(LeftOut::new(&path, Why::Changed))),
            Err(source) => return Err(UploadError::File { path: read_failed, source }),
        };
        let at = self.path(&key.object(&object)).map_err(|source| UploadError::Store { path: path.clone(), source })?;
        let reading = self.send_file(&path, &at, file, total).await?;
        let media_type = media_type::of(&path).to_owned();
        Ok(Sent::Stored(StoredFile { path, size: reading.size, sha256: reading.sum.finish(), media_type, object }))
    }

    /// What the file has from where it stands: in one piece, or in parts. `path`: its name in errors.
    pub(crate) async fn send_file(
        &self,
        path: &str,
        at: &object_store::path::Path,
        file: File,
        total: &AtomicU64,
    ) -> Result<Reading, UploadError> {
        let reading = Reading { file, sum: Sum::new(), size: 0 };
        let (reading, first, permit) = self.part(path, reading, total).await?;
        if first.len() >= self.part_bytes {
            return self.send_parts(path, at, reading, (first, permit), total).await;
        }
        let failed = |source| UploadError::Store { path: path.to_owned(), source };
        self.objects.put(at, PutPayload::from(first)).await.map_err(failed)?;
        drop(permit);
        Ok(reading)
    }

    async fn send_parts(
        &self,
        path: &str,
        at: &object_store::path::Path,
        mut reading: Reading,
        first: (Bytes, OwnedSemaphorePermit),
        total: &AtomicU64,
    ) -> Result<Reading, UploadError> {
        let failed = |source| UploadError::Store { path: path.to_owned(), source };
        let mut upload = self.objects.put_multipart(at).await.map_err(failed)?;
        // Tasks of their own: a part goes on while the next one waits for room, which this part may be holding.
        let mut parts: JoinSet<object_store::Result<()>> = JoinSet::new();
        let mut next = Some(first);
        let sent = async {
            while let Some((bytes, permit)) = next.take() {
                let is_last = bytes.len() < self.part_bytes;
                if !bytes.is_empty() {
                    let part = upload.put_part(PutPayload::from(bytes));
                    parts.spawn(async move {
                        let _held = permit;
                        part.await
                    });
                }
                while let Some(done) = parts.try_join_next() {
                    done.map_err(|_| UploadError::Ended)?.map_err(failed)?;
                }
                if !is_last {
                    let (more, bytes, permit) = self.part(path, reading, total).await?;
                    reading = more;
                    next = Some((bytes, permit));
                }
            }
            while let Some(done) = parts.join_next().await {
                done.map_err(|_| UploadError::Ended)?.map_err(failed)?;
            }
            Ok::<Reading, UploadError>(reading)
        }
        .await;
        match sent {
            Ok(reading) => {
                upload.complete().await.map_err(failed)?;
                Ok(reading)
            }
            Err(error) => {
                parts.shutdown().await;
                // What cannot be taken back is the store's to expire: docs/results.md.
                if let Err(error) = upload.abort().await {
                    tracing::debug!(%error, path, "the parts of a broken upload are left");
                }
                Err(error)
            }
        }
    }

    /// The next part, when there is room for one in memory. Shorter than a part: the last.
    async fn part(
        &self,
        path: &str,
        mut reading: Reading,
        total: &AtomicU64,
    ) -> Result<(Reading, Bytes, OwnedSemaphorePermit), UploadError> {
        let permit = self.parts.clone().acquire_owned().await.map_err(|_| UploadError::Ended)?;
        let most = self.part_bytes;
        let read = blocking(move || {
            let mut part = vec![];
            reading.file.by_ref().take(most as u64).read_to_end(&mut part)?;
            reading.sum.add(&part);
            reading.size += part.len() as u64;
            Ok::<_, io::Error>((reading, Bytes::from(part)))
        })
        .await?;
        let (reading, part) = read.map_err(|source| UploadError::File { path: path.to_owned(), source })?;
        if reading.size > limits::RESULT_FILE_BYTES_MAX {
            return Err(UploadError::FileTooLarge { path: path.to_owned() });
        }
        let before = total.fetch_add(part.len() as u64, Relaxed);
        if before.saturating_add(part.len() as u64) > limits::RESULT_TOTAL_BYTES_MAX {
            return Err(UploadError::TooLarge);
        }
        Ok((reading, part, permit))
    }
}

/// Something else is in the file's place: what a race looks like from here.
fn was_swapped(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    error.kind() == io::ErrorKind::InvalidInput
        || matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::NOENT | Errno::NXIO | Errno::XDEV | Errno::AGAIN))
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, UploadError> {
    // It fails only when the runtime ends.
    tokio::task::spawn_blocking(work).await.map_err(|_| UploadError::Ended)
}

#[cfg(test)]
#[path = "upload_test.rs"]
mod tests;
