//! Notices a disk that hangs. A leader whose disk hangs still sends heartbeats, so nobody else would lead.
//! Comes in: since when the log's sync thread and `commit` have been busy. Goes out: one call of `on_hung`.
//! Runs on a thread of its own, because the async runtime may be what hangs.

use std::time::Duration;

/// What to do about a hung disk.
pub struct Watchdog {
    /// One fsync or one commit that takes longer than this is a hung disk (10 s by default).
    pub limit: Duration,
    /// Called once, from the watchdog's thread, after the leadership was offered to another master. Should end the process.
    pub on_hung: Box<dyn FnOnce(Hung) + Send + 'static>,
}

/// What hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hung {
    pub what: HungPart,
    pub for_at_least: Duration,
}

/// Where the disk hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HungPart {
    LogSync,
    Commit,
}

impl Watchdog {
    /// The default limit of 10 s.
    pub fn new(on_hung: impl FnOnce(Hung) + Send + 'static) -> Watchdog {
        Watchdog { limit: Duration::from_secs(10), on_hung: Box::new(on_hung) }
    }
}
