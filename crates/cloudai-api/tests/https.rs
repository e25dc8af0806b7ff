//! The pages over real TLS on loopback.

// The lint spares functions marked as tests, and not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cloudai_api::{Component, Health, Role as TargetRole, Site, Target};
use cloudai_net::*;
use cloudai_types::{Timestamp, limits};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[path = "https/live.rs"]
mod live;

#[derive(Clone, Default)]
struct Fixed {
    components: Vec<Component>,
    is_dead: bool,
    targets: Option<Vec<Target>>,
    answered: Arc<Mutex<Vec<(&'static str, u16)>>>,
}

impl Health for Fixed {
    fn is_alive(&self) -> bool {
        !self.is_dead
    }
    fn components(&self) -> Vec<Component> {
        self.components.clone()
    }
    fn answered(&self, route: &'static str, code: u16, _: Duration) {
        self.answered.lock().unwrap().push((route, code));
    }
    fn targets(&self) -> Option<Vec<Target>> {
        self.targets.clone()
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
        Server::serve(Arc::new(health)).await
    }

    async fn serve(site: impl Into<Site> + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::create(ClusterId::from_bytes([1; 8]), now()).unwrap();
        let files = IdentityFiles::new(dir.path().join("m1"));
        files.enroll(&ca, Role::Master, "m1", &[], limits::LEAF_VALIDITY, now()).unwrap();
        let tls = ReloadingTls::load(files, Revoked::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let incoming = Acceptor::spawn(listener, tls, AcceptOptions::http(), Connections::new());
        let task = tokio::spawn(cloudai_api::serve(incoming, site));
        Server { dir, ca, addr, task }
    }

    /// What a browser or Prometheus does: checks the name, shows no certificate unless it has one.
    async fn connect(&self, caller: Option<Role>, alpn: &[&[u8]]) -> tokio_rustls::client::TlsStream<TcpStream> {
        install_crypto_provider();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.certificate_pem().as_bytes()).unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
        let mut config = if let Some(role) = caller {
            let files = IdentityFiles::new(self.dir.path().join("ann"));
            files.enroll(&self.ca, role, "ann", &[], limits::LEAF_VALIDITY, now()).unwrap();
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

    async fn send(&self, request: &str, caller: Option<Role>) -> String {
        let mut io = self.connect(caller, &[]).await;
        // A server that has seen enough may close before it was sent everything.
        let _ = io.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        // A server that ends without close_notify has still said what it said.
        let _ = io.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, None).await
    }

    async fn ask(&self, method: &str, path: &str, caller: Option<Role>) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = self.send(&request, caller).await;
        (answer[9..12].parse().unwrap(), answer)
    }
}

fn body(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn the_three_pages_answer_without_a_certificate() {
    let server = Server::start(Fixed::default()).await;
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
    let components = vec![
        Component::bad("raft", "no_leader", "No leader is known.".to_owned()),
        Component::bad("state", "catching_up", "This master is 500 entries behind.".to_owned()),
        Component::good("storage", "It writes.".to_owned()),
    ];
    let server = Server::start(Fixed { components, is_dead: true, ..Fixed::default() }).await;
    let (status, page) = server.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(page.contains("content-type: application/problem+json") && page.contains("retry-after: 1"), "{page}");
    let problem = body(&page);
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("not_ready"), Some(503)));
    assert_eq!(problem["reasons"][1]["code"], "catching_up");
    assert_eq!(problem["detail"], "No leader is known. This master is 500 entries behind.");
    assert!(problem["components"].is_null(), "only for those who ask");
    let verbose = body(&server.get("/readyz?verbose").await.1);
    assert_eq!(
        (verbose["code"].as_str(), verbose["components"][2]["ready"].as_bool()),
        (Some("not_ready"), Some(true))
    );
    assert_eq!(verbose["components"][0]["code"], "no_leader");
    let (status, page) = server.get("/livez").await;
    assert_eq!((status, body(&page)["code"].as_str()), (500, Some("not_alive")));
}

