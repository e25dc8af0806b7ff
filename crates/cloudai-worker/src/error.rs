//! Why a worker cannot run.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::join::JoinError;

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("the worker's configuration: {0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Reserve(#[from] crate::capacity::ReserveError),
    #[error("the data directory {} cannot be used: {source}", path.display())]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("another worker is running with the data directory {}: stop it, or give this one a directory of its own", .0.display())]
    DataDirInUse(PathBuf),
    #[error("{0}")]
    Join(#[from] JoinError),
    #[error("the worker's identity: {0}")]
    Identity(#[from] cloudai_net::tls::TlsError),
    #[error("the certificate in {} is for {found}, and this is worker '{wanted}': use the directory of '{wanted}', or authorise it anew", dir.display())]
    OtherName { dir: PathBuf, found: String, wanted: String },
    #[error("the container engine at {} does not answer: {reason}; start it (for example: systemctl start docker), or give its socket as docker_socket", socket.display())]
    Engine { socket: PathBuf, reason: String },
    #[error("the journal in {} cannot be used: {source}", path.display())]
    Journal { path: PathBuf, source: std::io::Error },
    #[error("allowed_mounts: {} cannot be resolved: {source}", path.display())]
    AllowedMount { path: PathBuf, source: std::io::Error },
    #[error("{}", said(.0))]
    Results(#[from] cloudai_objects::OpenError),
    #[error("log_mirror: the folder {} cannot be written to: {source}; give this worker the right to, or leave log_mirror out", path.display())]
    LogMirror { path: PathBuf, source: std::io::Error },
    #[error("metrics cannot be served on {addr}: {source}")]
    Metrics { addr: String, source: std::io::Error },
}

/// With what is behind it: a store has much to say about why it cannot be used.
fn said(error: &cloudai_objects::OpenError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
