//! How masters reach each other: opaque frames over three separate connections per peer.
//! Comes in: frames that this crate encoded. Goes out: frames for the other side's `Raft::handle_…`.
//! A transport knows addresses, deadlines and identities; it never looks into a frame.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::member::PeerAddress;

/// What a connection is for. Each purpose needs a connection (TCP) of its own: a heartbeat must never wait behind a
/// megabyte of entries, and neither behind a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Heartbeats, votes, pre-votes, hand-over: small and urgent.
    Heartbeat,
    /// The stream of entries.
    Append,
    /// Checkpoint files.
    Snapshot,
}

/// Which question a unary frame carries. The numbers are part of the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CallKind {
    /// A heartbeat, or a few entries: answered by one frame.
    Append = 1,
    Vote = 2,
    PreVote = 3,
    TransferLeader = 4,
}

impl CallKind {
    /// The number that travels.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// `None`: a newer master's question. Refuse it.
    pub fn from_number(n: u8) -> Option<CallKind> {
        match n {
            1 => Some(CallKind::Append),
            2 => Some(CallKind::Vote),
            3 => Some(CallKind::PreVote),
            4 => Some(CallKind::TransferLeader),
            _ => None,
        }
    }
}

/// Why a frame did not come back. None of them says that the other side did not act on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nobody answers there (connection refused, name unknown, TLS failure). Tried again after a pause.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection or stream broke. Tried again at once.
    #[error("{0}")]
    Broken(String),
    /// The other side answered that it is somebody else: wrong cluster, node id or role. Tried again after a pause,
    /// and logged: a human may have to look.
    #[error("refused: {0}")]
    Refused(String),
}

/// Opens links. Cheap to clone.
pub trait Transport: Clone + Send + Sync + 'static {
    type Link: Link;

    /// A link that connects on first use and again after a loss. Must not block and cannot fail. Called once per peer
    /// for `Heartbeat` and `Append` (as long as its address stays), and once per checkpoint for `Snapshot`.
    fn link(&self, peer: PeerAddress, purpose: Purpose) -> Self::Link;
}

/// One connection to one master for one purpose. Dropping it closes the connection; dropping a future or a stream
/// cancels its call.
pub trait Link: Send + Sync + 'static {
    /// Send one frame, wait for one frame, at most `deadline`.
    fn call(
        &self,
        kind: CallKind,
        frame: Bytes,
        deadline: Duration,
    ) -> impl Future<Output = Result<Bytes, TransportError>> + Send;

    /// Open a bidirectional stream of frames, in order both ways; a stream without a frame opens the connection and does nothing else.
    /// `open_within` limits only the opening: the stream itself lives as long as the sender leads. It ends with an error when the peer dies (keep-alive), and its
    /// requests must be sent as soon as they come.
    fn append_stream(
        &self,
        frames: BoxStream<'static, Bytes>,
        open_within: Duration,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes, TransportError>>, TransportError>> + Send;

    /// Send a stream of chunks (each at most `SNAPSHOT_FRAME_BYTES_MAX`), wait for the one answering frame. An `Err`
    /// in `chunks` must cancel the call, so that the peer sees a broken stream and not a short one.
    fn send_snapshot(
        &self,
        chunks: BoxStream<'static, io::Result<Bytes>>,
    ) -> impl Future<Output = Result<Bytes, TransportError>> + Send;
}

/// Why this master does not answer a frame. The transport turns it into a status.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The frame makes no sense: a newer version, or damage on the way.
    #[error("malformed {what}: {source}")]
    Malformed {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// The node refuses what was asked (a hand-over that it cannot take part in).
    #[error("refused: {0}")]
    Refused(String),
    /// The node has stopped.
    #[error("this master's Raft node has stopped: {0}")]
    Stopped(String),
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Heartbeat => "heartbeat",
            Purpose::Append => "append",
            Purpose::Snapshot => "snapshot",
        })
    }
}
