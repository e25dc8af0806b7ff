//! A name's certificates are void from now on. A worker's attempts are lost at once.

use super::lose_worker::lose_attempts;
use super::out::Out;
use super::{check_role, cut};
use crate::command::{MemberRole, Revoke};
use crate::event::Event;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, MemberRow, WorkerState, member_key};

/// Again: no change.
pub fn revoke(hot: &mut Hot, out: &mut Out, command: Revoke) -> Result<Reply, Refusal> {
    let Revoke { role, name } = command;
    let role = check_role(role)?;
    let key = member_key(role, &name);
    // Founders have certificates without ever having been authorised.
    let is_founder = || role == MemberRole::Master && hot.masters.values().any(|m| m.name == name);
    let mut member = match out.read::<MemberRow>(Family::Member, &key) {
        Some(member) => member,
        None if is_founder() => MemberRow::default(),
        None => return Err(Refusal::NotAuthorized(cut(name))),
    };
    if member.revoked {
        return Ok(Reply::Done);
    }
    member.revoked = true;
    out.put(Family::Member, &key, &member);
    hot.revoked.insert((role as i32 as u8, name.clone()));
    match role {
        MemberRole::Worker => revoke_worker(hot, out, &name),
        MemberRole::Master => {}
    }
    out.event(Event::Revoked { role, name });
    Ok(Reply::Done)
}

fn revoke_worker(hot: &mut Hot, out: &mut Out, name: &str) {
    let Some(&id) = hot.worker_names.get(name) else { return };
    let Some(worker) = hot.workers.get_mut(&id) else { return };
    let was_ready = worker.state == WorkerState::Ready;
    worker.state = WorkerState::Revoked;
    out.worker_changed(hot, id);
    out.news(News::of_worker(id, What::WorkerRevoked { actor: out.actor.clone() }));
    if was_ready {
        out.event(Event::WorkerLost { worker: id });
    }
    lose_attempts(hot, out, id, "the worker was revoked");
}
