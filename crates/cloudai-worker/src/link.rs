//! The way to the leader. Comes in: addresses of masters. Goes out: one session after the other, each with its messages; between
//! them the search, which costs less than a second once there is a leader.
//!
//! It does not know what the messages mean, but for those that say who leads.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use cloudai_net::channel::{ChannelOptions, ConnectError};
use cloudai_net::{Backoff, ChannelFactory};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_proto::v1::leader_message::Kind;
use cloudai_types::{Millis, Timestamp, limits};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::clock;
use crate::tasks::Tasks;

/// Messages to the leader that its connection has not taken yet. Heartbeats, a few reports, an acknowledgement per delta.
const OUTBOUND_QUEUE: usize = 1024;
/// Messages of the leader that the shell has not taken yet; more wait in the network.
const INBOUND_QUEUE: usize = 64;
const BACKOFF_FIRST: Millis = Millis(50);
const BACKOFF_MAX: Millis = Millis(1_000);
/// In the first seconds of an outage, which is most often an election, no wait is longer than this.
const EAGER_FOR: Duration = Duration::from_secs(5);
const EAGER_WAIT_MAX: Millis = Millis(250);
/// After a refusal that only an operator can lift.
const REFUSED_WAIT: Duration = Duration::from_secs(10);
/// A leader registers a session within one commit.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);

pub enum LinkEvent {
    /// A master is about to be greeted: what to say?
    Greet(oneshot::Sender<pb::worker_message::Hello>),
    Up(Box<Session>),
    Message(Kind),
    Down {
        reason: String,
    },
}

/// A session that the leader has welcomed.
pub struct Session {
    pub welcome: pb::leader_message::Welcome,
    pub leader: String,
    /// On the monotonic clock.
    pub hello_sent: Timestamp,
    pub out: mpsc::Sender<pb::WorkerMessage>,
    /// Ends this session.
    pub leave: CancellationToken,
}

/// Where to dial next: what a master hinted at, then the last leader, then all in turn.
struct Masters {
    all: Vec<String>,
    next: usize,
    hints: VecDeque<String>,
}

impl Masters {
    /// One round over everything known, the likeliest first, each address once.
    fn round(&mut self) -> Vec<String> {
        let mut round: Vec<String> = self.hints.drain(..).collect();
        let (before, after) = self.all.split_at(self.next % self.all.len().max(1));
        round.extend(after.iter().chain(before).cloned());
        let mut seen = std::collections::BTreeSet::new();
        round.retain(|a| seen.insert(a.clone()));
        self.next += 1;
        round
    }
}

/// What came of one greeting.
enum Attempt {
    /// A session was had and has ended.
    Ended {
        leader: String,
    },
    NotLeader {
        hint: String,
    },
    Failed,
    Refused,
}

pub struct Link {
    factory: ChannelFactory,
    masters: Masters,
    /// Kept between greetings, so that asking "do you lead?" again costs no handshake.
    channels: BTreeMap<String, Channel>,
    events: mpsc::Sender<LinkEvent>,
}

impl Link {
    /// Runs until nobody listens any more.
    pub fn spawn(factory: ChannelFactory, masters: Vec<String>, tasks: &Tasks) -> mpsc::Receiver<LinkEvent> {
        let (events, inbox) = mpsc::channel(INBOUND_QUEUE);
        let masters = Masters { all: masters, next: 0, hints: VecDeque::new() };
        let link = Link { factory, masters, channels: BTreeMap::new(), events };
        tasks.spawn(link.run());
        inbox
    }

