//! The accept loop. Comes in: a bound listener and who may connect. Goes out: a stream of verified connections, for tonic's
//! `serve_with_incoming_shutdown` or an HTTP server. Handshakes run beside each other, each with a time limit; nothing that a peer
//! sends stops the loop. What is said on a connection is not known here.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cloudai_types::limits;
use futures::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::connections::{Connection, Connections};
use crate::identity::{PeerInfo, Role};
use crate::tls::{Alpn, ClientAuth, ReloadingTls};
use crate::verify::{ListenerVerifier, Refusal};
use crate::{explain, tcp};

/// Who may connect to a listener, and how it is called in the log.
#[derive(Clone, Copy, Debug)]
pub struct AcceptOptions {
    pub name: &'static str,
    pub auth: ClientAuth,
    /// Roles that may connect. A certificate with another role is refused in the handshake.
    pub roles: &'static [Role],
    pub alpn: Alpn,
}

impl AcceptOptions {
    /// Port 7601: gRPC for everyone; without a certificate only for joining, which the handlers check.
    pub const fn control() -> Self {
        AcceptOptions { name: "control", auth: ClientAuth::Optional, roles: Role::ALL, alpn: Alpn::H2 }
    }

    /// Port 7602: gRPC between masters.
    pub const fn raft() -> Self {
        AcceptOptions { name: "raft", auth: ClientAuth::Required, roles: &[Role::Master], alpn: Alpn::H2 }
    }

    /// Ports 7600 and 7610: HTTPS.
    pub const fn http() -> Self {
        AcceptOptions { name: "http", auth: ClientAuth::Optional, roles: Role::ALL, alpn: Alpn::Http }
    }
}

/// Starts accept loops.
pub struct Acceptor;

impl Acceptor {
    /// Accepts until the returned stream is dropped. Must be called inside a tokio runtime.
    pub fn spawn(
        listener: TcpListener,
        tls: Arc<ReloadingTls>,
        options: AcceptOptions,
        connections: Connections,
    ) -> Incoming {
        let (out, accepted) = mpsc::channel(limits::ACCEPT_QUEUE_MAX);
        let shared = Arc::new(Shared { tls, options, connections, out, lines: Lines::default() });
        Incoming { accepted, task: tokio::spawn(accept_loop(listener, shared)) }
    }
}

/// Verified connections, in the order in which their handshakes ended. It never yields an error: a peer's failure is logged where
/// it happens, and is nothing to the others. Dropping it closes the listener.
pub struct Incoming {
    accepted: mpsc::Receiver<Connection>,
    task: tokio::task::JoinHandle<()>,
}

impl Incoming {
    pub async fn next(&mut self) -> Option<Connection> {
        self.accepted.recv().await
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accepted.poll_recv(cx).map(|c| c.map(Ok))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    tls: Arc<ReloadingTls>,
    options: AcceptOptions,
    connections: Connections,
    out: mpsc::Sender<Connection>,
    lines: Lines,
}

async fn accept_loop(listener: TcpListener, shared: Arc<Shared>) {
    let name = shared.options.name;
    let mut handshakes = Handshakes::default();
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    // Dropped with this loop, and every handshake with it.
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_the_peers(&error) => continue,
            Err(error) => {
                if let Some(more) = shared.lines.take(Instant::now()) {
                    tracing::error!(
                        listener = name, %error, more_like_this = more,
                        "no connection can be accepted, so new clients wait; raise the limit of open files (LimitNOFILE, ulimit -n)"
                    );
                }
                tokio::time::sleep(limits::ACCEPT_PAUSE.as_duration()).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            if let Some(more) = shared.lines.take(Instant::now()) {
                tracing::warn!(
                    listener = name, peer = %addr, more_like_this = more,
                    "connection closed: {} are open, and that is the limit", limits::CONNECTIONS_MAX
                );
            }
            continue;
        };
        if handshakes.make_room()
            && let Some(more) = shared.lines.take(Instant::now())
        {
            tracing::info!(
                listener = name,
                more_like_this = more,
                "connection closed: {} handshakes were unfinished, and its was the oldest",
                limits::HANDSHAKES_MAX
            );
        }
        let shared = shared.clone();
        let unfinished = Arc::new(());
        let begun = Arc::downgrade(&unfinished);
        let task = running.spawn(async move {
            let shaken = shake_hands(stream, addr, place, &shared).await;
            drop(unfinished);
            match shaken {
                Ok(connection) => {
                    // An error means that the server is gone, and the connection with it.
                    let _ = shared.out.send(connection).await;
                }
                Err(failure) => shared.report(addr, &failure),
            }
        });
        handshakes.0.push_back((begun, task));
    }
}

