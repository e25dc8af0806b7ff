//! TLS clients of our own making: for peers that speak another protocol than CloudAI's, and for the metrics pages. Comes in: an identity's
//! directory. Goes out: a configuration that trusts that cluster's CA.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Shows the identity's certificate when `shown`; otherwise none.
pub fn client(identity: &Path, shown: bool, alpn: &[&[u8]]) -> anyhow::Result<Arc<ClientConfig>> {
    let pem = |name: &str| {
        let path = identity.join(name);
        let all = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        all.with_context(|| format!("{} holds no certificates", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for ca in pem("ca.pem")? {
        roots.add(ca)?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = if shown {
        let key = PrivateKeyDer::from_pem_file(identity.join("key.pem")).context("the identity has no key")?;
        builder.with_client_auth_cert(pem("cert.pem")?, key)?
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}
