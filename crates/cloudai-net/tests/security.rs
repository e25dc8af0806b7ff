//! Tests derived from CVEs of other systems, for whoever connects without permission. Each carries the name that
//! `docs/security-tests.md` lists with its CVE.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cloudai_net::*;
use cloudai_types::{Timestamp, limits};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An honest handshake and a call take some milliseconds; this only tells them from a wait for somebody's time-out.
const SOON: Duration = Duration::from_millis(2_500);

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64)
}

struct Server {
    ca: CertificateAuthority,
    dir: tempfile::TempDir,
    addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// A gRPC server without a service: to every call it answers "unimplemented", over a verified connection.
    async fn start() -> Server {
        install_crypto_provider();
        let ca = CertificateAuthority::create(ClusterId::from_bytes([1; 8]), now()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path().join("m1"));
        files.enroll(&ca, Role::Master, "m1", &[], limits::LEAF_VALIDITY, now()).unwrap();
        let tls = ReloadingTls::load(files, Revoked::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let incoming = Acceptor::spawn(listener, tls, AcceptOptions::control(), Connections::new());
        let routes = tonic::service::Routes::default();
        let task = tokio::spawn(async move {
            tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming).await.unwrap();
        });
        Server { ca, dir, addr, task }
    }

    fn identity(&self, name: &str) -> IdentityFiles {
        let files = IdentityFiles::new(self.dir.path().join(name));
        files.enroll(&self.ca, Role::Worker, name, &[], limits::LEAF_VALIDITY, now()).unwrap();
        files
    }

    fn channel(&self, name: &str) -> tonic::transport::Channel {
        let tls = ReloadingTls::load(self.identity(name), Revoked::default()).unwrap();
        ChannelFactory::new(tls).channel(&self.addr.to_string(), &ChannelOptions::calls()).unwrap()
    }

    /// How long a call takes until it is answered.
    async fn call(&self, channel: tonic::transport::Channel) -> Duration {
        let began = Instant::now();
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.None/Ask");
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let answer = grpc.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
        assert_eq!(answer.code(), tonic::Code::Unimplemented, "{answer:?}");
        began.elapsed()
    }

    async fn answers_soon(&self, name: &str) {
        let took = self.call(self.channel(name)).await;
        assert!(took < SOON, "a new client waited {took:?}");
    }

    /// A raw TLS connection that speaks HTTP/2 by hand.
    async fn raw(&self, name: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.certificate_pem().as_bytes()).unwrap()).unwrap();
        let files = self.identity(name);
        let chain = CertificateDer::pem_file_iter(files.cert_path()).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(files.key_path()).unwrap();
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
        let mut config = builder.with_client_auth_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect("cloudai".try_into().unwrap(), stream).await.unwrap()
    }
}

/// The first bytes of a handshake that never goes on.
const HALF_A_HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

#[tokio::test]
async fn unauth_conn_limits() {
    let server = Server::start().await;
    let busy = server.channel("busy");
    server.call(busy.clone()).await;
    // Silent ones and half-open handshakes, many more than are served at a time, and they keep coming.
    let addr = server.addr;
    let flood = tokio::spawn(async move {
        let mut held = std::collections::VecDeque::new();
        for n in 0u32.. {
            if let Ok(mut stream) = TcpStream::connect(addr).await {
                if n.is_multiple_of(2) {
                    let _ = stream.write_all(&HALF_A_HELLO).await;
                }
                held.push_back(stream);
            }
            if held.len() > limits::HANDSHAKES_MAX + 100 {
                held.pop_front();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // Whoever is connected goes on, and whoever is new gets in: before, each waited for 5-second time-outs.
    for i in 0..10 {
        let took = server.call(busy.clone()).await;
        assert!(took < SOON, "a connected client waited {took:?}");
        server.answers_soon(&format!("new-{i}")).await;
    }
    assert!(!flood.is_finished(), "the flood went on meanwhile");
    flood.abort();
}

#[tokio::test]
async fn tls_accept_survives() {
    let server = Server::start().await;
    let garbage: [&[u8]; 5] = [b"", &HALF_A_HELLO, b"\x16\x03\x01\xff\xff", b"GET / HTTP/1.1\r\n\r\n", &[0x16; 4_000]];
    for n in 0..400 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let _ = stream.write_all(garbage[n % garbage.len()]).await;
        if n % 3 != 0 {
            // A reset, and not an orderly end, while the server is inside the handshake.
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
    }
    server.answers_soon("after").await;
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32;
    let mut raw = length.to_be_bytes()[1..].to_vec();
    raw.extend([kind, flags]);
    raw.extend(stream.to_be_bytes());
    raw.extend(body);
    raw
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// `:method: POST`, `:scheme: https`, `:path: /`, from HPACK's static table.
const REQUEST: [u8; 3] = [0x83, 0x87, 0x84];

/// Writes until the other side has enough. True: it ended the connection.
async fn flood(io: tokio_rustls::client::TlsStream<TcpStream>, each: impl Fn(u32) -> Vec<u8>) -> bool {
    let (mut read, mut write) = tokio::io::split(io);
    let reader = tokio::spawn(async move {
        let mut all = vec![0; 64 << 10];
        while read.read(&mut all).await.is_ok_and(|n| n > 0) {}
    });
    let writing = async {
        write.write_all(PREFACE).await?;
        write.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        for n in 0..200_000 {
            write.write_all(&each(n)).await?;
        }
        write.flush().await
    };
    let written = tokio::time::timeout(Duration::from_secs(20), writing).await;
    let was_cut = matches!(written, Ok(Err(_)));
    reader.abort();
    was_cut
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_floods() {
    let server = Server::start().await;
    // Rapid reset (CVE-2023-44487): a request is made and taken back at once, without end.
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        let mut raw = frame(HEADERS, 4, stream, &REQUEST);
        raw.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        raw
    };
    assert!(flood(server.raw("reset").await, reset).await, "200,000 resets were taken");
    server.answers_soon("after-reset").await;
    // Headers that never end (CVE-2024-27316).
    let endless = |n: u32| match n {
        0 => frame(HEADERS, 0, 1, &REQUEST),
        _ => frame(CONTINUATION, 0, 1, &[&[0x40, 1, b'a', 0x7f, 0xff, 0x07][..], &[b'x'; 1_000]].concat()),
    };
    assert!(flood(server.raw("endless").await, endless).await, "endless headers were taken");
    server.answers_soon("after-endless").await;
    // Settings and pings ask for answers: others must not wait for them (CVE-2019-9512, -9515).
    let asks = |n: u32| if n.is_multiple_of(2) { frame(SETTINGS, 0, 0, &[]) } else { frame(PING, 0, 0, &[7; 8]) };
    let io = server.raw("asks").await;
    let asking = tokio::spawn(flood(io, asks));
    for i in 0..5 {
        server.answers_soon(&format!("meanwhile-{i}")).await;
    }
    asking.abort();
}
