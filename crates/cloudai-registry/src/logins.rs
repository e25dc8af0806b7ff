//! Logins that an operator writes into a configuration. Comes in: a table, `[registries."HOST[:PORT]"]`, with a name and a file that holds the
//! password, so that no configuration does. Goes out: the login at one registry, read anew each time: a changed file needs no restart.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cloudai_types::{RegistryLogin, limits};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    pub username: String,
    /// Holds the password or token, and nothing else; the end of its line does not count.
    pub password_file: PathBuf,
}

/// By registry, as names of images mention it: `HOST[:PORT]`, or `docker.io` for short names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Logins(BTreeMap<String, LoginConfig>);

/// What is wrong with a configured login.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("registries: '{0}' is no registry: write HOST or HOST:PORT, as it stands in names of images")]
    Host(String),
    #[error("registries: '{0}' has no username")]
    Username(String),
    #[error("registries: the password file of '{host}', {}, is no absolute path", path.display())]
    Path { host: String, path: PathBuf },
    #[error("registries: the password file of '{host}', {}, cannot be read: {source}", path.display())]
    File { host: String, path: PathBuf, source: io::Error },
}

impl Logins {
    pub fn new(all: BTreeMap<String, LoginConfig>) -> Self {
        Logins(all)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that can be known without touching the machine.
    pub fn check(&self) -> Result<(), LoginError> {
        for (host, login) in &self.0 {
            let is_host = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
            if host.is_empty() || !host.bytes().all(is_host) {
                return Err(LoginError::Host(host.clone()));
            }
            if login.username.is_empty() || login.username.contains(':') {
                return Err(LoginError::Username(host.clone()));
            }
            if !login.password_file.is_absolute() {
                return Err(LoginError::Path { host: host.clone(), path: login.password_file.clone() });
            }
        }
        Ok(())
    }

    /// `None`: none is configured. Reads a small file.
    pub fn login(&self, host: &str) -> Result<Option<RegistryLogin>, LoginError> {
        let Some(LoginConfig { username, password_file: path }) = self.0.get(host) else { return Ok(None) };
        let unreadable = |source| LoginError::File { host: host.to_owned(), path: path.clone(), source };
        let password = read(path).map_err(unreadable)?;
        Ok(Some(RegistryLogin { username: username.clone(), password }))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limits::PASSWORD_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limits::PASSWORD_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large for a password"));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_when_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        let text = format!("[\"reg:5000\"]\nusername = 'ci'\npassword_file = '{}'\n", file.display());
        let logins: Logins = toml::from_str(&text).unwrap();
        logins.check().unwrap();
        assert_eq!(logins.login("other:5000").unwrap(), None);
        assert!(matches!(logins.login("reg:5000"), Err(LoginError::File { .. })));
        for password in ["first", "second"] {
            std::fs::write(&file, format!("{password}\n")).unwrap();
            let login = RegistryLogin { username: "ci".into(), password: password.into() };
            assert_eq!(logins.login("reg:5000").unwrap(), Some(login));
        }
        std::fs::write(&file, vec![b'x'; 20_000]).unwrap();
        assert!(logins.login("reg:5000").is_err());
    }

    #[test]
    fn each_mistake_is_told() {
        let one = |host: &str, username: &str, file: &str| {
            let login = LoginConfig { username: username.into(), password_file: file.into() };
            Logins::new([(host.to_owned(), login)].into()).check()
        };
        assert!(one("reg:5000", "ci", "/p").is_ok());
        assert!(matches!(one("reg/x", "ci", "/p"), Err(LoginError::Host(_))));
        assert!(matches!(one("", "ci", "/p"), Err(LoginError::Host(_))));
        assert!(matches!(one("reg", "", "/p"), Err(LoginError::Username(_))));
        assert!(matches!(one("reg", "a:b", "/p"), Err(LoginError::Username(_))));
        assert!(matches!(one("reg", "ci", "p"), Err(LoginError::Path { .. })));
        assert!(toml::from_str::<Logins>("[reg]\nusername = 'x'\npassword = 'y'\n").is_err(), "no password in a file");
    }
}