    async fn run(mut self) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        let mut outage = Instant::now();
        while !self.events.is_closed() {
            let mut refused = false;
            let mut queue: VecDeque<String> = self.masters.round().into();
            let mut asked = std::collections::BTreeSet::new();
            while let Some(address) = queue.pop_front() {
                asked.insert(address.clone());
                match self.greet(&address).await {
                    Attempt::Ended { leader } => {
                        backoff.reset();
                        outage = Instant::now();
                        // It knows best who leads now, if it is there; a killed one refuses at once.
                        self.masters.hints = VecDeque::from([leader]);
                        break;
                    }
                    Attempt::NotLeader { hint } if !hint.is_empty() && !asked.contains(&hint) => {
                        queue.retain(|a| *a != hint);
                        queue.push_front(hint);
                    }
                    Attempt::NotLeader { .. } | Attempt::Failed => {}
                    Attempt::Refused => refused = true,
                }
            }
            let mut wait = backoff.next(rand::random());
            if outage.elapsed() < EAGER_FOR {
                wait = wait.min(EAGER_WAIT_MAX);
            }
            let wait = if refused { REFUSED_WAIT } else { wait.as_duration() };
            tokio::time::sleep(wait).await;
        }
    }

    fn channel(&mut self, address: &str) -> Option<Channel> {
        if let Some(channel) = self.channels.get(address) {
            return Some(channel.clone());
        }
        match self.factory.channel(address, &ChannelOptions::calls()) {
            Ok(channel) => {
                self.channels.insert(address.to_owned(), channel.clone());
                Some(channel)
            }
            Err(error) => {
                tracing::warn!(%error, "a master's address cannot be used");
                None
            }
        }
    }

    /// Says hello to one master; if it leads, stays until the session ends.
    async fn greet(&mut self, address: &str) -> Attempt {
        let Some(channel) = self.channel(address) else { return Attempt::Failed };
        let mut client = DispatchClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX);
        let (ask, answer) = oneshot::channel();
        if self.events.send(LinkEvent::Greet(ask)).await.is_err() {
            return Attempt::Failed;
        }
        let Ok(hello) = answer.await else { return Attempt::Failed };
        let (out, outbound) = mpsc::channel(OUTBOUND_QUEUE);
        let hello_sent = clock::mono();
        // The queue is new and empty.
        let _ = out.try_send(pb::worker_message::Kind::Hello(hello).into());
        let opening = async {
            let mut inbound = client.session(ReceiverStream::new(outbound)).await?.into_inner();
            let first = inbound.message().await?;
            Ok::<_, tonic::Status>((inbound, first))
        };
        let (inbound, first) = match tokio::time::timeout(WELCOME_TIMEOUT, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(status)) => return self.on_failed(address, &status),
            Err(_) => {
                tracing::debug!(address, "a master did not answer in time");
                self.channels.remove(address);
                return Attempt::Failed;
            }
        };
        match first.and_then(|m| m.kind) {
            Some(Kind::Welcome(welcome)) => {
                let leave = CancellationToken::new();
                let session = Session { welcome, leader: address.to_owned(), hello_sent, out, leave: leave.clone() };
                if self.events.send(LinkEvent::Up(Box::new(session))).await.is_err() {
                    return Attempt::Failed;
                }
                let (reason, end) = self.stay(inbound, address, &leave).await;
                let _ = self.events.send(LinkEvent::Down { reason }).await;
                end
            }
            Some(Kind::NotLeader(n)) => Attempt::NotLeader { hint: n.leader },
            Some(Kind::Goodbye(goodbye)) => Self::on_goodbye(address, &goodbye),
            Some(_) | None => {
                tracing::debug!(address, "a master ended the session before it began");
                Attempt::Failed
            }
        }
    }

    async fn stay(
        &mut self,
        mut inbound: tonic::Streaming<pb::LeaderMessage>,
        address: &str,
        leave: &CancellationToken,
    ) -> (String, Attempt) {
        let leader = || Attempt::Ended { leader: address.to_owned() };
        loop {
            let message = tokio::select! {
                message = inbound.message() => message,
                () = leave.cancelled() => {
                    // The connection may be what is dead.
                    self.channels.remove(address);
                    return ("this worker left it".to_owned(), leader());
                }
            };
            let kind = match message {
                Ok(Some(pb::LeaderMessage { kind: Some(kind) })) => kind,
                Ok(Some(pb::LeaderMessage { kind: None })) => {
                    return ("the leader sent a message of a newer version".to_owned(), leader());
                }
                Ok(None) => return ("the leader ended it".to_owned(), leader()),
                Err(status) => {
                    self.channels.remove(address);
                    return (format!("the connection broke: {}", status.message()), leader());
                }
            };
            match kind {
                Kind::NotLeader(n) => {
                    let hint = if n.leader.is_empty() { address.to_owned() } else { n.leader };
                    return ("the leader leads no longer".to_owned(), Attempt::Ended { leader: hint });
                }
                Kind::Goodbye(goodbye) => return (goodbye.reason.clone(), Self::on_goodbye(address, &goodbye)),
                other => {
                    if self.events.send(LinkEvent::Message(other)).await.is_err() {
                        return ("this worker is stopping".to_owned(), Attempt::Failed);
                    }
                }
            }
        }
    }

    fn on_failed(&mut self, address: &str, status: &tonic::Status) -> Attempt {
        self.channels.remove(address);
        match ConnectError::of(status) {
            Some(error) if error.is_about_certificates() => {
                tracing::error!(%error, "this worker's certificate is not accepted; see `cloudai worker show` on an operator's machine");
                Attempt::Refused
            }
            Some(error) => {
                tracing::debug!(%error, "a master cannot be reached");
                Attempt::Failed
            }
            None => {
                let refused = matches!(status.code(), tonic::Code::PermissionDenied | tonic::Code::Unauthenticated);
                if refused {
                    tracing::error!(address, message = status.message(), "a master refuses this worker");
                    return Attempt::Refused;
                }
                tracing::debug!(address, %status, "a master cannot be asked");
                Attempt::Failed
            }
        }
    }

    fn on_goodbye(address: &str, goodbye: &pb::leader_message::Goodbye) -> Attempt {
        if goodbye.r#final {
            tracing::error!(address, reason = goodbye.reason, "the cluster refuses this worker until an operator acts");
            return Attempt::Refused;
        }
        tracing::warn!(address, reason = goodbye.reason, "the leader ended the session");
        Attempt::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_asks_everyone_once_and_hints_first() {
        let all = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let mut masters = Masters { all, next: 0, hints: VecDeque::from(["c".to_owned(), "x".to_owned()]) };
        assert_eq!(masters.round(), ["c", "x", "a", "b"]);
        assert_eq!(masters.round(), ["b", "c", "a"]);
        assert_eq!(masters.round(), ["c", "a", "b"]);
    }
}
