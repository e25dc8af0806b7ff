//! Who a peer is. Comes in: a leaf certificate that TLS has verified. Goes out: an [`Identity`], and the checks that a handler makes
//! on it. Parsing says who a certificate names; that its issuer may say so is the verifier's business.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use crate::revoked::Revoked;

/// A cluster: sixteen lower-case hex characters, made once by `cloudai init`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(Arc<str>);

impl ClusterId {
    /// From eight random bytes, which the caller draws.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        ClusterId(hex(&bytes).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClusterId {
    type Err = IdentityError;
    fn from_str(s: &str) -> Result<Self, IdentityError> {
        if s.len() == 16 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(ClusterId(s.into()))
        } else {
            Err(IdentityError::Cluster(clip(s)))
        }
    }
}

/// What a certificate entitles its holder to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    Master,
    Worker,
    Admin,
    /// May find the members of the cluster, and read what they tell of themselves; nothing else. For a Prometheus.
    Observer,
}

impl Role {
    pub const ALL: &'static [Role] = &[Role::Master, Role::Worker, Role::Admin, Role::Observer];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Worker => "worker",
            Role::Admin => "admin",
            Role::Observer => "observer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(s: &str) -> Result<Self, IdentityError> {
        Role::ALL.iter().copied().find(|r| r.as_str() == s).ok_or_else(|| IdentityError::Role(clip(s)))
    }
}

/// A certificate's serial number, as lower-case hex without leading zeros.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Serial(Arc<str>);

impl Serial {
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let text = hex(bytes);
        let trimmed = text.trim_start_matches('0');
        Serial(if trimmed.is_empty() { "0" } else { trimmed }.into())
    }

    /// Reads what [`Serial::as_str`] gave; other texts give a serial that no certificate has.
    pub fn from_text(s: &str) -> Self {
        Serial(s.trim_start_matches('0').to_ascii_lowercase().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a verified certificate names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    pub cluster: ClusterId,
    pub role: Role,
    pub name: String,
    /// Of the certificate that said so: a renewed certificate has another.
    pub serial: Serial,
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the certificate names no CloudAI identity: it has no SAN URI spiffe://CLUSTER/ROLE/NAME")]
    NoUri,
    #[error("the certificate names more than one URI, so it is not clear whose it is")]
    SeveralUris,
    #[error("'{0}' is no CloudAI identity: spiffe://CLUSTER/ROLE/NAME is expected")]
    Uri(String),
    #[error("'{0}' is no cluster id: 16 characters of 0-9 and a-f are expected")]
    Cluster(String),
    #[error("'{0}' is no role: master, worker, admin or observer is expected")]
    Role(String),
    #[error("the name '{name}' {problem}")]
    Name { name: String, problem: String },
}

impl Identity {
    /// Reads the one SAN URI of a leaf certificate.
    pub fn from_leaf(leaf: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (rest, cert) =
            x509_parser::parse_x509_certificate(leaf).map_err(|e| IdentityError::Unreadable(e.to_string()))?;
        if !rest.is_empty() {
            return Err(IdentityError::Unreadable("bytes follow its end".to_owned()));
        }
        let san = cert.subject_alternative_name().map_err(|e| IdentityError::Unreadable(e.to_string()))?;
        let names = san.as_ref().map(|ext| ext.value.general_names.as_slice()).unwrap_or_default();
        let mut uris = names.iter().filter_map(|n| if let GeneralName::URI(uri) = n { Some(*uri) } else { None });
        let uri = uris.next().ok_or(IdentityError::NoUri)?;
        if uris.next().is_some() {
            return Err(IdentityError::SeveralUris);
        }
        Self::from_uri(uri, Serial::from_bytes(cert.raw_serial()))
    }

    /// Reads `spiffe://CLUSTER/ROLE/NAME`.
    pub fn from_uri(uri: &str, serial: Serial) -> Result<Self, IdentityError> {
        let wrong = || IdentityError::Uri(clip(uri));
        let mut parts = uri.strip_prefix("spiffe://").ok_or_else(wrong)?.split('/');
        let (Some(cluster), Some(role), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        Identity::new(cluster.parse()?, role.parse()?, name, serial)
    }

    /// Fails when the name could not stand in a certificate.
    pub fn new(cluster: ClusterId, role: Role, name: &str, serial: Serial) -> Result<Self, IdentityError> {
        cloudai_types::spec::check_name(name).map_err(|problem| IdentityError::Name { name: clip(name), problem })?;
        Ok(Identity { cluster, role, name: name.to_owned(), serial })
    }

    /// `spiffe://CLUSTER/ROLE/NAME`.
    pub fn uri(&self) -> String {
        format!("spiffe://{}/{}/{}", self.cluster, self.role, self.name)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

/// What a connection knows about its other end. It stands in the extensions of every request on that connection.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    pub addr: SocketAddr,
    /// `None` when the peer showed no certificate, which only a listener with [`crate::ClientAuth::Optional`] lets pass.
    pub identity: Option<Arc<Identity>>,
}

/// The verified identity of a request's sender; `None` when it showed no certificate.
pub fn identity_of<T>(request: &tonic::Request<T>) -> Option<&Identity> {
    request.extensions().get::<PeerInfo>()?.identity.as_deref()
}

/// The sender's identity, when it has one of these roles and is not revoked. A long stream outlives this check: whoever revokes
/// also cuts ([`crate::Connections::cut`]).
pub fn require<'a, T>(
    request: &'a tonic::Request<T>,
    revoked: &Revoked,
    roles: &[Role],
) -> Result<&'a Identity, tonic::Status> {
    let Some(identity) = identity_of(request) else {
        return Err(tonic::Status::unauthenticated(
            "this call needs a client certificate, and none was presented: give the client its identity files, or join first",
        ));
    };
    if revoked.contains(identity) {
        return Err(tonic::Status::unauthenticated(format!(
            "the certificate of {identity} was revoked: authorise it again and join with the new token"
        )));
    }
    if !roles.contains(&identity.role) {
        let allowed: Vec<&str> = roles.iter().map(|r| r.as_str()).collect();
        return Err(tonic::Status::permission_denied(format!(
            "{identity} may not make this call: it is for the role {}",
            allowed.join(" or ")
        )));
    }
    Ok(identity)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        out.push(char::from_digit(u32::from(b >> 4), 16).expect("a nibble is a hex digit"));
        out.push(char::from_digit(u32::from(b & 15), 16).expect("a nibble is a hex digit"));
        out
    })
}

