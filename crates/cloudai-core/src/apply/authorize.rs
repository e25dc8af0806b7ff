//! An operator lets a name join, with a one-time token. Again for the same name: a new token, the old one is void, and a
//! revoked name is welcome again.

use cloudai_types::spec::check_labels;
use cloudai_types::{NodeId, Resources, WorkerId, limits};

use super::out::Out;
use super::{check_hash, check_name, check_role, cut};
use crate::command::{Authorize, MemberRole};
use crate::hot::{Hot, Worker};
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, MemberRow, WorkerState, member_key};

pub fn authorize(hot: &mut Hot, out: &mut Out, command: Authorize) -> Result<Reply, Refusal> {
    let role = check_role(command.role)?;
    check_name(&command.name)?;
    check_hash("the token's hash", &command.secret_hash)?;
    match role {
        MemberRole::Worker => authorize_worker(hot, out, command),
        MemberRole::Master => authorize_master(hot, out, command),
    }
}

fn authorize_worker(hot: &mut Hot, out: &mut Out, command: Authorize) -> Result<Reply, Refusal> {
    let Authorize { role: _, name, secret_hash, labels } = command;
    check_labels(&labels).map_err(|problem| Refusal::InvalidValue(cut(problem)))?;
    let known = hot.worker_names.get(&name).copied();
    if known.is_none() && hot.workers.len() >= limits::WORKERS_MAX {
        return Err(Refusal::TooMany(hot.workers.len()));
    }
    let id = known.unwrap_or_else(|| new_worker(hot, &name));
    if let Some(worker) = hot.workers.get_mut(&id) {
        if worker.state == WorkerState::Revoked {
            worker.state = WorkerState::Authorized;
        }
        let old = std::mem::replace(&mut worker.assigned_labels, labels);
        // What the worker itself says under the same name shows again when it registers.
        worker.labels.retain(|k, _| !old.contains_key(k));
        worker.labels.extend(worker.assigned_labels.clone());
    }
    write_member(hot, out, MemberRole::Worker, name, MemberRow { secret_hash, worker: id.0, ..Default::default() });
    out.worker_changed(hot, id);
    out.news(News::of_worker(id, What::WorkerAuthorized { actor: out.actor.clone() }));
    out.capacity_changed();
    Ok(Reply::Authorized { worker: Some(id), node: None })
}

fn new_worker(hot: &mut Hot, name: &str) -> WorkerId {
    let id = WorkerId(hot.next_worker);
    hot.next_worker = hot.next_worker.saturating_add(1);
    let worker = Worker {
        name: name.to_owned(),
        state: WorkerState::Authorized,
        draining: false,
        drain_deadline_ms: 0,
        evicting: false,
        leaving: false,
        metrics_addr: String::new(),
        capacity: Resources::default(),
        reserved: None,
        price: Default::default(),
        used: Resources::default(),
        labels: Default::default(),
        assigned_labels: Default::default(),
        taints: Default::default(),
        session: 0,
        registered_ms: 0,
        software: String::new(),
        active: Default::default(),
    };
    hot.workers.insert(id, worker);
    hot.worker_names.insert(name.to_owned(), id);
    id
}

/// A token that nobody used keeps its node id; a used one, or a removed node, means another disk, and that gets another id.
fn authorize_master(hot: &mut Hot, out: &mut Out, command: Authorize) -> Result<Reply, Refusal> {
    let Authorize { role: _, name, secret_hash, labels: _ } = command;
    let standing = hot.masters.values().filter(|m| !m.removed).count();
    if standing >= limits::MASTERS_MAX {
        return Err(Refusal::TooMany(standing));
    }
    let known: Option<MemberRow> = out.read(Family::Member, &member_key(MemberRole::Master, &name));
    let unused = known.filter(|row| row.node > 0 && row.key_hash.is_empty() && !is_removed(hot, row.node));
    let node = unused.map_or_else(|| new_node(hot), |row| row.node);
    write_member(hot, out, MemberRole::Master, name, MemberRow { secret_hash, node, ..Default::default() });
    Ok(Reply::Authorized { worker: None, node: Some(node) })
}

fn is_removed(hot: &Hot, node: NodeId) -> bool {
    hot.masters.get(&node).is_some_and(|m| m.removed)
}

fn new_node(hot: &mut Hot) -> NodeId {
    let node = hot.next_node;
    hot.next_node = hot.next_node.saturating_add(1);
    node
}

fn write_member(hot: &mut Hot, out: &mut Out, role: MemberRole, name: String, row: MemberRow) {
    out.put(Family::Member, &member_key(role, &name), &row);
    hot.revoked.remove(&(role as i32 as u8, name));
}