/// The handshakes of one listener, the oldest first. Strangers who connect and say nothing must not keep others out: where there are too
/// many, the oldest ends. An honest one takes some milliseconds.
#[derive(Default)]
struct Handshakes(VecDeque<(Weak<()>, AbortHandle)>);

impl Handshakes {
    /// True when one had to end.
    fn make_room(&mut self) -> bool {
        if self.0.len() < limits::HANDSHAKES_MAX {
            return false;
        }
        self.0.retain(|(unfinished, _)| unfinished.strong_count() > 0);
        if self.0.len() < limits::HANDSHAKES_MAX {
            return false;
        }
        if let Some((_, oldest)) = self.0.pop_front() {
            oldest.abort();
        }
        true
    }
}

/// The connection failed before it was accepted; the next one is not affected.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Why there is no connection.
enum Failure {
    /// It closed without a word: a port scan, a health check.
    Silent,
    TooSlow,
    /// Its first byte begins no TLS handshake.
    NotTls {
        first: u8,
    },
    Io(io::Error),
    /// The certificate, or its absence.
    Refused {
        claimed: Option<String>,
        reason: String,
    },
    Tls(String),
}

const TLS_HANDSHAKE_RECORD: u8 = 0x16;

async fn shake_hands(
    stream: TcpStream,
    addr: SocketAddr,
    place: OwnedSemaphorePermit,
    shared: &Shared,
) -> Result<Connection, Failure> {
    let limit = limits::HANDSHAKE_TIMEOUT.as_duration();
    tokio::time::timeout(limit, try_handshake(stream, addr, place, shared)).await.unwrap_or(Err(Failure::TooSlow))
}

async fn try_handshake(
    stream: TcpStream,
    addr: SocketAddr,
    place: OwnedSemaphorePermit,
    shared: &Shared,
) -> Result<Connection, Failure> {
    let AcceptOptions { auth, roles, alpn, .. } = shared.options;
    tcp::set_up(&stream).map_err(Failure::Io)?;
    let mut first = [0];
    match stream.peek(&mut first).await.map_err(Failure::Io)? {
        0 => return Err(Failure::Silent),
        _ if first[0] != TLS_HANDSHAKE_RECORD => {
            if alpn == Alpn::Http {
                answer_plain_http(stream).await;
            }
            return Err(Failure::NotTls { first: first[0] });
        }
        _ => {}
    }
    let (config, verifier) =
        shared.tls.server_config(auth, roles, alpn).map_err(|e| Failure::Tls(explain::failure(&e)))?;
    let io = TlsAcceptor::from(config).accept(stream).await.map_err(|e| why(e, &verifier))?;
    let identity = match io.get_ref().1.peer_certificates() {
        Some(_) => verifier.seen.lock().expect("nothing panics while it is held").claimed.take().map(Arc::new),
        None => None,
    };
    let peer = PeerInfo { addr, identity };
    let connection = shared.connections.admit(io, peer.clone(), place);
    // Whoever revokes first changes the set and then cuts what is registered. This connection is registered by now, so one
    // of the two meets it.
    match &peer.identity {
        Some(id) if shared.tls.revoked().contains(id) => {
            Err(Failure::Refused { claimed: Some(id.uri()), reason: Refusal::Revoked.to_string() })
        }
        Some(_) | None => Ok(connection),
    }
}

