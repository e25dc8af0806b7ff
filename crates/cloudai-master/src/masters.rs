//! What a master asks other masters, besides Raft itself. Comes in: an address and a question. Goes out: the answer. Over gRPC
//! here; the simulation has its own network.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cloudai_net::channel::AddressError;
use cloudai_net::{ChannelFactory, ChannelOptions};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::raft_client::RaftClient;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tonic::Status;
use tonic::transport::Channel;

/// Asks the Raft port of another master. No call waits for ever: the caller has the deadline.
pub trait AskMaster: Send + Sync {
    fn register(
        &self,
        address: String,
        request: pb::RegisterRequest,
    ) -> BoxFuture<'static, Result<pb::RegisterReply, Status>>;

    fn read_index(
        &self,
        address: String,
        request: pb::ReadIndexRequest,
    ) -> BoxFuture<'static, Result<pb::ReadIndexReply, Status>>;

    /// Without an end, unless the one asked does not lead, or leads no more.
    fn relay_telemetry(
        &self,
        address: String,
        request: pb::RelayTelemetryRequest,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<pb::TelemetryFrame, Status>>, Status>>;
}

/// Over mTLS.
pub struct GrpcMasters {
    factory: ChannelFactory,
    /// One connection per master for forwarded calls and read indexes, by address.
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl GrpcMasters {
    pub fn new(factory: ChannelFactory) -> Self {
        GrpcMasters { factory, channels: Mutex::default() }
    }

    /// The connection to another master's `HOST:PORT`, shared by all calls.
    pub fn channel_to(&self, address: &str) -> Result<Channel, AddressError> {
        let mut channels = self.channels.lock().expect("nothing panics under this lock");
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.factory.channel(address, &ChannelOptions::calls())?;
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

fn unreachable(e: &AddressError) -> Status {
    Status::unavailable(e.to_string())
}

impl AskMaster for GrpcMasters {
    fn register(
        &self,
        address: String,
        request: pb::RegisterRequest,
    ) -> BoxFuture<'static, Result<pb::RegisterReply, Status>> {
        // One connection per try: a wiped master's may be cut at any moment.
        let channel = self.factory.channel(&address, &ChannelOptions::calls());
        Box::pin(async move {
            let mut client = RaftClient::new(channel.map_err(|e| unreachable(&e))?);
            client.register(request).await.map(tonic::Response::into_inner)
        })
    }

    fn read_index(
        &self,
        address: String,
        request: pb::ReadIndexRequest,
    ) -> BoxFuture<'static, Result<pb::ReadIndexReply, Status>> {
        let channel = self.channel_to(&address);
        Box::pin(async move {
            let mut client = RaftClient::new(channel.map_err(|e| unreachable(&e))?);
            client.read_index(request).await.map(tonic::Response::into_inner)
        })
    }

    fn relay_telemetry(
        &self,
        address: String,
        request: pb::RelayTelemetryRequest,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<pb::TelemetryFrame, Status>>, Status>> {
        let channel = self.channel_to(&address);
        Box::pin(async move {
            let mut client = RaftClient::new(channel.map_err(|e| unreachable(&e))?);
            Ok(client.relay_telemetry(request).await?.into_inner().boxed())
        })
    }
}
