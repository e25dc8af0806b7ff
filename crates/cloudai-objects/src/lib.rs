//! Results of tasks in a store of objects: a directory, local or shared, or a bucket of any S3 endpoint.
//!
//! Comes in: a store's location, and the output folder of an attempt that has ended. Goes out: objects below
//! `NAMESPACE/JOB/INDEX/ATTEMPT/`, one per file, and last of all a manifest; then reads, listings and removals of those. A result
//! exists when its manifest exists: what a killed upload left is never seen, and the next upload of the same attempt ends as if it
//! had been the first. Logs of attempts lie beside them. This crate deliberately knows no task's state, no worker, no session: which attempt is to be stored, or was
//! successful, is its caller's to know.

mod download;
mod folder;
mod key;
mod location;
mod log;
mod manifest;
mod media_type;
mod remove;
mod signed;
mod store;
mod sum;
mod upload;

pub use download::{FetchError, ReadError};
pub use folder::{Folder, Found, WalkError};
pub use key::ResultKey;
pub use location::{Location, LocationError, StoreConfig};
pub use manifest::{LeftOut, Manifest, ManifestError, StoredFile, Why};
pub use remove::RemoveError;
pub use store::{OpenError, Store};
pub use upload::UploadError;
