//! TLS failures in words that people act on. Comes in: rustls errors. Goes out: a sentence. It decides nothing.

use rustls::{AlertDescription, CertificateError, Error};

/// Why we refused the peer's certificate, or why there was no handshake at all.
pub(crate) fn failure(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(e) => certificate(e),
        Error::NoCertificatesPresented => "no certificate was presented".to_owned(),
        Error::AlertReceived(alert) => format!("the other side refused us: {}", refusal_by_peer(*alert)),
        Error::InvalidMessage(_) => "what arrived is not TLS".to_owned(),
        Error::NoApplicationProtocol => "it speaks neither of the protocols that this port serves".to_owned(),
        Error::PeerIncompatible(e) => format!("its TLS is too old or too different ({e:?}); TLS 1.3 is needed"),
        other => other.to_string(),
    }
}

/// What is wrong with a certificate that we saw.
pub(crate) fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("it has expired, {} ago", ago(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        CertificateError::NotValidYet => "it is not valid yet: compare the clocks".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "it becomes valid only in {}: compare the clocks",
            ago(not_before.as_secs().saturating_sub(time.as_secs()))
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its issuer is none of the trusted CAs (a certificate of another cluster?)".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is not a master's certificate".to_owned()
        }
        CertificateError::ApplicationVerificationFailure => {
            "it is not a certificate of a master of this cluster".to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it was issued for another purpose".to_owned()
        }
        other => other.to_string(),
    }
}

/// What the alert that a peer sent says about our own certificate.
pub(crate) fn refusal_by_peer(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "our certificate has expired, or is not valid yet: renew it, or join again".to_owned()
        }
        AlertDescription::CertificateRevoked => {
            "our certificate was revoked: authorise this name again and join with the new token".to_owned()
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "our certificate is not of its cluster: check the address, or join that cluster".to_owned()
        }
        AlertDescription::AccessDenied => "our role may not connect to this port".to_owned(),
        AlertDescription::CertificateRequired => "it needs a certificate, and we showed none: join first".to_owned(),
        AlertDescription::BadCertificate => "our certificate names no CloudAI identity: join again".to_owned(),
        AlertDescription::NoApplicationProtocol => {
            "this port serves another protocol: check the port number".to_owned()
        }
        other => format!("TLS alert {other:?}"),
    }
}

/// The rustls error inside an I/O error.
pub(crate) fn tls_error(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
