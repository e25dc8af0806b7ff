//! What goes on, for the HTTP port. Comes in: questions of verified callers. Goes out: JSON from this master's state and telemetry, and for each
//! WebSocket a stream that is asked for its next message: states of workers first, none left out, then the newest samples.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use cloudai_api::{Closed, Live, LiveError};
use cloudai_types::limits;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::watch;

use super::board::{Said, Weights};
use super::{Frame, Taken, Watcher, json};
use crate::event_ring::Position;
use crate::node::Node;
use crate::state_store::StateStore;

pub struct MasterLive<S: StateStore>(pub Arc<Node<S>>);

impl<S: StateStore> Live for MasterLive<S> {
    fn workers(&self) -> String {
        let leader = self.0.leader().map(|l| l.node.name);
        let state = self.0.shared.read();
        json::registry(&state.hot, state.index, leader)
    }

    fn telemetry(&self, worker: Option<String>) -> cloudai_api::live::Answer<String> {
        let node = self.0.clone();
        Box::pin(async move {
            let mut watcher = watch(&node, worker.clone()).await?;
            let frame = watcher.next().await.frame;
            let said: Vec<Bytes> = frame.said().map(|said| one(&node, said)).collect();
            let listed = as_text(said.join(&b','));
            Ok(match worker {
                None => format!("{{\"workers\":[{listed}]}}"),
                // It is there, and has said nothing lately.
                Some(_) if said.is_empty() => "null".to_owned(),
                Some(_) => listed,
            })
        })
    }

    fn watch(&self, worker: Option<String>) -> cloudai_api::live::Answer<BoxStream<'static, cloudai_api::Said>> {
        let node = self.0.clone();
        Box::pin(async move {
            // States come from before the first sample on.
            let heard = node.hub.events.workers_heard();
            let reached = Position::behind(node.shared.read().index);
            let watcher = watch(&node, worker.clone()).await?;
            let teller = Teller { node, watcher, worker, heard, reached, told: 0, next: VecDeque::new(), over: false };
            Ok(futures::stream::unfold(teller, |mut teller| async move { Some((teller.next().await?, teller)) })
                .boxed())
        })
    }

    fn opened(&self) {
        self.0.metrics.ws.clients.inc();
    }

    fn dropped(&self, samples: u64) {
        self.0.metrics.ws.dropped.inc_by(samples);
    }

    fn closed(&self, why: Closed) {
        self.0.metrics.ws.clients.dec();
        self.0.metrics.ws.closed(why.name());
    }
}

async fn watch<S: StateStore>(node: &Node<S>, worker: Option<String>) -> Result<Watcher, LiveError> {
    if worker.as_ref().is_some_and(|name| !node.shared.read().hot.worker_names.contains_key(name)) {
        return Err(LiveError::UnknownWorker);
    }
    let watcher = node.telemetry.watch(worker);
    let ready = tokio::time::timeout(limits::LEADER_WAIT.as_duration(), watcher.ready()).await;
    ready.map_err(|_| LiveError::NoLeader)?;
    Ok(watcher)
}

fn one<S: StateStore>(node: &Node<S>, said: &Said) -> Bytes {
    let epoch_ms = node.now_ms().saturating_sub(node.telemetry.now_ms());
    said.json(|said| json::telemetry(&node.shared.read().hot, said, epoch_ms))
}

fn as_text(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("JSON is UTF-8")
}

/// What one client is told, in its order.
struct Teller<S: StateStore> {
    node: Arc<Node<S>>,
    watcher: Watcher,
    worker: Option<String>,
    heard: watch::Receiver<u64>,
    /// States up to here are told, or wait in `next`.
    reached: Position,
    /// Dropped samples that it was told of.
    told: u64,
    /// At most one look at the states, or one frame.
    next: VecDeque<cloudai_api::Said>,
    over: bool,
}

impl<S: StateStore> Teller<S> {
    async fn next(&mut self) -> Option<cloudai_api::Said> {
        loop {
            if let Some(said) = self.next.pop_front() {
                return Some(said);
            }
            if self.over {
                return None;
            }
            self.look_at_states();
            if !self.next.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                changed = self.heard.changed() => if changed.is_err() { return None },
                taken = self.watcher.next() => self.take(taken),
            }
        }
    }

    fn look_at_states(&mut self) {
        self.heard.mark_unchanged();
        let state = self.node.shared.read();
        let wanted = self.worker.as_ref().map(|name| state.hot.worker_names.get(name).copied());
        let looked = self.node.hub.events.look_at_workers(|ring| {
            ring.after(self.reached, limits::EVENTS_BATCH_MAX).map(|told| told.cloned().collect::<Vec<_>>())
        });
        let Ok(told) = looked else {
            self.next.push_back(cloudai_api::Said::StatesLost);
            self.over = true;
            return;
        };
        for told in told {
            self.reached = told.at;
            if wanted.is_none_or(|worker| told.news.worker == worker) {
                let message = json::state_change(&state.hot, &self.node.leaders, told);
                self.next.push_back(cloudai_api::Said::State(message.into()));
            }
        }
    }

    fn take(&mut self, taken: Taken) {
        if taken.resumed {
            self.next.push_back(cloudai_api::Said::Resumed);
        }
        if taken.dropped > self.told {
            self.next.push_back(cloudai_api::Said::Lagged(taken.dropped - self.told));
            self.told = taken.dropped;
        }
        let weights = &self.node.telemetry.weights;
        let messages = taken.frame.messages(weights, |said| one(&self.node, said));
        if !messages.is_empty() {
            self.next.push_back(cloudai_api::Said::Telemetry(messages));
        }
    }
}

impl Frame {
    /// As messages of bounded size, made once for all who get this frame.
    fn messages(&self, weights: &Weights, one: impl Fn(&Said) -> Bytes) -> Vec<Utf8Bytes> {
        let parts = self.json.get_or_init(|| {
            let mut texts: Vec<Vec<u8>> = vec![];
            for said in self.said() {
                let said = one(said);
                match texts.last_mut().filter(|text| text.len() + said.len() < limits::WS_MESSAGE_BYTES_MAX) {
                    Some(text) => text.push(b','),
                    None => texts.push(b"{\"type\":\"telemetry\",\"workers\":[".to_vec()),
                }
                texts.last_mut().expect("one was just there").extend_from_slice(&said);
            }
            let ended = texts.into_iter().map(|mut text| {
                text.extend_from_slice(b"]}");
                let weight = weights.add(text.len());
                (Bytes::from(text), weight)
            });
            ended.collect()
        });
        parts.iter().map(|(text, _)| Utf8Bytes::try_from(text.clone()).expect("JSON is UTF-8")).collect()
    }
}
