//! RocksDB for CloudAI: the Raft log ([`RocksLog`]) and the state's rows ([`RocksState`]), two databases per master.
//!
//! Comes in: opaque entries, rows and marks. Goes out: the same, in order and consistent. Deliberately does not know
//! what an entry or a row means; family numbers and encodings belong to the core.

mod calm;
mod db;
mod generation;
mod keys;
mod log;
mod open_log_error;
mod open_state_error;
mod options;
mod overlay;
/// Public for the fuzzers only.
#[doc(hidden)]
pub mod record;
mod row_batch;
mod state;
mod sync;
mod synced;

pub use keys::Keys;
pub use log::{LogStats, RocksLog};
pub use open_log_error::OpenLogError;
pub use open_state_error::OpenStateError;
pub use overlay::RowsOverlay;
pub use row_batch::RowBatch;
pub use state::{RocksState, Row, View};
