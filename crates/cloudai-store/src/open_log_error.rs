//! Why a log does not open, and what the operator does next. Comes in: what RocksDB and the checks of `log.rs` found. Goes
//! out: words.

use std::io;

/// Why a log cannot be used. Every variant but the first two means: quarantine this directory, remove the node from the
/// cluster, and let it join again under a new id.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// Another process runs on this directory.
    #[error("the log in {path} is in use by another process: {source}")]
    InUse {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot open the log in {path}: {source}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
    /// RocksDB found damage that is not a torn tail.
    #[error(
        "the log in {path} is damaged: {source}. Move the directory away, remove this master, and let it join under a new id"
    )]
    Damaged {
        path: String,
        #[source]
        source: io::Error,
    },
    /// Not a torn tail: these writes had been synced.
    #[error(
        "the log in {path} lost its last {lost} writes, which had been synced to the disk. Move the directory away, remove this master, and let it join under a new id"
    )]
    Short { path: String, lost: u64 },
    #[error(
        "the log in {path} lacks entry {missing}. Move the directory away, remove this master, and let it join under a new id"
    )]
    Gap { path: String, missing: u64 },
    #[error(
        "entry {index} of the log in {path} is damaged: {why}. Move the directory away, remove this master, and let it join under a new id"
    )]
    BadEntry { path: String, index: u64, why: &'static str },
}

impl OpenLogError {
    /// The content is wrong, not the way to it.
    pub fn is_damage(&self) -> bool {
        match self {
            OpenLogError::InUse { .. } | OpenLogError::Io { .. } => false,
            OpenLogError::Damaged { .. }
            | OpenLogError::Short { .. }
            | OpenLogError::Gap { .. }
            | OpenLogError::BadEntry { .. } => true,
        }
    }
}
