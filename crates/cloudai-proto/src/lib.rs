//! The wire: code generated from `/proto/cloudai/v1`, and what makes it pleasant to use.
//!
//! Comes in: bytes from a connection. Goes out: messages, and domain types parsed once at the edge ([`convert`]); errors
//! with their kind ([`error`]). This crate deliberately knows no connection, no state and no decision.

pub mod convert;
pub mod error;
mod methods;
pub mod names;
mod secrets;

pub use methods::methods;

/// Generated messages, clients and servers of the package `cloudai.v1`. Documentation stands in the .proto files.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("cloudai.v1");
}

#[cfg(test)]
mod twin_test;
