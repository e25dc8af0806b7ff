//! Calls about the queue and the cluster. Comes in: requests whose caller is admitted. Goes out: totals, members, and orders
//! to Raft about its members.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloudai_core::command::{ForgetMaster, Kind, POLICIES_SINCE, SetConfig};
use cloudai_core::hot::ShapeId;
use cloudai_core::rows::WorkerState;
use cloudai_proto::v1 as pb;
use cloudai_raft::Members;
use cloudai_types::{ClusterConfig, JobId, NodeId, limits};
use tokio::time::Instant;
use tonic::Status;

use super::errors;
use super::workers::change;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn queue<S: StateStore>(node: &Node<S>, request: pb::QueueRequest) -> Result<pb::QueueReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let hot = &state.hot;
    // (jobs, the oldest) of all namespaces. A line that is shown is among the first of each namespace that has it: none is looked at in vain.
    let mut lines: BTreeMap<(Reverse<i16>, ShapeId), (u32, Option<JobId>)> = BTreeMap::new();
    for (_, levels) in hot.queue.namespaces() {
        let of_namespace = levels.iter().flat_map(|(priority, level)| level.lines().map(move |line| (priority, line)));
        for (priority, (id, jobs)) in of_namespace.take(limits::PAGE_ROWS_DEFAULT) {
            let line = lines.entry((Reverse(priority), id)).or_default();
            line.0 = line.0.saturating_add(jobs.jobs() as u32);
            line.1 = line.1.into_iter().chain(jobs.first()).min();
        }
    }
    let mut shapes = vec![];
    for ((Reverse(priority), id), (jobs, oldest)) in lines.into_iter().take(limits::PAGE_ROWS_DEFAULT) {
        let Some(shape) = hot.shapes.get(id) else { continue };
        let oldest = oldest.and_then(|job| hot.jobs.get(&job));
        shapes.push(pb::QueueShape {
            priority: priority.into(),
            resources: Some(shape.resources),
            require: shape.require.iter().cloned().collect(),
            placement: shape.rules.as_ref().map(|rules| rules.placement()),
            tasks: hot.backlog.queued_of(priority, id),
            jobs,
            oldest_ms: oldest.map_or(0, |j| j.submitted_ms),
        });
    }
    let oldest = hot.jobs.values().find(|j| j.counts.queued > 0);
    Ok(pb::QueueReply {
        read: Some(read),
        shapes,
        queued: hot.backlog.queued(),
        active: hot.backlog.active(),
        retrying: hot.delayed.len() as u64,
        jobs: hot.jobs.len() as u64,
        oldest_ms: oldest.map_or(0, |j| j.submitted_ms),
    })
}

