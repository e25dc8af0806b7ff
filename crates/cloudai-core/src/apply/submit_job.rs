//! A user's job becomes live: one command for one task or a million. With a request id it happens at most once (I6).

use cloudai_types::{
    JobId, JobSpec, NamespaceId, RequestId, SecretKind, TaskId, ValidJobSpec, WorkflowId, image, limits,
};

use super::out::Out;
use super::spec_of_format;
use super::{check_name, cut};
use crate::command::{DEAD_SINCE, IMAGE_SINCE, SubmitJob, TIME_LIMITS_SINCE, TaskKey, UNTOUCHED_SINCE, USERS_SINCE};
use crate::hot::{Hot, Job, Shape};
use crate::reply::{Refusal, Reply};
use crate::rows::{
    AliveRow, Counts, DeadRow, Family, JobSpecRow, RequestRow, SecretRow, alive_key, job_key, namespace_key,
    secret_key, task_key,
};
use crate::tenants::Tenant;
use crate::users::UserId;

pub fn submit_job(hot: &mut Hot, out: &mut Out, actor: String, command: SubmitJob) -> Result<Reply, Refusal> {
    let SubmitJob { namespace, request_id, request_hash, mut spec, mut replay_of } = command;
    spec_of_format::keep(&mut spec, hot.version);
    if hot.version < DEAD_SINCE {
        replay_of = None;
    }
    // Whatever a user says: a job reads and writes the results of its own namespace.
    spec.namespace = if spec.needs_namespace() { namespace.clone() } else { String::new() };
    let known = known_namespace(hot, &namespace)?;
    if let Some(job) = earlier_job(out, &request_id, &request_hash, false)? {
        return Ok(Reply::Submitted { job, duplicate: true });
    }
    if hot.jobs.len() >= limits::LIVE_JOBS_MAX {
        return Err(Refusal::TooMany(hot.jobs.len()));
    }
    let spec = ValidJobSpec::parse(spec)
        .map_err(|e| {
            Refusal::InvalidSpec(cut(e.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
        })?
        .into_inner();
    secrets_are_there(out, known, &spec)?;
    let actor = cut(actor);
    queue_has_room(hot, known, &actor, if replay_of.is_some() { 1 } else { spec.count })?;
    let replayed = replay_of.map(|of| dead_row_of(out, known, of)).transpose()?;
    if let Some(of) = replay_of.filter(|of| of.index >= spec.count) {
        return Err(Refusal::InvalidSpec(format!(
            "array: has {} tasks, and index {} is replayed",
            spec.count, of.index
        )));
    }

    if let Some(key) = replayed {
        out.delete(Family::Dead, &key);
    }
    let namespace = known.unwrap_or_else(|| name_namespace(hot, out, namespace));
    let id = JobId(hot.next_job);
    hot.next_job = hot.next_job.saturating_add(1);
    if !request_id.is_empty() {
        let expires_ms = out.clock_ms.saturating_add(limits::REQUEST_RETENTION.0);
        let row = RequestRow { hash: request_hash, job: id.0, expires_ms, is_workflow: false };
        out.put(Family::Request, request_id.as_bytes(), &row);
    }
    let submitted_ms = out.clock_ms;
    let untouched = hot.version >= UNTOUCHED_SINCE;
    let alive = AliveRow { untouched, ..alive_as_submitted(hot, namespace, &spec, submitted_ms, replay_of, &actor) };
    out.put(Family::Alive, &alive_key(id), &alive);
    let trace_parent = out.trace_parent(hot);
    let row = JobSpecRow { spec, submitted_ms, actor, request_id, replay_of, trace_parent, ..JobSpecRow::default() };
    out.put(Family::JobSpec, &job_key(namespace, id), &row);
    let job = new_job(hot, id, alive);
    hot.queue.insert(&job, job.shape, id);
    hot.backlog.moved(job.priority, job.shape, i64::from(job.counts.queued), 0);
    hot.tenants.waits(job.namespace, job.user, job.counts.queued.into());
    let (namespace, tasks) = (job.namespace, job.counts.queued);
    hot.jobs.insert(id, job);
    out.job_submitted(namespace, id, tasks);
    Ok(Reply::Submitted { job: id, duplicate: false })
}

/// A job as it is before its first placement. `load` begins with the same. One that waits for other jobs has nothing fresh. What only few jobs have is put into hot state here.
pub(crate) fn new_job(hot: &mut Hot, id: JobId, alive: AliveRow) -> Job {
    if let Some(rules) = alive.retry {
        hot.retry.insert(id, rules);
    }
    if alive.timeout_ms > 0 {
        hot.time_limits.insert(id, alive.timeout_ms);
    }
    hot.job_labels.insert(id, alive.labels);
    if alive.preemptible {
        hot.preemptible.insert(id);
    }
    if alive.workflow > 0 {
        hot.workflows.join(id, WorkflowId(alive.workflow));
    }
    // Whoever waits for other jobs has its gate already.
    let gate = hot.workflows.gate(id);
    if gate.is_some() {
        hot.queue_limits.hold(id, alive.queue_timeout_ms);
    } else {
        hot.queue_limits.insert(id, alive.submitted_ms, alive.queue_timeout_ms);
    }
    let indexes = match alive.only_index {
        Some(only) => {
            hot.only.insert(id, only);
            only..only.saturating_add(1)
        }
        None if gate.is_some_and(|gate| gate.settled.is_some()) => alive.count..alive.count,
        None if gate.is_some() => 0..0,
        None => 0..alive.count,
    };
    let namespace = NamespaceId(alive.namespace);
    Job {
        namespace,
        // `load` tells elsewhere of a namespace that is not known.
        user: hot.tenants.get_mut(namespace).map_or(UserId::NOBODY, |tenant| tenant.users.join(&alive.actor)),
        shape: {
            let gang = if alive.gang { alive.count } else { 0 };
            hot.shapes.intern(Shape::new(alive.resources, alive.require, alive.placement.as_ref(), gang))
        },
        // `apply` has refused what is beyond the limits.
        priority: i16::try_from(alive.priority).unwrap_or(0),
        count: alive.count,
        max_attempts: u16::try_from(alive.max_attempts).unwrap_or(u16::MAX),
        submitted_ms: alive.submitted_ms,
        started_ms: 0,
        cancel_requested: false,
        untouched: alive.untouched,
        counts: Counts { queued: indexes.end.saturating_sub(indexes.start), ..Counts::default() },
        fresh: indexes,
        waiting: None,
        delayed: 0,
        apart_ready: 0,
        active: Default::default(),
        // What is no fingerprint is none.
        image: u16::try_from(alive.image).unwrap_or(0),
    }
}

/// What hot state needs of a spec, in this format. Whether the job is untouched is the caller's to say.
pub(super) fn alive_as_submitted(
    hot: &Hot,
    namespace: NamespaceId,
    spec: &JobSpec,
    submitted_ms: u64,
    replay_of: Option<TaskKey>,
    actor: &str,
) -> AliveRow {
    let image = if hot.version >= IMAGE_SINCE { image::fingerprint(&spec.pinned_image()).into() } else { 0 };
    AliveRow {
        namespace: namespace.0,
        resources: spec.resources,
        require: spec.require.clone(),
        priority: spec.priority,
        count: spec.count,
        max_attempts: spec.max_attempts,
        submitted_ms,
        untouched: false,
        retry: spec.retry.clone(),
        only_index: replay_of.map(|of| of.index),
        queue_timeout_ms: spec.queue_timeout_ms,
        image,
        workflow: 0,
        timeout_ms: if hot.version >= TIME_LIMITS_SINCE { spec.timeout_ms } else { 0 },
        gang: spec.gang,
        preemptible: spec.preemptible,
        placement: spec.placement.clone(),
        labels: spec.labels.clone(),
        actor: if hot.version >= USERS_SINCE { actor.to_owned() } else { String::new() },
    }
}

/// All of a submit waits, or nothing of it does.
pub(super) fn queue_has_room(
    hot: &Hot,
    namespace: Option<NamespaceId>,
    actor: &str,
    tasks: u32,
) -> Result<(), Refusal> {
    let tenant = namespace.and_then(|id| hot.tenants.get(id));
    match tenant.and_then(|tenant| tenant.queue_is_full_for(actor, tasks)) {
        Some(full) => Err(Refusal::QueueFull(full)),
        None => Ok(()),
    }
}

/// A name that is mistyped is told now, and not by each of the tasks. One that is removed later is told by them.
pub(super) fn secrets_are_there(out: &Out, namespace: Option<NamespaceId>, spec: &JobSpec) -> Result<(), Refusal> {
    let is_there = |name: &str| {
        let row = |ns| out.read::<SecretRow>(Family::Secret, &secret_key(ns, SecretKind::Value, name));
        namespace.and_then(row).is_some()
    };
    match spec.secrets.iter().find(|used| !is_there(&used.name)) {
        Some(used) => Err(Refusal::NoSuchSecret(used.name.clone())),
        None => Ok(()),
    }
}

/// The key of its row in the dead-letter queue, which must be there.
fn dead_row_of(out: &Out, namespace: Option<NamespaceId>, of: TaskKey) -> Result<[u8; 16], Refusal> {
    let task = TaskId { job: JobId(of.job), index: of.index };
    let key = namespace.map(|namespace| task_key(namespace, task)).ok_or(Refusal::NotDead(task))?;
    out.read::<DeadRow>(Family::Dead, &key).map(|_| key).ok_or(Refusal::NotDead(task))
}

/// The (first) job of an earlier submit with this request id, if it is still remembered.
pub(super) fn earlier_job(
    out: &Out,
    request_id: &str,
    request_hash: &[u8],
    is_workflow: bool,
) -> Result<Option<JobId>, Refusal> {
    if request_id.is_empty() {
        return Ok(None);
    }
    if let Err(e) = RequestId::check(request_id) {
        return Err(Refusal::InvalidValue(e.to_string()));
    }
    if request_hash.len() > limits::REQUEST_HASH_BYTES_MAX {
        return Err(Refusal::InvalidValue(format!("the request's hash has {} bytes", request_hash.len())));
    }
    match out.read::<RequestRow>(Family::Request, request_id.as_bytes()) {
        Some(row) if row.expires_ms > out.clock_ms => {
            if row.hash == request_hash && row.is_workflow == is_workflow {
                Ok(Some(JobId(row.job)))
            } else {
                Err(Refusal::RequestIdReused(request_id.to_owned()))
            }
        }
        Some(_) | None => Ok(None),
    }
}

/// `None`: there may be one of this name, and is not yet.
pub(super) fn known_namespace(hot: &Hot, name: &str) -> Result<Option<NamespaceId>, Refusal> {
    if let Some(id) = hot.namespaces.get(name) {
        return Ok(Some(*id));
    }
    check_name(name).map_err(|refusal| Refusal::InvalidNamespace(refusal.to_string()))?;
    if hot.namespaces.len() >= limits::NAMESPACES_MAX {
        return Err(Refusal::TooManyNamespaces(hot.namespaces.len()));
    }
    Ok(None)
}

pub(super) fn name_namespace(hot: &mut Hot, out: &mut Out, name: String) -> NamespaceId {
    let id = NamespaceId(hot.next_namespace);
    hot.next_namespace = hot.next_namespace.saturating_add(1);
    let tenant = Tenant::named(name.clone());
    out.put(Family::Namespace, &namespace_key(id), &tenant.row());
    hot.tenants.insert(id, tenant);
    hot.namespaces.insert(name, id);
    id
}
