//! A master renews its own certificate: it holds the CA's key. Comes in: the certificate's dates. Goes out: new files, which the
//! TLS watcher takes up; open connections keep the old certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloudai_net::{CertificateAuthority, IdentityFiles, ReloadingTls, Role};
use cloudai_types::{Timestamp, limits};

use crate::node::now_ms;

/// How often the dates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Runs as long as the process.
pub async fn run(tls: Arc<ReloadingTls>, identity_dir: PathBuf) {
    loop {
        if Timestamp(now_ms()) >= tls.renew_at() {
            renew(&tls, &identity_dir);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn renew(tls: &ReloadingTls, identity_dir: &std::path::Path) {
    let name = tls.identity().name.clone();
    let ca = match CertificateAuthority::load(identity_dir) {
        Ok(ca) => ca,
        Err(error) => {
            tracing::error!(%error, "the certificate must be renewed and the CA's key cannot be loaded; copy ca-key.pem from another master");
            return;
        }
    };
    let files = IdentityFiles::new(identity_dir);
    match files.enroll(&ca, Role::Master, &name, &[], limits::LEAF_VALIDITY, Timestamp(now_ms())) {
        Ok(issued) => tracing::info!(serial = %issued.identity.serial, "the certificate was renewed"),
        Err(error) => tracing::error!(%error, "the certificate could not be renewed; it is tried again in an hour"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_net::{ClusterId, Revoked};

    #[test]
    fn a_renewed_certificate_has_another_serial_and_the_same_name() {
        let dir = tempfile::tempdir().expect("tempdir");
        let now = Timestamp(now_ms());
        let ca = CertificateAuthority::create(ClusterId::from_bytes([1; 8]), now).expect("a CA");
        ca.save(dir.path()).expect("saved");
        let files = IdentityFiles::new(dir.path());
        files.enroll(&ca, Role::Master, "m1", &[], limits::LEAF_VALIDITY, now).expect("enrolled");
        let tls = ReloadingTls::load(files, Revoked::default()).expect("identity");
        let before = tls.identity();
        renew(&tls, dir.path());
        assert!(tls.reload().expect("good files"));
        let after = tls.identity();
        assert_eq!(after.name, before.name);
        assert_ne!(after.serial, before.serial);
    }
}
