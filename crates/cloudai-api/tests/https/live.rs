//! What goes on, over real TLS and real WebSockets.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cloudai_api::live::Answer;
use cloudai_api::{Closed, Live, LiveError, Origins, Said, Site};
use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::{self, Message};

use super::*;

type Socket = tokio_tungstenite::WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>;

/// One worker, `w1`, and a script for each WebSocket; without one it goes on for ever with numbered states.
#[derive(Clone, Default)]
struct Scripted {
    said: Arc<Mutex<Vec<Said>>>,
    is_endless: bool,
    has_no_leader: bool,
    /// States that were asked for.
    asked: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    closed: Arc<Mutex<Vec<&'static str>>>,
}

impl Scripted {
    fn check(&self, worker: &Option<String>) -> Result<(), LiveError> {
        match worker.as_deref() {
            _ if self.has_no_leader => Err(LiveError::NoLeader),
            None | Some("w1") => Ok(()),
            Some(_) => Err(LiveError::UnknownWorker),
        }
    }
}

impl Live for Scripted {
    fn workers(&self) -> String {
        "{\"workers\":[]}".to_owned()
    }

    fn telemetry(&self, worker: Option<String>) -> Answer<String> {
        let checked = self.check(&worker);
        Box::pin(async move { checked.map(|()| format!("{{\"of\":\"{}\"}}", worker.unwrap_or_default())) })
    }

    fn watch(&self, worker: Option<String>) -> Answer<BoxStream<'static, Said>> {
        let checked = self.check(&worker);
        let script = futures::stream::iter(std::mem::take(&mut *self.said.lock().unwrap()));
        let asked = self.asked.clone();
        let numbered = std::iter::repeat_with(move || numbered(asked.fetch_add(1, SeqCst)));
        let rest = match self.is_endless {
            true => futures::stream::iter(numbered).boxed(),
            false => futures::stream::pending().boxed(),
        };
        Box::pin(async move { checked.map(|()| script.chain(rest).boxed()) })
    }

    fn dropped(&self, samples: u64) {
        self.dropped.fetch_add(samples, SeqCst);
    }

    fn closed(&self, why: Closed) {
        self.closed.lock().unwrap().push(why.name());
    }
}

/// A long one, so that few fill what a connection takes.
fn numbered(n: u64) -> Said {
    Said::State(format!("{n:0>32768}").into())
}

async fn start(live: &Scripted, origins: &[&str]) -> Server {
    let origins: Vec<String> = origins.iter().map(|o| (*o).to_owned()).collect();
    let live = Arc::new(live.clone());
    Server::serve(Site::new(Arc::new(Fixed::default())).with_live(live, Origins::parse(&origins).unwrap())).await
}

impl Server {
    async fn open(&self, path: &str, caller: Option<Role>, origin: Option<&str>) -> Result<Socket, tungstenite::Error> {
        let io = self.connect(caller, &[b"http/1.1"]).await;
        let mut request = http::Request::get(format!("wss://localhost{path}"))
            .header("Host", "localhost")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key());
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        tokio_tungstenite::client_async(request.body(()).unwrap(), io).await.map(|(socket, _)| socket)
    }

    /// The status with which it was refused.
    async fn refused(&self, path: &str, caller: Option<Role>, origin: Option<&str>) -> u16 {
        match self.open(path, caller, origin).await {
            Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            other => panic!("{path} is open: {:?}", other.map(|_| ())),
        }
    }
}

