//! A user stores a secret, or replaces it. What it is worth is not known here: it comes sealed.

use cloudai_types::{SecretKind, limits};

use super::cut;
use super::out::Out;
use super::submit_job::{known_namespace, name_namespace};
use crate::command::SetSecret;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, SecretRow, secret_key};

/// Again: the same secret, one version more.
pub fn set_secret(hot: &mut Hot, out: &mut Out, actor: String, command: SetSecret) -> Result<Reply, Refusal> {
    let SetSecret { namespace, kind, name, sealed } = command;
    let kind = check_kind(kind)?;
    kind.check_name(&name).map_err(|problem| Refusal::InvalidName(cut(problem)))?;
    let most = limits::SECRET_BYTES_MAX + limits::SECRET_SEAL_BYTES_MAX;
    if sealed.is_empty() || sealed.len() > most {
        return Err(Refusal::InvalidValue(format!(
            "a sealed secret has {} bytes; 1 to {most} are allowed",
            sealed.len()
        )));
    }
    let known = known_namespace(hot, &namespace)?;
    let earlier = known.and_then(|ns| out.read::<SecretRow>(Family::Secret, &secret_key(ns, kind, &name)));
    let held = known.and_then(|ns| hot.secrets.get(&ns)).copied().unwrap_or(0);
    if earlier.is_none() && held >= limits::SECRETS_OF_NAMESPACE_MAX {
        return Err(Refusal::TooMany(held as usize));
    }

    let ns = known.unwrap_or_else(|| name_namespace(hot, out, namespace));
    if earlier.is_none() {
        hot.secrets.insert(ns, held.saturating_add(1));
    }
    let created_ms = earlier.as_ref().map_or(out.clock_ms, |row| row.created_ms);
    let version = earlier.map_or(0, |row| row.version).saturating_add(1);
    let row = SecretRow { sealed, created_ms, updated_ms: out.clock_ms, actor: cut(actor), version };
    out.put(Family::Secret, &secret_key(ns, kind, &name), &row);
    Ok(Reply::SecretSet { version })
}

pub(super) fn check_kind(kind: i32) -> Result<SecretKind, Refusal> {
    SecretKind::try_from(kind).map_err(|_| Refusal::InvalidValue(format!("secrets of kind {kind} are not known")))
}
