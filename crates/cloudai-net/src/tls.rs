//! TLS configurations that follow the files. Comes in: [`IdentityFiles`], read again when they change. Goes out: a server configuration for
//! each connection that is accepted, and the client configuration of the moment. A bad reload keeps what was there. Old
//! connections keep the certificate with which they were made.
//!
//! TLS 1.3 only, no tickets and no resumption: every connection shows its certificate anew, so that revocation holds.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use cloudai_types::{Timestamp, limits};
use rustls::client::Resumption;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ConfigBuilder, ConfigSide, WantsVerifier, WantsVersions};

use crate::ca::CaDigest;
use crate::files::{FilesStamp, IdentityFiles, LoadError, Material};
use crate::identity::{Identity, Role};
use crate::revoked::Revoked;
use crate::verify::{ListenerVerifier, MasterVerifier, Seen, roots};

/// Whether a peer must show a certificate. One that is shown is verified either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientAuth {
    Required,
    Optional,
}

/// The protocols that a listener offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alpn {
    /// gRPC: HTTP/2 only.
    H2,
    /// Browsers and Prometheus: HTTP/2 or HTTP/1.1.
    Http,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Alpn::H2 => vec![b"h2".to_vec()],
            Alpn::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// Why TLS could not be set up from the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the certificates cannot be used for TLS")]
    Tls(#[source] rustls::Error),
}

/// What the files gave, ready for use.
struct Current {
    material: Material,
    /// Checks a client's chain; who the client is, each connection's own verifier checks.
    clients: Arc<dyn ClientCertVerifier>,
    client_config: Arc<ClientConfig>,
}

/// The identity of this process, which may be renewed while it runs.
pub struct ReloadingTls {
    files: IdentityFiles,
    revoked: Revoked,
    current: ArcSwap<Current>,
    /// Of the files when they were last read, also when that failed: one bad change is reported once.
    stamp: Mutex<FilesStamp>,
}

impl ReloadingTls {
    pub fn load(files: IdentityFiles, revoked: Revoked) -> Result<Arc<Self>, TlsError> {
        let stamp = files.stamp();
        let current = Current::build(files.load()?)?;
        Ok(Arc::new(ReloadingTls { files, revoked, current: ArcSwap::from_pointee(current), stamp: Mutex::new(stamp) }))
    }

    /// Reads the files if they changed; true when new ones are in use. On an error the old ones stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let stamp = self.files.stamp();
        {
            let mut last = self.stamp.lock().expect("nothing panics while it is held");
            if *last == stamp {
                return Ok(false);
            }
            *last = stamp;
        }
        let new = Current::build(self.files.load()?)?;
        self.current.store(Arc::new(new));
        Ok(true)
    }

    /// Looks at the files for ever and reloads them when they change. Run it as a task of its own.
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(limits::CERTIFICATE_POLL.as_duration());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.reload() {
                Ok(false) => {}
                Ok(true) => {
                    let identity = self.identity();
                    tracing::info!(%identity, serial = %identity.serial, "certificate reloaded; new connections use it");
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    dir = %self.files.dir().display(),
                    "the changed certificate files are not usable, so the old certificate stays in use; put a good pair in place"
                ),
            }
        }
    }

    pub fn files(&self) -> &IdentityFiles {
        &self.files
    }

    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Who this process is.
    pub fn identity(&self) -> Arc<Identity> {
        self.current.load().material.identity.clone()
    }

    /// When the certificate in use ends.
    pub fn not_after(&self) -> Timestamp {
        self.current.load().material.not_after
    }

    /// When it should be renewed.
    pub fn renew_at(&self) -> Timestamp {
        self.current.load().material.renew_at()
    }

    /// The digests of the trusted CAs.
    pub fn trusted(&self) -> Vec<CaDigest> {
        self.current.load().material.cas.iter().map(CaDigest::of).collect()
    }

    /// The digest of the CA that issued the certificate in use: what a join token pins, for it is sent along in every handshake.
    pub fn issuer_digest(&self) -> Option<CaDigest> {
        self.current.load().material.certified.cert.get(1).map(CaDigest::of)
    }

    /// For one connection: its verifier remembers what it saw.
    pub(crate) fn server_config(
        &self,
        auth: ClientAuth,
        roles: &'static [Role],
        alpn: Alpn,
    ) -> Result<(Arc<ServerConfig>, Arc<ListenerVerifier>), rustls::Error> {
        let current = self.current.load();
        let verifier = Arc::new(ListenerVerifier {
            chain: current.clients.clone(),
            mandatory: auth == ClientAuth::Required,
            cluster: current.material.identity.cluster.clone(),
            roles,
            revoked: self.revoked.clone(),
            seen: Mutex::new(Seen::default()),
        });
        let mut config = tls13(ServerConfig::builder_with_provider(crate::provider()))?
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(current.material.certified.clone())));
        config.alpn_protocols = alpn.protocols();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((Arc::new(config), verifier))
    }

    /// Shows our certificate, and accepts masters of our own cluster only.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        self.current.load().client_config.clone()
    }
}

impl std::fmt::Debug for ReloadingTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReloadingTls({}, {})", self.identity(), self.files.dir().display())
    }
}

impl Current {
    fn build(material: Material) -> Result<Self, TlsError> {
        let clients = WebPkiClientVerifier::builder_with_provider(
            roots(&material.cas).map_err(TlsError::Tls)?,
            crate::provider(),
        )
        .build()
        .map_err(|e| TlsError::Tls(rustls::Error::General(e.to_string())))?;
        let masters =
            MasterVerifier::of_cluster(&material.cas, material.identity.cluster.clone()).map_err(TlsError::Tls)?;
        let mut client_config = tls13(ClientConfig::builder_with_provider(crate::provider()))
            .map_err(TlsError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(masters))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(material.certified.clone())));
        finish_client(&mut client_config);
        Ok(Current { material, clients, client_config: Arc::new(client_config) })
    }
}

/// For a join: shows no certificate, and accepts a master whose CA has this digest.
pub(crate) fn joining_config(pin: CaDigest) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = tls13(ClientConfig::builder_with_provider(crate::provider()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(MasterVerifier::pinned(pin)))
        .with_no_client_auth();
    finish_client(&mut config);
    Ok(Arc::new(config))
}

fn finish_client(config: &mut ClientConfig) {
    config.alpn_protocols = Alpn::H2.protocols();
    config.resumption = Resumption::disabled();
}

fn tls13<S: ConfigSide>(
    builder: ConfigBuilder<S, WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>, rustls::Error> {
    builder.with_protocol_versions(&[&rustls::version::TLS13])
}
