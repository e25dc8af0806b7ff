//! The stream of what workers use. Comes in: requests whose caller is admitted: a worker, or all. Goes out: frames, as the node's telemetry makes
//! them, in messages of bounded size. A watcher that takes nothing for too long is cut; it begins anew, and has missed what it has missed.

use std::sync::Arc;

use cloudai_proto::v1 as pb;
use cloudai_types::limits;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

use super::errors;
use super::workers::worker_is_known;
use crate::node::Node;
use crate::state_store::StateStore;
use crate::telemetry::{Said, Taken, Watcher};

type Frames = mpsc::Receiver<Result<pb::TelemetryFrame, Status>>;

/// For users, at any master.
pub async fn watch<S: StateStore>(node: Arc<Node<S>>, request: pb::WatchTelemetryRequest) -> Result<Frames, Status> {
    let place = node.telemetry.place().ok_or_else(too_many)?;
    let worker = Some(request.worker).filter(|worker| !worker.is_empty());
    if let Some(worker) = &worker {
        worker_is_known(&node, worker).await?;
    }
    let watcher = node.telemetry.watch(worker);
    let ready = tokio::time::timeout(limits::LEADER_WAIT.as_duration(), watcher.ready()).await;
    ready.map_err(|_| errors::no_leader())?;
    Ok(spawn(node, watcher, place))
}

/// For a follower, at the leader: until that one leads no more.
pub fn relay<S: StateStore>(node: &Arc<Node<S>>) -> Result<Frames, Status> {
    let leading = node.leading().ok_or_else(|| Status::unavailable("this master does not lead"))?;
    let place = node.telemetry.relay_place().ok_or_else(too_many)?;
    let mut frames = spawn(node.clone(), node.telemetry.watch(None), place);
    let (out, relayed) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(Some(frame)) = leading.run_until_cancelled(frames.recv()).await {
            if out.send(frame).await.is_err() {
                return;
            }
        }
    });
    Ok(relayed)
}

/// The connection takes one message after the other; what comes meanwhile is in the frame after it.
fn spawn<S: StateStore>(node: Arc<Node<S>>, mut watcher: Watcher, place: OwnedSemaphorePermit) -> Frames {
    let (out, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        loop {
            let taken = tokio::select! {
                taken = watcher.next() => taken,
                () = out.closed() => return,
            };
            let now_ms = node.telemetry.now_ms();
            for frame in messages(&taken, now_ms) {
                let sent = out.send_timeout(Ok(frame), limits::TELEMETRY_WATCHER_STALLED.as_duration());
                if sent.await.is_err() {
                    return;
                }
            }
        }
    });
    frames
}

/// At least one.
fn messages(taken: &Taken, now_ms: u64) -> Vec<pb::TelemetryFrame> {
    let mut messages =
        vec![pb::TelemetryFrame { dropped: taken.dropped, resumed: taken.resumed, ..Default::default() }];
    let mut bytes = 0;
    for said in taken.frame.said() {
        let told = wire(said, now_ms);
        let size = told.encoded_len();
        if bytes + size > limits::TELEMETRY_FRAME_BYTES_MAX && bytes > 0 {
            messages.push(pb::TelemetryFrame { dropped: taken.dropped, ..Default::default() });
            bytes = 0;
        }
        bytes += size;
        messages.last_mut().expect("there is one from the start").workers.push(told);
    }
    messages
}

fn wire(said: &Said, now_ms: u64) -> pb::WorkerTelemetry {
    pb::WorkerTelemetry {
        worker: said.worker.clone(),
        sample: Some(said.sample.clone()),
        age_ms: now_ms.saturating_sub(said.heard.0),
    }
}

fn too_many() -> Status {
    let why = format!("{} others watch already, the most that one master serves", limits::TELEMETRY_WATCHERS_MAX);
    pb::ErrorInfo::new(pb::ErrorKind::TooBusy, "this master has no place for another watcher of telemetry")
        .why(why)
        .next("ask another master, or end one of them")
        .into_status()
}
