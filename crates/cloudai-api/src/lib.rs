//! The HTTP side of masters (7600) and workers (7610): the pages that need no identity, `/metrics`, `/livez` and `/readyz`, and on masters
//! `/service-discovery`, which does.
//!
//! Comes in: verified connections of cloudai-net, and a [`Health`] that knows how this process is. Goes out: answers; every error is a
//! problem object (RFC 9457). This crate deliberately knows no Raft and no task.

pub mod discovery;
mod guard;
pub mod health;
pub mod problem;
mod routes;
mod serve;

pub use discovery::{Role, Target};
pub use health::{Component, Health, NotReady};
pub use problem::Problem;
pub use routes::router;
pub use serve::serve;
