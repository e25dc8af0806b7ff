//! Real handshakes on loopback: who gets in, who does not, and whether each side learns why.

// The lint spares functions marked as tests, and not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use cloudai_net::tls::TlsError;
use cloudai_net::*;
use cloudai_types::{Millis, Timestamp, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::codegen::BoxFuture;

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64)
}

fn days(n: u64) -> Millis {
    Millis::from_secs(n * 24 * 3600)
}

/// A cluster's CA, and a directory for the identities that it issues.
struct Cluster {
    ca: CertificateAuthority,
    dir: tempfile::TempDir,
}

impl Cluster {
    fn new(n: u8) -> Self {
        let ca = CertificateAuthority::create(ClusterId::from_bytes([n; 8]), now()).unwrap();
        Cluster { ca, dir: tempfile::tempdir().unwrap() }
    }

    fn files(&self, role: Role, name: &str) -> IdentityFiles {
        let path: PathBuf = self.dir.path().join(format!("{role}-{name}"));
        IdentityFiles::new(path)
    }

    fn issue_at(&self, role: Role, name: &str, at: Timestamp) -> Arc<ReloadingTls> {
        let files = self.files(role, name);
        files.enroll(&self.ca, role, name, &[], limits::LEAF_VALIDITY, at).unwrap();
        ReloadingTls::load(files, Revoked::default()).unwrap()
    }

    fn issue(&self, role: Role, name: &str) -> Arc<ReloadingTls> {
        self.issue_at(role, name, now())
    }
}

/// The log of one test, which runs on one thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_env_filter("cloudai_net=debug")
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The first line that holds all of `words`; waits for it.
    async fn line(&self, words: &[&str]) -> String {
        for _ in 0..500 {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            if let Some(line) = text.lines().find(|l| words.iter().all(|w| l.contains(w))) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no line with {words:?} in:\n{}", String::from_utf8_lossy(&self.0.lock().unwrap()));
    }
}

/// A gRPC service with one method: it answers with the name of whoever asks. `/test.Who/Hang` never answers.
#[derive(Clone)]
struct Who;

impl tonic::server::NamedService for Who {
    const NAME: &'static str = "test.Who";
}

struct Answer;

impl tonic::server::UnaryService<()> for Answer {
    type Response = String;
    type Future = BoxFuture<tonic::Response<String>, tonic::Status>;
    fn call(&mut self, request: tonic::Request<()>) -> Self::Future {
        let who = identity_of(&request).map_or("nobody".to_owned(), |id| id.to_string());
        Box::pin(async move { Ok(tonic::Response::new(who)) })
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for Who {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path().ends_with("Hang") {
                std::future::pending::<()>().await;
            }
            let codec = tonic_prost::ProstCodec::<String, ()>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Answer, request).await)
        })
    }
}

struct Server {
    addr: SocketAddr,
    connections: Connections,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(tls: Arc<ReloadingTls>, options: AcceptOptions) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Connections::new();
    let incoming = Acceptor::spawn(listener, tls, options, connections.clone());
    let task = tokio::spawn(async move {
        tonic::transport::Server::builder().add_service(Who).serve_with_incoming(incoming).await.unwrap();
    });
    Server { addr, connections, task }
}

async fn call(factory: &ChannelFactory, addr: SocketAddr, method: &str) -> Result<String, tonic::Status> {
    let channel = factory.channel(&addr.to_string(), &ChannelOptions::calls()).unwrap();
    call_on(channel, method).await
}

async fn call_on(channel: tonic::transport::Channel, method: &str) -> Result<String, tonic::Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|e| tonic::Status::from_error(e.into()))?;
    let path = http::uri::PathAndQuery::try_from(format!("/test.Who/{method}")).unwrap();
    let codec = tonic_prost::ProstCodec::<(), String>::default();
    grpc.unary(tonic::Request::new(()), path, codec).await.map(tonic::Response::into_inner)
}

/// Calls, expects no connection, and gives the reason as a person would see it.
async fn refused(factory: &ChannelFactory, addr: SocketAddr) -> String {
    let status = call(factory, addr, "Ask").await.unwrap_err();
    match ConnectError::of(&status) {
        Some(e @ (ConnectError::Refused { .. } | ConnectError::Untrusted { .. })) => {
            assert!(e.is_about_certificates());
            e.to_string()
        }
        other => panic!("{other:?} in {status:?}"),
    }
}

#[tokio::test]
async fn every_role_of_the_cluster_is_recognised() {
    let cluster = Cluster::new(1);
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::control()).await;
    for (role, name) in
        [(Role::Worker, "w1"), (Role::Admin, "ann"), (Role::Master, "m2"), (Role::Observer, "prometheus")]
    {
        let factory = ChannelFactory::new(cluster.issue(role, name));
        assert_eq!(call(&factory, server.addr, "Ask").await.unwrap(), format!("{role} {name}"));
    }
}

