//! The server half: what this master answers to another one. Comes in: frames, as the transport received them and after
//! it checked who sent them. Goes out: frames. The client half is `network.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, future, stream};
use openraft::raft::StreamAppendResult;
use openraft::type_config::alias::SnapshotOf;

use crate::application::Application;
use crate::codec;
use crate::handle::Raft;
use crate::snapshot_stream;
use crate::transport::{CallKind, HandleError, TransportError};
use crate::types::Types;

fn malformed(what: &'static str) -> impl FnOnce(std::io::Error) -> HandleError {
    move |source| HandleError::Malformed { what, source }
}

fn stopped(e: impl std::fmt::Display) -> HandleError {
    HandleError::Stopped(e.to_string())
}

impl<A: Application> Raft<A> {
    /// Answer one frame that another master sent with `Link::call`.
    pub async fn handle_call(&self, kind: CallKind, frame: Bytes) -> Result<Bytes, HandleError> {
        let raft = &self.inner.raft;
        match kind {
            CallKind::Append => {
                let request = codec::append_from(frame).map_err(malformed("append request"))?;
                let (prev, last) = (request.prev_log_id, request.entries.last().map(|e| e.log_id));
                let answer = raft.append_entries(request).await.map_err(stopped)?;
                let result: StreamAppendResult<Types> = answer.into_stream_result(prev, last.or(prev));
                Ok(codec::append_reply(result))
            }
            CallKind::Vote => {
                let request = codec::vote_request_from(frame).map_err(malformed("vote request"))?;
                Ok(codec::vote_reply(&raft.vote(request).await.map_err(stopped)?))
            }
            CallKind::PreVote => {
                let request = codec::vote_request_from(frame).map_err(malformed("pre-vote request"))?;
                Ok(codec::vote_reply(&raft.pre_vote(request).await.map_err(stopped)?))
            }
            CallKind::TransferLeader => {
                let request = codec::transfer_from(frame).map_err(malformed("transfer request"))?;
                let answer = raft.handle_transfer_leader(request).await.map_err(stopped)?;
                answer.map_err(|e| HandleError::Refused(e.to_string()))?;
                Ok(Bytes::new())
            }
        }
    }

    /// Server half of `Link::append_stream`: one answer per request, in order. The returned stream ends after the
    /// incoming one, or with an `Err` when a request makes no sense or this node stopped; end the call then.
    pub fn handle_append_stream<S>(&self, frames: S) -> BoxStream<'static, Result<Bytes, HandleError>>
    where
        S: Stream<Item = Result<Bytes, TransportError>> + Send + Unpin + 'static,
    {
        // What ended the requests early. The leader sends again what was not answered.
        let ended: Arc<Mutex<Option<HandleError>>> = Arc::default();
        let why = ended.clone();
        let requests = frames.scan((), move |(), frame| {
            let request = match frame.map(codec::append_from) {
                Ok(Ok(request)) => Some(request),
                Ok(Err(source)) => {
                    let error = HandleError::Malformed { what: "append request", source };
                    *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    None
                }
                Err(_) => None, // a broken connection: nobody is left to be told
            };
            future::ready(request)
        });
        let replies = self.inner.raft.stream_append(requests).map(|r| r.map(codec::append_reply).map_err(stopped));
        let last = stream::once(future::lazy(move |_| ended.lock().unwrap_or_else(PoisonError::into_inner).take()))
            .filter_map(|e| future::ready(e.map(Err)));
        replies.chain(last).boxed()
    }

    /// Server half of `Link::send_snapshot`. A stream that is damaged or ends before its last chunk changes nothing.
    pub async fn handle_snapshot<S>(&self, chunks: S) -> Result<Bytes, HandleError>
    where
        S: Stream<Item = Result<Bytes, TransportError>> + Send + Unpin + 'static,
    {
        let _place = self.inner.receiving.acquire().await.map_err(stopped)?;
        let (vote, received) =
            snapshot_stream::receive(&self.inner.snapshots, chunks).await.map_err(malformed("snapshot"))?;
        let meta = received.meta().map_err(malformed("snapshot"))?;
        let snapshot = SnapshotOf::<Types, _> { meta, snapshot: received };
        let answer = self.inner.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(codec::encode(&codec::SnapshotReplyMsg { vote: Some(codec::vote(&answer.vote)) }))
    }
}
