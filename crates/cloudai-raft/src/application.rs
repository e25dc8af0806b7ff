//! What the group replicates: an application that changes only through committed entries.
//! Comes in: entries in log order, each once, and the command to write them down. Goes out: replies, and checkpoints
//! for masters that are too far behind. The application never learns who leads or how a log is stored.

use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::codec;

/// A checkpoint that still has to be written to disk. Made by `Application::checkpoint` in no time, run on a
/// blocking thread while entries go on being applied. It creates the directory that it is given (which does not
/// exist yet; its parent does), writes flat files into it, fsyncs them, and returns the mark **read from inside the
/// checkpoint**, so that data and mark can never differ.
pub type CheckpointJob = Box<dyn FnOnce(&Path) -> io::Result<Bytes> + Send + 'static>;

/// The state that every master computes alike.
///
/// Durability: `commit` need not reach the disk. After a crash the log applies again what is missing, from
/// the mark on; that is why changes and mark must be one atomic batch.
pub trait Application: Send + 'static {
    /// What the proposer of an entry gets to see of its result.
    type Reply: Send + 'static;

    /// Apply one entry. Called once per entry, in order. The change needs to be readable (for the next `apply`)
    /// at once and on disk only after `commit`. An `Err` stops the node: use it for broken storage and for commands
    /// that this version does not know, never for a refusal.
    fn apply(&mut self, index: u64, payload: Bytes) -> io::Result<Self::Reply>;

    /// This index carries nothing for the application (a new leader's blank entry, a membership change). Its
    /// applied index is exact only if it counts these too. `begins`: the term that begins with this entry, which is then a new leader's blank
    /// one.
    fn skip(&mut self, index: u64, begins: Option<u64>);

    /// Write everything since the last `commit` in ONE atomic batch together with `mark` (opaque; it replaces the old
    /// one). Called after each bounded run of `apply` and `skip`; replies leave only after it returned.
    fn commit(&mut self, mark: Bytes) -> io::Result<()>;

    /// The mark of the last `commit` or `install` that survived; `None` in an empty state.
    fn mark(&self) -> io::Result<Option<Bytes>>;

    /// Hold a consistent view and return the work of writing it out. Called between `commit` and the next `apply`.
    fn checkpoint(&self) -> io::Result<CheckpointJob>;

    /// Replace the whole state (and its mark) by the checkpoint in `dir`, durably, before it returns. `dir` stays the
    /// caller's: link or copy the files, never move or change them. Runs on a blocking thread.
    fn install(&mut self, dir: &Path) -> io::Result<()>;
}

/// The applied index that a mark stands for; 0: nothing of the application's. For an application that wants to know
/// where it is after a start or an install, before its next entry.
pub fn index_of_mark(mark: &Bytes) -> io::Result<u64> {
    let (applied, _) = codec::mark_from(mark.clone())?;
    Ok(applied.map_or(0, |id| id.index))
}