#[tokio::test]
async fn the_raft_port_takes_masters_only_and_both_sides_learn_why() {
    let (log, _guard) = Log::start();
    let cluster = Cluster::new(1);
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::raft()).await;

    let master = ChannelFactory::new(cluster.issue(Role::Master, "m2"));
    assert_eq!(call(&master, server.addr, "Ask").await.unwrap(), "master m2");

    for (role, name) in [(Role::Worker, "w1"), (Role::Admin, "ann"), (Role::Observer, "prometheus")] {
        let reason = refused(&ChannelFactory::new(cluster.issue(role, name)), server.addr).await;
        assert!(reason.contains("our role may not connect to this port"), "{reason}");
        let line = log.line(&["WARN", &format!("spiffe://0101010101010101/{role}/{name}")]).await;
        assert!(line.contains("peer=127.0.0.1:") && line.contains("(master only)"), "{line}");
    }

    let expired = cluster.issue_at(Role::Master, "m3", Timestamp(now().0 - days(100).0));
    let reason = refused(&ChannelFactory::new(expired), server.addr).await;
    assert!(reason.contains("our certificate has expired"), "{reason}");
    let line = log.line(&["WARN", "/master/m3"]).await;
    assert!(line.contains("it has expired, 10 days ago"), "{line}");

    let early = cluster.issue_at(Role::Master, "m4", now() + days(2));
    refused(&ChannelFactory::new(early), server.addr).await;
    let line = log.line(&["WARN", "/master/m4"]).await;
    assert!(line.contains("compare the clocks"), "{line}");

    // A master of another cluster that was given our CA, too: it refuses us first, for our cluster is not its own.
    let stranger = Cluster::new(2);
    let files = stranger.files(Role::Master, "m5");
    files.enroll(&stranger.ca, Role::Master, "m5", &[], limits::LEAF_VALIDITY, now()).unwrap();
    let both = format!("{}{}", stranger.ca.certificate_pem(), cluster.ca.certificate_pem());
    std::fs::write(files.ca_path(), both).unwrap();
    let client = ReloadingTls::load(files, Revoked::default()).unwrap();
    let reason = refused(&ChannelFactory::new(client), server.addr).await;
    assert!(reason.contains("not trusted"), "{reason}");

    // Without a certificate.
    let reason = refused(&ChannelFactory::joining(cluster.ca.digest()), server.addr).await;
    assert!(reason.contains("it needs a certificate"), "{reason}");
    log.line(&["WARN", "certificate=\"none\"", "no certificate was presented"]).await;
}

/// A TLS client of its own, which believes any server: what an attacker would use.
async fn raw_client(server: SocketAddr, files: Option<&IdentityFiles>) -> std::io::Result<usize> {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    #[derive(Debug)]
    struct Anyone;
    impl rustls::client::danger::ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &rustls_pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls_pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
        }
    }
    install_crypto_provider();
    let builder = rustls::ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
    let mut config = match files {
        None => builder.with_no_client_auth(),
        Some(f) => {
            let chain = CertificateDer::pem_file_iter(f.cert_path()).unwrap().map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(f.key_path()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server).await?;
    let name = "anything".try_into().unwrap();
    let mut io = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    io.read(&mut [0; 16]).await
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_with_the_reason_in_the_log() {
    let (log, _guard) = Log::start();
    let (cluster, stranger) = (Cluster::new(1), Cluster::new(2));
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::raft()).await;
    let files = stranger.issue(Role::Master, "m5").files().clone();
    raw_client(server.addr, Some(&files)).await.unwrap_err();
    let line = log.line(&["WARN", "spiffe://0202020202020202/master/m5"]).await;
    assert!(line.contains("of another cluster (0202020202020202; this is 0101010101010101)"), "{line}");

    // The same cluster id, but an issuer that is not ours: the id alone opens nothing.
    let forger = Cluster::new(1);
    let files = forger.issue(Role::Master, "m6").files().clone();
    raw_client(server.addr, Some(&files)).await.unwrap_err();
    let line = log.line(&["WARN", "spiffe://0101010101010101/master/m6"]).await;
    assert!(line.contains("its issuer is none of the trusted CAs"), "{line}");
}

#[tokio::test]
async fn without_a_certificate_the_control_port_answers_and_knows_nobody() {
    let cluster = Cluster::new(1);
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::control()).await;
    let factory = ChannelFactory::joining(cluster.ca.digest());
    assert_eq!(call(&factory, server.addr, "Ask").await.unwrap(), "nobody");
}

