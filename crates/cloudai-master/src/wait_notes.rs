//! What a leader writes down of waiting tasks: why they wait, where that lasts. Comes in: the state, every [`limits::NOTES_LOOK_EVERY`]. Goes out: one
//! logged command with the reasons that have changed, or none. What was noted before is read from its rows, so a new leader goes on where the
//! last one was. Each look at the state is short: the lock is given back between two of them.

use std::collections::BTreeMap;

use cloudai_core::command::{Kind, NOTES_SINCE, NoteReasons, ReasonNote};
use cloudai_core::rows::{Family, JobNotesRow, job_key};
use cloudai_core::{Command, Reply};
use cloudai_scheduler::cause::{Cause, WaitWatch, WaitingGroup, cause};
use cloudai_types::limits;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::state_store::StateStore;

/// Runs while this master leads.
pub async fn run<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    let mut look = tokio::time::interval(limits::NOTES_LOOK_EVERY.as_duration());
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = WaitWatch::default();
    // Where the last look ended for want of time.
    let mut from = 0;
    loop {
        tokio::select! {
            () = leading.cancelled() => return,
            _ = look.tick() => {}
        }
        let groups = {
            let state = node.shared.read();
            if state.hot.version < NOTES_SINCE { vec![] } else { watch.look(&state.hot) }
        };
        let notes = notes(node, groups, &mut from).await;
        if notes.is_empty() {
            continue;
        }
        let command = Kind::NoteReasons(NoteReasons { notes });
        match node.proposer.propose(Command::new("leader", command)).await {
            Ok((_, Reply::Noted { noted, ignored })) => tracing::debug!(noted, ignored, "why tasks wait is noted"),
            Ok((_, other)) => tracing::warn!(?other, "an unexpected reply to notes of why tasks wait"),
            Err(error) => tracing::debug!(%error, "notes of why tasks wait have no outcome; the next look tries again"),
        }
    }
}

/// What is to be noted of these groups: beginning with the one after the last that was looked at, as far as the bound on looks allows.
async fn notes<S: StateStore>(node: &Node<S>, mut groups: Vec<WaitingGroup>, from: &mut usize) -> Vec<ReasonNote> {
    let len = groups.len();
    if len == 0 {
        return vec![];
    }
    groups.rotate_left(*from % len);
    let reserved = node.reserved();
    let mut known = BTreeMap::new();
    let (mut notes, mut looks) = (vec![], 0);
    for (at, group) in groups.iter().enumerate() {
        if looks >= limits::NOTES_WORKER_LOOKS_MAX {
            *from = (*from + at) % len;
            return notes;
        }
        let found = {
            let state = node.shared.read();
            let alike = group.alike(&state.hot);
            alike.and_then(|alike| known.get(&alike).copied()).unwrap_or_else(|| {
                looks += state.hot.workers.len();
                let found = cause(&state.hot, &reserved, group);
                known.extend(alike.map(|alike| (alike, found)));
                found
            })
        };
        notes.extend(found.filter(|found| is_new(node, group, found)).map(|found| note(group, &found)));
        // Others may want the state, and this thread.
        tokio::task::yield_now().await;
    }
    *from = 0;
    notes
}

fn note(group: &WaitingGroup, found: &Cause) -> ReasonNote {
    ReasonNote {
        job: group.job.0,
        cause: found.cause as i32,
        workers: found.workers,
        of: found.of,
        memory_mib: group.memory_mib,
    }
}

/// The last note of it says something else. Where that cannot be read, nothing is noted, and whoever looks at the job is told.
fn is_new<S: StateStore>(node: &Node<S>, group: &WaitingGroup, found: &Cause) -> bool {
    let state = node.shared.read();
    let row = node.shared.row::<JobNotesRow>(&state, Family::JobNotes, &job_key(group.namespace, group.job));
    row.is_ok_and(|row| !row.unwrap_or_default().says(found.cause, group.memory_mib))
}
