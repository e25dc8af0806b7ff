//! A user removes a secret. Tasks that run have it already; those that wait and name it will not start.

use cloudai_types::SecretKind;

use super::cut;
use super::out::Out;
use super::set_secret::check_kind;
use crate::command::RemoveSecret;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, SecretRow, secret_key};

pub fn remove_secret(hot: &mut Hot, out: &mut Out, command: RemoveSecret) -> Result<Reply, Refusal> {
    let RemoveSecret { namespace, kind, name } = command;
    let kind = check_kind(kind)?;
    let found = hot.namespaces.get(&namespace).map(|ns| (*ns, secret_key(*ns, kind, &name)));
    match found {
        Some((ns, key)) if out.read::<SecretRow>(Family::Secret, &key).is_some() => {
            out.delete(Family::Secret, &key);
            let left = hot.secrets.get(&ns).map_or(0, |held| held.saturating_sub(1));
            if left == 0 {
                hot.secrets.remove(&ns);
            } else {
                hot.secrets.insert(ns, left);
            }
            Ok(Reply::Done)
        }
        Some(_) | None => Err(match kind {
            SecretKind::Value => Refusal::NoSuchSecret(cut(name)),
            SecretKind::RegistryLogin => Refusal::NoSuchLogin(cut(name)),
        }),
    }
}
