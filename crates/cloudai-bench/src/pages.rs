//! The metrics pages of processes. Comes in: an address. Goes out: the page, or one number of it.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// For one request: of a page, or of a WebSocket.
pub async fn connect(tls: &Arc<rustls::ClientConfig>, address: &str) -> anyhow::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    Ok(tokio_rustls::TlsConnector::from(tls.clone()).connect("localhost".try_into()?, tcp).await?)
}

/// `HOST:PORT`'s page.
pub async fn page(tls: &Arc<rustls::ClientConfig>, address: &str) -> anyhow::Result<String> {
    let mut io = connect(tls, address).await?;
    io.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut page = vec![];
    // A server that ends without close_notify has still said what it said.
    let _ = io.read_to_end(&mut page).await;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Of a metric without labels, or with these.
pub fn value(page: &str, metric: &str) -> Option<f64> {
    page.lines().find_map(|l| l.strip_prefix(metric))?.trim().parse().ok()
}
