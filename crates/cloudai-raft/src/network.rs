//! openraft's network over any `Transport`. Comes in: openraft's questions to one other master. Goes out: frames on the
//! connection that fits their purpose, each with a deadline of its own. The other side's half is `serve.rs`.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, future, stream};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use tokio::time::Instant;

use crate::codec;
use crate::commit_riding::CommitRiding;
use crate::late_answers::LateAnswers;
use crate::links::Links;
use crate::member::{MasterNode, NodeId, PeerAddress};
use crate::snapshot::SnapshotDir;
use crate::snapshot_stream;
use crate::tails::{Agreed, Tails};
use crate::transport::{CallKind, Link as _, Purpose, Transport, TransportError};
use crate::types::*;

/// Between two attempts to open an append stream.
const REOPEN_PAUSE: Duration = Duration::from_millis(50);
/// An answer is late after this part of an election time-out (see `late_answers.rs`).
const LATE_PART: u32 = 4;

/// Makes one `Client` per target and purpose.
pub struct Network<T: Transport> {
    links: Arc<Links<T>>,
    tails: Arc<Tails>,
    me: NodeId,
    election_max: Duration,
    snapshot_within: Duration,
}

/// Speaks to one master for one purpose.
pub struct Client<T: Transport> {
    links: Arc<Links<T>>,
    tails: Arc<Tails>,
    peer: PeerAddress,
    purpose: Purpose,
    /// What the follower is known to have, at the beginning of a leadership.
    agreed: Option<Agreed>,
    election_max: Duration,
    snapshot_within: Duration,
}

impl<T: Transport> Network<T> {
    /// `election_max`: no follower votes sooner after it heard from its leader; opening a stream may take as long.
    /// `snapshot_within`: how long one checkpoint may take.
    pub fn new(
        links: Arc<Links<T>>,
        tails: Tails,
        me: NodeId,
        election_max: Duration,
        snapshot_within: Duration,
    ) -> Network<T> {
        Network { links, tails: Arc::new(tails), me, election_max, snapshot_within }
    }

    fn client(&self, target: NodeId, node: &MasterNode, purpose: Purpose) -> Client<T> {
        assert_ne!(target, self.me, "a master never connects to itself");
        Client {
            links: self.links.clone(),
            tails: self.tails.clone(),
            peer: PeerAddress { target, raft_addr: node.raft_addr.clone() },
            purpose,
            agreed: None,
            election_max: self.election_max,
            snapshot_within: self.snapshot_within,
        }
    }
}

impl<T: Transport> RaftNetworkFactory<Types> for Network<T> {
    type Network = Client<T>;

    async fn new_client(&mut self, target: NodeId, node: &MasterNode) -> Client<T> {
        self.client(target, node, Purpose::Append)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &MasterNode) -> Client<T> {
        self.client(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &MasterNode) -> Client<T> {
        self.client(target, node, Purpose::Snapshot)
    }
}

type Rpc<T> = Result<T, RPCError<Types>>;

/// `Unreachable` makes openraft pause before it tries again; `Network` makes it try at once.
fn rpc_error(target: NodeId, e: TransportError) -> RPCError<Types> {
    match &e {
        TransportError::Unreachable(_) | TransportError::TimedOut(_) => RPCError::Unreachable(Unreachable::new(&e)),
        TransportError::Refused(why) => {
            tracing::warn!(target_id = target, why, "another master refuses this one; check its address and id");
            RPCError::Unreachable(Unreachable::new(&e))
        }
        TransportError::Broken(_) => RPCError::Network(NetworkError::new(&e)),
    }
}

fn malformed(e: std::io::Error) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(&e))
}

fn lock(pairs: &Mutex<LateAnswers>) -> MutexGuard<'_, LateAnswers> {
    pairs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Transport> Client<T> {
    /// One frame there and one back, never behind entries, whichever client openraft asks with. The deadline is ours: a transport that
    /// forgets its own must not hang the node.
    async fn ask(&self, kind: CallKind, frame: Bytes, deadline: Duration) -> Rpc<Bytes> {
        let urgent = self.links.get(&self.peer, Purpose::Heartbeat);
        match tokio::time::timeout(deadline, urgent.call(kind, frame, deadline)).await {
            Ok(answer) => answer.map_err(|e| rpc_error(self.peer.target, e)),
            Err(_) => Err(rpc_error(self.peer.target, TransportError::TimedOut(deadline))),
        }
    }

    /// The answer to one of the first requests of a leadership that need not be sent as it is (see `tails.rs`).
    async fn known_answer(
        &mut self,
        request: &AppendEntriesRequest<Types>,
        deadline: Duration,
    ) -> Rpc<Option<StreamAppendResult<Types>>> {
        // A log that cannot be read is told to openraft by whoever reads it next.
        if let Ok(Some(question)) = self.tails.question(self.peer.target, request) {
            let asked = Instant::now();
            match self.append_once(&question, deadline).await? {
                Ok(_) => self.agreed = Some(Agreed::new(&question, asked)),
                refused => return Ok(Some(refused)),
            }
        }
        let answer = self.agreed.and_then(|agreed| agreed.answer(request, Instant::now(), self.late_after()));
        if answer.is_none() {
            self.agreed = None;
        }
        Ok(answer)
    }

    fn late_after(&self) -> Duration {
        self.election_max / LATE_PART
    }

    /// One request and its answer, without a stream.
    async fn append_once(
        &self,
        request: &AppendEntriesRequest<Types>,
        deadline: Duration,
    ) -> Rpc<StreamAppendResult<Types>> {
        let answer = self.ask(CallKind::Append, codec::append(request), deadline).await?;
        codec::append_reply_from(answer).map_err(malformed)
    }
}

