//! What a leader does now and then: lets waiting retries become ready, ends what waited for too long, stops what outlives a drain's deadline,
//! forgets old request ids, removes jobs whose retention is over, and raises the format that the log may use. Comes in: the state. Goes out:
//! logged commands, because only those may change rows.

use std::time::Duration;

use cloudai_core::command::{AdvanceClock, EvictWorkers, ExpireQueued, ExpireRequests, Kind, RaiseVersion, VERSION};
use cloudai_core::rows::{Family, RequestRow};
use cloudai_core::{Command, Hot, Reply};
use cloudai_types::limits;
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::retention::Retention;
use crate::state_store::StateStore;

/// How often due retries and the masters' versions are looked for, and the precision of a retry's back-off.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Ticks between two looks at request ids and at ended jobs.
const EXPIRE_EVERY_TICKS: u64 = 50;

/// Runs while this master leads.
pub async fn run<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut cursor = vec![];
    let mut retention = Retention::default();
    for tick in 0u64.. {
        tokio::select! {
            () = leading.cancelled() => return,
            _ = look.tick() => {}
        }
        let first_due = node.shared.read().hot.delayed.first().map(|d| d.0);
        if first_due.is_some_and(|due| due <= node.log_clock.now_ms()) {
            let _ = node.proposer.propose(Command::new("leader", Kind::AdvanceClock(AdvanceClock {}))).await;
        }
        carry_out_deadlines(node, leading).await;
        raise_version(node).await;
        let is_time = tick.is_multiple_of(EXPIRE_EVERY_TICKS);
        if is_time {
            match old_requests(node, &mut cursor) {
                Ok(keys) if keys.is_empty() => {}
                Ok(keys) => {
                    let expire = Kind::ExpireRequests(ExpireRequests { keys });
                    let _ = node.proposer.propose(Command::new("leader", expire)).await;
                }
                Err(error) => tracing::error!(%error, "request ids cannot be read"),
            }
        }
        // Where much is to be removed it goes on at once, a bounded piece per tick.
        if is_time || retention.has_more() {
            retention.step(node).await;
        }
    }
}

/// Queue time-outs and drains whose time has come, a bounded piece per command until none is left.
async fn carry_out_deadlines<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    while !leading.is_cancelled() {
        let Some(kind) = next_deadline(&node.shared.read().hot, node.log_clock.now_ms()) else { return };
        match node.proposer.propose(Command::new("leader", kind)).await {
            // By replicated time nothing is due: it has an end, and a broken clock may be beyond it.
            Ok((_, Reply::QueueExpired { jobs: 0, .. } | Reply::Evicted { workers: 0, .. })) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a deadline has no outcome yet; the next look tries again");
                return;
            }
        }
    }
}

/// What is due at this time.
fn next_deadline(hot: &Hot, now_ms: u64) -> Option<Kind> {
    if hot.queue_limits.first_due_ms().is_some_and(|due| due <= now_ms) {
        Some(Kind::ExpireQueued(ExpireQueued {}))
    } else if hot.drains.first().is_some_and(|(due, _)| *due <= now_ms) {
        Some(Kind::EvictWorkers(EvictWorkers {}))
    } else {
        None
    }
}

/// A newer format may be used once every member of the group has said that it understands it.
async fn raise_version<S: StateStore>(node: &Node<S>) {
    let everybodys = {
        let state = node.shared.read();
        let known = |id| state.hot.masters.get(id).map_or(0, |m| m.version);
        let lowest = node.raft.members().by_id.keys().map(known).min().unwrap_or(0).min(VERSION);
        (lowest > state.hot.version).then_some(lowest)
    };
    let Some(version) = everybodys else { return };
    match node.proposer.propose(Command::new("leader", Kind::RaiseVersion(RaiseVersion { version }))).await {
        Ok((_, reply)) => {
            tracing::info!(version, ?reply, "every master understands a newer format: it is used from now on")
        }
        Err(error) => tracing::debug!(%error, "raising the format has no outcome; the next look tries again"),
    }
}

/// The next part of the request ids, round and round; returns those that are past their retention.
fn old_requests<S: StateStore>(node: &Node<S>, cursor: &mut Vec<u8>) -> std::io::Result<Vec<Vec<u8>>> {
    let now_ms = node.log_clock.now_ms();
    let mut old = vec![];
    let mut seen = 0;
    let from = std::mem::take(cursor);
    node.shared.store().scan(Family::Request, &from, None, false, &mut |key, value| {
        seen += 1;
        if seen > limits::EXPIRE_BATCH_MAX {
            *cursor = key.to_vec();
            return false;
        }
        if RequestRow::decode(value).is_ok_and(|row| row.expires_ms <= now_ms) {
            old.push(key.to_vec());
        }
        true
    })?;
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::WorkerId;

    #[test]
    fn a_deadline_is_carried_out_when_it_is_due_and_not_before() {
        let mut hot = Hot::default();
        assert!(next_deadline(&hot, u64::MAX).is_none());
        hot.drains.insert((500, WorkerId(1)));
        assert!(next_deadline(&hot, 499).is_none());
        assert!(matches!(next_deadline(&hot, 500), Some(Kind::EvictWorkers(_))));
    }
}
