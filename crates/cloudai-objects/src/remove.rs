//! Removal of results. Comes in: an attempt or a whole job. Goes out: an empty place in the store. The manifest goes first: a removal
//! that breaks off leaves objects that nobody sees, and the next one ends it.

use std::time::SystemTime;

use cloudai_types::{AttemptId, JobId, TaskId};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use crate::download::ReadError;
use crate::key::{ResultKey, job_prefix};
use crate::store::Store;
use crate::upload::{UploadError, blocking};

/// Why something is not removed, or not all of it. To be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("what is to be removed cannot be listed: {0}")]
    List(#[from] ReadError),
    #[error("the store does not remove it: {0}")]
    Store(#[source] object_store::Error),
    #[error("what a broken upload left cannot be removed")]
    Leftovers(#[source] std::io::Error),
}

/// `NAME#N` is what the directory's store writes to before it renames it to `NAME`; no object of ours is named so.
/// Only of what is older than `before`: an upload that was given up may still be writing.
fn sweep(at: &std::path::Path, before: SystemTime) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(at) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sweep(&entry.path(), before)?;
        } else if entry.file_name().as_encoded_bytes().contains(&b'#') && is_older(&entry, before) {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// One that has vanished is nobody's to remove.
fn is_older(entry: &std::fs::DirEntry, before: SystemTime) -> bool {
    entry.metadata().and_then(|m| m.modified()).is_ok_and(|modified| modified < before)
}

impl Store {
    /// Everything of one attempt. Nothing there is no error.
    pub async fn remove(&self, key: &ResultKey) -> Result<(), RemoveError> {
        let manifest = self.path(&key.manifest()).map_err(RemoveError::Store)?;
        match self.objects.delete(&manifest).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(RemoveError::Store(error)),
        }
        self.remove_below(&key.prefix()).await
    }

    /// Everything of a job, one attempt after the other.
    pub async fn remove_job(&self, namespace: &str, job: JobId) -> Result<(), RemoveError> {
        // Nothing is stored under what is no name, and nothing is removed there either.
        if ResultKey::new(namespace, AttemptId::new(job, 0, 1)).is_err() {
            return Ok(());
        }
        for index in self.indexes(namespace, job).await? {
            let task = TaskId { job, index };
            while let Some((key, _)) = self.task(namespace, task).await? {
                self.remove(&key).await?;
            }
        }
        // What has no manifest: broken uploads.
        self.remove_below(&job_prefix(namespace, job)).await
    }

    /// Files that were being written when an earlier process was killed, of an attempt that is stored now: nobody else writes there, and no listing
    /// shows them. A bucket's own rule removes what lies there.
    pub(crate) async fn sweep(&self, key: &ResultKey) -> Result<(), UploadError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let at = directory.join(key.prefix());
        let before = self.opened;
        let swept = blocking(move || sweep(&at, before)).await?;
        swept.map_err(UploadError::Leftovers)
    }

    pub(crate) async fn remove_below(&self, prefix: &str) -> Result<(), RemoveError> {
        let at = self.path(prefix).map_err(RemoveError::Store)?;
        let listed = self.objects.list(Some(&at)).map_ok(|object| object.location).boxed();
        let mut removed = self.objects.delete_stream(listed);
        while let Some(one) = removed.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(RemoveError::Store(error)),
            }
        }
        // Empty folders, and files that were being written when their writer was killed: no listing shows them.
        if let Some(directory) = &self.directory {
            match tokio::fs::remove_dir_all(directory.join(prefix)).await {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(RemoveError::Leftovers(error)),
            }
        }
        Ok(())
    }
}
