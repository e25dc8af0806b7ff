//! Who is at the other end, and a connection to them: certificates turned into identities, TLS that reloads, the accept loop,
//! client channels, back-off, and the primitives of joining.
//!
//! Comes in: key and certificate files, listeners, addresses, `now` where something is issued. Goes out: connections that carry
//! a verified [`Identity`], tonic channels, certificates. This crate deliberately knows no Raft, no task and no
//! message: what an identity may do is decided above, with [`require`].

pub mod acceptor;
pub mod backoff;
pub mod ca;
pub mod channel;
pub mod connections;
mod explain;
pub mod files;
pub mod identity;
mod peek;
pub mod revoked;
mod tcp;
pub mod tls;
pub mod token;
mod verify;

pub use acceptor::{AcceptOptions, Acceptor, Incoming};
pub use backoff::Backoff;
pub use ca::{CaDigest, CertRequest, CertificateAuthority, Issued};
pub use channel::{ChannelFactory, ChannelOptions, ConnectError};
pub use connections::{Connection, Connections};
pub use files::IdentityFiles;
pub use identity::{ClusterId, Identity, PeerInfo, Role, Serial, identity_of, require};
pub use revoked::{Revoked, RevokedSet};
pub use tls::{ClientAuth, ReloadingTls};
pub use token::{JoinSecret, JoinToken};

/// The TLS name under which every master is reached, so that addresses never matter. Only masters' certificates carry it.
pub const SERVER_NAME: &str = "cloudai";

/// Makes ring the process's crypto provider. Call it first in `main`; calling it again changes nothing.
pub fn install_crypto_provider() {
    // An error means that a provider is installed already, which is what the caller wants.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The one provider of this crate's own configurations, which therefore do not depend on what `main` installed.
pub(crate) fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<std::sync::Arc<rustls::crypto::CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| std::sync::Arc::new(rustls::crypto::ring::default_provider())).clone()
}
