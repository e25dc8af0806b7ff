//! Raft frames in: port 7602, masters only. Comes in: frames whose connection has been verified to be a master of this cluster.
//! Goes out: frames from the Raft handle. Each header is checked against this node and the disks that the replicated state
//! knows; a refusal is logged with its reason.

use std::sync::Arc;

use cloudai_net::{Role, require};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::raft_server;
use cloudai_raft::{CallKind, HandleError, ReadError, TransportError};
use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::control::telemetry;
use crate::node::Node;
use crate::peers::{Header, PeerRefusal, check};
use crate::raft_link::HEADER_KEY;
use crate::registration;
use crate::state_store::StateStore;

pub struct RaftService<S: StateStore> {
    pub node: Arc<Node<S>>,
}

impl<S: StateStore> RaftService<S> {
    fn admit<T>(&self, request: &Request<T>, header: Option<pb::RaftHeader>) -> Result<(), Status> {
        require(request, &self.node.revoked, &[Role::Master])?;
        let verdict = match header {
            None => Err(PeerRefusal::NoHeader),
            Some(h) => {
                let header =
                    Header { cluster: h.cluster, from: h.from, from_disk: h.from_disk, to: h.to, to_disk: h.to_disk };
                check(&self.node.me, &header, (self.node.directory)(header.from).as_ref())
            }
        };
        verdict.map_err(|refusal| {
            self.node.refused_peer(&refusal);
            Status::failed_precondition(refusal.to_string())
        })
    }

    fn admit_stream(&self, request: &Request<Streaming<pb::RaftFrame>>) -> Result<(), Status> {
        let value = request.metadata().get_bin(HEADER_KEY).and_then(|v| v.to_bytes().ok());
        let header = value.and_then(|bytes| pb::RaftHeader::decode(bytes).ok());
        self.admit(request, header)
    }
}

fn status(error: HandleError) -> Status {
    match error {
        HandleError::Malformed { .. } => Status::invalid_argument(error.to_string()),
        HandleError::Refused(_) => Status::failed_precondition(error.to_string()),
        HandleError::Stopped(_) => Status::unavailable(error.to_string()),
    }
}

fn frames(inbound: Streaming<pb::RaftFrame>) -> BoxStream<'static, Result<bytes::Bytes, TransportError>> {
    inbound.map(|f| f.map(|f| f.frame).map_err(|s| TransportError::Broken(s.to_string()))).boxed()
}

#[tonic::async_trait]
impl<S: StateStore> raft_server::Raft for RaftService<S> {
    async fn call(&self, mut request: Request<pb::RaftCall>) -> Result<Response<pb::RaftFrame>, Status> {
        let header = request.get_mut().header.take();
        self.admit(&request, header)?;
        let call = request.into_inner();
        let kind = CallKind::from_number(call.kind as u8)
            .ok_or_else(|| Status::unimplemented(format!("call kind {} is not known here", call.kind)))?;
        let frame = self.node.raft.handle_call(kind, call.frame).await.map_err(status)?;
        Ok(Response::new(pb::RaftFrame { frame }))
    }

    type AppendStream = BoxStream<'static, Result<pb::RaftFrame, Status>>;

    async fn append(&self, request: Request<Streaming<pb::RaftFrame>>) -> Result<Response<Self::AppendStream>, Status> {
        self.admit_stream(&request)?;
        let node = self.node.clone();
        let inbound = frames(request.into_inner()).inspect(move |_| node.heard_leader()).boxed();
        let replies = self.node.raft.handle_append_stream(inbound);
        let replies = replies.map(|r| r.map(|frame| pb::RaftFrame { frame }).map_err(status));
        Ok(Response::new(replies.boxed()))
    }

    async fn snapshot(&self, request: Request<Streaming<pb::RaftFrame>>) -> Result<Response<pb::RaftFrame>, Status> {
        self.admit_stream(&request)?;
        let frame = self.node.raft.handle_snapshot(frames(request.into_inner())).await.map_err(status)?;
        Ok(Response::new(pb::RaftFrame { frame }))
    }

    async fn read_index(
        &self,
        mut request: Request<pb::ReadIndexRequest>,
    ) -> Result<Response<pb::ReadIndexReply>, Status> {
        let header = request.get_mut().header.take();
        self.admit(&request, header)?;
        match self.node.raft.read_index().await {
            Ok(index) => Ok(Response::new(pb::ReadIndexReply { index })),
            Err(e @ (ReadError::NotLeader { .. } | ReadError::NoQuorum | ReadError::Fatal(_))) => {
                Err(Status::unavailable(e.to_string()))
            }
        }
    }

    type RelayTelemetryStream = ReceiverStream<Result<pb::TelemetryFrame, Status>>;

    async fn relay_telemetry(
        &self,
        mut request: Request<pb::RelayTelemetryRequest>,
    ) -> Result<Response<Self::RelayTelemetryStream>, Status> {
        let header = request.get_mut().header.take();
        self.admit(&request, header)?;
        telemetry::relay(&self.node).map(|frames| Response::new(frames.into()))
    }

    async fn register(&self, request: Request<pb::RegisterRequest>) -> Result<Response<pb::RegisterReply>, Status> {
        let who = require(&request, &self.node.revoked, &[Role::Master])?.name.clone();
        let record = registration::from_request(request.into_inner());
        if record.name != who {
            return Err(Status::permission_denied(format!("'{who}' may not register as '{}'", record.name)));
        }
        if self.node.leading().is_none() {
            return Err(Status::unavailable("this master does not lead"));
        }
        let refused = registration::register(&self.node, record).await?.unwrap_or_default();
        Ok(Response::new(pb::RegisterReply { refused }))
    }
}
