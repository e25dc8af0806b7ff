//! Client channels. Comes in: the address of a master and our identity, or the CA digest of a join token. Goes out: a lazy tonic channel
//! whose server is verified to be a master. It follows no leader and retries no call: that is the client's business.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cloudai_types::limits;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::ca::CaDigest;
use crate::peek::Peeked;
use crate::tls::{ReloadingTls, joining_config};
use crate::{SERVER_NAME, explain, tcp};

/// What a channel is for decides its windows. One channel is one TCP connection: what must not wait behind bulk data has its own.
#[derive(Clone, Copy, Debug)]
pub struct ChannelOptions {
    /// For the name's resolution, TCP, TLS and the server's first word together.
    pub connect_timeout: Duration,
    /// Silence after which the server is pinged, also while no call is open.
    pub keepalive_interval: Duration,
    /// An unanswered ping ends the connection.
    pub keepalive_timeout: Duration,
    /// Bytes in flight per stream and per connection.
    pub stream_window: u32,
    pub connection_window: u32,
}

impl ChannelOptions {
    /// Calls and sessions of users and workers.
    pub const fn calls() -> Self {
        ChannelOptions {
            connect_timeout: limits::CONNECT_TIMEOUT.as_duration(),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(3),
            stream_window: 1 << 20,
            connection_window: 4 << 20,
        }
    }

    /// Replication between masters.
    pub const fn replication() -> Self {
        ChannelOptions { stream_window: 4 << 20, connection_window: 16 << 20, ..Self::calls() }
    }

    /// Heartbeats and votes: small, and never behind anything else.
    pub const fn heartbeats() -> Self {
        ChannelOptions { stream_window: 1 << 16, connection_window: 1 << 18, ..Self::calls() }
    }

    /// Snapshots between masters.
    pub const fn snapshots() -> Self {
        ChannelOptions { stream_window: 8 << 20, connection_window: 16 << 20, ..Self::calls() }
    }
}

/// Why there is no connection to a master. Found again in a failed call's status by [`ConnectError::of`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{addr} cannot be reached: {source}")]
    Tcp { addr: String, source: io::Error },
    #[error("{addr} did not answer within {} ms", after.as_millis())]
    Timeout { addr: String, after: Duration },
    /// We do not trust the server.
    #[error("the server at {addr} is not trusted: {reason}")]
    Untrusted { addr: String, reason: String, source: io::Error },
    /// The server does not accept our certificate. Trying again does not help.
    #[error("{addr} refused the connection: {reason}")]
    Refused { addr: String, reason: String, source: io::Error },
    #[error("{addr} closed the connection in the TLS handshake ({source}): is it a port of a CloudAI master?")]
    Handshake { addr: String, source: io::Error },
}

impl ConnectError {
    /// The reason why a call found no connection, when that is what failed.
    pub fn of(status: &tonic::Status) -> Option<&ConnectError> {
        let mut error = std::error::Error::source(status);
        while let Some(e) = error {
            if let Some(found) = e.downcast_ref::<ConnectError>() {
                return Some(found);
            }
            error = e.source();
        }
        None
    }

    /// True when another try at the same address cannot help until somebody changes a certificate.
    pub fn is_about_certificates(&self) -> bool {
        match self {
            ConnectError::Untrusted { .. } | ConnectError::Refused { .. } => true,
            ConnectError::Tcp { .. } | ConnectError::Timeout { .. } | ConnectError::Handshake { .. } => false,
        }
    }
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address of a master: write HOST:PORT, for example 10.0.0.1:7601 or [fd00::1]:7601")]
pub struct AddressError(String);

/// `HOST:PORT` out of what people write: a leading `https://` and a trailing slash are accepted.
pub fn parse_address(text: &str) -> Result<String, AddressError> {
    let wrong = || AddressError(crate::identity::clip(text));
    let text = text.trim();
    let bare = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    let uri: Uri = format!("http://{bare}").parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if uri.path() != "/" || uri.query().is_some() || authority.as_str() != bare || bare.contains('@') {
        return Err(wrong());
    }
    match (authority.host(), authority.port_u16()) {
        ("", _) | (_, None | Some(0)) => Err(wrong()),
        (_, Some(_)) => Ok(bare.to_owned()),
    }
}

/// How we present ourselves, and whom we believe.
#[derive(Clone, Debug)]
enum Credentials {
    Identity(Arc<ReloadingTls>),
    Joining(Arc<rustls::ClientConfig>),
}

/// Makes channels to masters.
#[derive(Clone, Debug)]
pub struct ChannelFactory(Credentials);

impl ChannelFactory {
    /// With our identity; the server must be a master of our cluster. Each new connection uses the certificate of that moment.
    pub fn new(tls: Arc<ReloadingTls>) -> Self {
        ChannelFactory(Credentials::Identity(tls))
    }

