//! What decides who may join and who somebody is: tokens, certificate requests, bundles, identities, addresses.

use std::str::FromStr;

use cloudai_net::ca::bundle_digests;
use cloudai_net::channel::parse_address;
use cloudai_net::{CaDigest, CertRequest, CertificateAuthority, ClusterId, Identity, JoinToken, Role, Serial};

pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match kind % 4 {
        0 => {
            if let Ok(token) = text.parse::<JoinToken>() {
                assert_eq!(token.to_string().parse::<JoinToken>().as_ref(), Ok(&token));
                assert!(cloudai_net::token::secret_matches(token.secret.as_bytes(), &token.secret.hash()));
                let shown = format!("{token:?}");
                assert!(!shown.contains(token.to_string().rsplit('.').next().unwrap_or("?")), "no secret in a log");
            }
        }
        1 => {
            if let Ok(request) = CertRequest::parse(text) {
                let _ = request.key_digest();
            }
            let _ = bundle_digests(text);
        }
        2 => {
            if let Ok(identity) = Identity::from_uri(text, Serial::from_text(text)) {
                assert_eq!(Identity::from_uri(&identity.uri(), identity.serial.clone()).as_ref(), Ok(&identity));
            }
            let _ = (ClusterId::from_str(text).is_ok(), Role::from_str(text).is_ok(), CaDigest::from_str(text).is_ok());
            if let Ok(address) = parse_address(text) {
                assert_eq!(parse_address(&address).as_ref(), Ok(&address), "an address stays itself");
            }
        }
        _ => {
            let (bundle, key) = text.split_once('\0').unwrap_or((text, ""));
            let _ = CertificateAuthority::from_pem(bundle, key);
        }
    }
}
