//! How our TCP connections behave. Comes in: one that was just made or accepted. Goes out: the same, set up for short messages that must
//! arrive soon: nothing waits to be sent, what was lost is sent again early, and a peer whose machine is gone is given up.

use std::io;
use std::os::fd::AsRawFd as _;

use cloudai_types::limits;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// `TCP_RTO_MIN_US` of Linux, which the crate `libc` does not name yet.
const TCP_RTO_MIN_US: libc::c_int = 45;

pub(crate) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    give_up_the_silent(stream)?;
    if let Err(error) = retransmit_early(stream) {
        // A kernel that does not know the option: only networks that lose packets are slower.
        tracing::trace!(%error, "the kernel keeps its own wait before it sends again what was lost");
    }
    Ok(())
}

/// The kernel asks silent peers itself, and closes what nobody confirms: HTTP/2's own pings would cost a leader with thousands of
/// sessions a timer and two locks per message.
fn give_up_the_silent(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let ask = TcpKeepalive::new()
        .with_time(limits::TCP_SILENCE_MAX.as_duration())
        .with_interval(limits::TCP_PROBE_EVERY.as_duration());
    socket.set_tcp_keepalive(&ask)?;
    socket.set_tcp_user_timeout(Some(limits::TCP_UNCONFIRMED_MAX.as_duration()))
}

/// The kernel's own least wait is 200 ms, doubled each time: with the third loss in a row a leader's heartbeat comes too late, and followers
/// elect another one.
fn retransmit_early(stream: &TcpStream) -> io::Result<()> {
    let wait = libc::c_int::try_from(limits::TCP_RETRANSMIT_MIN.0 * 1_000).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open as long as `stream`, and the kernel reads one integer.
    #[allow(unsafe_code)]
    let rc = unsafe {
        let bytes = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, TCP_RTO_MIN_US, (&raw const wait).cast(), bytes)
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_set_up_on_every_kernel() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        set_up(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), limits::TCP_SILENCE_MAX.as_duration());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(limits::TCP_UNCONFIRMED_MAX.as_duration()));
        match retransmit_early(&stream) {
            Ok(()) => {}
            Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ENOPROTOOPT), "only an old kernel may refuse: {e}"),
        }
    }
}