    /// Without an identity, for a join: the server must be a master whose CA has this digest.
    pub fn joining(pin: CaDigest) -> Self {
        let config = joining_config(pin).expect("ring knows TLS 1.3");
        ChannelFactory(Credentials::Joining(config))
    }

    /// A lazy channel to `HOST:PORT`: it connects at its first call, and again after a failure.
    pub fn channel(&self, address: &str, options: &ChannelOptions) -> Result<Channel, AddressError> {
        let addr = parse_address(address)?;
        // Scheme http, because TLS is our connector's work and tonic must not ask for its own.
        let endpoint = Endpoint::from_shared(format!("http://{addr}"))
            .map_err(|_| AddressError(addr.clone()))?
            .http2_keep_alive_interval(options.keepalive_interval)
            .keep_alive_timeout(options.keepalive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(options.stream_window)
            .initial_connection_window_size(options.connection_window);
        let (factory, timeout) = (self.clone(), options.connect_timeout);
        Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            factory.clone().connect(addr.clone(), timeout)
        })))
    }

    async fn connect(self, addr: String, timeout: Duration) -> Result<TokioIo<MasterIo>, ConnectError> {
        let config = match &self.0 {
            Credentials::Identity(tls) => tls.client_config(),
            Credentials::Joining(config) => config.clone(),
        };
        match tokio::time::timeout(timeout, connect(&addr, config)).await {
            Ok(connected) => connected.map(TokioIo::new),
            Err(_) => Err(ConnectError::Timeout { addr, after: timeout }),
        }
    }
}

/// A connection whose server has spoken.
type MasterIo = Peeked<TlsStream<TcpStream>>;

async fn connect(addr: &str, config: Arc<rustls::ClientConfig>) -> Result<MasterIo, ConnectError> {
    let owned = || addr.to_owned();
    let stream = TcpStream::connect(addr).await.map_err(|source| ConnectError::Tcp { addr: owned(), source })?;
    tcp::set_up(&stream).map_err(|source| ConnectError::Tcp { addr: owned(), source })?;
    let name = ServerName::try_from(SERVER_NAME).expect("the masters' name is a DNS name");
    let failed = |source: io::Error| match explain::tls_error(&source) {
        Some(rustls::Error::AlertReceived(alert)) => {
            ConnectError::Refused { addr: owned(), reason: explain::refusal_by_peer(*alert), source }
        }
        Some(rustls::Error::InvalidCertificate(e)) => {
            ConnectError::Untrusted { addr: owned(), reason: explain::certificate(e), source }
        }
        Some(_) | None => ConnectError::Handshake { addr: owned(), source },
    };
    let tls = TlsConnector::from(config).connect(name, stream).await.map_err(failed)?;
    // In TLS 1.3 a server judges our certificate after our side of the handshake is done. Its first word says that it accepted.
    Peeked::first_bytes(tls).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port_however_they_are_written() {
        for (text, bare) in [
            ("127.0.0.1:7601", "127.0.0.1:7601"),
            (" https://m1.example:7601/ ", "m1.example:7601"),
            ("[::1]:7601", "[::1]:7601"),
        ] {
            assert_eq!(parse_address(text).unwrap(), bare);
        }
        for text in [
            "",
            "m1",
            "m1:",
            ":7601",
            "m1:0",
            "m1:70000",
            "http://m1:7601",
            "u@m1:7601",
            "m1:7601/x",
            "m1:7601?x",
            "a b:1",
        ] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
