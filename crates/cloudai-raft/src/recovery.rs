//! What a start finds: a log, a state and checkpoints that a power cut has set back each on its own. Comes in: all three, as they are on
//! the disk. Goes out: a log that openraft can go on from, or the reason why there is none. Knows nothing of other masters.

use std::io;

use openraft::RaftSnapshotBuilder as _;
use openraft::storage::RaftStateMachine as _;

use crate::application::Application;
use crate::codec;
use crate::error::StartError;
use crate::log_store::{LogPosition, LogStore};
use crate::machine::Machine;
use crate::snapshot::Snapshots;

/// The entry that the newest checkpoint ends with.
fn newest_checkpoint(snapshots: &Snapshots) -> io::Result<Option<LogPosition>> {
    let newest = snapshots.newest().map(|s| s.meta()).transpose()?;
    Ok(newest.and_then(|m| m.last_log_id).as_ref().map(codec::position))
}

/// What the log no longer has must be in the state, or in a checkpoint to install from.
pub(crate) fn no_hole<A: Application>(
    log: &impl LogStore,
    machine: &Machine<A>,
    snapshots: &Snapshots,
) -> Result<(), StartError> {
    let storage = |e: io::Error| StartError::Storage(e.to_string());
    let purged = log.bounds().map_err(storage)?.purged.map_or(0, |p| p.index);
    let applied = machine.position().map_or(0, |p| p.index);
    let snapshot = newest_checkpoint(snapshots).map_err(storage)?.map_or(0, |p| p.index);
    match purged > applied.max(snapshot) {
        true => Err(StartError::Hole { purged, applied, snapshot }),
        false => Ok(()),
    }
}

/// Whether the log goes on from a committed entry, or a power cut has set it back behind that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// It holds the entry, or was purged up to it.
    Continues,
    /// It ends before it.
    Short,
    /// It holds another entry in its place: what a deposed leader wrote, which the lost part had cut off.
    Stale,
}

fn tail(log: &impl LogStore, committed: LogPosition) -> io::Result<Tail> {
    let bounds = log.bounds()?;
    if bounds.purged.is_some_and(|p| p.index >= committed.index) {
        return Ok(Tail::Continues);
    }
    let there = log.read(committed.index, committed.index + 1, usize::MAX)?;
    Ok(match there.first() {
        None => Tail::Short,
        Some(entry) if entry.term == committed.term => Tail::Continues,
        Some(_) => Tail::Stale,
    })
}

/// A master applies what a quorum has, before its own disk has synced it; when its power fails then, the log falls back behind the
/// state. openraft counts the missing entries as purged, but keeps an older checkpoint as its newest: no follower that needs what
/// lies between the two could be served (and its own debug assertion fails). So the state is written out first, which also makes it
/// durable before the log is given up. And what a deposed leader left in the log at or after that place can come back with the
/// fall; it was never committed, and openraft refuses to start over it. It is cut off again.
pub(crate) async fn cover_lost_tail<A: Application>(
    log: &impl LogStore,
    machine: &mut Machine<A>,
    snapshots: &Snapshots,
) -> io::Result<()> {
    let checkpoint = newest_checkpoint(snapshots)?;
    // openraft installs a checkpoint that is ahead of the state, before it looks at the log.
    let Some(committed) = machine.position().max(checkpoint) else { return Ok(()) };
    let tail = tail(log, committed)?;
    if tail == Tail::Continues {
        return Ok(());
    }
    if checkpoint < Some(committed) {
        tracing::warn!(?committed, ?tail, "the log lost a tail that the state has; a checkpoint takes its place");
        machine.get_snapshot_builder().await.build_snapshot().await?;
    }
    if tail == Tail::Stale {
        log.truncate_after(committed.index.checked_sub(1))?;
    }
    Ok(())
}
