//! Places where the crash suite ends, fails or delays this process: around every step that writes the log, a vote, the state
//! or a checkpoint. Comes in: what the crate `fail` was told about a name. Goes out: an error, or nothing. Knows nothing of
//! who tests. Without the feature `failpoints` every place is empty and costs nothing.

use std::io;

macro_rules! failpoints {
    ($($place:ident = $name:literal,)*) => {
        /// One place. This list is the whole suite: a place that the suite does not reach fails it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Failpoint { $($place,)* }

        impl Failpoint {
            pub const ALL: &[Failpoint] = &[$(Failpoint::$place,)*];

            /// What `fail::cfg` and the environment call it.
            pub fn name(self) -> &'static str {
                match self { $(Failpoint::$place => $name,)* }
            }
        }
    };
}

failpoints! {
    // The log. "written": RocksDB has it, nothing is fsynced.
    LogAppend = "log.append",
    LogAppendWritten = "log.append.written",
    LogSync = "log.sync",
    LogSyncFlushed = "log.sync.flushed",
    LogSyncNoted = "log.sync.noted",
    LogVote = "log.vote",
    LogVoteWritten = "log.vote.written",
    LogCommitted = "log.committed",
    LogTruncate = "log.truncate",
    LogTruncateWritten = "log.truncate.written",
    LogPurge = "log.purge",
    LogPurgeWritten = "log.purge.written",
    // The state machine.
    Apply = "apply",
    Applied = "apply.done",
    ApplyCommit = "apply.commit",
    ApplyCommitted = "apply.committed",
    StateWrite = "state.write",
    StateWritten = "state.written",
    // A checkpoint in the making.
    CheckpointStart = "checkpoint",
    CheckpointCopied = "checkpoint.copied",
    CheckpointSynced = "checkpoint.synced",
    SnapshotComplete = "snapshot.complete",
    SnapshotNamed = "snapshot.named",
    SnapshotAdopt = "snapshot.adopt",
    // On its way.
    SnapshotSend = "snapshot.send",
    SnapshotSendChunk = "snapshot.send.chunk",
    SnapshotReceive = "snapshot.receive",
    SnapshotReceiveChunk = "snapshot.receive.chunk",
    SnapshotReceived = "snapshot.received",
    // Its installation.
    Install = "install",
    InstallCopied = "install.copied",
    InstallOpened = "install.opened",
    InstallCurrent = "install.current",
    Installed = "install.done",
}

impl Failpoint {
    /// Does what was asked for this place.
    #[cfg(feature = "failpoints")]
    pub fn hit(self) -> io::Result<()> {
        let failed = fail::eval(self.name(), |_| io::Error::other(format!("failpoint {}", self.name())));
        failed.map_or(Ok(()), Err)
    }

    #[cfg(not(feature = "failpoints"))]
    #[inline(always)]
    pub fn hit(self) -> io::Result<()> {
        Ok(())
    }
}
