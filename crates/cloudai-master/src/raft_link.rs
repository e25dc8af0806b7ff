//! Raft frames out: the transport over gRPC. Comes in: opaque frames from the Raft crate. Goes out: the same frames with a
//! header that says who speaks to whom, over a connection of its own per peer and purpose. Looks into no frame.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cloudai_net::{ChannelFactory, ChannelOptions};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::raft_client::RaftClient;
use cloudai_raft::{CallKind, Link, PeerAddress, Purpose, Transport, TransportError};
use cloudai_telemetry::{MasterMetrics, SnapshotOp};
use cloudai_types::limits;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use prost::Message;
use tokio::sync::oneshot;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::peers::{KnownMaster, Me};

/// Metadata key of the header on streams.
pub const HEADER_KEY: &str = "cloudai-raft-header-bin";

/// What the replicated state says of a node id.
pub type Directory = Arc<dyn Fn(u64) -> Option<KnownMaster> + Send + Sync>;

/// Opens links. Cheap to clone.
#[derive(Clone)]
pub struct RaftTransport {
    pub channels: ChannelFactory,
    pub me: Arc<Me>,
    pub directory: Directory,
    pub metrics: MasterMetrics,
}

/// One lazy connection.
pub struct RaftLink {
    /// An address in the membership that is none stays unreachable, and says so at each call.
    client: Result<RaftClient<Channel>, String>,
    me: Arc<Me>,
    directory: Directory,
    metrics: MasterMetrics,
    target: u64,
}

impl Transport for RaftTransport {
    type Link = RaftLink;

    fn link(&self, peer: PeerAddress, purpose: Purpose) -> RaftLink {
        let options = match purpose {
            Purpose::Heartbeat => ChannelOptions::heartbeats(),
            Purpose::Append => ChannelOptions::replication(),
            Purpose::Snapshot => ChannelOptions::snapshots(),
        };
        // A new channel for each call of this function: purposes never share a TCP connection.
        let client = self.channels.channel(&peer.raft_addr, &options).map_err(|e| e.to_string()).map(|channel| {
            RaftClient::new(channel)
                .max_decoding_message_size(limits::RAFT_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(limits::RAFT_MESSAGE_BYTES_MAX)
        });
        let (me, directory, metrics) = (self.me.clone(), self.directory.clone(), self.metrics.clone());
        RaftLink { client, me, directory, metrics, target: peer.target }
    }
}

impl RaftLink {
    fn client(&self) -> Result<RaftClient<Channel>, TransportError> {
        self.client.clone().map_err(TransportError::Unreachable)
    }

    fn header(&self) -> pb::RaftHeader {
        header(&self.me, self.target, &self.directory)
    }

    fn streaming<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        let value = MetadataValue::from_bytes(&self.header().encode_to_vec());
        request.metadata_mut().insert_bin(HEADER_KEY, value);
        request
    }
}

/// The header of everything that `me` sends to node `to`.
pub fn header(me: &Me, to: u64, directory: &Directory) -> pb::RaftHeader {
    pb::RaftHeader {
        cluster: me.cluster.clone(),
        from: me.node,
        from_disk: me.disk.clone(),
        to,
        to_disk: directory(to).map(|k| k.disk).unwrap_or_default(),
    }
}

fn error(status: &Status) -> TransportError {
    match status.code() {
        Code::Unavailable => TransportError::Unreachable(status.message().to_owned()),
        Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition => {
            TransportError::Refused(status.message().to_owned())
        }
        _ => TransportError::Broken(format!("{}: {}", status.code(), status.message())),
    }
}

impl Link for RaftLink {
    async fn call(&self, kind: CallKind, frame: Bytes, deadline: Duration) -> Result<Bytes, TransportError> {
        let call = pb::RaftCall { header: Some(self.header()), kind: u32::from(kind.number()), frame };
        let mut client = self.client()?;
        match tokio::time::timeout(deadline, client.call(call)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner().frame),
            Ok(Err(status)) => Err(error(&status)),
            Err(_) => Err(TransportError::TimedOut(deadline)),
        }
    }

    fn append_stream(
        &self,
        frames: BoxStream<'static, Bytes>,
        open_within: Duration,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes, TransportError>>, TransportError>> + Send {
        let frames = FrameStream(Box::pin(frames.map(|frame| pb::RaftFrame { frame })));
        open_append(self.client(), self.streaming(frames), open_within)
    }

    fn send_snapshot(
        &self,
        chunks: BoxStream<'static, io::Result<Bytes>>,
    ) -> impl Future<Output = Result<Bytes, TransportError>> + Send {
        // A local read error ends the stream early, which the peer takes for broken, and cancels the call at once.
        let (failed, on_failure) = oneshot::channel::<io::Error>();
        let mut failed = Some(failed);
        let frames = tokio_stream::StreamExt::map_while(chunks, move |chunk| match chunk {
            Ok(frame) => Some(pb::RaftFrame { frame }),
            Err(e) => {
                if let Some(failed) = failed.take() {
                    let _ = failed.send(e);
                }
                None
            }
        });
        let frames = FrameStream(Box::pin(frames));
        upload(self.client(), self.streaming(frames), on_failure, self.metrics.clone())
    }
}

/// A nameable type: of a boxed trait object inside an async block the compiler cannot prove that it is `Send`.
struct FrameStream(BoxStream<'static, pb::RaftFrame>);

impl Stream for FrameStream {
    type Item = pb::RaftFrame;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<pb::RaftFrame>> {
        self.0.as_mut().poll_next(cx)
    }
}

type Client = Result<RaftClient<Channel>, TransportError>;

async fn open_append(
    client: Client,
    request: Request<FrameStream>,
    open_within: Duration,
) -> Result<BoxStream<'static, Result<Bytes, TransportError>>, TransportError> {
    let replies = match tokio::time::timeout(open_within, client?.append(request)).await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => return Err(error(&status)),
        Err(_) => return Err(TransportError::TimedOut(open_within)),
    };
    Ok(replies.map(|r| r.map(|f| f.frame).map_err(|s| error(&s))).boxed())
}

async fn upload(
    client: Client,
    request: Request<FrameStream>,
    on_failure: oneshot::Receiver<io::Error>,
    metrics: MasterMetrics,
) -> Result<Bytes, TransportError> {
    let mut client = client?;
    let begun = Instant::now();
    let sent = tokio::select! {
        biased;
        Ok(e) = on_failure => Err(TransportError::Broken(format!("the checkpoint cannot be read: {e}"))),
        reply = client.snapshot(request) => reply.map(|r| r.into_inner().frame).map_err(|s| error(&s)),
    };
    metrics.snapshot_ended(SnapshotOp::Send, begun.elapsed(), sent.is_ok());
    sent
}
