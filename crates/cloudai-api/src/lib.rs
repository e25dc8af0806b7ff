//! The HTTP side of masters (7600) and workers (7610): for now the pages that need no identity, `/metrics`, `/livez` and `/readyz`.
//!
//! Comes in: verified connections of cloudai-net, and a [`Health`] that knows how this process is. Goes out: answers; every error is a
//! problem object (RFC 9457). This crate deliberately knows no Raft and no task.

mod guard;
pub mod health;
pub mod problem;
mod routes;
mod serve;

pub use health::{Health, NotReady};
pub use problem::Problem;
pub use routes::router;
pub use serve::serve;
