//! The dispatch service: what workers and joining members say to a master. Comes in: gRPC calls with verified identities. Goes
//! out: sessions, logs and histories to those who wait for them, what an attempt may know, certificates.

pub mod joining;
pub mod logs;
pub mod secrets;
pub mod session;
pub mod sets;
pub mod streams;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cloudai_net::{PeerInfo, Role, require};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_server;
use tonic::{Request, Response, Status, Streaming};

use crate::node::Node;
use crate::state_store::StateStore;
use logs::Upload;

pub struct DispatchService<S: StateStore> {
    pub node: Arc<Node<S>>,
}

#[tonic::async_trait]
impl<S: StateStore> dispatch_server::Dispatch for DispatchService<S> {
    type SessionStream = session::Outbound;

    async fn session(
        &self,
        request: Request<Streaming<pb::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let name = require(&request, &self.node.revoked, &[Role::Worker])?.name.clone();
        let from = request.extensions().get::<PeerInfo>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |p| p.addr.ip());
        Ok(Response::new(session::start(self.node.clone(), name, from, request.into_inner())))
    }

    async fn upload_log(
        &self,
        request: Request<Streaming<pb::UploadLogRequest>>,
    ) -> Result<Response<pb::UploadLogReply>, Status> {
        let who = require(&request, &self.node.revoked, &[Role::Worker])?.name.clone();
        let mut inbound = request.into_inner();
        let mut reader = None;
        while let Some(message) = inbound.message().await? {
            let reader = match &mut reader {
                Some((_, reader)) => reader,
                None => {
                    let id = message.stream_id;
                    let sender = self.node.logs.sender(id, &who);
                    let sender = sender.ok_or_else(|| Status::not_found("nobody waits for this log any more"))?;
                    self.node.logs.close(id);
                    &mut reader.insert((id, sender)).1
                }
            };
            let is_last = message.complete || !message.error.is_empty();
            if reader.send(Upload::Frames(message)).await.is_err() {
                return Err(Status::cancelled("the reader has gone"));
            }
            if is_last {
                break;
            }
        }
        Ok(Response::new(pb::UploadLogReply {}))
    }

    async fn upload_history(
        &self,
        request: Request<pb::UploadHistoryRequest>,
    ) -> Result<Response<pb::UploadHistoryReply>, Status> {
        let who = require(&request, &self.node.revoked, &[Role::Worker])?.name.clone();
        let message = request.into_inner();
        let id = message.stream_id;
        let sender = self.node.usages.sender(id, &who);
        let sender = sender.ok_or_else(|| Status::not_found("nobody waits for this history any more"))?;
        self.node.usages.close(id);
        sender.try_send(message).map_err(|_| Status::cancelled("who asked has gone"))?;
        Ok(Response::new(pb::UploadHistoryReply {}))
    }

    async fn secrets(&self, request: Request<pb::SecretsRequest>) -> Result<Response<pb::SecretsReply>, Status> {
        let name = require(&request, &self.node.revoked, &[Role::Worker])?.name.clone();
        secrets::of_attempt(&self.node, &name, request.into_inner()).await.map(Response::new)
    }

    async fn join(&self, request: Request<pb::JoinRequest>) -> Result<Response<pb::JoinReply>, Status> {
        joining::join(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn renew(&self, request: Request<pb::RenewRequest>) -> Result<Response<pb::RenewReply>, Status> {
        let who = require(&request, &self.node.revoked, &[Role::Worker, Role::Master, Role::Admin])?.clone();
        joining::renew(&self.node, &who, &request.into_inner().csr_pem).map(Response::new)
    }
}
