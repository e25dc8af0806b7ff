//! The files of one identity: `key.pem` (0600), `cert.pem` (leaf and issuer) and `ca.pem` (all trusted CAs). Comes in: a directory. Goes out:
//! verified material, or an error that names the file. Files are written atomically and fsynced, so these calls block for
//! some milliseconds; they happen at start, at a join and at a renewal.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudai_types::{Millis, Timestamp, limits};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::ca::{CaDigest, CertRequest, CertificateAuthority, CsrError, IssueError, Issued};
use crate::identity::{Identity, IdentityError, Role};

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{} does not exist", path.display())]
    Missing { path: PathBuf },
    #[error("{} cannot be read", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} holds a private key, and others may read it (mode {mode:04o}): run 'chmod 600 {path}'", path = path.display())]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("{} has {bytes} bytes; {max} are allowed", path.display(), max = limits::PEM_FILE_BYTES_MAX)]
    TooLong { path: PathBuf, bytes: u64 },
}

/// Why a file could not be written. The old one is untouched.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written", path.display())]
pub struct WriteError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Why the files of a directory are no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no private key in PEM form", path.display())]
    NoKey { path: PathBuf },
    #[error("the certificate in {} does not belong to the key beside it", dir.display())]
    KeyMismatch { dir: PathBuf, source: rustls::Error },
    #[error("the certificate in {}", dir.display())]
    Identity { dir: PathBuf, source: IdentityError },
    #[error("the certificate in {} was not issued by any CA in ca.pem beside it", dir.display())]
    OtherIssuer { dir: PathBuf, source: webpki::Error },
    #[error("a certificate in {} cannot be read", dir.display())]
    Certificate { dir: PathBuf, source: webpki::Error },
}

/// Why a certificate that came from a master was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("the master's answer is not usable: {0}")]
    Answer(#[source] LoadError),
    #[error(
        "the CA that the join token names is not among those that the master sent: the token may be of another cluster"
    )]
    OtherCa,
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why an identity could not be issued on the machine that holds the CA.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Csr(#[from] CsrError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// Why no certificate request could be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the private key in {} cannot be used", path.display())]
    Key { path: PathBuf, source: rcgen::Error },
}

/// What a directory held, checked as a whole: key, certificate and CAs belong together.
#[derive(Clone, Debug)]
pub struct Material {
    pub identity: Arc<Identity>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Every trusted CA.
    pub cas: Vec<CertificateDer<'static>>,
    pub(crate) certified: Arc<CertifiedKey>,
}

impl Material {
    /// When two thirds of the validity have passed.
    pub fn renew_at(&self) -> Timestamp {
        let validity = self.not_after - self.not_before;
        self.not_before + Millis(validity.0 / 3 * 2)
    }
}

/// A directory with the three files.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    dir: PathBuf,
}

impl IdentityFiles {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        IdentityFiles { dir: dir.into() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn key_path(&self) -> PathBuf {
        self.dir.join("key.pem")
    }

