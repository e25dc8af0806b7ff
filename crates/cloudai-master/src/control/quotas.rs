//! Calls about namespaces: what each may have, and has. Comes in: requests whose caller is admitted. Goes out: a command with what is to
//! change; the list.

use std::cmp::Reverse;

use cloudai_core::command::{Kind, POLICIES_SINCE, QUEUE_ORDER_SINCE, QUOTAS_SINCE, SetQuota, USERS_SINCE};
use cloudai_core::tenants::{AVERAGE_PARTS, Tenant};
use cloudai_core::users::User;
use cloudai_core::{Hot, queue::Queue};
use cloudai_proto::v1 as pb;
use cloudai_scheduler::fair::Whole;
use cloudai_types::{NamespaceId, QuotaChange, Resources, limits};
use tonic::Status;

use super::workers::change;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn set<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::SetQuotaRequest,
) -> Result<pb::ChangeReply, Status> {
    let pb::SetQuotaRequest { namespace, change: Some(what) } = request else {
        return Err(pb::ErrorInfo::new(pb::ErrorKind::Invalid, "the request changes nothing")
            .next("say what is to change: a weight, or a cap")
            .into_status());
    };
    require_quotas(&node.shared.read().hot, &what).map_err(|e| e.into_status())?;
    change(node, actor, Kind::SetQuota(SetQuota { namespace, change: what }), String::new()).await
}

pub async fn list<S: StateStore>(
    node: &Node<S>,
    request: pb::ListQuotasRequest,
) -> Result<pb::ListQuotasReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let hot = &state.hot;
    let whole = Whole::of(hot);
    let wanted = |name: &str| request.namespace.is_empty() || request.namespace == name;
    let named = hot.namespaces.iter().filter(|(name, _)| wanted(name));
    let known = named.filter_map(|(_, id)| Some((*id, hot.tenants.get(*id)?)));
    let namespaces: Vec<pb::NamespaceInfo> =
        known.map(|(id, tenant)| info(id, tenant, hot.clock_ms, &whole, &hot.queue, request.users)).collect();
    if namespaces.is_empty() && !request.namespace.is_empty() {
        let what = format!("there is no namespace '{}'", request.namespace);
        return Err(pb::ErrorInfo::new(pb::ErrorKind::NotFound, what)
            .next("a namespace begins with its first job, or with `cloudai quota set`")
            .into_status());
    }
    Ok(pb::ListQuotasReply { read: Some(read), namespaces })
}

fn info(
    id: NamespaceId,
    tenant: &Tenant,
    now_ms: u64,
    whole: &Whole,
    queue: &Queue,
    with_users: bool,
) -> pb::NamespaceInfo {
    let users = if with_users { users(tenant) } else { vec![] };
    let [cpu_milli, memory_bytes, storage_bytes, gpus] = tenant.average_held(now_ms).map(|n| n / AVERAGE_PARTS);
    let gpus = u32::try_from(gpus).unwrap_or(u32::MAX);
    pb::NamespaceInfo {
        namespace: tenant.name.clone(),
        quota: Some(tenant.quota),
        tasks: tenant.holding,
        used: Some(tenant.used),
        average: Some(Resources { cpu_milli, memory_bytes, storage_bytes, gpus }),
        share: whole.part(&tenant.used),
        waits: queue.of(id).is_some(),
        queued: tenant.waiting,
        more_users: if with_users { (tenant.users.len() - users.len()) as u32 } else { 0 },
        users,
    }
}

/// Those who run most first, then those of whom most waits, then by name.
fn users(tenant: &Tenant) -> Vec<pb::UserInfo> {
    let mut users: Vec<&User> = tenant.users.iter().collect();
    users.sort_by_key(|user| (Reverse(user.holding), Reverse(user.waiting)));
    let info = |user: &User| pb::UserInfo {
        user: user.name.to_string(),
        jobs: user.jobs,
        tasks: user.holding,
        queued: user.waiting,
    };
    users.into_iter().take(limits::QUOTA_USERS_MAX).map(info).collect()
}

/// The command is of a newer format: masters of an older build would stop at it.
fn require_quotas(hot: &Hot, change: &QuotaChange) -> Result<(), Box<pb::ErrorInfo>> {
    let (what, since) = if change.score_policy.is_some() {
        ("policies of namespaces", POLICIES_SINCE)
    } else if change.is_about_order() {
        ("orders of namespaces", QUEUE_ORDER_SINCE)
    } else if change.is_about_queue_or_users() {
        ("caps on queues and users", USERS_SINCE)
    } else {
        ("quotas", QUOTAS_SINCE)
    };
    if hot.version >= since {
        return Ok(());
    }
    let why = format!("it uses format {} of the log, and {what} need {since}", hot.version);
    let next = "upgrade every master: the newer format is then used by itself";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, format!("the cluster has no {what} yet"))
        .why(why)
        .next(next)
        .into())
}
