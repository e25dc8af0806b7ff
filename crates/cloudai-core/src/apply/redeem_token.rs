//! A joiner shows its token. Committed before the certificate leaves; the same key may ask again, another one may not.

use cloudai_types::WorkerId;

use super::out::Out;
use super::{check_hash, check_role, cut};
use crate::command::{MemberRole, RedeemToken};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, MemberRow, member_key};

pub fn redeem_token(out: &mut Out, command: RedeemToken) -> Result<Reply, Refusal> {
    let RedeemToken { role, name, secret_hash, key_hash } = command;
    let role = check_role(role)?;
    let key = member_key(role, &name);
    let Some(mut member) = out.read::<MemberRow>(Family::Member, &key) else {
        return Err(Refusal::NotAuthorized(cut(name)));
    };
    if member.revoked {
        return Err(Refusal::Revoked(name));
    }
    if member.secret_hash != secret_hash {
        return Err(Refusal::WrongToken);
    }
    check_hash("the key's hash", &key_hash)?;
    if member.key_hash.is_empty() {
        member.key_hash = key_hash;
        out.put(Family::Member, &key, &member);
    } else if member.key_hash != key_hash {
        return Err(Refusal::TokenUsed);
    }
    Ok(match role {
        MemberRole::Worker => Reply::TokenRedeemed { worker: Some(WorkerId(member.worker)), node: None },
        MemberRole::Master => Reply::TokenRedeemed { worker: None, node: Some(member.node) },
    })
}