#[tokio::test]
async fn a_join_believes_only_the_ca_that_its_token_names_and_only_a_master() {
    let (cluster, other) = (Cluster::new(1), Cluster::new(2));
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::control()).await;
    let reason = refused(&ChannelFactory::joining(other.ca.digest()), server.addr).await;
    assert!(reason.contains("its issuer is none of the trusted CAs"), "{reason}");

    let impostor = serve(cluster.issue(Role::Worker, "w1"), AcceptOptions::control()).await;
    let reason = refused(&ChannelFactory::joining(cluster.ca.digest()), impostor.addr).await;
    assert!(reason.contains("not a master's certificate"), "{reason}");
    let admin = ChannelFactory::new(cluster.issue(Role::Admin, "ann"));
    let reason = refused(&admin, impostor.addr).await;
    assert!(reason.contains("not a master's certificate"), "{reason}");
}

#[tokio::test]
async fn a_client_of_another_cluster_does_not_believe_our_server() {
    let (log, _guard) = Log::start();
    let (cluster, other) = (Cluster::new(1), Cluster::new(2));
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::control()).await;
    let reason = refused(&ChannelFactory::new(other.issue(Role::Admin, "ann")), server.addr).await;
    assert!(reason.contains("not trusted"), "{reason}");
    log.line(&["INFO", "the TLS handshake failed", "the other side refused us"]).await;
}

#[tokio::test]
async fn garbage_is_a_line_in_the_log_and_the_port_goes_on() {
    let (log, _guard) = Log::start();
    let cluster = Cluster::new(1);
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::control()).await;
    let mut tls_like = vec![0x16, 3, 1, 0x40, 0];
    tls_like.extend([0xff; 400]);
    for bytes in [b"\0\0\0\0".to_vec(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), vec![0x16; 3000], tls_like] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        // Closed, with or without an alert before; a reset is as good.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.len() < 64);
    }
    drop(TcpStream::connect(server.addr).await.unwrap());
    log.line(&["INFO", "what arrived is not TLS", "first_byte=\"0x00\""]).await;
    log.line(&["INFO", "the TLS handshake failed"]).await;
    log.line(&["INFO", "no TLS handshake within"]).await;
    log.line(&["DEBUG", "closed without a word"]).await;
    let factory = ChannelFactory::new(cluster.issue(Role::Admin, "ann"));
    assert_eq!(call(&factory, server.addr, "Ask").await.unwrap(), "admin ann");
}

#[tokio::test]
async fn a_slow_handshake_holds_up_nobody_else() {
    let cluster = Cluster::new(1);
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::control()).await;
    let mut silent = Vec::new();
    for _ in 0..limits::HANDSHAKES_MAX / 2 {
        silent.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let factory = ChannelFactory::new(cluster.issue(Role::Admin, "ann"));
    assert_eq!(call(&factory, server.addr, "Ask").await.unwrap(), "admin ann");
}

#[tokio::test]
async fn plain_http_on_an_https_port_is_told_so() {
    let cluster = Cluster::new(1);
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::http()).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("use https://"), "{answer}");
}

#[tokio::test]
async fn a_reload_serves_new_connections_and_a_bad_one_changes_nothing() {
    let cluster = Cluster::new(1);
    let tls = cluster.issue(Role::Master, "m1");
    let server = serve(tls.clone(), AcceptOptions::control()).await;
    let factory = ChannelFactory::new(cluster.issue(Role::Admin, "ann"));
    assert!(!tls.reload().unwrap(), "nothing changed");

    let first = tls.identity().serial.clone();
    let files = tls.files().clone();
    files.enroll(&cluster.ca, Role::Master, "m1", &[], limits::LEAF_VALIDITY, now()).unwrap();
    assert!(tls.reload().unwrap());
    let second = tls.identity().serial.clone();
    assert_ne!(first, second);
    assert_eq!(call(&factory, server.addr, "Ask").await.unwrap(), "admin ann");

    std::fs::write(files.cert_path(), "garbage").unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Load(_))));
    assert!(!tls.reload().unwrap(), "one bad change is reported once");
    assert_eq!(tls.identity().serial, second);
    assert_eq!(call(&factory, server.addr, "Ask").await.unwrap(), "admin ann");

    // Our own client shows the new certificate, too: the server sees its serial.
    let ann = cluster.issue(Role::Admin, "bob");
    let serials = || -> Vec<String> {
        let peers = server.connections.peers();
        peers.iter().filter_map(|p| p.identity.as_ref()).map(|id| id.serial.to_string()).collect()
    };
    let old = ann.identity().serial.to_string();
    ann.files().enroll(&cluster.ca, Role::Admin, "bob", &[], limits::LEAF_VALIDITY, now()).unwrap();
    ann.reload().unwrap();
    let channel = ChannelFactory::new(ann.clone()).channel(&server.addr.to_string(), &ChannelOptions::calls()).unwrap();
    call_on(channel.clone(), "Ask").await.unwrap();
    assert!(serials().contains(&ann.identity().serial.to_string()) && !serials().contains(&old));
}

