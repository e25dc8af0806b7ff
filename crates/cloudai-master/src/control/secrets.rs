//! Calls about secrets and registry logins. Comes in: requests whose caller is admitted; a value that was sent to be kept. Goes out: a command
//! with the sealed value, never with the value itself; lists of names. No call gives a value back: only a worker that holds an attempt gets one
//! ([`crate::dispatch::secrets`]).

use cloudai_core::command::{Kind, RemoveSecret, SECRETS_SINCE, SetSecret};
use cloudai_core::rows::{Family, SecretRow, secret_key};
use cloudai_core::{Command, Hot, Reply};
use cloudai_proto::convert::DEFAULT_NAMESPACE;
use cloudai_proto::v1 as pb;
use cloudai_types::{SecretKind, limits};
use prost::Message;
use ring::rand::{SecureRandom as _, SystemRandom};
use tonic::Status;
use zeroize::Zeroizing;

use super::errors;
use super::workers::change;
use crate::node::Node;
use crate::sealing::{KeyRing, NONCE_BYTES, Place};
use crate::secret_keys;
use crate::state_store::StateStore;

pub async fn set<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::SetSecretRequest,
) -> Result<pb::SetSecretReply, Status> {
    let (namespace, kind) = (named(&request.namespace), request.kind());
    check(&namespace, kind, &request.name)?;
    require_secrets(&node.shared.read().hot).map_err(|e| e.into_status())?;
    let value = value_of(kind, &request)?;
    let place = Place { namespace: &namespace, kind, name: &request.name };
    let sealed = keys(node)?.seal(place, nonce()?, &value).map_err(|e| {
        let what = format!("the secret '{}' is not stored", request.name);
        pb::ErrorInfo::new(pb::ErrorKind::TooLarge, what)
            .why(e.to_string())
            .next("keep large data elsewhere, and only the key to it as a secret")
            .into_status()
    })?;
    let command = SetSecret { namespace, kind: kind as i32, name: request.name, sealed };
    match node.proposer.propose(Command::new(actor, Kind::SetSecret(command))).await {
        Ok((index, Reply::SecretSet { version })) => Ok(pb::SetSecretReply { index, version }),
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

pub async fn remove<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::RemoveSecretRequest,
) -> Result<pb::ChangeReply, Status> {
    let (namespace, kind) = (named(&request.namespace), request.kind());
    check(&namespace, kind, &request.name)?;
    require_secrets(&node.shared.read().hot).map_err(|e| e.into_status())?;
    let command = RemoveSecret { namespace, kind: kind as i32, name: request.name };
    change(node, actor, Kind::RemoveSecret(command), String::new()).await
}

pub async fn list<S: StateStore>(
    node: &Node<S>,
    request: pb::ListSecretsRequest,
) -> Result<pb::ListSecretsReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let kind = request.kind();
    let mut secrets = vec![];
    if let Some(ns) = node.namespace(&state, &request.namespace) {
        let from = secret_key(ns, kind, "");
        let mut each = |key: &[u8], value: &[u8]| {
            let Some(name) = key.strip_prefix(from.as_slice()).and_then(|n| std::str::from_utf8(n).ok()) else {
                return false;
            };
            if let Ok(row) = SecretRow::decode(value) {
                secrets.push(pb::SecretInfo {
                    namespace: named(&request.namespace),
                    name: name.to_owned(),
                    created_ms: row.created_ms,
                    updated_ms: row.updated_ms,
                    actor: row.actor,
                    version: row.version,
                });
            }
            secrets.len() <= limits::SECRETS_OF_NAMESPACE_MAX as usize
        };
        let scanned = node.shared.store().scan(Family::Secret, &from, None, false, &mut each);
        scanned.map_err(|e| errors::internal(&e))?;
    }
    Ok(pb::ListSecretsReply { read: Some(read), secrets })
}

