//! Secrets sealed and opened. Comes in: the text of a key file, where a secret belongs, its value or what was sealed, a nonce. Goes out:
//! sealed bytes, or the value. Pure: it reads no file and makes no random number. It knows no user and no state.
//!
//! Sealed bytes: format (1 byte, 1), the key's id (8), nonce (12), ciphertext and tag. The associated data is all before the ciphertext and
//! where the secret belongs, so that sealed bytes that were moved to another name or namespace do not open.
//!
//! A key file has one key a line, 64 hexadecimal digits, as `openssl rand -hex 32` prints them. The first one seals; the others open what
//! they have sealed earlier.

use std::fmt;

use cloudai_types::{SecretKind, limits};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const ID_BYTES: usize = 8;
const KEY_BYTES: usize = 32;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_LEN;
pub const NONCE_BYTES: usize = NONCE_LEN;

/// Keys of one cluster, as its key file has them.
pub struct KeyRing {
    keys: Vec<Key>,
}

struct Key {
    id: [u8; ID_BYTES],
    aead: LessSafeKey,
}

/// Where a secret belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub namespace: &'a str,
    pub kind: SecretKind,
    pub name: &'a str,
}

/// What is wrong with a key file. It never shows what stands there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("it holds no key")]
    None,
    #[error("line {line} is no key: 64 hexadecimal digits are one")]
    Line { line: usize },
    #[error("it holds more than {} keys", limits::SECRETS_KEYS_MAX)]
    Many,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    #[error("it has {0} bytes; {max} are allowed", max = limits::SECRET_BYTES_MAX)]
    Large(usize),
    #[error("the library refuses to seal it")]
    Refused,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnsealError {
    #[error("it was sealed with the key {sealed_with}, and this master has {has}")]
    OtherKey { sealed_with: String, has: String },
    #[error("what is stored is damaged, or belongs to another name")]
    Damaged,
    #[error("it was sealed by a newer build")]
    Newer,
}

impl KeyRing {
    pub fn parse(text: &str) -> Result<KeyRing, KeyError> {
        let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(line, text)| {
            let bytes = from_hex(text).ok_or(KeyError::Line { line })?;
            let aead = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map_err(|_| KeyError::Line { line })?;
            Ok(Key { id: id_of(&bytes), aead: LessSafeKey::new(aead) })
        });
        let keys = keys.take(limits::SECRETS_KEYS_MAX + 1).collect::<Result<Vec<_>, KeyError>>()?;
        match keys.len() {
            0 => Err(KeyError::None),
            n if n > limits::SECRETS_KEYS_MAX => Err(KeyError::Many),
            _ => Ok(KeyRing { keys }),
        }
    }

    /// With the first key. A nonce is used once.
    pub fn seal(&self, place: Place<'_>, nonce: [u8; NONCE_BYTES], value: &[u8]) -> Result<Vec<u8>, SealError> {
        if value.len() > limits::SECRET_BYTES_MAX {
            return Err(SealError::Large(value.len()));
        }
        let key = self.keys.first().ok_or(SealError::Refused)?;
        let mut sealed = vec![FORMAT];
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        let aad = Aad::from(bound_to(&sealed, place));
        // With room for the tag: the value is overwritten by its ciphertext where it lies, and nowhere else.
        let mut body = Vec::with_capacity(value.len() + AES_256_GCM.tag_len());
        body.extend_from_slice(value);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.aead.seal_in_place_append_tag(nonce, aad, &mut body).map_err(|_| SealError::Refused)?;
        sealed.append(&mut body);
        Ok(sealed)
    }

    pub fn unseal(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        match sealed.first() {
            Some(&FORMAT) => {}
            Some(format) if *format > FORMAT => return Err(UnsealError::Newer),
            Some(_) | None => return Err(UnsealError::Damaged),
        }
        let (head, body) = sealed.split_at_checked(HEAD_BYTES).ok_or(UnsealError::Damaged)?;
        let (id, nonce) = head[1..].split_at(ID_BYTES);
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(|| UnsealError::OtherKey { sealed_with: hex(id), has: self.ids().join(" and ") })?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| UnsealError::Damaged)?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(bound_to(head, place));
        let length = key.aead.open_in_place(nonce, aad, &mut body).map_err(|_| UnsealError::Damaged)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Each key by the name that may be told.
    pub fn ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| hex(&key.id)).collect()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("ids", &self.ids()).finish_non_exhaustive()
    }
}

/// The text of a key file with one new key.
pub fn new_key_file(key: &[u8; KEY_BYTES]) -> Zeroizing<String> {
    let mut text = hex(key);
    text.push('\n');
    Zeroizing::new(text)
}

/// No part can be read as the end of another one: none holds a NUL.
fn bound_to(head: &[u8], place: Place<'_>) -> Vec<u8> {
    let mut aad = head.to_vec();
    aad.push(place.kind as i32 as u8);
    aad.extend_from_slice(place.namespace.as_bytes());
    aad.push(0);
    aad.extend_from_slice(place.name.as_bytes());
    aad
}