async fn text(socket: &mut Socket) -> String {
    loop {
        match socket.next().await.expect("it is open").expect("it is well") {
            Message::Text(text) => return text.to_string(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

async fn close_code(socket: &mut Socket) -> (u16, String) {
    loop {
        if let Message::Close(frame) = socket.next().await.expect("it is open").expect("it is well") {
            let frame = frame.expect("it says why");
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

/// Waits for what must come.
async fn eventually(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nothing_of_it_is_for_strangers() {
    let server = start(&Scripted::default(), &[]).await;
    for path in ["/workers", "/telemetry", "/telemetry/w1", "/telemetry/none"] {
        let (status, page) = server.get(path).await;
        assert_eq!((status, body(&page)["code"].as_str()), (401, Some("authentication_required")), "{path}");
    }
    for path in ["/telemetry/stream", "/telemetry/w1/stream", "/telemetry/none/stream"] {
        assert_eq!(server.refused(path, None, None).await, 401, "{path}");
    }
    let (status, page) = server.ask("GET", "/telemetry/w1", Some(Role::Observer)).await;
    assert_eq!((status, body(&page)), (200, serde_json::json!({ "of": "w1" })));
    let (status, page) = server.ask("GET", "/workers", Some(Role::Observer)).await;
    assert_eq!((status, body(&page)), (200, serde_json::json!({ "workers": [] })));
    assert!(server.open("/telemetry/w1/stream", Some(Role::Observer), None).await.is_ok());
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let server = start(&Scripted::default(), &[]).await;
    for (path, status, code) in [
        ("/telemetry/none", 404, "unknown_worker"),
        ("/telemetry/w1/stream", 426, "websocket_required"),
        ("/telemetry/w1/none", 404, "no_such_path"),
        ("/telemetry/%ff", 404, "no_such_path"),
    ] {
        let (got, page) = server.ask("GET", path, Some(Role::Observer)).await;
        assert_eq!((got, body(&page)["code"].as_str()), (status, Some(code)), "{path}: {page}");
    }
    assert_eq!(server.refused("/telemetry/none/stream", Some(Role::Observer), None).await, 404);
    let headless = start(&Scripted { has_no_leader: true, ..Scripted::default() }, &[]).await;
    let (status, page) = headless.ask("GET", "/telemetry", Some(Role::Observer)).await;
    assert_eq!((status, body(&page)["code"].as_str()), (503, Some("no_leader")));
    assert_eq!(headless.refused("/telemetry/stream", Some(Role::Observer), None).await, 503);
    let worker = Server::start(Fixed::default()).await;
    for path in ["/workers", "/telemetry", "/telemetry/w1/stream"] {
        let (status, page) = worker.ask("GET", path, Some(Role::Observer)).await;
        assert_eq!((status, body(&page)["code"].as_str()), (404, Some("no_such_path")), "a worker knows no others");
    }
}

#[tokio::test]
async fn a_client_is_told_what_there_is_and_what_it_has_missed() {
    let live = Scripted::default();
    *live.said.lock().unwrap() = vec![
        Said::Telemetry(vec!["first".into(), "second".into()]),
        Said::Lagged(7),
        Said::State("lost".into()),
        Said::Resumed,
    ];
    let server = start(&live, &[]).await;
    let mut socket = server.open("/telemetry/stream", Some(Role::Observer), None).await.unwrap();
    for wanted in ["first", "second", "{\"type\":\"lagged\",\"dropped\":7}", "lost", "{\"type\":\"resumed\"}"] {
        assert_eq!(text(&mut socket).await, wanted);
    }
    assert_eq!(live.dropped.load(SeqCst), 7);
    // What a client says means nothing.
    socket.send(Message::text("hello")).await.unwrap();
    socket.close(None).await.unwrap();
    eventually(|| *live.closed.lock().unwrap() == ["client"]).await;
}

#[tokio::test]
async fn a_client_that_is_too_slow_for_states_is_closed_and_told_why() {
    let live = Scripted::default();
    *live.said.lock().unwrap() = vec![Said::State("lost".into()), Said::StatesLost];
    let server = start(&live, &[]).await;
    let mut socket = server.open("/telemetry/stream", Some(Role::Observer), None).await.unwrap();
    assert_eq!(text(&mut socket).await, "lost");
    let (code, reason) = close_code(&mut socket).await;
    assert!(code == 4010 && reason.contains("states were missed"), "{code} {reason}");
    eventually(|| *live.closed.lock().unwrap() == ["behind"]).await;
}

#[tokio::test]
async fn nothing_is_queued_for_who_takes_nothing_and_no_state_is_left_out() {
    let live = Scripted { is_endless: true, ..Scripted::default() };
    let server = start(&live, &[]).await;
    let mut socket = server.open("/telemetry/stream", Some(Role::Observer), None).await.unwrap();
    eventually(|| live.asked.load(SeqCst) > 0).await;
    let mut before = 0;
    // Until the connection is full.
    while before != live.asked.load(SeqCst) {
        before = live.asked.load(SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!((1..2_000).contains(&before), "{before} messages of 32 KiB: more than a connection holds");
    for n in 0..before + 100 {
        assert_eq!(text(&mut socket).await.trim_start_matches('0'), if n == 0 { String::new() } else { n.to_string() });
    }
}

#[tokio::test]
async fn pages_of_other_hosts_are_refused_unless_they_are_named() {
    let server = start(&Scripted::default(), &["https://dash.example.org"]).await;
    let path = "/telemetry/stream";
    assert_eq!(server.refused(path, Some(Role::Observer), Some("https://evil.example.org")).await, 403);
    assert_eq!(server.refused(path, Some(Role::Observer), Some("null")).await, 403);
    for origin in ["https://dash.example.org", "https://localhost"] {
        assert!(server.open(path, Some(Role::Observer), Some(origin)).await.is_ok(), "{origin}");
    }
}

#[tokio::test]
async fn browsers_may_ask_for_pages_that_are_named_and_for_no_others() {
    let named = start(&Scripted::default(), &["https://dash.example.org"]).await;
    let off = start(&Scripted::default(), &[]).await;
    // A browser asks first, and shows no certificate then.
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /telemetry HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET\r\nConnection: close\r\n\r\n"
        )
    };
    let allows = |answer: &str| answer.contains("access-control-allow-origin: https://dash.example.org");
    let answer = named.send(&preflight("https://dash.example.org"), None).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && allows(&answer), "{answer}");
    assert!(answer.contains("access-control-allow-credentials: true"), "{answer}");
    let answer = named.send(&preflight("https://evil.example.org"), None).await;
    assert!(!answer.contains("access-control-allow-origin"), "{answer}");
    let answer = off.send(&preflight("https://dash.example.org"), None).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("access-control-allow-origin"), "{answer}");
}

#[tokio::test]
async fn who_stops_says_so_to_each_client() {
    let live = Scripted::default();
    let server = start(&live, &[]).await;
    let mut socket = server.open("/telemetry/stream", Some(Role::Observer), None).await.unwrap();
    server.task.abort();
    let (code, reason) = close_code(&mut socket).await;
    assert!(code == 1001 && reason.contains("stops"), "{code} {reason}");
}

#[tokio::test]
async fn paths_of_workers_are_counted_as_one_route() {
    let health = Fixed::default();
    let server = Server::serve(Site::new(Arc::new(health.clone()))).await;
    for path in
        ["/workers", "/telemetry", "/telemetry/w1", "/telemetry/w2", "/telemetry/stream", "/telemetry/w1/stream"]
    {
        server.get(path).await;
    }
    server.get("/telemetry/w1/other").await;
    let counted: Vec<&str> = health.answered.lock().unwrap().iter().map(|(route, _)| *route).collect();
    let of_one = "/telemetry/{worker}";
    let stream_of_one = "/telemetry/{worker}/stream";
    assert_eq!(counted, ["/workers", "/telemetry", of_one, of_one, "/telemetry/stream", stream_of_one, "other"]);
}
