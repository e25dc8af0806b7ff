//! One TLS connection with a certificate of our choice, or none. Comes in: an address, files. Goes out: whether the server
//! went on talking. It does not check the server: what is tested is whom the server accepts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const LIMIT: Duration = Duration::from_secs(20);
/// How every HTTP/2 client begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The server sent HTTP/2 frames: we are in.
    Talked,
    /// It ended the connection, with what our side was told.
    Refused(String),
}

/// `identity`: a folder with cert.pem and key.pem; None: no certificate at all.
pub async fn probe(address: &str, identity: Option<&Path>) -> anyhow::Result<Answer> {
    tokio::time::timeout(LIMIT, talk(address, identity)).await.context("the server neither talked nor hung up")?
}

async fn talk(address: &str, identity: Option<&Path>) -> anyhow::Result<Answer> {
    let builder = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(rustls::crypto::ring::default_provider())));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(dir) => {
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(dir.join("cert.pem"))
                .context("no certificate file")?
                .collect::<Result<_, _>>()
                .context("no certificate in it")?;
            let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).context("no key file")?;
            builder.with_client_auth_cert(chain, key).context("key and certificate do not fit")?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let name = ServerName::try_from("cloudai").context("'cloudai' is a server name")?;
    let mut tls = match tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
        Ok(tls) => tls,
        Err(error) => return Ok(Answer::Refused(error.to_string())),
    };
    if let Err(error) = tls.write_all(PREFACE).await {
        return Ok(Answer::Refused(error.to_string()));
    }
    let mut first = [0u8; 9];
    Ok(match tls.read(&mut first).await {
        Ok(0) => Answer::Refused("closed without a word".into()),
        Ok(_) => Answer::Talked,
        Err(error) => Answer::Refused(error.to_string()),
    })
}

#[derive(Debug)]
struct AnyServer(rustls::crypto::CryptoProvider);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
