//! What a follower does for telemetry: one stream from the leader for all who watch here. Comes in: who watches, who leads. Goes out: the leader's
//! frames, given on as they come. Follows a change of leader; without watchers it asks nobody.

use std::sync::Arc;
use std::time::Duration;

use cloudai_proto::v1 as pb;
use cloudai_raft::Peer;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tonic::Status;

use super::leading::lingered;
use crate::forward::find_leader;
use crate::node::Node;
use crate::raft_link::header;
use crate::state_store::StateStore;

/// A leader that does not answer is asked again after so long.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How often a relay looks whether anybody still watches.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

type Frames = BoxStream<'static, Result<pb::TelemetryFrame, Status>>;

/// Runs as long as the process.
pub async fn follow<S: StateStore>(node: Arc<Node<S>>) {
    let mut watchers = node.telemetry.watchers.subscribe();
    while watchers.wait_for(|watchers| *watchers > 0).await.is_ok() {
        match (find_leader(&node).await, node.leading()) {
            (Ok(Some(leader)), _) => {
                if let Ok(Ok(frames)) = tokio::time::timeout(ANSWER_WITHIN, ask(&node, &leader)).await {
                    relay(&node, &leader, frames, &watchers).await;
                }
            }
            // What it leads for is done elsewhere.
            (Ok(None), Some(leading)) => leading.cancelled().await,
            (Ok(None), None) | (Err(_), _) => {}
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
}

async fn ask<S: StateStore>(node: &Node<S>, leader: &Peer) -> Result<Frames, Status> {
    let request = pb::RelayTelemetryRequest { header: Some(header(&node.me, leader.id, &node.directory)) };
    node.masters.relay_telemetry(leader.node.raft_addr.clone(), request).await
}

/// Until the stream ends, another master leads, or nobody watches any more.
async fn relay<S: StateStore>(node: &Node<S>, leader: &Peer, mut frames: Frames, watchers: &watch::Receiver<usize>) {
    let telemetry = &node.telemetry;
    let source = telemetry.begin();
    let mut leadership = node.raft.leadership();
    let replaced = leadership.wait_for(|l| l.leader.as_ref().is_none_or(|l| l.id != leader.id));
    let given_on = async {
        let (mut alone_since, mut dropped) = (None, 0);
        while !lingered(*watchers.borrow(), &mut alone_since) {
            match tokio::time::timeout(LOOK_EVERY, frames.next()).await {
                Ok(Some(Ok(frame))) => {
                    telemetry.take(frame.workers, frame.dropped.saturating_sub(dropped));
                    dropped = frame.dropped;
                    telemetry.publish();
                    telemetry.is_ready(source, true);
                }
                Ok(Some(Err(status))) => {
                    tracing::debug!(leader = leader.node.name, %status, "the leader's telemetry broke off");
                    return;
                }
                Ok(None) => return,
                Err(_) => {}
            }
        }
    };
    tokio::select! {
        () = given_on => {}
        _ = replaced => {}
    }
    telemetry.is_ready(source, false);
}
