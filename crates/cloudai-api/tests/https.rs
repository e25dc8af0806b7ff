//! The pages over real TLS on loopback.

// The lint spares functions marked as tests, and not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use cloudai_api::{Health, NotReady};
use cloudai_net::*;
use cloudai_types::{Timestamp, limits};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Fixed(Vec<NotReady>, bool);

impl Health for Fixed {
    fn is_alive(&self) -> bool {
        self.1
    }
    fn readiness(&self) -> Vec<NotReady> {
        self.0.clone()
    }
    fn metrics(&self) -> String {
        "cloudai_raft_is_leader 1\n".to_owned()
    }
}

struct Server {
    dir: tempfile::TempDir,
    ca: CertificateAuthority,
    addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64)
}

impl Server {
    async fn start(health: Fixed) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::create(ClusterId::from_bytes([1; 8]), now()).unwrap();
        let files = IdentityFiles::new(dir.path().join("m1"));
        files.enroll(&ca, Role::Master, "m1", &[], limits::LEAF_VALIDITY, now()).unwrap();
        let tls = ReloadingTls::load(files, Revoked::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let incoming = Acceptor::spawn(listener, tls, AcceptOptions::http(), Connections::new());
        let task = tokio::spawn(cloudai_api::serve(incoming, Arc::new(health)));
        Server { dir, ca, addr, task }
    }

    /// What a browser or Prometheus does: checks the name, shows no certificate unless it has one.
    async fn connect(&self, with_identity: bool, alpn: &[&[u8]]) -> tokio_rustls::client::TlsStream<TcpStream> {
        install_crypto_provider();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.certificate_pem().as_bytes()).unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
        let mut config = if with_identity {
            let files = IdentityFiles::new(self.dir.path().join("ann"));
            files.enroll(&self.ca, Role::Admin, "ann", &[], limits::LEAF_VALIDITY, now()).unwrap();
            let chain = CertificateDer::pem_file_iter(files.cert_path()).unwrap().map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(files.key_path()).unwrap()).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let name = "localhost".try_into().unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn send(&self, request: &str, with_identity: bool) -> String {
        let mut io = self.connect(with_identity, &[]).await;
        // A server that has seen enough may close before it was sent everything.
        let _ = io.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        // A server that ends without close_notify has still said what it said.
        let _ = io.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, false).await
    }

    async fn ask(&self, method: &str, path: &str, with_identity: bool) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = self.send(&request, with_identity).await;
        (answer[9..12].parse().unwrap(), answer)
    }
}

fn body(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn the_three_pages_answer_without_a_certificate() {
    let server = Server::start(Fixed(Vec::new(), true)).await;
    let (status, page) = server.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("content-type: text/plain; version=0.0.4") && page.ends_with("cloudai_raft_is_leader 1\n"),
        "{page}"
    );
    for (path, word) in [("/livez", "alive"), ("/readyz", "ready"), ("/readyz?verbose", "ready")] {
        let (status, page) = server.get(path).await;
        assert_eq!((status, body(&page)["status"].as_str()), (200, Some(word)), "{page}");
    }
}

#[tokio::test]
async fn a_process_that_is_not_ready_says_all_its_reasons() {
    let reasons = vec![
        NotReady { code: "no_leader", detail: "No leader is known.".to_owned() },
        NotReady { code: "catching_up", detail: "This master is 500 entries behind.".to_owned() },
    ];
    let server = Server::start(Fixed(reasons, false)).await;
    let (status, page) = server.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(page.contains("content-type: application/problem+json") && page.contains("retry-after: 1"), "{page}");
    let problem = body(&page);
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("not_ready"), Some(503)));
    assert_eq!(problem["reasons"][1]["code"], "catching_up");
    assert_eq!(problem["detail"], "No leader is known. This master is 500 entries behind.");
    let (status, page) = server.get("/livez").await;
    assert_eq!((status, body(&page)["code"].as_str()), (500, Some("not_alive")));
}

#[tokio::test]
async fn every_error_is_a_problem_object() {
    let server = Server::start(Fixed(Vec::new(), true)).await;
    for (method, path, with_identity, status, code) in [
        ("GET", "/nothing", false, 404, "no_such_path"),
        ("GET", "/apiary", false, 404, "no_such_path"),
        ("POST", "/metrics", false, 405, "no_such_method"),
        ("GET", "/api/v1/jobs", false, 401, "authentication_required"),
        ("GET", "/api/v1/jobs", true, 404, "no_such_path"),
    ] {
        let (got, page) = server.ask(method, path, with_identity).await;
        assert_eq!((got, body(&page)["code"].as_str()), (status, Some(code)), "{method} {path}: {page}");
        assert!(page.contains("content-type: application/problem+json"), "{page}");
    }
}

#[tokio::test]
async fn oversized_and_malformed_requests_are_refused_and_the_port_goes_on() {
    let server = Server::start(Fixed(Vec::new(), true)).await;
    let long = format!("POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 100 << 20);
    let answer = server.send(&long, false).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && body(&answer)["code"] == "body_too_large", "{answer}");

    let answer = server.send("\0\u{1}\u{2}garbage\r\n\r\n", false).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Well above the limit: the answer may be lost with the unread rest, but the route must not have seen the request.
    let filler = "x".repeat(4 * limits::HTTP_HEADER_BYTES_MAX);
    let huge = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {filler}\r\nConnection: close\r\n\r\n");
    let answer = server.send(&huge, false).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");

    // Garbage without TLS.
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"\x80\x01garbage").await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(server.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let server = Server::start(Fixed(Vec::new(), true)).await;
    let two = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = server.send(two, false).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn browsers_get_http2() {
    let server = Server::start(Fixed(Vec::new(), true)).await;
    let io = server.connect(false, &[b"h2", b"http/1.1"]).await;
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(io)).await.unwrap();
    let connection = tokio::spawn(connection);
    for (path, status) in [("/readyz", 200), ("/nothing", 404)] {
        let uri = format!("https://localhost{path}");
        let request = http::Request::get(uri).body(axum::body::Body::empty()).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status().as_u16(), status);
    }
    connection.abort();
}
