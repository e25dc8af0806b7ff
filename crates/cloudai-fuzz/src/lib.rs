//! Fuzzers of everything that is parsed.
