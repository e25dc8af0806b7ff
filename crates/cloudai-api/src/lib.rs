//! The HTTP side of masters (7600) and workers (7610): the pages that need no identity, `/metrics`, `/livez` and `/readyz`, and on masters
//! `/service-discovery`, `/workers`, `/telemetry` and their WebSockets, which do.
//!
//! Comes in: verified connections of cloudai-net, a [`Health`] that knows how this process is, and on masters a [`Live`] that knows what goes on. Goes
//! out: answers; every error is a
//! problem object (RFC 9457). This crate deliberately knows no Raft and no task.

pub mod discovery;
mod guard;
pub mod health;
pub mod live;
mod live_routes;
pub mod problem;
mod routes;
mod serve;
mod site;
mod socket;

pub use discovery::{Role, Target};
pub use health::{Component, Health, NotReady};
pub use live::{Closed, Live, LiveError, Said};
pub use problem::Problem;
pub use routes::router;
pub use serve::serve;
pub use site::{OriginError, Origins, Site};