/// Reads exactly `N` bytes of hex.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).expect("two nibbles fit a byte");
    }
    Some(out)
}

/// Foreign text is shown shortened and without control characters.
pub(crate) fn clip(s: &str) -> String {
    s.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial() -> Serial {
        Serial::from_bytes(&[0, 0x0a, 0xff])
    }

    #[test]
    fn a_uri_reads_back_as_it_was_written() {
        let id = Identity::from_uri("spiffe://0123456789abcdef/worker/w-1.rack2", serial()).unwrap();
        assert_eq!((id.role, id.name.as_str(), id.serial.as_str()), (Role::Worker, "w-1.rack2", "aff"));
        assert_eq!(id.uri(), "spiffe://0123456789abcdef/worker/w-1.rack2");
    }

    #[test]
    fn a_uri_that_is_anything_else_is_refused() {
        for uri in [
            "",
            "spiffe://",
            "https://0123456789abcdef/worker/w1",
            "spiffe://0123456789abcdef/worker",
            "spiffe://0123456789abcdef/worker/w1/x",
            "spiffe://0123456789abcdef/worker/",
            "spiffe://0123456789abcdef/worker/../x",
            "spiffe://0123456789abcdef/root/w1",
            "spiffe://0123456789ABCDEF/worker/w1",
            "spiffe://0123/worker/w1",
            "spiffe://0123456789abcdef/worker/w%201",
        ] {
            assert!(Identity::from_uri(uri, serial()).is_err(), "{uri}");
        }
    }

    #[test]
    fn garbage_is_no_certificate() {
        assert!(matches!(
            Identity::from_leaf(&CertificateDer::from(&b"garbage"[..])),
            Err(IdentityError::Unreadable(_))
        ));
    }

    #[test]
    fn a_call_without_certificate_with_another_role_or_revoked_is_refused() {
        let revoked = Revoked::default();
        let mut request = tonic::Request::new(());
        assert_eq!(require(&request, &revoked, Role::ALL).unwrap_err().code(), tonic::Code::Unauthenticated);

        let id = Arc::new(Identity::from_uri("spiffe://0123456789abcdef/worker/w1", serial()).unwrap());
        let addr = "127.0.0.1:1".parse().unwrap();
        request.extensions_mut().insert(PeerInfo { addr, identity: Some(id.clone()) });
        assert_eq!(require(&request, &revoked, &[Role::Worker]).unwrap(), &*id);
        let other = require(&request, &revoked, &[Role::Master, Role::Admin]).unwrap_err();
        assert_eq!(other.code(), tonic::Code::PermissionDenied);
        assert!(other.message().contains("master or admin"), "{}", other.message());

        let mut set = crate::RevokedSet::default();
        set.names.insert((Role::Worker, "w1".to_owned()));
        revoked.replace(set);
        assert_eq!(require(&request, &revoked, &[Role::Worker]).unwrap_err().code(), tonic::Code::Unauthenticated);
    }
}
