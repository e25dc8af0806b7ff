//! RocksDB for CloudAI: the Raft log ([`RocksLog`]) and the state's rows ([`RocksState`]), two databases per master.
//!
//! Comes in: opaque entries, rows and marks. Goes out: the same, in order and consistent. Deliberately does not know
//! what an entry or a row means; family numbers and encodings belong to the core.

mod db;
mod keys;
mod log;
mod overlay;
mod record;
mod state;
mod sync;

pub use keys::Keys;
pub use log::{LogStats, OpenLogError, RocksLog};
pub use overlay::RowsOverlay;
pub use state::{OpenStateError, RocksState, Row, RowBatch, View};
