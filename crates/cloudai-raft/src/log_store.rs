//! What the group needs from a disk for its log: opaque entries in order, two small meta values, and group fsync.
//! Comes in: encoded entries and values. Goes out: the same bytes, and one callback per write once it is durable.
//! An implementation knows neither openraft nor what an entry says.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Where an entry stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub term: u64,
    pub index: u64,
}

/// One entry. `body` is this crate's own protobuf; a store keeps it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub term: u64,
    pub index: u64,
    pub body: Bytes,
}

/// What a log holds: the entries after `purged`, up to and with `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogBounds {
    /// Everything up to here was deleted on purpose. `None`: nothing ever was.
    pub purged: Option<LogPosition>,
    /// The last entry that is present. `None`: there is none (whatever was purged).
    pub last: Option<LogPosition>,
}

/// The meta values. An implementation may use the discriminant or `name` as its key; both never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaKey {
    /// Term and vote. Losing it could elect two leaders in a term.
    Vote,
    /// The last index known as committed. An older value only means more entries to apply again after a restart.
    Committed,
}

impl MetaKey {
    pub fn name(self) -> &'static str {
        match self {
            MetaKey::Vote => "vote",
            MetaKey::Committed => "committed",
        }
    }
}

/// What a store holds in memory for speed, in bytes. Each part has a bound of its own in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StoreMemory {
    /// Of what was read.
    pub caches: u64,
    /// Of what was written and is not in a file of its own yet.
    pub write_buffers: u64,
}

/// Told once when a write is on the disk, or that it will never be. May be called from any thread, before or after
/// the call that took it returned, and must not block.
pub type OnDurable = Box<dyn FnOnce(io::Result<()>) + Send + 'static>;

/// Told after each fsync how long it took. Must not block.
pub type OnFsync = Box<dyn Fn(Duration) + Send + Sync + 'static>;

/// A log on some disk. All methods may be called from the async runtime: they may touch the page cache, and they
/// must never wait for an fsync.
///
/// Rules for an implementation:
/// * Writes (`append`, `truncate_after`, `purge`, `save_meta`, `save_meta_synced`) take effect in call order, in
///   memory at once and on disk in the same order: after a crash a prefix of them has happened. openraft calls them
///   one at a time.
/// * An entry can be read as soon as `append` has returned, durable or not.
/// * `on_durable` callbacks are called first in, first out; one fsync may serve many.
/// * An error from any of them stops the node.
pub trait LogStore: Clone + Send + Sync + 'static {
    /// Where the log begins and ends.
    fn bounds(&self) -> io::Result<LogBounds>;

    /// Entries of `[from, to)` in order, without a gap, up to `bytes_max` in total but at least one if `from` is
    /// present. Absent entries are tolerated at both ends only.
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>>;

    /// Add entries; the first one follows the present end (or the purge mark).
    fn append(&self, entries: Vec<LogEntry>, on_durable: OnDurable) -> io::Result<()>;

    /// Delete every entry after `last` (`None`: all of them). Ordered before the next append, and durable with it.
    fn truncate_after(&self, last: Option<u64>) -> io::Result<()>;

    /// Delete every entry up to and with `upto`, and remember `upto` as the purge mark. `upto` may lie beyond the
    /// last entry (after a snapshot was installed).
    fn purge(&self, upto: LogPosition) -> io::Result<()>;

    /// Write a meta value (`None`: delete it) without waiting for the disk. `Committed` may stay in memory until the next
    /// append: it is an optimisation of the next start, and nothing relies on it.
    fn save_meta(&self, key: MetaKey, value: Option<Bytes>) -> io::Result<()>;

    /// Write a meta value and tell when it is durable, in the same order as appends.
    fn save_meta_synced(&self, key: MetaKey, value: Bytes, on_durable: OnDurable) -> io::Result<()>;

    /// The value last written, durable or not.
    fn load_meta(&self, key: MetaKey) -> io::Result<Option<Bytes>>;

    /// Since when the disk has been inside one single fsync; `None` when it is idle. The watchdog for a hung disk
    /// reads it from a thread of its own.
    fn busy_since(&self) -> Option<Instant>;

    /// What it holds in memory; nothing when it has no memory of its own.
    fn memory(&self) -> StoreMemory {
        StoreMemory::default()
    }

    /// Once, before the first write: who is told of each fsync, for metrics. A log without fsyncs tells nobody.
    fn observe_fsyncs(&self, _on_fsync: OnFsync) {}
}
