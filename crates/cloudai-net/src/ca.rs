//! The cluster's certificate authority. Comes in: a certificate request, who its sender was authorised to be, and `now`. Goes out: a leaf
//! certificate and its chain. Whether the sender may have it is decided above; names that stand in a request are ignored.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use cloudai_types::{Millis, Timestamp, limits};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber,
};
use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;

use crate::SERVER_NAME;
use crate::files::{ReadError, WriteError, read_public, read_secret, write_atomically};
use crate::identity::{ClusterId, Identity, IdentityError, Role, Serial, clip, hex, unhex};
use crate::token::random_bytes;

/// SHA-256 of a CA certificate's DER: what a join token pins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CaDigest([u8; 32]);

impl CaDigest {
    pub fn of(ca: &CertificateDer<'_>) -> Self {
        CaDigest(digest(&SHA256, ca).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        CaDigest(bytes)
    }
}

impl fmt::Display for CaDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no CA digest: 64 hex characters are expected")]
pub struct BadDigest(String);

impl FromStr for CaDigest {
    type Err = BadDigest;
    fn from_str(s: &str) -> Result<Self, BadDigest> {
        unhex(s).map(CaDigest).ok_or_else(|| BadDigest(clip(s)))
    }
}

/// A parsed certificate request: a public key whose owner has proved to hold the private one.
pub struct CertRequest(rcgen::PublicKey);

/// Why a certificate request is refused.
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    #[error("the certificate request has {0} bytes; {max} are allowed", max = limits::CSR_BYTES_MAX)]
    TooLong(usize),
    #[error("the certificate request cannot be read, or its signature does not match its key")]
    Unreadable(#[source] rcgen::Error),
    #[error("the certificate request has another kind of key than ECDSA P-256, the only one that CloudAI uses")]
    Key,
}

impl CertRequest {
    pub fn parse(pem: &str) -> Result<Self, CsrError> {
        if pem.len() > limits::CSR_BYTES_MAX {
            return Err(CsrError::TooLong(pem.len()));
        }
        let key = CertificateSigningRequestParams::from_pem(pem).map_err(CsrError::Unreadable)?.public_key;
        // An uncompressed point: the signature's algorithm alone does not say which curve the key is on.
        if *key.algorithm() != PKCS_ECDSA_P256_SHA256 || key.der_bytes().len() != 65 || key.der_bytes()[0] != 4 {
            return Err(CsrError::Key);
        }
        Ok(CertRequest(key))
    }