/// The answers of a stream that was none.
fn only(result: StreamAppendResult<Types>) -> BoxStream<'static, Rpc<StreamAppendResult<Types>>> {
    stream::iter([Ok(result)]).boxed()
}

impl<T: Transport> RaftNetworkV2<Types> for Client<T> {
    type SnapshotData = Arc<SnapshotDir>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        Ok(self.append_once(&rpc, option.hard_ttl()).await?.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<Types>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if self.purpose == Purpose::Heartbeat {
                // A heartbeat is one question and one answer; a stream per heartbeat would cost more than it carries.
                let Some(request) = input.next().await else { return Ok(stream::empty().boxed()) };
                return Ok(only(self.append_once(&request, option.hard_ttl()).await?));
            }
            // `option`'s time is one heartbeat. It must not end a stream that lives as long as the leader leads.
            let (target, open_within) = (self.peer.target, self.election_max);
            let mut first = None;
            if self.agreed.is_some() || self.tails.knows(target) {
                let Some(request) = input.next().await else { return Ok(stream::empty().boxed()) };
                if let Some(answer) = self.known_answer(&request, open_within).await? {
                    return Ok(only(answer));
                }
                first = Some(request);
            }
            let input = stream::iter(first).chain(input);
            let pairs = Arc::new(Mutex::new(LateAnswers::new(self.late_after())));
            let (asking, sending) = (pairs.clone(), pairs.clone());
            let input =
                input.inspect(move |r| lock(&asking).asked(r.entries.last().map(|e| e.log_id).or(r.prev_log_id)));
            let frames = CommitRiding::new(input).inspect(move |_| lock(&sending).sent(Instant::now()));
            let frames = frames.map(|r| codec::append(&r)).boxed();
            let link = self.links.get(&self.peer, Purpose::Append);
            let opened = tokio::time::timeout(open_within, link.append_stream(frames, open_within)).await;
            let replies = match opened.unwrap_or(Err(TransportError::TimedOut(open_within))) {
                Ok(replies) => replies,
                Err(e) => {
                    if matches!(e, TransportError::TimedOut(_)) {
                        self.links.give_up(&self.peer, Purpose::Append, &link);
                    }
                    // openraft's back-off delays the requests on a stream. A stream that cannot even be opened (nobody
                    // listens, or the peer refuses us) takes none, and would be opened again in a tight loop.
                    tokio::time::sleep(REOPEN_PAUSE).await;
                    return Err(rpc_error(target, e));
                }
            };
            let results = replies.map(move |r| {
                r.map_err(|e| rpc_error(target, e)).and_then(|b| codec::append_reply_from(b).map_err(malformed))
            });
            // A refusal and an error end the stream: they are never held back.
            let results = results.filter(move |r| {
                let shown = !matches!(r, Ok(Ok(matching)) if !lock(&pairs).answered(*matching, Instant::now()));
                future::ready(shown)
            });
            Ok(results.boxed())
        })
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let answer = self.ask(CallKind::Vote, codec::vote_request(&rpc), option.hard_ttl()).await?;
        let answer: VoteResponse<Types> = codec::vote_reply_from(answer).map_err(malformed)?;
        self.tails.told(self.peer.target, answer.last_log_id);
        Ok(answer)
    }

    // openraft's default grants without asking.
    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let answer = self.ask(CallKind::PreVote, codec::vote_request(&rpc), option.hard_ttl()).await?;
        codec::vote_reply_from(answer).map_err(malformed)
    }

    // openraft's default does nothing.
    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Types>> {
        // A refusal comes back as an error; openraft only logs either. `transfer_leader` of the handle watches who
        // leads.
        self.ask(CallKind::TransferLeader, codec::transfer(&req), option.hard_ttl()).await?;
        Ok(Ok(()))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, Arc<SnapshotDir>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption, // its time is meant for one chunk
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let frames = snapshot_stream::frames(vote, snapshot.snapshot);
        let link = self.links.separate(&self.peer, Purpose::Snapshot);
        let send = tokio::time::timeout(self.snapshot_within, link.send_snapshot(frames));
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send => {
                let answer = sent.unwrap_or(Err(TransportError::TimedOut(self.snapshot_within)));
                // Always with a pause: whatever broke a whole checkpoint is not gone in a millisecond.
                let answer = answer.map_err(|e| StreamingError::Unreachable(Unreachable::new(&e)))?;
                let reply = codec::decode::<codec::SnapshotReplyMsg>("snapshot reply", answer)
                    .and_then(|m| codec::need_vote(m.vote))
                    .map_err(|e| StreamingError::Unreachable(Unreachable::new(&e)))?;
                Ok(SnapshotResponse::new(reply))
            }
        }
    }
}