/// Tells keys apart, and says nothing of them.
fn id_of(key: &[u8; KEY_BYTES]) -> [u8; ID_BYTES] {
    let mut named = Zeroizing::new(b"cloudai secrets key ".to_vec());
    named.extend_from_slice(key);
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&digest(&SHA256, &named).as_ref()[..ID_BYTES]);
    id
}

fn hex(bytes: &[u8]) -> String {
    cloudai_types::results::hex(bytes)
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |n: usize| char::from(digits[n]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Place<'_> = Place { namespace: "default", kind: SecretKind::Value, name: "token" };

    fn ring(keys: &[u8]) -> KeyRing {
        let text: String = keys.iter().map(|n| new_key_file(&[*n; KEY_BYTES]).to_string()).collect();
        KeyRing::parse(&text).expect("keys")
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_key_at_the_same_place_only() {
        let sealed = ring(&[1]).seal(TOKEN, [9; NONCE_BYTES], b"canary").expect("sealed");
        assert_eq!(sealed.len(), HEAD_BYTES + 6 + 16);
        assert!(sealed.len() <= 6 + limits::SECRET_SEAL_BYTES_MAX);
        assert!(!sealed.windows(6).any(|w| w == b"canary"));
        assert_eq!(ring(&[1]).unseal(TOKEN, &sealed).expect("the same").as_slice(), b"canary");
        for moved in [
            Place { namespace: "team-a", ..TOKEN },
            Place { name: "other", ..TOKEN },
            Place { kind: SecretKind::RegistryLogin, ..TOKEN },
            // The same letters in another order of parts.
            Place { namespace: "defaul", name: "ttoken", ..TOKEN },
        ] {
            assert_eq!(ring(&[1]).unseal(moved, &sealed).unwrap_err(), UnsealError::Damaged, "{moved:?}");
        }
        let other = ring(&[2, 3]).unseal(TOKEN, &sealed).unwrap_err();
        let UnsealError::OtherKey { sealed_with, has } = &other else { panic!("{other}") };
        assert_eq!((sealed_with, has), (&ring(&[1]).ids()[0], &ring(&[2, 3]).ids().join(" and ")));
    }

    #[test]
    fn each_changed_bit_and_each_missing_byte_is_seen() {
        let ring = ring(&[1]);
        let sealed = ring.seal(TOKEN, [9; NONCE_BYTES], b"v").expect("sealed");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ring.unseal(TOKEN, &changed).is_err(), "byte {at}");
            assert!(ring.unseal(TOKEN, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(ring.unseal(TOKEN, &[2; 60]).unwrap_err(), UnsealError::Newer);
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = ring(&[1]).seal(TOKEN, [1; NONCE_BYTES], b"old").expect("sealed");
        let rotated = ring(&[2, 1]);
        assert_eq!(rotated.unseal(TOKEN, &old).expect("an older key").as_slice(), b"old");
        let new = rotated.seal(TOKEN, [2; NONCE_BYTES], b"new").expect("sealed");
        assert_eq!(ring(&[2]).unseal(TOKEN, &new).expect("the first key").as_slice(), b"new");
        assert!(ring(&[1]).unseal(TOKEN, &new).is_err());
    }

    #[test]
    fn a_value_has_a_limit_and_may_be_empty() {
        let ring = ring(&[1]);
        let seal = |size| ring.seal(TOKEN, [1; NONCE_BYTES], &vec![7; size]);
        let largest = seal(limits::SECRET_BYTES_MAX).expect("within the limit");
        assert!(largest.len() <= limits::SECRET_BYTES_MAX + limits::SECRET_SEAL_BYTES_MAX);
        assert_eq!(seal(limits::SECRET_BYTES_MAX + 1).unwrap_err(), SealError::Large(limits::SECRET_BYTES_MAX + 1));
        assert_eq!(ring.unseal(TOKEN, &seal(0).expect("empty")).expect("empty").len(), 0);
    }

    #[test]
    fn a_key_file_is_read_as_it_is_written_by_hand_too() {
        let digits = "0123456789abcdefABCDEF00112233445566778899aabbccddeeff0011223344";
        assert_eq!(KeyRing::parse(&format!("# of 2026\n\n  {digits}  \r\n")).expect("one key").keys.len(), 1);
        assert_eq!(KeyRing::parse(" \n# nothing\n").unwrap_err(), KeyError::None);
        for bad in ["0123", &digits[1..], &format!("{digits}0"), &digits.replace('0', "x"), &"ä".repeat(32)] {
            let error = KeyRing::parse(&format!("#\n{bad}")).unwrap_err();
            assert_eq!(error, KeyError::Line { line: 2 });
            assert!(!error.to_string().contains(bad), "a message shows no key");
        }
        assert_eq!(KeyRing::parse(&format!("{digits}\n").repeat(17)).unwrap_err(), KeyError::Many);
        let printed = format!("{:?}", KeyRing::parse(digits).expect("one key"));
        assert!(!printed.contains(&digits[..8]), "{printed}");
    }
}
