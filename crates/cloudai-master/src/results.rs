//! Stored results, as a master reads them for users. Comes in: which attempt's. Goes out: its manifest, remembered while its files are
//! read one after the other. Whether there is an attempt, and who asks, is not known here.

use std::sync::{Arc, Mutex};

use cloudai_objects::{Manifest, OpenError, ReadError, ResultKey, Store, StoreConfig};
use cloudai_proto::v1 as pb;
use tonic::Status;

const UNPOISONED: &str = "nothing panics under this lock";

pub struct StoredResults {
    /// `None`: the operator named none.
    store: Option<Store>,
    /// The manifest that was read last: a result does not change.
    last: Mutex<Option<(ResultKey, Arc<Manifest>)>>,
}

impl StoredResults {
    /// Makes a directory that is not there.
    pub fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let store = if config.is_unset() { None } else { Some(Store::open(config)?) };
        Ok(Self::new(store))
    }

    pub fn new(store: Option<Store>) -> Self {
        StoredResults { store, last: Mutex::new(None) }
    }

    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    pub fn require_store(&self) -> Result<&Store, Status> {
        self.store.as_ref().ok_or_else(|| {
            pb::ErrorInfo::new(pb::ErrorKind::Unreachable, "this master has no store to read results from")
                .why("its configuration names no results.location")
                .next("name the workers' store in each master's configuration, or read the store directly")
                .into_status()
        })
    }

    pub async fn manifest(&self, key: &ResultKey) -> Result<Arc<Manifest>, Status> {
        let known = self.last.lock().expect(UNPOISONED).clone();
        if let Some((of, manifest)) = known
            && of == *key
        {
            return Ok(manifest);
        }
        let Some(manifest) = self.require_store()?.manifest(key).await.map_err(|e| unread(&e))? else {
            let what = format!("the results of attempt {} are not in the store any more", key.attempt);
            return Err(pb::ErrorInfo::new(pb::ErrorKind::NotFound, what)
                .why("somebody removed them, or this master's results.location is not the workers'")
                .into_status());
        };
        let manifest = Arc::new(manifest);
        *self.last.lock().expect(UNPOISONED) = Some((key.clone(), manifest.clone()));
        Ok(manifest)
    }
}

/// What is gone is not found; a store that does not answer may answer later.
pub fn unread(error: &ReadError) -> Status {
    let kind = match error {
        ReadError::Gone(_) => pb::ErrorKind::NotFound,
        ReadError::Range { .. } => pb::ErrorKind::Invalid,
        ReadError::Store(_) => pb::ErrorKind::Unreachable,
        ReadError::ManifestTooLarge(_) | ReadError::Manifest(_) => pb::ErrorKind::Internal,
    };
    pb::ErrorInfo::new(kind, "results cannot be read from the store").why(error.to_string()).into_status()
}

/// Why there is no store, with what is behind it.
pub fn said(error: &OpenError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
