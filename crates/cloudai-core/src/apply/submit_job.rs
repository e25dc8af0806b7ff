//! A user's job becomes live: one command for one task or a million. With a request id it happens at most once (I6).

use cloudai_types::{JobId, NamespaceId, RequestId, ValidJobSpec, limits};

use super::out::Out;
use super::{check_name, cut};
use crate::command::{PROCESSES_MAX_SINCE, RESULTS_SINCE, SubmitJob, UNTOUCHED_SINCE};
use crate::hot::{Hot, Job, Shape};
use crate::reply::{Refusal, Reply};
use crate::rows::{AliveRow, Counts, Family, JobSpecRow, NamespaceRow, RequestRow, alive_key, job_key, namespace_key};

pub fn submit_job(hot: &mut Hot, out: &mut Out, actor: String, command: SubmitJob) -> Result<Reply, Refusal> {
    let SubmitJob { namespace, request_id, request_hash, mut spec } = command;
    if hot.version < PROCESSES_MAX_SINCE {
        // Masters of an older build do not see it, so neither does anybody: also not to refuse a bad one.
        spec.processes_max = 0;
    }
    if hot.version < RESULTS_SINCE {
        spec.results = false;
        spec.inputs.clear();
    }
    // Whatever a user says: a job reads and writes the results of its own namespace.
    spec.namespace = if spec.needs_store() { namespace.clone() } else { String::new() };
    let known = hot.namespaces.get(&namespace).copied();
    if known.is_none() {
        check_name(&namespace).map_err(|refusal| Refusal::InvalidNamespace(refusal.to_string()))?;
        if hot.namespaces.len() >= limits::NAMESPACES_MAX {
            return Err(Refusal::TooManyNamespaces(hot.namespaces.len()));
        }
    }
    if let Some(job) = earlier_job(out, &request_id, &request_hash)? {
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

    let namespace = known.unwrap_or_else(|| name_namespace(hot, out, namespace));
    let id = JobId(hot.next_job);
    hot.next_job = hot.next_job.saturating_add(1);
    if !request_id.is_empty() {
        let expires_ms = out.clock_ms.saturating_add(limits::REQUEST_RETENTION.0);
        out.put(Family::Request, request_id.as_bytes(), &RequestRow { hash: request_hash, job: id.0, expires_ms });
    }
    let submitted_ms = out.clock_ms;
    let alive = AliveRow {
        namespace: namespace.0,
        resources: spec.resources,
        require: spec.require.clone(),
        priority: spec.priority,
        count: spec.count,
        max_attempts: spec.max_attempts,
        submitted_ms,
        untouched: hot.version >= UNTOUCHED_SINCE,
    };
    out.put(Family::Alive, &alive_key(id), &alive);
    out.put(Family::JobSpec, &job_key(namespace, id), &JobSpecRow { spec, submitted_ms, actor, request_id });
    let job = new_job(hot, alive);
    hot.queue.insert(job.priority, job.shape, id);
    hot.backlog.moved(job.priority, job.shape, i64::from(job.counts.queued), 0);
    hot.jobs.insert(id, job);
    out.job_submitted(id);
    Ok(Reply::Submitted { job: id, duplicate: false })
}

/// A job as it is before its first placement. `load` begins with the same.
pub(crate) fn new_job(hot: &mut Hot, alive: AliveRow) -> Job {
    Job {
        namespace: NamespaceId(alive.namespace),
        shape: hot.shapes.intern(Shape::new(alive.resources, alive.require)),
        priority: alive.priority,
        count: alive.count,
        max_attempts: alive.max_attempts,
        submitted_ms: alive.submitted_ms,
        started_ms: 0,
        cancel_requested: false,
        untouched: alive.untouched,
        counts: Counts { queued: alive.count, ..Counts::default() },
        fresh: 0..alive.count,
        waiting: None,
        delayed: 0,
        active: Default::default(),
    }
}

/// The job of an earlier submit with this request id, if it is still remembered.
fn earlier_job(out: &Out, request_id: &str, request_hash: &[u8]) -> Result<Option<JobId>, Refusal> {
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
            if row.hash == request_hash {
                Ok(Some(JobId(row.job)))
            } else {
                Err(Refusal::RequestIdReused(request_id.to_owned()))
            }
        }
        Some(_) | None => Ok(None),
    }
}

fn name_namespace(hot: &mut Hot, out: &mut Out, name: String) -> NamespaceId {
    let id = NamespaceId(hot.next_namespace);
    hot.next_namespace = hot.next_namespace.saturating_add(1);
    out.put(Family::Namespace, &namespace_key(id), &NamespaceRow { name: name.clone() });
    hot.namespaces.insert(name, id);
    id
}