    /// SHA-256 of the public key: the same for every request made with the same key, so a repeated join is recognised.
    pub fn key_digest(&self) -> [u8; 32] {
        digest(&SHA256, self.0.der_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

/// A certificate as it was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The leaf and its issuer, in PEM: what belongs into `cert.pem`.
    pub chain_pem: String,
    pub identity: Identity,
    pub not_after: Timestamp,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Name(#[from] IdentityError),
    #[error("'{0}' can stand in no certificate: an IP address or a DNS name is expected")]
    Host(String),
    #[error("'{SERVER_NAME}' is the name of the masters; a {0} cannot have it")]
    HostOfMasters(Role),
    #[error("{0} host names were given for one certificate; {max} are allowed", max = limits::CERTIFICATE_HOSTS_MAX)]
    Hosts(usize),
    #[error("the time {0} ms lies outside what a certificate can hold: check this machine's clock")]
    Clock(u64),
    #[error("the CA certificate of this cluster has expired, so it can issue nothing: rotate the CA")]
    CaExpired,
    #[error("the certificate could not be signed")]
    Sign(#[source] rcgen::Error),
}

/// Why a CA could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the CA key cannot be read")]
    Key(#[source] rcgen::Error),
    #[error("no certificate in the CA bundle belongs to the CA key: the two files are of different CAs")]
    NoCertificate,
    #[error("the CA certificate names no cluster, so CloudAI did not make it")]
    NoCluster,
    #[error("the CA certificate cannot be read")]
    Certificate(#[source] rcgen::Error),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// The CA's key and certificate. Each master holds one, in a 0600 file, outside Raft.
pub struct CertificateAuthority {
    cluster: ClusterId,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    not_after: Timestamp,
}

impl CertificateAuthority {
    pub const KEY_FILE: &'static str = "ca-key.pem";
    pub const BUNDLE_FILE: &'static str = "ca.pem";

    /// Makes a new CA for `cluster`. Nothing is written.
    pub fn create(cluster: ClusterId, now: Timestamp) -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(CaError::Key)?;
        let not_after = now + limits::CA_VALIDITY;
        let mut params = params_valid(now, not_after)?;
        params.serial_number = Some(new_serial().0);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = common_name(&format!("CloudAI CA {cluster}"));
        params.subject_alt_names = vec![uri_san(&format!("spiffe://{cluster}"))];
        let certificate = params.self_signed(&key).map_err(CaError::Certificate)?;
        Ok(CertificateAuthority {
            cluster,
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
            not_after,
        })
    }

    /// Finds in `bundle_pem` the certificate that belongs to the key; a bundle may hold several CAs.
    pub fn from_pem(bundle_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(key_pem).map_err(CaError::Key)?;
        let certificate = CertificateDer::pem_slice_iter(bundle_pem.as_bytes())
            .filter_map(Result::ok)
            .find(|der| public_key_of(der).as_deref() == Some(key.public_key_raw()))
            .ok_or(CaError::NoCertificate)?;
        let (cluster, not_after) = cluster_and_end_of(&certificate).ok_or(CaError::NoCluster)?;
        Ok(CertificateAuthority {
            cluster,
            certificate_pem: pem_of(&certificate),
            issuer: Issuer::from_ca_cert_der(&certificate, key).map_err(CaError::Certificate)?,
            certificate,
            not_after,
        })
    }

    /// Reads `ca-key.pem` (refused when others may read it) and `ca.pem` of `dir`.
    pub fn load(dir: &Path) -> Result<Self, CaError> {
        let key = read_secret(&dir.join(Self::KEY_FILE))?;
        let bundle = read_public(&dir.join(Self::BUNDLE_FILE))?;
        Self::from_pem(&bundle, &key)
    }

    /// Writes the key (0600) and then the certificate, each atomically and fsynced. An existing bundle in `dir` is replaced.
    pub fn save(&self, dir: &Path) -> Result<(), CaError> {
        write_atomically(&dir.join(Self::KEY_FILE), self.key_pem().as_bytes(), 0o600)?;
        write_atomically(&dir.join(Self::BUNDLE_FILE), self.certificate_pem.as_bytes(), 0o644)?;
        Ok(())
    }

    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    pub fn digest(&self) -> CaDigest {
        CaDigest::of(&self.certificate)
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key. It goes to a joining master, inside TLS, and to nobody else.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a certificate that says `role` and `name`, valid from a little before `now` for `validity`, and never longer than the
    /// CA itself. `hosts` are further addresses under which a server with it is reached.
    pub fn issue(
        &self,
        request: &CertRequest,
        role: Role,
        name: &str,
        hosts: &[String],
        validity: Millis,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        if now >= self.not_after {
            return Err(IssueError::CaExpired);
        }
        let (serial_number, serial) = new_serial();
        let identity = Identity::new(self.cluster.clone(), role, name, serial)?;
        let not_after = (now + validity).min(self.not_after);
        let mut params = params_valid(now, not_after)?;
        params.serial_number = Some(serial_number);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages(role);
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = common_name(&format!("{role} {name}"));
        params.subject_alt_names = vec![uri_san(&identity.uri())];
        params.subject_alt_names.extend(host_sans(role, hosts)?);
        let leaf = params.signed_by(&request.0, &self.issuer).map_err(IssueError::Sign)?;
        Ok(Issued { chain_pem: format!("{}{}", leaf.pem(), self.certificate_pem), identity, not_after })
    }
}

/// The digests of all CAs in a bundle, in its order. A text without a certificate gives none.
pub fn bundle_digests(bundle_pem: &str) -> Vec<CaDigest> {
    CertificateDer::pem_slice_iter(bundle_pem.as_bytes()).filter_map(Result::ok).map(|c| CaDigest::of(&c)).collect()
}

/// A worker serves its metrics, so it may be a server too, but never under the masters' name.
fn usages(role: Role) -> Vec<ExtendedKeyUsagePurpose> {
    match role {
        Role::Master | Role::Worker => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Role::Admin | Role::Observer => vec![ExtendedKeyUsagePurpose::ClientAuth],
    }
}

fn host_sans(role: Role, hosts: &[String]) -> Result<Vec<SanType>, IssueError> {
    if hosts.len() > limits::CERTIFICATE_HOSTS_MAX {
        return Err(IssueError::Hosts(hosts.len()));
    }
    let fixed: &[&str] = match role {
        Role::Master => &[SERVER_NAME, "localhost", "127.0.0.1", "::1"],
        Role::Worker => &["localhost", "127.0.0.1", "::1"],
        Role::Admin | Role::Observer => return Ok(Vec::new()),
    };
    let mut sans = Vec::new();
    for host in fixed.iter().copied().chain(hosts.iter().map(String::as_str)) {
        if host.eq_ignore_ascii_case(SERVER_NAME) && role != Role::Master {
            return Err(IssueError::HostOfMasters(role));
        }
        let san = host_san(host)?;
        if !sans.contains(&san) {
            sans.push(san);
        }
    }
    Ok(sans)
}

fn host_san(host: &str) -> Result<SanType, IssueError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let label_fits = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if host.len() > 253 || !host.split('.').all(label_fits) {
        return Err(IssueError::Host(clip(host)));
    }
    let name = host.to_ascii_lowercase().try_into().map_err(|_| IssueError::Host(clip(host)))?;
    Ok(SanType::DnsName(name))
}

fn uri_san(uri: &str) -> SanType {
    SanType::URI(uri.try_into().expect("cluster ids, roles and checked names are ASCII"))
}

/// For people who look at the certificate; X.509 allows 64 characters. Who the holder is, the SAN URI says.
fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    dn
}

/// Random, positive and never zero.
fn new_serial() -> (SerialNumber, Serial) {
    let mut bytes: [u8; 16] = random_bytes();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    (SerialNumber::from_slice(&bytes), Serial::from_bytes(&bytes))
}

fn params_valid(now: Timestamp, not_after: Timestamp) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.not_before = certificate_time(Timestamp(now.0.saturating_sub(limits::CERTIFICATE_BACKDATE.0)))?;
    params.not_after = certificate_time(not_after)?;
    Ok(params)
}

fn certificate_time(at: Timestamp) -> Result<OffsetDateTime, IssueError> {
    i64::try_from(at.0 / 1000)
        .ok()
        .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
        .ok_or(IssueError::Clock(at.0))
}

fn public_key_of(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, cert) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(cert.public_key().subject_public_key.data.to_vec())
}

fn cluster_and_end_of(ca: &CertificateDer<'_>) -> Option<(ClusterId, Timestamp)> {
    let (_, cert) = x509_parser::parse_x509_certificate(ca).ok()?;
    let san = cert.subject_alternative_name().ok()??;
    let cluster = san.value.general_names.iter().find_map(|n| match n {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://")?.parse().ok(),
        _ => None,
    })?;
    let end = u64::try_from(cert.validity().not_after.timestamp()).ok()?;
    Some((cluster, Timestamp(end.saturating_mul(1000))))
}

/// PEM with 64 characters a line.
pub(crate) fn pem_of(der: &CertificateDer<'_>) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0u32, |acc, b| acc << 8 | u32::from(*b)) << (8 * (3 - group.len()));
            for i in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
                out.push(if i > group.len() { '=' } else { char::from(digit) });
            }
        }
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn authority() -> CertificateAuthority {
        CertificateAuthority::create(ClusterId::from_bytes([1; 8]), NOW).unwrap()
    }

