//! The ceiling of a submit on this machine: a server that acknowledges each submit at once, behind the same TLS and gRPC as a master, asked
//! by the same client. What it does more per second than a master is the price of a disk, a majority and a state. It is a process of
//! its own, as a master is.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};

use anyhow::{Context as _, ensure};
use cloudai_client::{Client, ClientOptions};
use cloudai_net::{AcceptOptions, Acceptor, Connections, IdentityFiles, ReloadingTls, Revoked};
use cloudai_proto::v1::{SubmitAck, SubmitReply, SubmitStreamRequest, submit_ack::Outcome};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The other process. Ends when it is dropped.
pub struct Echo {
    process: Child,
    address: String,
}

impl Echo {
    /// With a master's identity: clients accept nobody else.
    pub fn start(identity: &Path) -> anyhow::Result<Echo> {
        let process = Command::new(std::env::current_exe()?)
            .arg("echo")
            .arg(identity)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the echo server cannot be started")?;
        let mut echo = Echo { process, address: String::new() };
        let out = echo.process.stdout.take().context("its output is a pipe")?;
        BufReader::new(out).read_line(&mut echo.address)?;
        echo.address.truncate(echo.address.trim_end().len());
        ensure!(!echo.address.is_empty(), "the echo server ended at once");
        Ok(echo)
    }

    pub fn client(&self, identity: &Path) -> anyhow::Result<Client> {
        Ok(Client::open(&ClientOptions::new(vec![self.address.clone()], identity))?)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is that process: tells its address on stdout, then serves for ever.
pub async fn serve(identity: &Path) -> anyhow::Result<()> {
    let tls = ReloadingTls::load(IdentityFiles::new(identity), Revoked::default())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let incoming = Acceptor::spawn(listener, tls, AcceptOptions::control(), Connections::new());
    // The windows of a master's own server.
    tonic::transport::Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_service(Control)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Control;

impl NamedService for Control {
    const NAME: &'static str = "cloudai.v1.Control";
}

impl tonic::codegen::Service<http::Request<Body>> for Control {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Every path is a submit stream here.
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<SubmitAck, SubmitStreamRequest>::default());
            Ok(grpc.streaming(Acknowledge, request).await)
        })
    }
}

struct Acknowledge;

impl StreamingService<SubmitStreamRequest> for Acknowledge {
    type Response = SubmitAck;
    type ResponseStream = BoxStream<'static, Result<SubmitAck, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<SubmitStreamRequest>>) -> Self::Future {
        let acknowledged = |r: SubmitStreamRequest| SubmitAck {
            tag: r.tag,
            outcome: Some(Outcome::Reply(SubmitReply { job_id: r.tag, index: r.tag, duplicate: false })),
        };
        let acks = request.into_inner().map(move |r| r.map(acknowledged)).boxed();
        Box::pin(async move { Ok(Response::new(acks)) })
    }
}
