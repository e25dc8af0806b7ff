//! The store itself: one handle over whatever kind it is. Comes in: a location. Goes out: a cloneable [`Store`]; what can be done with
//! it stands in `upload`, `download` and `remove`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use cloudai_types::limits;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::signer::Signer;
use tokio::sync::Semaphore;

use crate::location::{Location, LocationError, StoreConfig};

/// A key file holds one line.
const KEY_FILE_BYTES_MAX: u64 = 4 << 10;
const REGION_DEFAULT: &str = "us-east-1";

#[derive(Clone)]
pub struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Before every key; empty: nothing.
    pub(crate) prefix: String,
    /// Makes addresses, where the store can.
    pub(crate) signer: Option<Arc<dyn Signer>>,
    /// The directory, where it is one.
    pub(crate) directory: Option<PathBuf>,
    /// What is older, no upload of this process writes.
    pub(crate) opened: SystemTime,
    /// Parts in memory, of all uploads together.
    pub(crate) parts: Arc<Semaphore>,
    pub(crate) part_bytes: usize,
    pub(crate) shown: String,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.shown).finish()
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("results: {0}")]
    Location(#[from] LocationError),
    #[error("results: the directory {} cannot be made", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("results: the key file {} cannot be read", path.display())]
    KeyFile { path: PathBuf, source: std::io::Error },
    #[error("results: the store cannot be used")]
    Store(#[from] object_store::Error),
}

impl Store {
    /// Makes a directory that is not there; a bucket must be there, and is not asked before it is used.
    pub fn open(config: &StoreConfig) -> Result<Store, OpenError> {
        match Location::parse(config)? {
            Location::Directory(path) => {
                std::fs::create_dir_all(&path).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
                // Whoever is told of a success finds it after a power cut.
                let objects = LocalFileSystem::new_with_prefix(&path)?.with_fsync(true);
                Ok(Store { directory: Some(path), ..Store::over(Arc::new(objects), "", &config.location) })
            }
            Location::S3 { bucket, prefix } => {
                // An error says that one is installed already, which is ours (ADR 0003).
                let _ = rustls::crypto::ring::default_provider().install_default();
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
                if !config.region.is_empty() {
                    builder = builder.with_region(&config.region);
                } else if std::env::var_os("AWS_REGION").is_none() && std::env::var_os("AWS_DEFAULT_REGION").is_none() {
                    builder = builder.with_region(REGION_DEFAULT);
                }
                if !config.endpoint.is_empty() {
                    builder =
                        builder.with_endpoint(&config.endpoint).with_allow_http(config.endpoint.starts_with("http://"));
                }
                if !config.access_key_id.is_empty() {
                    builder = builder
                        .with_access_key_id(&config.access_key_id)
                        .with_secret_access_key(read_key(&config.secret_access_key_file)?);
                }
                let bucket = Arc::new(builder.build()?);
                Ok(Store { signer: Some(bucket.clone()), ..Store::over(bucket, &prefix, &config.location) })
            }
        }
    }

    /// For tests and simulations: gone with its last handle.
    pub fn in_memory() -> Store {
        Store::over(Arc::new(InMemory::new()), "", "memory")
    }

    pub(crate) fn over(objects: Arc<dyn ObjectStore>, prefix: &str, shown: &str) -> Store {
        Store {
            objects,
            prefix: prefix.to_owned(),
            signer: None,
            directory: None,
            opened: SystemTime::now(),
            parts: Arc::new(Semaphore::new(limits::RESULT_PARTS_IN_MEMORY)),
            part_bytes: limits::RESULT_PART_BYTES,
            shown: shown.to_owned(),
        }
    }

    /// The location, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Keys are made of checked names: this fails for none of ours.
    pub(crate) fn path(&self, key: &str) -> Result<Path, object_store::Error> {
        let whole = if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Ok(Path::parse(whole)?)
    }
}

fn read_key(path: &std::path::Path) -> Result<String, OpenError> {
    use std::io::Read as _;
    let failed = |source| OpenError::KeyFile { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_opened_where_the_configuration_says() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("deep/results");
        let store = Store::open(&StoreConfig::directory(&at)).unwrap();
        assert!(at.is_dir() && store.directory == Some(at));
        let key = dir.path().join("key");
        let s3 = StoreConfig {
            location: "s3://bucket/pre/fix".into(),
            endpoint: "http://127.0.0.1:9".into(),
            region: String::new(),
            access_key_id: "id".into(),
            secret_access_key_file: key.clone(),
        };
        assert!(matches!(Store::open(&s3), Err(OpenError::KeyFile { .. })), "nothing is opened without its key");
        std::fs::write(&key, "secret\n").unwrap();
        let store = Store::open(&s3).unwrap();
        assert_eq!(store.path("a/b").unwrap().as_ref(), "pre/fix/a/b");
        assert!(!format!("{store:?}").contains("secret"));
    }
}
