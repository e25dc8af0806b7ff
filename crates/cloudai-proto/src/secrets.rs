//! What is printed of messages that carry secrets: names and sizes. Generated code would print the values.

use std::fmt::{Debug, Formatter, Result};

use crate::v1::{JoinReply, RegistryLogin, Secret, SecretsReply, SetSecretRequest};

impl Debug for SetSecretRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("SetSecretRequest")
            .field("namespace", &self.namespace)
            .field("kind", &self.kind())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Debug for SecretsReply {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("SecretsReply").field("values", &self.values).field("login", &self.login).finish()
    }
}

impl Debug for RegistryLogin {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RegistryLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

/// It holds the CA's key and those that seal secrets.
impl Debug for JoinReply {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("JoinReply")
            .field("cluster_id", &self.cluster_id)
            .field("node_id", &self.node_id)
            .field("masters", &self.masters)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_printed() {
        let login = RegistryLogin { username: "ci".into(), password: "canary".into() };
        let secret = Secret { name: "token".into(), value: "canary".into() };
        let set = SetSecretRequest {
            name: "token".into(),
            value: "canary".into(),
            login: Some(login.clone()),
            ..Default::default()
        };
        let join = JoinReply { ca_key_pem: "canary".into(), secrets_keys: "canary".into(), ..Default::default() };
        let reply = SecretsReply { values: vec![secret.clone()], login: Some(login.clone()) };
        let printed = format!("{login:?} {secret:?} {set:?} {join:?} {reply:?}");
        assert!(printed.contains("token") && printed.contains("ci"), "{printed}");
        let bytes = format!("{:?}", bytes::Bytes::from_static(b"canary"));
        assert!(!printed.contains("canary") && !printed.contains(&bytes), "{printed}");
    }
}
