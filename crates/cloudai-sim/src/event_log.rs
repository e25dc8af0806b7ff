//! What happened, line by line. Comes in: a time, a place, a text. Goes out: bytes that are the same for the same seed. Nothing
//! that differs between two runs may enter: no address, no system time, no order of a hash map.

use std::fmt::{Arguments, Write};
use std::sync::{Arc, Mutex};

/// Cheap to clone; all clones write to the same log.
#[derive(Clone, Default)]
pub struct EventLog(Arc<Mutex<String>>);

impl EventLog {
    pub fn add(&self, at_ms: u64, place: &str, what: Arguments) {
        let mut text = self.0.lock().expect("writing to a string does not panic");
        writeln!(text, "{:>4}.{:03} {place:<4} {what}", at_ms / 1_000, at_ms % 1_000).expect("a string takes it");
    }

    pub fn text(&self) -> String {
        self.0.lock().expect("writing to a string does not panic").clone()
    }
}
