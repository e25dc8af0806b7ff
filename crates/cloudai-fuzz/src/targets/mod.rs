//! One fuzzer per file: `run` takes bytes and panics when something is wrong.

pub mod apply;
pub mod grpc;
pub mod history;
pub mod http;
pub mod log;
pub mod proto;
pub mod spec;
pub mod tls;
pub mod token;