    pub fn cert_path(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    pub fn ca_path(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// True once a certificate was installed; it may have expired since.
    pub fn is_joined(&self) -> bool {
        self.cert_path().exists()
    }

    /// A certificate request in PEM. The key is made on the first call and used again by every later one, so that a
    /// repeated join is the same join.
    pub fn request(&self) -> Result<String, RequestError> {
        let path = self.key_path();
        let wrong = |source| RequestError::Key { path: self.key_path(), source };
        let key = match read_secret(&path) {
            Ok(pem) => KeyPair::from_pem(&pem).map_err(wrong)?,
            Err(ReadError::Missing { .. }) => {
                let key = KeyPair::generate().map_err(wrong)?;
                write_atomically(&path, key.serialize_pem().as_bytes(), 0o600)?;
                key
            }
            Err(e) => return Err(e.into()),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "cloudai");
        params.serialize_request(&key).and_then(|csr| csr.pem()).map_err(wrong)
    }

    /// Checks a certificate that was issued for [`IdentityFiles::request`], and writes it with the CAs that are trusted from now on.
    /// With a `pin`, that CA must be among them.
    pub fn install(&self, chain_pem: &str, bundle_pem: &str, pin: Option<&CaDigest>) -> Result<Material, InstallError> {
        let key = read_secret(&self.key_path()).map_err(|e| InstallError::Answer(e.into()))?;
        let material = self.check(&key, chain_pem, bundle_pem).map_err(InstallError::Answer)?;
        if pin.is_some_and(|pin| !material.cas.iter().any(|ca| CaDigest::of(ca) == *pin)) {
            return Err(InstallError::OtherCa);
        }
        // The certificate last: with it the directory counts as joined.
        write_atomically(&self.ca_path(), bundle_pem.as_bytes(), 0o644)?;
        write_atomically(&self.cert_path(), chain_pem.as_bytes(), 0o644)?;
        Ok(material)
    }

    /// Request, issue and install in one step, where the CA is at hand. CAs that are trusted already stay trusted.
    pub fn enroll(
        &self,
        ca: &CertificateAuthority,
        role: Role,
        name: &str,
        hosts: &[String],
        validity: Millis,
        now: Timestamp,
    ) -> Result<Issued, EnrollError> {
        let request = CertRequest::parse(&self.request()?)?;
        let issued = ca.issue(&request, role, name, hosts, validity, now)?;
        let trusted = read_public(&self.ca_path()).unwrap_or_default();
        let bundle = if crate::ca::bundle_digests(&trusted).contains(&ca.digest()) {
            trusted
        } else {
            format!("{}{trusted}", ca.certificate_pem())
        };
        self.install(&issued.chain_pem, &bundle, None)?;
        Ok(issued)
    }

    /// Reads and checks the three files. An expired certificate loads: its holder may still want to know who it was.
    pub fn load(&self) -> Result<Material, LoadError> {
        let key = read_secret(&self.key_path())?;
        let chain = read_public(&self.cert_path())?;
        let bundle = read_public(&self.ca_path())?;
        self.check(&key, &chain, &bundle)
    }

    fn check(&self, key_pem: &str, chain_pem: &str, bundle_pem: &str) -> Result<Material, LoadError> {
        let dir = || self.dir.clone();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|_| LoadError::NoKey { path: self.key_path() })?;
        let chain = certificates(chain_pem).ok_or(LoadError::NoCertificate { path: self.cert_path() })?;
        let cas = certificates(bundle_pem).ok_or(LoadError::NoCertificate { path: self.ca_path() })?;
        let leaf = &chain[0];
        let identity = Identity::from_leaf(leaf).map_err(|source| LoadError::Identity { dir: dir(), source })?;
        let (not_before, not_after) = validity_of(leaf)
            .ok_or_else(|| LoadError::Certificate { dir: dir(), source: webpki::Error::InvalidCertValidity })?;
        check_issuer(leaf, &cas, not_before).map_err(|e| e.in_dir(dir()))?;
        let certified = CertifiedKey::from_der(chain, key, &crate::provider())
            .map_err(|source| LoadError::KeyMismatch { dir: dir(), source })?;
        Ok(Material { identity: Arc::new(identity), not_before, not_after, cas, certified: Arc::new(certified) })
    }

    pub(crate) fn stamp(&self) -> FilesStamp {
        FilesStamp([self.key_path(), self.cert_path(), self.ca_path()].map(|p| {
            fs::metadata(p).ok().map(|m| FileStamp {
                inode: m.ino(),
                bytes: m.size(),
                changed: (m.mtime(), m.mtime_nsec()),
            })
        }))
    }
}

/// Differs whenever one of the three files was replaced, written or removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FilesStamp([Option<FileStamp>; 3]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileStamp {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

enum IssuerError {
    Certificate(webpki::Error),
    Other(webpki::Error),
}

impl IssuerError {
    fn in_dir(self, dir: PathBuf) -> LoadError {
        match self {
            IssuerError::Certificate(source) => LoadError::Certificate { dir, source },
            IssuerError::Other(source) => LoadError::OtherIssuer { dir, source },
        }
    }
}

/// Checked at a moment when the leaf was valid, so that expiry does not look like a wrong issuer.
fn check_issuer(leaf: &CertificateDer<'_>, cas: &[CertificateDer<'_>], at: Timestamp) -> Result<(), IssuerError> {
    let anchors = cas
        .iter()
        .map(webpki::anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(IssuerError::Certificate)?;
    let at = UnixTime::since_unix_epoch(Millis(at.0).as_duration());
    webpki::EndEntityCert::try_from(leaf)
        .map_err(IssuerError::Certificate)?
        .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], at, webpki::KeyUsage::client_auth(), None, None)
        .map(|_| ())
        .map_err(IssuerError::Other)
}

fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().ok()?;
    (!all.is_empty()).then_some(all)
}

fn validity_of(leaf: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, cert) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let ms = |t: x509_parser::time::ASN1Time| Some(Timestamp(u64::try_from(t.timestamp()).ok()?.saturating_mul(1000)));
    Some((ms(cert.validity().not_before)?, ms(cert.validity().not_after)?))
}

/// Reads a file that only its owner may read.
pub fn read_secret(path: &Path) -> Result<String, ReadError> {
    read(path, true)
}

pub(crate) fn read_public(path: &Path) -> Result<String, ReadError> {
    read(path, false)
}

