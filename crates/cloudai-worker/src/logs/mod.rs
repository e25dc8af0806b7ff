//! Logs of attempts, on this worker's disk. Comes in: what a program wrote, with its times. Goes out: the same, to any number of
//! readers, also while it runs; where the operator wants it, to a [`Mirror`] for log shippers; and once the attempt has ended, to the store, where there is one. A log is bounded and says so where it was
//! cut; all logs together are bounded too.
//!
//! It does not know the engine that the log comes from, nor the stream on which it leaves.

mod kept;
mod mirror;
mod mirror_lines;
mod reader;
mod shipping;
mod store;
mod writer;

pub use cloudai_logs::{Frame, Selection, Source};
pub use mirror::Mirror;
pub use reader::{LogReader, OpenError};
pub use shipping::ship;
pub use store::LogStore;
pub use writer::LogWriter;
