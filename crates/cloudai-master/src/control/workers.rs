//! Calls about workers. Comes in: requests whose caller is admitted. Goes out: commands to the proposer; the registry as it is,
//! with what only the leader knows (sessions, silence) where this master leads.

use std::collections::BTreeMap;

use cloudai_core::command::{AttemptState, Authorize, DRAIN_DEADLINE_SINCE, Kind, MemberRole, Revoke, SetDrain};
use cloudai_core::rows::WorkerState;
use cloudai_core::{ActiveAttempt, Command, Hot, Reply, Worker};
use cloudai_net::{CertificateAuthority, JoinSecret, JoinToken};
use cloudai_proto::v1 as pb;
use cloudai_types::{WorkerId, limits};
use tonic::Status;

use super::errors;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn list<S: StateStore>(
    node: &Node<S>,
    request: pb::ListWorkersRequest,
) -> Result<pb::ListWorkersReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let ids = state.hot.worker_names.values();
    let workers = ids.filter_map(|id| Some(info(node, &state.hot, *id, state.hot.workers.get(id)?))).collect();
    Ok(pb::ListWorkersReply { read: Some(read), workers })
}

pub async fn get<S: StateStore>(node: &Node<S>, request: pb::GetWorkerRequest) -> Result<pb::GetWorkerReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let name = find(&state.hot, &request.name)?;
    let (id, worker) = state.hot.worker_named(&name).ok_or_else(|| unknown(&request.name))?;
    let attempts = worker.active.iter().take(limits::PAGE_ROWS_DEFAULT).filter_map(|task| {
        let a = state.hot.attempt(*task)?;
        let attempt = pb::AttemptKey { job: task.job.0, index: task.index, number: a.number };
        Some(pb::WorkerAttempt { attempt: Some(attempt), phase: a.state as i32, assigned_ms: a.assigned_ms })
    });
    let attempts = attempts.collect();
    Ok(pb::GetWorkerReply { read: Some(read), worker: Some(info(node, &state.hot, id, worker)), attempts })
}

/// A worker's name, or a prefix that only one name begins with.
pub fn find(hot: &Hot, text: &str) -> Result<String, Status> {
    if hot.worker_names.contains_key(text) {
        return Ok(text.to_owned());
    }
    let mut names = hot.worker_names.keys().filter(|n| !text.is_empty() && n.starts_with(text));
    match (names.next(), names.next()) {
        (Some(only), None) => Ok(only.clone()),
        (None, _) => Err(unknown(text)),
        (Some(_), Some(_)) => {
            Err(pb::ErrorInfo::new(pb::ErrorKind::Ambiguous, format!("several workers begin with '{text}'"))
                .next("give the whole name")
                .into_status())
        }
    }
}

pub fn unknown(name: &str) -> Status {
    errors::not_found(format!("there is no worker '{name}'"), "list them with `cloudai worker list`")
}

