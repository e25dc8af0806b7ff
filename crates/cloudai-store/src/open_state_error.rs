//! Why a state cannot be used. Comes in: what the file system and RocksDB said. Goes out: an error that says what to do next.

use std::io;

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenStateError {
    #[error("the state in {path} is in use by another process: {source}")]
    InUse {
        path: String,
        #[source]
        source: io::Error,
    },
    /// The log cannot make up for it if it was purged meanwhile.
    #[error(
        "the state in {path} is damaged: {source}. Move the directory away, remove this master, and let it join under a new id"
    )]
    Damaged {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot open the state in {path}: {source}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl OpenStateError {
    /// The content is wrong, not the way to it.
    pub fn is_damage(&self) -> bool {
        match self {
            OpenStateError::InUse { .. } | OpenStateError::Io { .. } => false,
            OpenStateError::Damaged { .. } => true,
        }
    }
}
