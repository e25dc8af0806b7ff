//! Who may pull from a registry of images. Comes in: what a user stored. Goes out: the words for the registry, and nothing for a log: the
//! password is never part of what is printed.

use std::fmt;

/// A user's name and password (or token) at one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let login = RegistryLogin { username: "ci".into(), password: "canary".into() };
        assert!(!format!("{login:?}").contains("canary"));
    }
}
