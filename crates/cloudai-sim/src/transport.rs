//! Raft frames over the simulated network, with the header that the real transport sends. Comes in: opaque frames. Goes out: the
//! same frames, to the master behind an address. Looks into no frame.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cloudai_master::AskMaster;
use cloudai_master::peers::Me;
use cloudai_master::raft_link::{Directory, header};
use cloudai_proto::v1 as pb;
use cloudai_raft::{CallKind, Link, PeerAddress, Purpose, Transport, TransportError};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::message::{Answer, Frame, Question, Topic};
use crate::network::{Duplex, HostId, Net, Place};

/// `m3:7602` → 3.
pub fn host_of(address: &str) -> Option<HostId> {
    address.strip_prefix('m')?.split(':').next()?.parse().ok()
}

/// The address of a master's port.
pub fn address_of(host: HostId, port: u16) -> String {
    format!("m{host}:{port}")
}

#[derive(Clone)]
pub struct SimTransport {
    pub net: Net,
    pub place: Place,
    pub me: Arc<Me>,
    pub directory: Directory,
}

pub struct SimLink {
    transport: SimTransport,
    to: u64,
    host: HostId,
}

impl Transport for SimTransport {
    type Link = SimLink;

    fn link(&self, peer: PeerAddress, _: Purpose) -> SimLink {
        SimLink { transport: self.clone(), to: peer.target, host: host_of(&peer.raft_addr).unwrap_or_default() }
    }
}

fn error(status: &Status) -> TransportError {
    match status.code() {
        Code::Unavailable => TransportError::Unreachable(status.message().to_owned()),
        Code::PermissionDenied | Code::FailedPrecondition => TransportError::Refused(status.message().to_owned()),
        _ => TransportError::Broken(status.message().to_owned()),
    }
}

impl SimLink {
    fn header(&self) -> pb::RaftHeader {
        header(&self.transport.me, self.to, &self.transport.directory)
    }

    async fn ask(&self, question: Question) -> Result<Bytes, TransportError> {
        match self.transport.net.call(self.transport.place, self.host, question).await {
            Ok(Answer::Frame(frame)) => Ok(frame),
            Ok(_) => Err(TransportError::Broken("an answer to another question".into())),
            Err(status) => Err(error(&status)),
        }
    }
}

impl Link for SimLink {
    async fn call(&self, kind: CallKind, frame: Bytes, deadline: Duration) -> Result<Bytes, TransportError> {
        let question = Question::Raft { header: self.header(), kind: kind.number(), frame };
        tokio::time::timeout(deadline, self.ask(question)).await.unwrap_or(Err(TransportError::TimedOut(deadline)))
    }

    fn append_stream(
        &self,
        mut frames: BoxStream<'static, Bytes>,
        _: Duration,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes, TransportError>>, TransportError>> + Send {
        let topic = Topic::Append { header: self.header() };
        let stream = self.transport.net.open(self.transport.place, self.host, topic);
        let (out, hears) = (stream.out, stream.hears);
        // Requests leave as soon as they come, whoever reads the answers.
        let pump = tokio::spawn(async move {
            while let Some(frame) = frames.next().await {
                if !out.send(Frame::Raft(frame)) {
                    return;
                }
            }
        });
        std::future::ready(Ok(Replies { hears, pump }.boxed()))
    }

    fn send_snapshot(
        &self,
        chunks: BoxStream<'static, io::Result<Bytes>>,
    ) -> impl Future<Output = Result<Bytes, TransportError>> + Send {
        let header = self.header();
        async move {
            // All frames travel as one message: what a torn stream does is tested beside the code that reads it.
            let mut chunks = chunks;
            let mut frames = vec![];
            while let Some(chunk) = chunks.next().await {
                frames.push(chunk.map_err(|e| TransportError::Broken(e.to_string()))?);
            }
            // A stream, as gRPC's is: what is lost comes again, and keep-alive says when the peer is gone. A question that gets lost would
            // keep the sender waiting for its whole deadline, ten minutes.
            let topic = Topic::Snapshot { header, frames };
            let Duplex { out: _open, mut hears } = self.transport.net.open(self.transport.place, self.host, topic);
            match hears.recv().await {
                Some(Ok(Frame::Raft(answer))) => Ok(answer),
                Some(Ok(_)) => Err(TransportError::Broken("no Raft frame".into())),
                Some(Err(status)) => Err(error(&status)),
                None => Err(TransportError::Broken("the peer ended the call without an answer".into())),
            }
        }
    }
}

/// Answers on an append stream; dropping it ends the stream.
struct Replies {
    hears: mpsc::UnboundedReceiver<Result<Frame, Status>>,
    pump: JoinHandle<()>,
}

impl Stream for Replies {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.hears.poll_recv(cx).map(|heard| {
            heard.map(|frame| match frame {
                Ok(Frame::Raft(bytes)) => Ok(bytes),
                Ok(Frame::FromWorker(_) | Frame::FromLeader(_)) => Err(TransportError::Broken("no Raft frame".into())),
                Err(status) => Err(TransportError::Broken(status.message().to_owned())),
            })
        })
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Questions to other masters, besides Raft.
pub struct SimMasters {
    pub net: Net,
    pub place: Place,
}

impl SimMasters {
    fn ask(&self, address: &str, question: Question) -> BoxFuture<'static, Result<Answer, Status>> {
        let (net, place, host) = (self.net.clone(), self.place, host_of(address).unwrap_or_default());
        Box::pin(async move { net.call(place, host, question).await })
    }
}

fn other_answer() -> Status {
    Status::internal("an answer to another question")
}

impl AskMaster for SimMasters {
    fn register(
        &self,
        address: String,
        request: pb::RegisterRequest,
    ) -> BoxFuture<'static, Result<pb::RegisterReply, Status>> {
        let asked = self.ask(&address, Question::Register(request));
        Box::pin(async move {
            match asked.await? {
                Answer::Registered(reply) => Ok(reply),
                _ => Err(other_answer()),
            }
        })
    }

    fn read_index(
        &self,
        address: String,
        _: pb::ReadIndexRequest,
    ) -> BoxFuture<'static, Result<pb::ReadIndexReply, Status>> {
        let asked = self.ask(&address, Question::ReadIndex);
        Box::pin(async move {
            match asked.await? {
                Answer::ReadIndex(reply) => Ok(reply),
                _ => Err(other_answer()),
            }
        })
    }

    /// Nobody watches in the simulation.
    fn relay_telemetry(
        &self,
        _: String,
        _: pb::RelayTelemetryRequest,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<pb::TelemetryFrame, Status>>, Status>> {
        Box::pin(async { Err(Status::unimplemented("the simulation has no telemetry")) })
    }
}