    fn request_with(key: &KeyPair) -> String {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri_san("spiffe://0101010101010101/admin/mallory")];
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    fn leaf(issued: &Issued) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap()
    }

    #[test]
    fn the_identity_is_what_was_authorised_and_not_what_the_request_says() {
        let ca = authority();
        let request = CertRequest::parse(&request_with(&KeyPair::generate().unwrap())).unwrap();
        let issued = ca.issue(&request, Role::Worker, "w1", &[], limits::LEAF_VALIDITY, NOW).unwrap();
        let read = Identity::from_leaf(&leaf(&issued)).unwrap();
        assert_eq!(read, issued.identity);
        assert_eq!((read.role, read.name.as_str(), &read.cluster), (Role::Worker, "w1", ca.cluster()));
        assert_eq!(issued.not_after, NOW + limits::LEAF_VALIDITY);
        assert_eq!(CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).count(), 2, "leaf and issuer");
    }

    #[test]
    fn only_masters_get_the_masters_name_and_admins_are_no_servers() {
        let names = |sans: Vec<SanType>| -> Vec<String> {
            sans.into_iter()
                .filter_map(|s| if let SanType::DnsName(n) = s { Some(n.to_string()) } else { None })
                .collect()
        };
        assert_eq!(
            names(host_sans(Role::Master, &["m1.example".into()]).unwrap()),
            ["cloudai", "localhost", "m1.example"]
        );
        assert_eq!(names(host_sans(Role::Worker, &["localhost".into()]).unwrap()), ["localhost"]);
        assert!(matches!(host_sans(Role::Worker, &["CloudAI".into()]), Err(IssueError::HostOfMasters(Role::Worker))));
        for client in [Role::Admin, Role::Observer] {
            assert!(host_sans(client, &[]).unwrap().is_empty());
            assert!(!usages(client).contains(&ExtendedKeyUsagePurpose::ServerAuth));
        }
    }

    #[test]
    fn odd_hosts_are_refused() {
        for host in ["", "a b", "-a", "a..b", "*.example", "é", &"a".repeat(64)] {
            assert!(matches!(host_san(host), Err(IssueError::Host(_))), "{host}");
        }
        assert_eq!(host_san("fd00::1").unwrap(), SanType::IpAddress("fd00::1".parse().unwrap()));
    }

    #[test]
    fn a_request_with_a_wrong_key_or_garbage_is_refused() {
        let ed = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(matches!(CertRequest::parse(&request_with(&ed)), Err(CsrError::Key)));
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(matches!(CertRequest::parse(&request_with(&p384)), Err(CsrError::Key)));
        assert!(matches!(CertRequest::parse("garbage"), Err(CsrError::Unreadable(_))));
        let long = "x".repeat(limits::CSR_BYTES_MAX + 1);
        assert!(matches!(CertRequest::parse(&long), Err(CsrError::TooLong(_))));
    }

    #[test]
    fn requests_of_one_key_have_one_digest() {
        let (a, b) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let digest = |k: &KeyPair| CertRequest::parse(&request_with(k)).unwrap().key_digest();
        assert_eq!(digest(&a), digest(&a));
        assert_ne!(digest(&a), digest(&b));
    }

    #[test]
    fn a_saved_ca_loads_again_also_from_a_bundle_of_several() {
        let dir = tempfile::tempdir().unwrap();
        let ca = authority();
        ca.save(dir.path()).unwrap();
        assert_eq!(CertificateAuthority::load(dir.path()).unwrap().digest(), ca.digest());

        let other = CertificateAuthority::create(ClusterId::from_bytes([2; 8]), NOW).unwrap();
        let bundle = format!("{}{}", other.certificate_pem(), ca.certificate_pem());
        assert_eq!(bundle_digests(&bundle), [other.digest(), ca.digest()]);
        let found = CertificateAuthority::from_pem(&bundle, &ca.key_pem()).unwrap();
        assert_eq!((found.digest(), found.cluster()), (ca.digest(), ca.cluster()));
        assert_eq!(found.certificate_pem(), ca.certificate_pem(), "our PEM is the usual one");
        assert!(matches!(
            CertificateAuthority::from_pem(other.certificate_pem(), &ca.key_pem()),
            Err(CaError::NoCertificate)
        ));
    }

    #[test]
    fn a_leaf_never_outlives_its_ca_and_an_expired_ca_issues_nothing() {
        let ca = authority();
        let request = CertRequest::parse(&request_with(&KeyPair::generate().unwrap())).unwrap();
        let end = NOW + limits::CA_VALIDITY;
        let late = Timestamp(end.0 - 1000);
        let issued = ca.issue(&request, Role::Admin, "a", &[], limits::LEAF_VALIDITY, late).unwrap();
        assert_eq!(issued.not_after, end);
        let result = ca.issue(&request, Role::Admin, "a", &[], limits::LEAF_VALIDITY, end);
        assert!(matches!(result, Err(IssueError::CaExpired)));
        let result = ca.issue(&request, Role::Admin, "a/b", &[], limits::LEAF_VALIDITY, NOW);
        assert!(matches!(result, Err(IssueError::Name(_))));
    }
}