pub async fn status<S: StateStore>(
    node: &Node<S>,
    request: pb::ClusterStatusRequest,
) -> Result<pb::ClusterStatusReply, Status> {
    // A cluster without a leader must still tell how it is.
    let mut read = match node.read_point(request.consistency()).await {
        Ok(read) => read,
        Err(_) => node.read_point(pb::Consistency::Stale).await?,
    };
    let leadership = node.raft.leadership().borrow().clone();
    let members = node.raft.members();
    let leader_id = leadership.leader.as_ref().map_or(0, |l| l.id);
    let state = node.shared.read();
    // Digest and configuration are of this state, which may have moved on since.
    read.index = state.index;
    let hot = &state.hot;
    let workers = |wanted| hot.workers.values().filter(|w| w.state == wanted).count() as u32;
    let voters = members.voters().count() as u32;
    Ok(pb::ClusterStatusReply {
        read: Some(read),
        cluster_id: node.me.cluster.clone(),
        leader_id,
        leader: leadership.leader.map(|l| l.node.name).unwrap_or_default(),
        term: leadership.term,
        applied_index: state.index,
        incarnation: hot.incarnation,
        version: hot.version,
        config: Some(hot.config),
        members: rows(&members, leader_id),
        tolerates: voters.saturating_sub(1) / 2,
        workers_ready: workers(WorkerState::Ready),
        workers_lost: workers(WorkerState::Lost),
        workers_total: hot.workers.len() as u32,
        tasks_queued: hot.backlog.queued(),
        tasks_active: hot.backlog.active(),
        jobs: hot.jobs.len() as u64,
        digest: hot.digest,
        software: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn rows(members: &Members, leader_id: NodeId) -> Vec<pb::Member> {
    let row = |m: &cloudai_raft::Member| pb::Member {
        node_id: m.id,
        name: m.node.name.clone(),
        role: if m.is_voter { pb::MemberRole::Voter } else { pb::MemberRole::Learner } as i32,
        leader: m.id == leader_id,
        grpc: m.node.grpc_addr.clone(),
        raft: m.node.raft_addr.clone(),
        http: m.node.http_addr.clone(),
        lag_entries: m.lag,
        heard_ms_ago: None,
    };
    members.by_id.values().map(row).collect()
}

/// A member by name or by node id in digits.
fn find(members: &Members, text: &str) -> Result<NodeId, Status> {
    let by_name = members.by_id.values().find(|m| m.node.name == text).map(|m| m.id);
    let by_id = || text.parse::<NodeId>().ok().filter(|id| members.by_id.contains_key(id));
    by_name.or_else(by_id).ok_or_else(|| {
        errors::not_found(
            format!("there is no master '{text}' in the group"),
            "list them with `cloudai cluster members`",
        )
    })
}

/// The state forgets the master first, so that its node id can never come back; then the group lets it go.
pub async fn remove<S: StateStore>(node: &Node<S>, actor: &str, master: &str) -> Result<pb::ChangeReply, Status> {
    let _one_at_a_time = node.members_lock.lock().await;
    let members = node.raft.members();
    let id = find(&members, master)?;
    if members.by_id.get(&id).is_some_and(|m| m.is_voter) {
        if id == node.me.node {
            return Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, format!("'{master}' leads the cluster"))
                .next("hand over first: `cloudai cluster transfer-leader`, then remove it")
                .into_status());
        }
        if members.voters().count() == 1 {
            return Err(errors::membership(&cloudai_raft::MembershipError::LastVoter(id)));
        }
    }
    let note = format!("node id {id} is never used again");
    let forgotten = change(node, actor, Kind::ForgetMaster(ForgetMaster { node: id }), note).await?;
    // Should this fail, the leader's comparison of group and registered masters does it a moment later.
    node.raft.remove(id).await.map_err(|e| errors::membership(&e))?;
    Ok(forgotten)
}

pub async fn transfer<S: StateStore>(
    node: &Node<S>,
    request: pb::TransferLeaderRequest,
) -> Result<pb::TransferLeaderReply, Status> {
    let members = node.raft.members();
    let target = if request.to.is_empty() { None } else { Some(find(&members, &request.to)?) };
    let began = Instant::now();
    let leader_id = node.raft.transfer_leader(target).await.map_err(|e| errors::transfer(&e))?;
    let leader = members.by_id.get(&leader_id).map(|m| m.node.name.clone()).unwrap_or_default();
    Ok(pb::TransferLeaderReply { leader_id, leader, took_ms: began.elapsed().as_millis() as u64 })
}

pub async fn set_config<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::SetConfigRequest,
) -> Result<pb::ChangeReply, Status> {
    let (mut config, version) = {
        let state = node.shared.read();
        (state.hot.config, state.hot.version)
    };
    if let Some(policy) = request.score_policy {
        config.score_policy = policy;
    }
    require_policy(config, version).map_err(|e| e.into_status())?;
    change(node, actor, Kind::SetConfig(SetConfig { config }), String::new()).await
}

/// Masters of an older build do not know the newer policies.
fn require_policy(config: ClusterConfig, version: u32) -> Result<(), Box<pb::ErrorInfo>> {
    let policy = config.score_policy();
    if policy.is_old() || version >= POLICIES_SINCE {
        return Ok(());
    }
    let what = format!("the cluster has no policy '{}' yet", policy.name());
    let why = format!("it uses format {version} of the log, and '{}' needs {POLICIES_SINCE}", policy.name());
    let next = "upgrade every master: the newer format is then used by itself";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, what).why(why).next(next).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::ScorePolicy;

    #[test]
    fn a_newer_policy_waits_for_every_master() {
        for policy in ScorePolicy::ALL {
            let config = ClusterConfig { score_policy: policy as i32 };
            assert!(require_policy(config, POLICIES_SINCE).is_ok(), "{}", policy.name());
            let older = require_policy(config, POLICIES_SINCE - 1);
            assert_eq!(older.is_ok(), policy.is_old(), "{}", policy.name());
            if let Err(error) = older {
                assert!(error.what.contains(policy.name()) && error.why.contains("format 6"), "{error:?}");
            }
        }
    }
}
