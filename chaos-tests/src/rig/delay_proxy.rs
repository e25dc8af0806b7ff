//! `chaos-tests delay`: a proxy that passes bytes on late, in both directions, each piece after a pause of its own within bounds, in order.
//! Comes in: where to listen, where to connect to. It runs until its stdin closes. The kernel of a test machine may lack netem.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Pieces on their way in one direction of one connection; more wait in the sender's own buffers.
const PIECES_MAX: usize = 1_024;
const PIECE_BYTES: usize = 16 << 10;

#[derive(Debug, Clone, clap::Args)]
pub struct DelayArguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    to: SocketAddr,
    /// The proxy's own address, so that its connections are not taken for those that it delays
    #[arg(long)]
    from: SocketAddr,
    #[arg(long)]
    min_ms: u64,
    #[arg(long)]
    max_ms: u64,
}

pub fn run(arguments: &DelayArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.context("the proxy cannot listen")?;
        let closed = super::generator::until_stdin_closes();
        tokio::pin!(closed);
        loop {
            tokio::select! {
                () = &mut closed => return Ok(()),
                // One that was reset before it was accepted is no reason to end.
                accepted = listener.accept() => if let Ok((client, _)) = accepted {
                    tokio::spawn(pass(client, arguments.clone()));
                },
            }
        }
    })
}

/// Until one side closes, or cannot be reached.
async fn pass(client: TcpStream, arguments: DelayArguments) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(arguments.from)?;
    let server = socket.connect(arguments.to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let bounds = (arguments.min_ms, arguments.max_ms);
    tokio::select! {
        () = late(from_client, to_server, bounds) => {}
        () = late(from_server, to_client, bounds) => {}
    }
    Ok(())
}

async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, (min_ms, max_ms): (u64, u64)) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let read = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(n) = from.read(&mut buffer).await {
            let due = Instant::now() + Duration::from_millis(rand::rng().random_range(min_ms..=max_ms));
            if n == 0 || sender.send((due, buffer[..n].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            // In order: a piece that was due earlier than its predecessor leaves right behind it.
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
