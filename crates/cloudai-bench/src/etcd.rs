//! etcd as the peer for durable writes: three members on loopback, each put acknowledged after a majority has fsynced it. Plain or
//! with the certificates of the cluster that it is compared with. Without the program in PATH there is no peer.
//!
//! The four messages of etcd's protocol that are needed are written down here, with only the fields that are read.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cloudai_net::{ChannelFactory, ChannelOptions, IdentityFiles, ReloadingTls, Revoked};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

const READY_WITHIN: Duration = Duration::from_secs(20);

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

/// One connection.
#[derive(Clone)]
pub struct Connection(Grpc<Channel>);

/// Whether the program is there.
pub fn is_installed() -> bool {
    let version = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|s| s.success())
}

impl Etcd {
    pub async fn start(dir: &Path, security: Security) -> anyhow::Result<Etcd> {
        let ports = free_ports(6)?;
        let scheme = match security {
            Security::Plain => "http",
            Security::Mutual { .. } => "https",
        };
        let url = |port: u16| format!("{scheme}://127.0.0.1:{port}");
        let all: Vec<String> = (0..3).map(|n| format!("m{n}={}", url(ports[3 + n]))).collect();
        let mut etcd = Etcd { members: vec![], security: security.clone(), leader: String::new() };
        for n in 0..3 {
            let (client, peer) = (url(ports[n]), url(ports[3 + n]));
            let mut command = Command::new("etcd");
            command.args(["--name", &format!("m{n}"), "--initial-cluster", &all.join(",")]);
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            // Its default of 2 GB would fill up in a long run.
            command.args([
                "--initial-cluster-state",
                "new",
                "--log-level",
                "error",
                "--quota-backend-bytes",
                "8589934592",
            ]);
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
                let Ok(Ok(true)) = tokio::time::timeout(Duration::from_secs(1), etcd.connect(&address)?.leads()).await
                else {
                    continue;
                };
                etcd.leader = address;
                return Ok(etcd);
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
    pub fn connection(&self) -> anyhow::Result<Connection> {
        self.connect(&self.leader)
    }

    fn connect(&self, address: &str) -> anyhow::Result<Connection> {
        let channel = match &self.security {
            Security::Plain => Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect_lazy(),
            Security::Mutual { client, .. } => {
                let tls = ReloadingTls::load(IdentityFiles::new(client), Revoked::default())?;
                ChannelFactory::new(tls).channel(address, &ChannelOptions::calls())?
            }
        };
        Ok(Connection(Grpc::new(channel)))
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

impl Connection {
    pub async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> anyhow::Result<()> {
        self.0.ready().await?;
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
        let codec = ProstCodec::<PutRequest, PutResponse>::default();
        self.0.unary(tonic::Request::new(PutRequest { key, value }), path, codec).await?;
        Ok(())
    }

    async fn leads(&mut self) -> anyhow::Result<bool> {
        self.0.ready().await?;
        let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Status");
        let codec = ProstCodec::<StatusRequest, StatusResponse>::default();
        let status = self.0.unary(tonic::Request::new(StatusRequest {}), path, codec).await?.into_inner();
        Ok(status.leader != 0 && status.header.is_some_and(|h| h.member_id == status.leader))
    }
}

/// Held together while they are looked for, so that none comes twice.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|l| Ok(l.local_addr()?.port())).collect()
}