#[tokio::test]
async fn every_error_is_a_problem_object() {
    let server = Server::start(Fixed::default()).await;
    for (method, path, caller, status, code) in [
        ("GET", "/nothing", None, 404, "no_such_path"),
        ("GET", "/apiary", None, 404, "no_such_path"),
        ("POST", "/metrics", None, 405, "no_such_method"),
        ("GET", "/api/v1/jobs", None, 401, "authentication_required"),
        ("GET", "/api/v1/jobs", Some(Role::Admin), 404, "no_such_path"),
        ("GET", "/api/v1/jobs", Some(Role::Observer), 403, "role_refused"),
    ] {
        let (got, page) = server.ask(method, path, caller).await;
        assert_eq!((got, body(&page)["code"].as_str()), (status, Some(code)), "{method} {path}: {page}");
        assert!(page.contains("content-type: application/problem+json"), "{page}");
    }
}

#[tokio::test]
async fn oversized_and_malformed_requests_are_refused_and_the_port_goes_on() {
    let server = Server::start(Fixed::default()).await;
    let long = format!("POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 100 << 20);
    let answer = server.send(&long, None).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && body(&answer)["code"] == "body_too_large", "{answer}");

    let answer = server.send("\0\u{1}\u{2}garbage\r\n\r\n", None).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Well above the limit: the answer may be lost with the unread rest, but the route must not have seen the request.
    let filler = "x".repeat(4 * limits::HTTP_HEADER_BYTES_MAX);
    let huge = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {filler}\r\nConnection: close\r\n\r\n");
    let answer = server.send(&huge, None).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");

    // Garbage without TLS.
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"\x80\x01garbage").await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(server.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let server = Server::start(Fixed::default()).await;
    let two = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = server.send(two, None).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn browsers_get_http2() {
    let server = Server::start(Fixed::default()).await;
    let io = server.connect(None, &[b"h2", b"http/1.1"]).await;
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

#[tokio::test]
async fn a_ready_process_says_how_each_part_is_when_it_is_asked() {
    let components = vec![Component::good("raft", "master-1 leads.".to_owned())];
    let server = Server::start(Fixed { components, ..Fixed::default() }).await;
    let (status, page) = server.get("/readyz?verbose").await;
    let page = body(&page);
    assert_eq!((status, page["status"].as_str()), (200, Some("ready")));
    assert_eq!(page["components"], serde_json::json!([{ "name": "raft", "ready": true, "detail": "master-1 leads." }]));
    assert_eq!(body(&server.get("/readyz").await.1), serde_json::json!({ "status": "ready" }));
}

#[tokio::test]
async fn members_are_told_to_those_who_show_a_certificate() {
    let targets = vec![
        Target::new(TargetRole::Master, "master-1", "10.0.0.1:7600"),
        Target::new(TargetRole::Worker, "worker-1", "10.0.0.9:7610"),
    ];
    let server = Server::start(Fixed { targets: Some(targets), ..Fixed::default() }).await;
    let (status, page) = server.get("/service-discovery").await;
    assert_eq!((status, body(&page)["code"].as_str()), (401, Some("authentication_required")));
    let (status, page) = server.ask("GET", "/service-discovery", Some(Role::Observer)).await;
    assert!(status == 200 && page.contains("content-type: application/json"), "{page}");
    let labels =
        |role: &str, name: &str| serde_json::json!({ "__meta_cloudai_role": role, "__meta_cloudai_name": name });
    assert_eq!(
        body(&page),
        serde_json::json!([
            { "targets": ["10.0.0.1:7600"], "labels": labels("master", "master-1") },
            { "targets": ["10.0.0.9:7610"], "labels": labels("worker", "worker-1") },
        ])
    );

    let worker = Server::start(Fixed::default()).await;
    let (status, page) = worker.ask("GET", "/service-discovery", Some(Role::Observer)).await;
    assert_eq!((status, body(&page)["code"].as_str()), (404, Some("no_such_path")), "a worker does not know them");
}

#[tokio::test]
async fn every_answer_is_counted_under_a_route_of_a_closed_list() {
    let health = Fixed::default();
    let server = Server::start(health.clone()).await;
    for (method, path) in [("GET", "/livez"), ("GET", "/made/up"), ("POST", "/metrics"), ("GET", "/service-discovery")]
    {
        server.ask(method, path, None).await;
    }
    let counted = health.answered.lock().unwrap().clone();
    assert_eq!(counted, [("/livez", 200), ("other", 404), ("/metrics", 405), ("/service-discovery", 401)]);
}