fn why(error: io::Error, verifier: &ListenerVerifier) -> Failure {
    let seen = verifier.seen.lock().expect("nothing panics while it is held").clone();
    let claimed = seen.claimed.map(|id| id.uri());
    if let Some(refusal) = seen.refusal {
        let reason = match &refusal {
            Refusal::Chain(e) => explain::certificate(e),
            Refusal::NoIdentity(_) | Refusal::OtherCluster { .. } | Refusal::Role { .. } | Refusal::Revoked => {
                refusal.to_string()
            }
        };
        return Failure::Refused { claimed, reason };
    }
    match explain::tls_error(&error) {
        Some(e @ rustls::Error::NoCertificatesPresented) => Failure::Refused { claimed, reason: explain::failure(e) },
        Some(e) => Failure::Tls(explain::failure(e)),
        None => Failure::Io(error),
    }
}

/// People type `curl http://…` at an HTTPS port; a word costs less than their search for the reason.
async fn answer_plain_http(mut stream: TcpStream) {
    const BODY: &str = "{\"type\":\"about:blank\",\"title\":\"This port speaks TLS\",\"status\":400,\"code\":\"tls_required\",\
        \"detail\":\"The request came without TLS: use https:// and the cluster's CA (ca.pem).\"}\n";
    // What was sent must be read first, or closing would make the system discard the answer.
    let mut request = [0; 8192];
    let Ok(n) = stream.read(&mut request).await else { return };
    if !request[..n].windows(5).any(|w| w == b"HTTP/") {
        return;
    }
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    // The peer may be gone; then nobody needs the answer.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl Shared {
    fn report(&self, addr: SocketAddr, failure: &Failure) {
        let listener = self.options.name;
        // The quiet ones take no place among the limited lines.
        match failure {
            Failure::Silent => return tracing::debug!(listener, peer = %addr, "connection closed without a word"),
            Failure::Io(error) => {
                return tracing::debug!(listener, peer = %addr, %error, "connection lost in the handshake");
            }
            Failure::TooSlow | Failure::NotTls { .. } | Failure::Refused { .. } | Failure::Tls(_) => {}
        }
        let Some(more) = self.lines.take(Instant::now()) else { return };
        match failure {
            Failure::Silent | Failure::Io(_) => {}
            Failure::TooSlow => tracing::info!(
                listener, peer = %addr, more_like_this = more,
                "connection closed: no TLS handshake within {} s", limits::HANDSHAKE_TIMEOUT.0 / 1000
            ),
            Failure::NotTls { first } => tracing::info!(
                listener, peer = %addr, first_byte = format!("{first:#04x}"), more_like_this = more,
                "connection closed: what arrived is not TLS"
            ),
            Failure::Refused { claimed, reason } => tracing::warn!(
                listener, peer = %addr, certificate = claimed.as_deref().unwrap_or("none"), reason, more_like_this = more,
                "connection refused: the peer's certificate is not accepted"
            ),
            Failure::Tls(reason) => tracing::info!(
                listener, peer = %addr, reason, more_like_this = more, "connection closed: the TLS handshake failed"
            ),
        }
    }
}

/// Keeps strangers from filling the log: some lines a second, and a count of those left out.
#[derive(Default)]
struct Lines(Mutex<LineCount>);

#[derive(Default)]
struct LineCount {
    second: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Lines {
    /// `Some(lines left out since the last one)` when a line may be written.
    fn take(&self, now: Instant) -> Option<u64> {
        let mut count = self.0.lock().expect("nothing panics while it is held");
        if count.second.is_none_or(|s| now.duration_since(s) >= Duration::from_secs(1)) {
            count.second = Some(now);
            count.written = 0;
        }
        if count.written == limits::REFUSAL_LINES_PER_SECOND_MAX {
            count.left_out += 1;
            return None;
        }
        count.written += 1;
        Some(std::mem::take(&mut count.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut_and_counted() {
        let lines = Lines::default();
        let start = Instant::now();
        let written = (0..100).filter(|_| lines.take(start).is_some()).count();
        assert_eq!(written, limits::REFUSAL_LINES_PER_SECOND_MAX as usize);
        assert_eq!(lines.take(start + Duration::from_secs(1)), Some(100 - written as u64));
        assert_eq!(lines.take(start + Duration::from_secs(1)), Some(0));
    }
}
