//! What a leader does now and then: lets waiting retries become ready, and forgets old request ids. Comes in: the state. Goes
//! out: logged commands, because only those may change rows.

use std::time::Duration;

use cloudai_core::Command;
use cloudai_core::command::{AdvanceClock, ExpireRequests, Kind};
use cloudai_core::rows::{Family, RequestRow};
use cloudai_types::limits;
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::state_store::StateStore;

/// How often due retries are looked for, and the precision of a retry's back-off.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Ticks between two looks at request ids.
const EXPIRE_EVERY_TICKS: u64 = 50;

/// Runs while this master leads.
pub async fn run<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut cursor = vec![];
    for tick in 0u64.. {
        tokio::select! {
            () = leading.cancelled() => return,
            _ = look.tick() => {}
        }
        let first_due = node.shared.read().hot.delayed.first().map(|d| d.0);
        if first_due.is_some_and(|due| due <= node.now_ms()) {
            let _ = node.proposer.propose(Command::new("leader", Kind::AdvanceClock(AdvanceClock {}))).await;
        }
        if tick.is_multiple_of(EXPIRE_EVERY_TICKS) {
            match old_requests(node, &mut cursor) {
                Ok(keys) if keys.is_empty() => {}
                Ok(keys) => {
                    let expire = Kind::ExpireRequests(ExpireRequests { keys });
                    let _ = node.proposer.propose(Command::new("leader", expire)).await;
                }
                Err(error) => tracing::error!(%error, "request ids cannot be read"),
            }
        }
    }
}

/// The next part of the request ids, round and round; returns those that are past their retention.
fn old_requests<S: StateStore>(node: &Node<S>, cursor: &mut Vec<u8>) -> std::io::Result<Vec<Vec<u8>>> {
    let now_ms = node.now_ms();
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
