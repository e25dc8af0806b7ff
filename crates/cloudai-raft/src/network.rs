//! openraft's network over any `Transport`. Comes in: openraft's questions to one other master. Goes out: frames on the
//! connection that fits their purpose, each with a deadline of its own. The other side's half is `serve.rs`.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::OptionalSend;
use std::sync::Arc;

use crate::codec;
use crate::member::{MasterNode, NodeId, PeerAddress};
use crate::snapshot::SnapshotDir;
use crate::snapshot_stream;
use crate::transport::{CallKind, Link, Purpose, Transport, TransportError};
use crate::types::*;

/// Makes one `Client` per target and purpose.
pub struct Network<T> {
    pub transport: T,
    pub me: NodeId,
    /// How long opening a stream may take.
    pub open_within: Duration,
    /// How long one checkpoint may take.
    pub snapshot_within: Duration,
}

/// Speaks to one master for one purpose.
pub struct Client<L> {
    target: NodeId,
    purpose: Purpose,
    link: L,
    /// Votes and hand-overs never wait behind entries, whichever client openraft asks with.
    urgent: L,
    open_within: Duration,
    snapshot_within: Duration,
}

impl<T: Transport> Network<T> {
    fn client(&self, target: NodeId, node: &MasterNode, purpose: Purpose) -> Client<T::Link> {
        assert_ne!(target, self.me, "a master never connects to itself");
        let peer = PeerAddress { target, raft_addr: node.raft_addr.clone() };
        Client {
            target,
            purpose,
            link: self.transport.link(peer.clone(), purpose),
            urgent: self.transport.link(peer, Purpose::Heartbeat),
            open_within: self.open_within,
            snapshot_within: self.snapshot_within,
        }
    }
}

impl<T: Transport> RaftNetworkFactory<Types> for Network<T> {
    type Network = Client<T::Link>;

    async fn new_client(&mut self, target: NodeId, node: &MasterNode) -> Client<T::Link> {
        self.client(target, node, Purpose::Append)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &MasterNode) -> Client<T::Link> {
        self.client(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &MasterNode) -> Client<T::Link> {
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

impl<L: Link> Client<L> {
    /// One frame there and one back. The deadline is ours: a transport that forgets its own must not hang the node.
    async fn ask(&self, link: &L, kind: CallKind, frame: Bytes, deadline: Duration) -> Rpc<Bytes> {
        match tokio::time::timeout(deadline, link.call(kind, frame, deadline)).await {
            Ok(answer) => answer.map_err(|e| rpc_error(self.target, e)),
            Err(_) => Err(rpc_error(self.target, TransportError::TimedOut(deadline))),
        }
    }
}

impl<L: Link> RaftNetworkV2<Types> for Client<L> {
    type SnapshotData = Arc<SnapshotDir>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        let answer = self.ask(&self.link, CallKind::Append, codec::append(&rpc), option.hard_ttl()).await?;
        Ok(codec::append_reply_from(answer).map_err(malformed)?.into())
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
                let Some(request) = input.next().await else { return Ok(futures::stream::empty().boxed()) };
                let answer = self.ask(&self.link, CallKind::Append, codec::append(&request), option.hard_ttl()).await?;
                let result = codec::append_reply_from(answer).map_err(malformed);
                return Ok(futures::stream::iter([result]).boxed());
            }
            // `option`'s time is one heartbeat. It must not end a stream that lives as long as the leader leads.
            let target = self.target;
            let frames = input.map(|r| codec::append(&r)).boxed();
            let opened = tokio::time::timeout(self.open_within, self.link.append_stream(frames, self.open_within));
            let replies = match opened.await {
                Ok(opened) => opened.map_err(|e| rpc_error(target, e))?,
                Err(_) => return Err(rpc_error(target, TransportError::TimedOut(self.open_within))),
            };
            let results = replies.map(move |r| {
                r.map_err(|e| rpc_error(target, e)).and_then(|b| codec::append_reply_from(b).map_err(malformed))
            });
            Ok(results.boxed())
        })
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let answer = self.ask(&self.urgent, CallKind::Vote, codec::vote_request(&rpc), option.hard_ttl()).await?;
        codec::vote_reply_from(answer).map_err(malformed)
    }

    // openraft's default grants without asking.
    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let answer = self.ask(&self.urgent, CallKind::PreVote, codec::vote_request(&rpc), option.hard_ttl()).await?;
        codec::vote_reply_from(answer).map_err(malformed)
    }

    // openraft's default does nothing.
    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Types>> {
        // A refusal comes back as an error; openraft only logs either. `transfer_leader` of the handle watches who leads.
        self.ask(&self.urgent, CallKind::TransferLeader, codec::transfer(&req), option.hard_ttl()).await?;
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
        let send = tokio::time::timeout(self.snapshot_within, self.link.send_snapshot(frames));
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
