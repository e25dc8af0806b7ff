//! The file with the keys that seal secrets: one per cluster, on each master, outside the state. Comes in: where it is. Goes out: the keys, or
//! what a person can do about it. It is read each time that it is needed, so that a key that was added needs no restart.

use std::path::Path;

use cloudai_net::files::{ReadError, WriteError, read_secret, write_atomically};
use cloudai_types::limits;
use zeroize::Zeroizing;

use crate::sealing::{KeyError, KeyRing};

/// Its name beside the CA's key.
pub const FILE: &str = "secrets.key";

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("it has {bytes} bytes; {max} are read", max = limits::SECRETS_KEY_FILE_BYTES_MAX)]
    Long { bytes: usize },
    #[error("{0}")]
    Key(#[from] KeyError),
}

pub fn load(path: &Path) -> Result<KeyRing, KeysError> {
    let text = read(path)?;
    if text.len() as u64 > limits::SECRETS_KEY_FILE_BYTES_MAX {
        return Err(KeysError::Long { bytes: text.len() });
    }
    Ok(KeyRing::parse(&text)?)
}

/// As it stands there, for a master that joins. Empty: there is none, so the cluster has no secrets yet.
pub fn text(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    match read(path) {
        Ok(text) => {
            // A file that is no good is not handed on.
            KeyRing::parse(&text)?;
            Ok(text)
        }
        Err(ReadError::Missing { .. }) => Ok(Zeroizing::new(String::new())),
        Err(error) => Err(error.into()),
    }
}

/// For its owner only.
pub fn save(path: &Path, text: &str) -> Result<(), WriteError> {
    write_atomically(path, text.as_bytes(), 0o600)
}

fn read(path: &Path) -> Result<Zeroizing<String>, ReadError> {
    read_secret(path).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sealing::new_key_file;

    #[test]
    fn the_file_is_its_owners_and_comes_back_as_it_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity").join(FILE);
        assert_eq!(text(&path).expect("none yet").as_str(), "");
        assert!(matches!(load(&path), Err(KeysError::Read(ReadError::Missing { .. }))));
        let key = new_key_file(&[7; 32]);
        save(&path, &key).expect("saved");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(text(&path).expect("read").as_str(), key.as_str());
        assert_eq!(load(&path).expect("a key").ids().len(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(matches!(load(&path), Err(KeysError::Read(ReadError::OpenToOthers { .. }))), "others may read it");
        save(&path, "no key").expect("saved");
        assert!(matches!(text(&path), Err(KeysError::Key(_))), "a file that is no good is not handed on");
    }
}
