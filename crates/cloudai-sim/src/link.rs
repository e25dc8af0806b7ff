//! A worker's way to the leader: greets one master after the other until one welcomes it, then passes its messages on. Comes in:
//! addresses. Goes out: one session after the other. It does not know what the messages mean, but for those that say who leads.

use std::collections::VecDeque;
use std::time::Duration;

use cloudai_proto::v1 as pb;
use cloudai_proto::v1::leader_message::Kind;
use cloudai_proto::v1::worker_message::Kind as FromWorker;
use cloudai_types::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::dice::Dice;
use crate::message::{Frame, Topic};
use crate::network::{Duplex, HostId, Net, Place, StreamOut};
use crate::transport::host_of;

pub enum LinkEvent {
    Greet(oneshot::Sender<pb::worker_message::Hello>),
    Up(Session),
    Message(Kind),
    Down,
}

/// A session that a leader has welcomed.
pub struct Session {
    pub welcome: pb::leader_message::Welcome,
    pub leader: HostId,
    pub hello_sent: Timestamp,
    pub out: mpsc::UnboundedSender<FromWorker>,
    pub leave: CancellationToken,
}

const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
const WAIT_MS: (u64, u64) = (50, 250);

pub struct Link {
    pub net: Net,
    pub place: Place,
    pub worker: String,
    pub masters: Vec<HostId>,
    pub events: mpsc::UnboundedSender<LinkEvent>,
    pub clock: Clock,
    pub dice: Dice,
}

enum Greeted {
    Ended(HostId),
    NotLeader(Option<HostId>),
    Failed,
}

impl Link {
    pub async fn run(mut self) {
        let mut hint = None;
        loop {
            let mut order = self.masters.clone();
            self.dice.shuffle(&mut order);
            let mut queue: VecDeque<HostId> = hint.take().into_iter().chain(order).collect();
            let mut asked = vec![];
            while let Some(master) = queue.pop_front() {
                if asked.contains(&master) {
                    continue;
                }
                asked.push(master);
                match self.greet(master).await {
                    Greeted::Ended(leader) => {
                        hint = Some(leader);
                        break;
                    }
                    Greeted::NotLeader(Some(leader)) => queue.push_front(leader),
                    Greeted::NotLeader(None) | Greeted::Failed => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(self.dice.between(WAIT_MS.0, WAIT_MS.1))).await;
        }
    }

    async fn greet(&mut self, master: HostId) -> Greeted {
        let (ask, hello) = oneshot::channel();
        if self.events.send(LinkEvent::Greet(ask)).is_err() {
            return std::future::pending().await;
        }
        let Ok(hello) = hello.await else { return Greeted::Failed };
        let Duplex { out, mut hears } =
            self.net.open(self.place, master, Topic::Session { worker: self.worker.clone() });
        let hello_sent = self.clock.mono();
        send(&out, FromWorker::Hello(hello));
        let first = match tokio::time::timeout(WELCOME_TIMEOUT, hears.recv()).await {
            Ok(Some(Ok(Frame::FromLeader(message)))) => message.kind,
            Ok(_) | Err(_) => return Greeted::Failed,
        };
        let welcome = match first {
            Some(Kind::Welcome(welcome)) => welcome,
            Some(Kind::NotLeader(n)) => return Greeted::NotLeader(host_of(&n.leader)),
            Some(_) | None => return Greeted::Failed,
        };
        let (outbound, mut messages) = mpsc::unbounded_channel();
        let leave = CancellationToken::new();
        let session = Session { welcome, leader: master, hello_sent, out: outbound, leave: leave.clone() };
        let _ = self.events.send(LinkEvent::Up(session));
        let end = loop {
            tokio::select! {
                biased;
                () = leave.cancelled() => break Greeted::Ended(master),
                Some(message) = messages.recv() => send(&out, message),
                heard = hears.recv() => match heard {
                    Some(Ok(Frame::FromLeader(pb::LeaderMessage { kind: Some(kind) }))) => match kind {
                        Kind::NotLeader(n) => break Greeted::Ended(host_of(&n.leader).unwrap_or(master)),
                        Kind::Goodbye(_) => break Greeted::Failed,
                        other => drop(self.events.send(LinkEvent::Message(other))),
                    },
                    Some(_) | None => break Greeted::Ended(master),
                },
            }
        };
        let _ = self.events.send(LinkEvent::Down);
        end
    }
}

fn send(out: &StreamOut, kind: FromWorker) {
    out.send(Frame::FromWorker(pb::WorkerMessage { kind: Some(kind) }));
}