fn info<S: StateStore>(node: &Node<S>, hot: &Hot, id: WorkerId, w: &Worker) -> pb::WorkerInfo {
    let holds = |a: &ActiveAttempt| a.state > AttemptState::Assigned && !a.released;
    let running = w.active.iter().filter(|t| hot.attempt(**t).is_some_and(holds)).count();
    let silence = if node.leading().is_some() { node.liveness.silence(id) } else { None };
    pb::WorkerInfo {
        id: id.0,
        name: w.name.clone(),
        state: w.state as i32,
        draining: w.draining,
        capacity: Some(w.capacity),
        reserved: w.reserved,
        allocated: Some(w.used),
        attempts: w.active.len() as u32,
        attempts_running: running as u32,
        labels: w.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        registered_ms: w.registered_ms,
        software: w.software.clone(),
        connected: w.state == WorkerState::Ready && node.hub.has_session(id),
        heard_ms_ago: silence.map_or(0, |s| s.0),
        drain_deadline_ms: w.drain_deadline_ms,
        evicting: w.evicting,
        leaving: w.leaving,
        price_micros_per_hour: w.price.0,
        taints: w.taints.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}

/// A one-time token for `name`; only the secret's hash is replicated.
pub async fn authorize<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    role: MemberRole,
    name: &str,
    labels: BTreeMap<String, String>,
) -> Result<pb::AuthorizeReply, Status> {
    cloudai_types::spec::check_name(name).map_err(|why| errors::invalid(format!("the name '{name}' {why}")))?;
    cloudai_types::spec::check_labels(&labels).map_err(|why| errors::invalid(format!("the labels: {why}")))?;
    let ca = CertificateAuthority::load(&node.identity_dir)
        .map_err(|e| errors::internal(&std::io::Error::other(format!("the CA cannot be loaded: {e}"))))?;
    let secret = JoinSecret::generate();
    let command = Authorize { role: role as i32, name: name.to_owned(), secret_hash: secret.hash().to_vec(), labels };
    match node.proposer.propose(Command::new(actor, Kind::Authorize(command))).await {
        Ok((index, Reply::Authorized { .. })) => {
            let token = JoinToken { ca: ca.digest(), name: name.to_owned(), secret }.to_string();
            Ok(pb::AuthorizeReply { token, index })
        }
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

/// How many attempts the worker has. Who leads no more without knowing it may not know the newest worker either: "there is none" is said only
/// after a confirmed read, as in `jobs::cancel`.
async fn attempts_of<S: StateStore>(node: &Node<S>, name: &str) -> Result<usize, Status> {
    let look = || node.shared.read().hot.worker_named(name).map(|(_, worker)| worker.active.len());
    if let Some(attempts) = look() {
        return Ok(attempts);
    }
    node.read_point(pb::Consistency::Linearizable).await?;
    look().ok_or_else(|| unknown(name))
}

pub async fn worker_is_known<S: StateStore>(node: &Node<S>, name: &str) -> Result<(), Status> {
    attempts_of(node, name).await.map(|_| ())
}

pub async fn revoke<S: StateStore>(node: &Node<S>, actor: &str, name: &str) -> Result<pb::ChangeReply, Status> {
    let attempts = attempts_of(node, name).await?;
    let revoke = Revoke { role: MemberRole::Worker as i32, name: name.to_owned() };
    change(node, actor, Kind::Revoke(revoke), format!("{attempts} tasks will run elsewhere")).await
}

/// No new tasks; what runs is stopped after `deadline_in_ms`, if that is said.
pub async fn drain<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::DrainWorkerRequest,
) -> Result<pb::ChangeReply, Status> {
    let pb::DrainWorkerRequest { name, deadline_in_ms } = request;
    let running = attempts_of(node, &name).await?;
    let deadline_ms = match deadline_in_ms {
        None => 0,
        Some(ms) if ms > limits::DRAIN_DEADLINE_MAX.0 => {
            let days = limits::DRAIN_DEADLINE_MAX.0 / 86_400_000;
            return Err(errors::invalid(format!("a drain's deadline of more than {days} days; leave it out for none")));
        }
        Some(ms) => {
            require_deadlines(&node.shared.read().hot)?;
            // Zero means "none", also for a leader whose clock stands at the epoch.
            node.log_clock.now_ms().saturating_add(ms).max(1)
        }
    };
    let note = match deadline_in_ms {
        None => format!("{running} tasks still run there, and may finish"),
        Some(0) => format!("{running} tasks are stopped, and go elsewhere"),
        Some(_) => {
            format!("{running} tasks still run there; those that do at the deadline are stopped, and go elsewhere")
        }
    };
    change(node, actor, Kind::SetDrain(SetDrain { name, draining: true, deadline_ms }), note).await
}

/// Gives it tasks again.
pub async fn resume<S: StateStore>(node: &Node<S>, actor: &str, name: &str) -> Result<pb::ChangeReply, Status> {
    attempts_of(node, name).await?;
    let resume = SetDrain { name: name.to_owned(), draining: false, deadline_ms: 0 };
    change(node, actor, Kind::SetDrain(resume), String::new()).await
}

/// Masters of an older build would let such a drain wait for ever, and say nothing.
fn require_deadlines(hot: &Hot) -> Result<(), Status> {
    if hot.version >= DRAIN_DEADLINE_SINCE {
        return Ok(());
    }
    let what = "the cluster cannot drain until a deadline yet";
    let why = format!("it uses format {} of the log, and that needs {DRAIN_DEADLINE_SINCE}", hot.version);
    let next = "upgrade every master: the newer format is then used by itself; a drain without a deadline works";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, what).why(why).next(next).into_status())
}

/// A command whose success needs no more than its index.
pub async fn change<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    kind: Kind,
    note: String,
) -> Result<pb::ChangeReply, Status> {
    match node.proposer.propose(Command::new(actor, kind)).await {
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((index, _)) => Ok(pb::ChangeReply { index, note }),
        Err(error) => Err(errors::write(&error)),
    }
}
