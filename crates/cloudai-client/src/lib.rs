//! The client: typed calls to whichever master answers. Comes in: addresses of masters, an identity directory, requests. Goes
//! out: replies, streams that survive a change of leader, and errors that tell "refused", "not reached" and "unknown" apart.
//!
//! A request that may be repeated is sent to one master after the other, with the same request id, until one answers or the
//! time is up. This crate deliberately knows no table, no exit code and no file format.

mod call;
mod calls;
mod client;
mod error;
mod events;
mod judge;
mod logs;
mod results;
mod resumed;
mod submit;
mod telemetry;
mod wait;

pub use client::{Client, ClientOptions};
pub use error::{CallError, OpenError, SubmitError};
pub use events::EventStream;
pub use logs::LogStream;
pub use results::FileStream;
pub use submit::{SubmitStream, request_id};
pub use telemetry::TelemetryStream;
pub use wait::WaitStream;
