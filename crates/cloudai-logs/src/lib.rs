//! Logs of attempts, as bytes: how a log file is written, which part of one a reader wants, and how it travels. A worker's file and the object
//! that a store keeps of it have the same bytes, so whoever has either reads it with this.
//!
//! Comes in: frames, or pieces of a file cut anywhere. Goes out: bytes, or the frames that are wanted, in messages of bounded size.
//! Everything is pure: this crate deliberately knows no file, no store, no connection and no attempt.

mod decoder;
mod frame;
mod selection;
mod tail;
mod wire;

pub use decoder::Decoder;
pub use frame::{FRAME_BYTES_MAX, Frame, MAGIC, Source, parse};
pub use selection::Selection;
pub use tail::Tail;
pub use wire::messages;
