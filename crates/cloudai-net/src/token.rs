//! The one-time join token: `cloudai-join-v1.CA_DIGEST.NAME.SECRET`. Comes in and goes out: that text. The digest lets the one who joins
//! trust the master before it knows the CA; the secret lets the master trust the one who joins. Only the secret's hash is
//! kept by the masters; that it works once is their business.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};

use crate::ca::CaDigest;
use crate::identity::{clip, hex, unhex};

const PREFIX: &str = "cloudai-join-v1";

/// 32 random bytes. Printed only inside a token, never by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret([u8; 32]);

impl JoinSecret {
    /// From random bytes, which the caller draws from the system's generator ([`JoinSecret::generate`]).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        JoinSecret(bytes)
    }

    pub fn generate() -> Self {
        JoinSecret(random_bytes())
    }

    /// For the join request, which travels inside TLS.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the masters keep: SHA-256 of the secret.
    pub fn hash(&self) -> [u8; 32] {
        hash_secret(&self.0)
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(..)")
    }
}

/// SHA-256 of what a join request brought.
pub fn hash_secret(secret: &[u8]) -> [u8; 32] {
    digest(&SHA256, secret).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// True when `secret` has this hash. Takes the same time wherever the two differ.
pub fn secret_matches(secret: &[u8], hash: &[u8; 32]) -> bool {
    let difference = hash_secret(secret).iter().zip(hash).fold(0u8, |acc, (a, b)| std::hint::black_box(acc | (a ^ b)));
    difference == 0
}

/// From the operating system's generator.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut out = [0; N];
    SystemRandom::new().fill(&mut out).expect("the operating system gives random bytes");
    out
}

/// What `cloudai worker authorize NAME` prints and `cloudai worker --join TOKEN` reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinToken {
    pub ca: CaDigest,
    pub name: String,
    pub secret: JoinSecret,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}.{}", self.ca, self.name, hex(&self.secret.0))
    }
}

/// Why a text is no join token. The text itself is not repeated: it may hold most of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "this is no join token: it does not begin with '{PREFIX}.'; copy the whole line that 'cloudai worker authorize NAME' printed"
    )]
    Prefix,
    #[error(
        "the join token has version '{0}', and this program reads only '{PREFIX}': use the same CloudAI version on both sides"
    )]
    Version(String),
    #[error("the join token is cut off: {parts} of its 4 parts are there; copy the whole line")]
    CutOff { parts: usize },
    #[error("the CA digest in the join token is not 64 hex characters; copy the whole line")]
    Digest,
    #[error("the name in the join token {0}")]
    Name(String),
    #[error(
        "the secret in the join token has {0} characters where 64 hex characters are expected; copy the whole line"
    )]
    Secret(usize),
}

impl FromStr for JoinToken {
    type Err = TokenError;
    fn from_str(s: &str) -> Result<Self, TokenError> {
        let s = s.trim();
        let parts: Vec<&str> = s.split('.').collect();
        if parts[0] != PREFIX {
            return Err(match parts[0].strip_prefix("cloudai-join-") {
                Some(_) => TokenError::Version(clip(parts[0])),
                None => TokenError::Prefix,
            });
        }
        // A name may hold dots, so it is what lies between the second part and the last one.
        let [_, digest, name @ .., secret] = parts.as_slice() else {
            return Err(TokenError::CutOff { parts: parts.len() });
        };
        if name.is_empty() {
            return Err(TokenError::CutOff { parts: parts.len() });
        }
        let ca = CaDigest::from_bytes(unhex(digest).ok_or(TokenError::Digest)?);
        let name = name.join(".");
        cloudai_types::spec::check_name(&name).map_err(TokenError::Name)?;
        let secret = JoinSecret(unhex(secret).ok_or(TokenError::Secret(secret.len()))?);
        Ok(JoinToken { ca, name, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken { ca: CaDigest::from_bytes([7; 32]), name: "w1.rack2".to_owned(), secret: JoinSecret([0xab; 32]) }
    }

    #[test]
    fn a_token_reads_back_and_its_secret_is_not_in_debug_output() {
        let text = token().to_string();
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!("  {text}\n").parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains("abab"));
    }

    #[test]
    fn each_damage_has_its_own_error_and_none_repeats_the_secret() {
        let text = token().to_string();
        let parse = |s: &str| s.parse::<JoinToken>().unwrap_err();
        assert_eq!(parse("hello"), TokenError::Prefix);
        assert_eq!(parse(""), TokenError::Prefix);
        assert_eq!(parse(&text.replace("-v1", "-v2")), TokenError::Version("cloudai-join-v2".to_owned()));
        assert_eq!(parse(PREFIX), TokenError::CutOff { parts: 1 });
        assert_eq!(parse(&format!("{PREFIX}.{}", "07".repeat(32))), TokenError::CutOff { parts: 2 });
        assert_eq!(parse(&text.replacen("07", "zz", 1)), TokenError::Digest);
        assert_eq!(
            parse(&text.replace("w1.", "w 1.")),
            TokenError::Name("contains ' '; letters, digits, '.', '_' and '-' are allowed".to_owned())
        );
        let cut = parse(&text[..text.len() - 3]);
        assert_eq!(cut, TokenError::Secret(61));
        assert!(!cut.to_string().contains("abab"));
    }

    #[test]
    fn only_the_same_secret_matches() {
        let secret = JoinSecret::generate();
        assert!(secret_matches(secret.as_bytes(), &secret.hash()));
        assert!(!secret_matches(JoinSecret::generate().as_bytes(), &secret.hash()));
        assert!(!secret_matches(b"", &secret.hash()));
    }
}
