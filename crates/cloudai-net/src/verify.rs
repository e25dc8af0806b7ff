//! The verifiers that rustls calls. Comes in: a peer's chain. Goes out: yes, or the alert that tells the peer what is wrong with it.
//! Chains are checked by webpki; added here is who the leaf names. A listener's verifier lives for one connection, so that
//! it can remember what it saw for the log line.

use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::ca::CaDigest;
use crate::identity::{ClusterId, Identity, IdentityError, Role};
use crate::revoked::Revoked;

/// What a listener's verifier saw of its peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Whom the leaf names, verified or not; `None` when it showed no certificate, or one that names nobody.
    pub claimed: Option<Identity>,
    pub refusal: Option<Refusal>,
}

/// Why a certificate was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Chain(CertificateError),
    #[error(transparent)]
    NoIdentity(IdentityError),
    #[error("it is of another cluster ({theirs}; this is {ours})")]
    OtherCluster { theirs: ClusterId, ours: ClusterId },
    #[error("the role {role} may not connect here ({allowed} only)")]
    Role { role: Role, allowed: String },
    #[error("it was revoked")]
    Revoked,
}

/// Verifies the client of one connection.
#[derive(Debug)]
pub(crate) struct ListenerVerifier {
    pub chain: Arc<dyn ClientCertVerifier>,
    pub mandatory: bool,
    pub cluster: ClusterId,
    pub roles: &'static [Role],
    pub revoked: Revoked,
    pub seen: Mutex<Seen>,
}

impl ListenerVerifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        claimed: Result<Identity, IdentityError>,
    ) -> Result<ClientCertVerified, (Refusal, Error)> {
        let chain = self.chain.verify_client_cert(leaf, intermediates, now);
        let refuse = |refusal, error: CertificateError| Err((refusal, Error::InvalidCertificate(error)));
        let verified = match chain {
            Ok(verified) => verified,
            // A certificate of another cluster is the usual reason for an unknown issuer: say so when the leaf does.
            Err(Error::InvalidCertificate(e @ (CertificateError::UnknownIssuer | CertificateError::BadSignature))) => {
                return match claimed {
                    Ok(id) if id.cluster != self.cluster => {
                        refuse(Refusal::OtherCluster { theirs: id.cluster, ours: self.cluster.clone() }, e)
                    }
                    Ok(_) | Err(_) => refuse(Refusal::Chain(e.clone()), e),
                };
            }
            Err(Error::InvalidCertificate(e)) => return refuse(Refusal::Chain(e.clone()), e),
            Err(other) => return Err((Refusal::Chain(CertificateError::BadEncoding), other)),
        };
        let identity = match claimed {
            Ok(identity) => identity,
            Err(e) => return refuse(Refusal::NoIdentity(e), CertificateError::BadEncoding),
        };
        if identity.cluster != self.cluster {
            let refusal = Refusal::OtherCluster { theirs: identity.cluster, ours: self.cluster.clone() };
            return refuse(refusal, CertificateError::ApplicationVerificationFailure);
        }
        if self.revoked.contains(&identity) {
            return refuse(Refusal::Revoked, CertificateError::Revoked);
        }
        if !self.roles.contains(&identity.role) {
            let allowed: Vec<&str> = self.roles.iter().map(|r| r.as_str()).collect();
            let refusal = Refusal::Role { role: identity.role, allowed: allowed.join(", ") };
            return refuse(refusal, CertificateError::ApplicationVerificationFailure);
        }
        Ok(verified)
    }
}

impl ClientCertVerifier for ListenerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: a client with one identity need not be told who may have issued it, and strangers learn nothing.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let claimed = Identity::from_leaf(end_entity);
        let result = self.check(end_entity, intermediates, now, claimed.clone());
        let mut seen = self.seen.lock().expect("nothing panics while it is held");
        seen.claimed = claimed.ok();
        result.map_err(|(refusal, error)| {
            seen.refusal = Some(refusal);
            error
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Which CAs a client believes.
#[derive(Debug)]
enum Anchor {
    /// The CAs beside its own certificate, and its own cluster.
    Bundle { chain: Arc<WebPkiServerVerifier>, cluster: ClusterId },
    /// The one CA that a join token names; the server sends its certificate along.
    Pin(CaDigest),
}

/// Verifies that the server is a master: by its CA, by the masters' TLS name, and by its identity.
#[derive(Debug)]
pub(crate) struct MasterVerifier(Anchor);

impl MasterVerifier {
    pub(crate) fn of_cluster(cas: &[CertificateDer<'static>], cluster: ClusterId) -> Result<Self, Error> {
        Ok(MasterVerifier(Anchor::Bundle { chain: server_verifier(cas)?, cluster }))
    }

    pub(crate) fn pinned(digest: CaDigest) -> Self {
        MasterVerifier(Anchor::Pin(digest))
    }
}

/// A store that refuses nothing that it is given, but an unreadable certificate.
pub(crate) fn roots(cas: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, Error> {
    let mut store = RootCertStore::empty();
    for ca in cas {
        store.add(ca.clone())?;
    }
    Ok(Arc::new(store))
}

fn server_verifier(cas: &[CertificateDer<'static>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(roots(cas)?, crate::provider())
        .build()
        .map_err(|e| Error::General(e.to_string()))
}

impl ServerCertVerifier for MasterVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (verified, cluster) = match &self.0 {
            Anchor::Bundle { chain, cluster } => {
                let verified = chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
                (verified, Some(cluster))
            }
            Anchor::Pin(digest) => {
                let ca = intermediates
                    .iter()
                    .find(|c| CaDigest::of(c) == *digest)
                    .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let chain = server_verifier(&[ca.clone().into_owned()])?;
                (chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?, None)
            }
        };
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let identity = Identity::from_leaf(end_entity).map_err(|_| refused.clone())?;
        match identity.role {
            Role::Master if cluster.is_none_or(|c| *c == identity.cluster) => Ok(verified),
            Role::Master | Role::Worker | Role::Admin | Role::Observer => Err(refused),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &crate::provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &crate::provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::provider().signature_verification_algorithms.supported_schemes()
    }
}
