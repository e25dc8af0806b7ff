//! Bytes that were read too early and are given back first. Comes in: a stream and its first bytes. Goes out: the same stream from its
//! beginning. A client uses it to see, before it calls itself connected, that the server did not refuse its certificate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Enough for the SETTINGS frame with which an HTTP/2 server begins.
const FIRST_BYTES_MAX: usize = 256;

pub(crate) struct Peeked<IO> {
    io: IO,
    first: Vec<u8>,
    given: usize,
}

impl<IO: AsyncRead + Unpin> Peeked<IO> {
    /// Waits for the server's first bytes. An HTTP/2 server speaks first; one that closes instead gives an error.
    pub(crate) async fn first_bytes(mut io: IO) -> io::Result<Self> {
        let mut first = vec![0; FIRST_BYTES_MAX];
        let n = io.read(&mut first).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        first.truncate(n);
        Ok(Peeked { io, first, given: 0 })
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Peeked<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.given < self.first.len() {
            let n = buf.remaining().min(self.first.len() - self.given);
            let from = self.given;
            buf.put_slice(&self.first[from..from + n]);
            self.given += n;
            if self.given == self.first.len() {
                self.first = Vec::new();
                self.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Peeked<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_stream_reads_from_its_beginning_in_pieces_of_any_size() {
        let mut peeked = Peeked::first_bytes(&b"hello world"[..]).await.unwrap();
        let mut piece = [0; 3];
        peeked.read_exact(&mut piece).await.unwrap();
        let mut rest = String::new();
        peeked.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&piece, rest.as_str()), (b"hel", "lo world"));
    }

    #[tokio::test]
    async fn a_server_that_closes_at_once_is_an_error() {
        let error = Peeked::first_bytes(&b""[..]).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