#[tokio::test]
async fn a_new_ca_is_trusted_after_a_reload() {
    let (old, new) = (Cluster::new(1), Cluster::new(1));
    let tls = old.issue(Role::Master, "m1");
    let server = serve(tls.clone(), AcceptOptions::control()).await;
    let files = new.files(Role::Admin, "ann");
    files.enroll(&new.ca, Role::Admin, "ann", &[], limits::LEAF_VALIDITY, now()).unwrap();
    let both = format!("{}{}", new.ca.certificate_pem(), old.ca.certificate_pem());
    std::fs::write(files.ca_path(), &both).unwrap();
    let ann = ChannelFactory::new(ReloadingTls::load(files, Revoked::default()).unwrap());
    let reason = refused(&ann, server.addr).await;
    assert!(reason.contains("not of its cluster"), "{reason}");

    std::fs::write(tls.files().ca_path(), &both).unwrap();
    assert!(tls.reload().unwrap());
    assert_eq!(tls.trusted().len(), 2);
    assert_eq!(call(&ann, server.addr, "Ask").await.unwrap(), "admin ann");
}

#[tokio::test]
async fn whoever_is_revoked_is_cut_and_does_not_come_back() {
    let (log, _guard) = Log::start();
    let cluster = Cluster::new(1);
    let master = cluster.issue(Role::Master, "m1");
    let server = serve(master.clone(), AcceptOptions::control()).await;
    let (w1, w2) = (cluster.issue(Role::Worker, "w1"), cluster.issue(Role::Worker, "w2"));
    let (f1, f2) = (ChannelFactory::new(w1.clone()), ChannelFactory::new(w2));
    let hanging = {
        let (f1, addr) = (f1.clone(), server.addr);
        tokio::spawn(async move { call(&f1, addr, "Hang").await })
    };
    let stays = f2.channel(&server.addr.to_string(), &ChannelOptions::calls()).unwrap();
    call_on(stays.clone(), "Ask").await.unwrap();
    while server.connections.peers().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let mut set = RevokedSet::default();
    set.serials.insert(w1.identity().serial.clone());
    master.revoked().replace(set);
    let cut = server.connections.cut(|p| p.identity.as_ref().is_some_and(|id| master.revoked().contains(id)));
    assert_eq!(cut, 1);
    hanging.await.unwrap().unwrap_err();
    let reason = refused(&f1, server.addr).await;
    assert!(reason.contains("our certificate was revoked"), "{reason}");
    log.line(&["WARN", "/worker/w1", "it was revoked"]).await;
    assert_eq!(call_on(stays, "Ask").await.unwrap(), "worker w2", "the other's connection was not touched");

    // Authorised again, it has another serial.
    let again = ChannelFactory::new(cluster.issue(Role::Worker, "w1"));
    assert_eq!(call(&again, server.addr, "Ask").await.unwrap(), "worker w1");
}

#[tokio::test]
async fn ended_connections_leave_the_registry() {
    let cluster = Cluster::new(1);
    let server = serve(cluster.issue(Role::Master, "m1"), AcceptOptions::control()).await;
    let factory = ChannelFactory::new(cluster.issue(Role::Admin, "ann"));
    let channel = factory.channel(&server.addr.to_string(), &ChannelOptions::calls()).unwrap();
    call_on(channel.clone(), "Ask").await.unwrap();
    assert_eq!(server.connections.peers().len(), 1);
    drop(channel);
    while !server.connections.peers().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_master_that_is_away_is_an_error_of_its_own_and_the_channel_comes_back() {
    let cluster = Cluster::new(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let factory = ChannelFactory::new(cluster.issue(Role::Admin, "ann"));
    let channel = factory.channel(&addr.to_string(), &ChannelOptions::calls()).unwrap();
    let status = call_on(channel.clone(), "Ask").await.unwrap_err();
    let error = ConnectError::of(&status).unwrap_or_else(|| panic!("{status:?}"));
    assert!(matches!(error, ConnectError::Tcp { .. }) && !error.is_about_certificates(), "{error}");

    let listener = TcpListener::bind(addr).await.unwrap();
    let incoming =
        Acceptor::spawn(listener, cluster.issue(Role::Master, "m1"), AcceptOptions::control(), Connections::new());
    let server = tokio::spawn(async move {
        tonic::transport::Server::builder().add_service(Who).serve_with_incoming(incoming).await.unwrap();
    });
    assert_eq!(call_on(channel, "Ask").await.unwrap(), "admin ann");
    server.abort();
}

#[tokio::test]
async fn a_dropped_listener_gives_its_port_back() {
    let cluster = Cluster::new(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let incoming =
        Acceptor::spawn(listener, cluster.issue(Role::Master, "m1"), AcceptOptions::raft(), Connections::new());
    tokio::task::yield_now().await;
    drop(incoming);
    while TcpListener::bind(addr).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
