//! etcd as the peer for durable writes: three members on loopback, each put acknowledged after a majority has fsynced it. Plain or
//! with the certificates of the cluster that it is compared with. Without the program in PATH there is no peer.
//!
//! The client is as light as we can make one, so that etcd is not measured through it: HTTP/2 without any layer above it, puts
//! pipelined on few connections to the leader. The four messages of etcd's protocol that are needed are written down here, with only
//! the fields that are read.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut as _, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::machine::cpu_time;
use crate::tls;

const READY_WITHIN: Duration = Duration::from_secs(20);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A gRPC frame's flag and length.
const FRAME_HEAD: usize = 5;

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// How members and clients know each other.
#[derive(Debug, Clone)]
pub enum Security {
    Plain,
    /// Both sides show certificates.
    Mutual {
        server: PathBuf,
        client: PathBuf,
    },
}

/// Stopped when it is dropped. Its data lies in the directory that was given.
pub struct Etcd {
    members: Vec<Child>,
    security: Security,
    /// The leader's client address.
    leader: String,
}

/// One connection. Clones share it.
#[derive(Clone)]
pub struct Connection {
    send: http2::SendRequest<Full<bytes::Bytes>>,
    scheme: &'static str,
}

/// Whether the program is there.
pub fn is_installed() -> bool {
    let version = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|s| s.success())
}

impl Etcd {
    pub async fn start(dir: &Path, security: Security) -> anyhow::Result<Etcd> {
        let ports = free_ports(6)?;
        let scheme = security.scheme();
        let url = |port: u16| format!("{scheme}://127.0.0.1:{port}");
        let all: Vec<String> = (0..3).map(|n| format!("m{n}={}", url(ports[3 + n]))).collect();
        let mut etcd = Etcd { members: vec![], security: security.clone(), leader: String::new() };
        for n in 0..3 {
            let (client, peer) = (url(ports[n]), url(ports[3 + n]));
            let mut command = Command::new("etcd");
            command.args(["--name", &format!("m{n}"), "--initial-cluster", &all.join(",")]);
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster-state", "new", "--log-level", "error"]);
            // Its default of 2 GB would fill up in a long run.
            command.args(["--quota-backend-bytes", "8589934592"]);
            command.arg("--data-dir").arg(dir.join(format!("m{n}")));
            if let Security::Mutual { server, .. } = &security {
                for (side, auth) in [("", "client-cert-auth"), ("peer-", "peer-client-cert-auth")] {
                    command.arg(format!("--{auth}"));
                    for (flag, file) in
                        [("cert-file", "cert.pem"), ("key-file", "key.pem"), ("trusted-ca-file", "ca.pem")]
                    {
                        command.arg(format!("--{side}{flag}")).arg(server.join(file));
                    }
                }
            }
            let log = std::fs::File::create(dir.join(format!("m{n}.log")))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            etcd.members.push(command.spawn().context("etcd cannot be started")?);
        }
        let began = Instant::now();
        loop {
            for port in &ports[..3] {
                let address = format!("127.0.0.1:{port}");
                let asked = async { etcd.connect(&address).await?.leads().await };
                if let Ok(Ok(true)) = tokio::time::timeout(Duration::from_secs(1), asked).await {
                    etcd.leader = address;
                    return Ok(etcd);
                }
            }
            if began.elapsed() > READY_WITHIN {
                let log = std::fs::read_to_string(dir.join("m0.log")).unwrap_or_default();
                bail!(
                    "etcd did not get a leader within {} s: {}",
                    READY_WITHIN.as_secs(),
                    log.lines().last().unwrap_or("")
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A connection of its own to the leader.
    pub async fn connection(&self) -> anyhow::Result<Connection> {
        self.connect(&self.leader).await
    }

    /// Of all members together.
    pub fn cpu_time(&self) -> Duration {
        self.members.iter().map(|m| cpu_time(m.id())).sum()
    }

    async fn connect(&self, address: &str) -> anyhow::Result<Connection> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let send = match &self.security {
            Security::Plain => {
                let (send, driver) = http.handshake(TokioIo::new(tcp)).await?;
                tokio::spawn(driver);
                send
            }
            Security::Mutual { client, .. } => {
                let connector = TlsConnector::from(tls::client(client, true, &[b"h2"])?);
                let tls = connector.connect(cloudai_net::SERVER_NAME.try_into()?, tcp).await?;
                let (send, driver) = http.handshake(TokioIo::new(tls)).await?;
                tokio::spawn(driver);
                send
            }
        };
        Ok(Connection { send, scheme: self.security.scheme() })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

impl Security {
    fn scheme(&self) -> &'static str {
        match self {
            Security::Plain => "http",
            Security::Mutual { .. } => "https",
        }
    }
}

impl Connection {
    pub async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> anyhow::Result<()> {
        let _: PutResponse = self.call("/etcdserverpb.KV/Put", &PutRequest { key, value }).await?;
        Ok(())
    }

    async fn leads(&mut self) -> anyhow::Result<bool> {
        let status: StatusResponse = self.call("/etcdserverpb.Maintenance/Status", &StatusRequest {}).await?;
        Ok(status.leader != 0 && status.header.is_some_and(|h| h.member_id == status.leader))
    }

    /// One unary gRPC call.
    async fn call<A: Message + Default>(&mut self, path: &'static str, question: &impl Message) -> anyhow::Result<A> {
        let length = question.encoded_len();
        let mut frame = BytesMut::with_capacity(FRAME_HEAD + length);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(length)?);
        question.encode(&mut frame)?;
        let uri = http::Uri::builder().scheme(self.scheme).authority("etcd").path_and_query(path).build()?;
        let request = http::Request::post(uri)
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .header(http::header::TE, "trailers")
            .body(Full::new(frame.freeze()))?;
        self.send.ready().await?;
        let response = self.send.send_request(request).await?;
        ensure!(response.status().is_success(), "etcd answers {}", response.status());
        let early = response.headers().get("grpc-status").cloned();
        let body = response.into_body().collect().await?;
        let status = early.or_else(|| body.trailers().and_then(|t| t.get("grpc-status").cloned()));
        let said = body.trailers().and_then(|t| t.get("grpc-message")).map(|m| String::from_utf8_lossy(m.as_bytes()));
        ensure!(status.as_ref().is_some_and(|s| s == "0"), "etcd refuses with status {status:?} {said:?}");
        let answer = body.to_bytes();
        Ok(A::decode(answer.get(FRAME_HEAD..).context("etcd's answer is shorter than a gRPC frame's head")?)?)
    }
}

/// Held together while they are looked for, so that none comes twice.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|l| Ok(l.local_addr()?.port())).collect()
}
