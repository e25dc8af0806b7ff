//! The live connections of a process's listeners. Comes in: connections that were accepted. Goes out: the same, but countable and
//! cuttable, so that whoever is revoked is gone at once and not at the end of a stream that may last for weeks.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_rustls::server::TlsStream;

use crate::identity::PeerInfo;

/// Shared by listeners and by whoever revokes. Entries come with a connection and go with it.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    next: u64,
    live: BTreeMap<u64, Live>,
}

struct Live {
    peer: PeerInfo,
    cut: oneshot::Sender<()>,
}

impl Connections {
    pub fn new() -> Self {
        Self::default()
    }

    /// Closes every connection whose peer `chosen` names, and tells how many. Their calls end with a transport error.
    pub fn cut(&self, chosen: impl Fn(&PeerInfo) -> bool) -> usize {
        let mut registry = self.0.lock().expect("a closure that panics is the caller's defect");
        let chosen: Vec<u64> = registry.live.iter().filter(|(_, l)| chosen(&l.peer)).map(|(id, _)| *id).collect();
        for id in &chosen {
            if let Some(live) = registry.live.remove(id) {
                // An error means that the connection has just ended by itself.
                let _ = live.cut.send(());
            }
        }
        chosen.len()
    }

    /// Who is connected now.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.0
            .lock()
            .expect("a closure that panics is the caller's defect")
            .live
            .values()
            .map(|l| l.peer.clone())
            .collect()
    }

    pub(crate) fn admit(&self, io: TlsStream<TcpStream>, peer: PeerInfo, permit: OwnedSemaphorePermit) -> Connection {
        let (cut, on_cut) = oneshot::channel();
        let mut registry = self.0.lock().expect("a closure that panics is the caller's defect");
        let id = registry.next;
        registry.next += 1;
        registry.live.insert(id, Live { peer: peer.clone(), cut });
        Connection { io: Box::new(io), peer, on_cut, is_cut: false, id, connections: self.clone(), _permit: permit }
    }
}

/// One TLS connection whose peer is verified. tonic serves it; its [`PeerInfo`] stands in the extensions of its requests.
pub struct Connection {
    io: Box<TlsStream<TcpStream>>,
    peer: PeerInfo,
    on_cut: oneshot::Receiver<()>,
    is_cut: bool,
    id: u64,
    connections: Connections,
    /// One of the listener's places.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    /// True when the client chose HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.io.get_ref().1.alpn_protocol() == Some(b"h2")
    }

    /// Reads ask whether the cut has come, and are woken by it: a server always waits in one. Writes only look at what they found.
    fn notice_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.is_cut && Pin::new(&mut self.on_cut).poll(cx).is_ready() {
            self.is_cut = true;
        }
        self.check_cut()
    }

    fn check_cut(&self) -> io::Result<()> {
        if self.is_cut {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was cut: its peer was revoked",
            ));
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.0.lock().expect("a closure that panics is the caller's defect").live.remove(&self.id);
    }
}

impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = PeerInfo;
    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.notice_cut(cx)?;
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_cut()?;
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut()?;
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut()?;
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_cut()?;
        Pin::new(&mut *self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