/// The commands are of a newer format: masters of an older build would stop at them.
fn require_secrets(hot: &Hot) -> Result<(), Box<pb::ErrorInfo>> {
    if hot.version >= SECRETS_SINCE {
        return Ok(());
    }
    let why = format!("it uses format {} of the log, and secrets need {SECRETS_SINCE}", hot.version);
    let next = "upgrade every master: the newer format is then used by itself";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, "the cluster has no secrets yet").why(why).next(next).into())
}

/// Read when it is needed, and not kept.
pub fn keys<S: StateStore>(node: &Node<S>) -> Result<KeyRing, Status> {
    let path = node.config.secrets_key();
    secret_keys::load(&path).map_err(|error| {
        tracing::error!(%error, path = %path.display(), "the keys that seal secrets cannot be used");
        let what = format!("master '{}' has no key for secrets", node.config.name);
        pb::ErrorInfo::new(pb::ErrorKind::Internal, what)
            .why(format!("{}: {error}", path.display()))
            .next("put the same file on every master, with mode 0600: docs/secrets.md says how")
            .into_status()
    })
}

/// The name of a namespace; none is the usual one's.
pub(super) fn named(namespace: &str) -> String {
    if namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { namespace.to_owned() }
}

fn check(namespace: &str, kind: SecretKind, name: &str) -> Result<(), Status> {
    cloudai_types::spec::check_name(namespace)
        .map_err(|why| errors::invalid(format!("the namespace '{namespace}' {why}")))?;
    kind.check_name(name).map_err(|why| errors::invalid(format!("the name '{name}' {why}")))
}

/// What is sealed: the value itself, or a login as one message.
fn value_of(kind: SecretKind, request: &pb::SetSecretRequest) -> Result<Zeroizing<Vec<u8>>, Status> {
    match (kind, &request.login) {
        (SecretKind::Value, None) => Ok(Zeroizing::new(request.value.to_vec())),
        (SecretKind::RegistryLogin, Some(login)) if request.value.is_empty() => {
            if login.username.is_empty() || login.password.is_empty() {
                return Err(errors::invalid("a login needs a username and a password"));
            }
            Ok(Zeroizing::new(login.encode_to_vec()))
        }
        (SecretKind::Value | SecretKind::RegistryLogin, _) => {
            Err(errors::invalid("a secret has a value, and a registry login a username and a password; never both"))
        }
    }
}

/// The other direction, of a login.
pub fn login_of(value: &[u8]) -> Option<pb::RegistryLogin> {
    pb::RegistryLogin::decode(value).ok()
}

fn nonce() -> Result<[u8; NONCE_BYTES], Status> {
    let mut nonce = [0; NONCE_BYTES];
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map_err(|_| Status::internal("the operating system has no random numbers; nothing was stored"))?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_of_both() {
        let login = || Some(pb::RegistryLogin { username: "ci".into(), password: "p".into() });
        let request =
            |value: &'static str, login| pb::SetSecretRequest { value: value.into(), login, ..Default::default() };
        let of = |kind, request: &pb::SetSecretRequest| value_of(kind, request).ok().map(|v| v.to_vec());
        assert_eq!(of(SecretKind::Value, &request("v", None)), Some(b"v".to_vec()));
        assert_eq!(of(SecretKind::Value, &request("", None)), Some(vec![]), "empty is a value");
        assert_eq!(of(SecretKind::Value, &request("v", login())), None);
        assert_eq!(of(SecretKind::RegistryLogin, &request("v", login())), None);
        assert_eq!(of(SecretKind::RegistryLogin, &request("v", None)), None);
        let sealed = of(SecretKind::RegistryLogin, &request("", login())).expect("a login");
        assert_eq!(login_of(&sealed), login());
        let half = Some(pb::RegistryLogin { username: "ci".into(), password: String::new() });
        assert_eq!(of(SecretKind::RegistryLogin, &request("", half)), None);
    }

    #[test]
    fn an_older_format_has_no_secrets_yet() {
        let hot = Hot { version: SECRETS_SINCE - 1, ..Hot::default() };
        assert!(require_secrets(&hot).is_err_and(|e| e.what.contains("no secrets yet")));
        assert!(require_secrets(&Hot { version: SECRETS_SINCE, ..hot }).is_ok());
    }
}