fn read(path: &Path, secret: bool) -> Result<String, ReadError> {
    let path_buf = || path.to_path_buf();
    let wrong = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing { path: path_buf() },
        _ => ReadError::Io { path: path_buf(), source },
    };
    let file = fs::File::open(path).map_err(wrong)?;
    // Of the open file, not of the path: nobody can swap it in between.
    let meta = file.metadata().map_err(wrong)?;
    let mode = meta.mode() & 0o7777;
    if secret && mode & 0o077 != 0 {
        return Err(ReadError::OpenToOthers { path: path_buf(), mode });
    }
    if meta.len() > limits::PEM_FILE_BYTES_MAX {
        return Err(ReadError::TooLong { path: path_buf(), bytes: meta.len() });
    }
    let mut text = String::new();
    file.take(limits::PEM_FILE_BYTES_MAX).read_to_string(&mut text).map_err(wrong)?;
    Ok(text)
}

/// Writes beside the file, fsyncs, renames over it and fsyncs the directory. A missing directory is made, for the owner only.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    let steps = || -> io::Result<()> {
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !dir.exists() {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let mut beside = path.file_name().unwrap_or_default().to_os_string();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = dir.join(beside);
        // A leftover of a process that had our id: its mode may be another.
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
        if let Err(e) = written {
            // The write's own error is the one to report.
            let _ = fs::remove_file(&beside);
            return Err(e);
        }
        fs::File::open(dir)?.sync_all()
    };
    steps().map_err(|source| WriteError { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClusterId;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn authority(n: u8) -> CertificateAuthority {
        CertificateAuthority::create(ClusterId::from_bytes([n; 8]), NOW).unwrap()
    }

    fn enrolled(ca: &CertificateAuthority) -> (tempfile::TempDir, IdentityFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path().join("tls"));
        files.enroll(ca, Role::Worker, "w1", &[], limits::LEAF_VALIDITY, NOW).unwrap();
        (dir, files)
    }

    #[test]
    fn enrolled_files_load_and_say_when_to_renew() {
        let (_dir, files) = enrolled(&authority(1));
        let material = files.load().unwrap();
        assert_eq!(material.identity.to_string(), "worker w1");
        let renew = material.renew_at();
        assert!(renew > NOW + Millis(limits::LEAF_VALIDITY.0 / 2) && renew < material.not_after);
        assert_eq!(fs::metadata(files.key_path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(files.dir()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(files.dir()).unwrap().count(), 3, "nothing temporary is left");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let (_dir, files) = enrolled(&authority(1));
        fs::set_permissions(files.key_path(), fs::Permissions::from_mode(0o644)).unwrap();
        let error = files.load().unwrap_err();
        assert!(matches!(error, LoadError::Read(ReadError::OpenToOthers { mode: 0o644, .. })), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(matches!(files.request(), Err(RequestError::Read(ReadError::OpenToOthers { .. }))));
    }

    #[test]
    fn a_repeated_request_has_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        let digest = || CertRequest::parse(&files.request().unwrap()).unwrap().key_digest();
        assert_eq!(digest(), digest());
        assert!(!files.is_joined());
    }

    #[test]
    fn a_certificate_that_does_not_fit_is_not_installed() {
        let (ca, other) = (authority(1), authority(2));
        let (_dir, files) = enrolled(&ca);
        let (_dir2, strangers) = enrolled(&ca);
        let before = fs::read_to_string(files.cert_path()).unwrap();
        let theirs = fs::read_to_string(strangers.cert_path()).unwrap();

        let wrong_key = files.install(&theirs, ca.certificate_pem(), None).unwrap_err();
        assert!(matches!(wrong_key, InstallError::Answer(LoadError::KeyMismatch { .. })), "{wrong_key}");
        let wrong_issuer = files.install(&before, other.certificate_pem(), None).unwrap_err();
        assert!(matches!(wrong_issuer, InstallError::Answer(LoadError::OtherIssuer { .. })), "{wrong_issuer}");
        let wrong_pin = files.install(&before, ca.certificate_pem(), Some(&other.digest())).unwrap_err();
        assert!(matches!(wrong_pin, InstallError::OtherCa), "{wrong_pin}");
        let garbage = files.install("garbage", ca.certificate_pem(), None).unwrap_err();
        assert!(matches!(garbage, InstallError::Answer(LoadError::NoCertificate { .. })), "{garbage}");

        assert_eq!(fs::read_to_string(files.cert_path()).unwrap(), before);
        files.install(&before, ca.certificate_pem(), Some(&ca.digest())).unwrap();
    }

    #[test]
    fn each_missing_file_is_named() {
        let (_dir, files) = enrolled(&authority(1));
        for path in [files.ca_path(), files.cert_path(), files.key_path()] {
            fs::remove_file(&path).unwrap();
            assert_eq!(files.load().unwrap_err().to_string(), format!("{} does not exist", path.display()));
        }
    }

    #[test]
    fn a_new_ca_joins_the_trusted_ones() {
        let (old, new) = (authority(1), authority(1));
        let (_dir, files) = enrolled(&old);
        files.enroll(&new, Role::Worker, "w1", &[], limits::LEAF_VALIDITY, NOW).unwrap();
        assert_eq!(files.load().unwrap().cas.len(), 2);
    }
}
