//! Fuzzers of everything that is parsed. Comes in: bytes of nobody. Goes out: nothing, or a panic, which is a crash. Each target is a
//! file under `targets`; what libFuzzer, the corpora and the scripts do with it is not known there.
//!
//! Three ways to run a target: the binary under libFuzzer (`deploy/fuzz.sh`), the kept inputs as an ordinary test
//! (`tests/corpus.rs`), and one file by hand: `FUZZ_TARGET=spec cloudai-fuzz FILE`.

mod master;
pub mod targets;

/// One fuzzer.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// What it takes, for the table.
    pub about: &'static str,
    pub run: fn(&[u8]),
    /// Longer inputs find nothing that shorter ones do not.
    pub bytes_max: usize,
}

pub const TARGETS: [Target; 9] = [
    Target { name: "spec", about: "job files, flags, references, specs", run: targets::spec::run, bytes_max: 4096 },
    Target { name: "proto", about: "every message, and its conversions", run: targets::proto::run, bytes_max: 4096 },
    Target { name: "apply", about: "sequences of log entries", run: targets::apply::run, bytes_max: 8192 },
    Target { name: "log", about: "records, entries, votes, frames", run: targets::log::run, bytes_max: 4096 },
    Target { name: "token", about: "join tokens, requests, identities", run: targets::token::run, bytes_max: 4096 },
    Target { name: "http", about: "HTTP routes", run: targets::http::run, bytes_max: 4096 },
    Target { name: "grpc", about: "gRPC routes of a running master", run: targets::grpc::run, bytes_max: 4096 },
    Target { name: "history", about: "files of what was used", run: targets::history::run, bytes_max: 2048 },
    Target { name: "tls", about: "the three ports before TLS", run: targets::tls::run, bytes_max: 2048 },
];

pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|t| t.name == name)
}
