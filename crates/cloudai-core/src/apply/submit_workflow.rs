//! A user's workflow becomes live: all of its jobs, or none. With a request id it happens at most once (I6).

use cloudai_types::{JobId, NamespaceId, ValidWorkflow, WorkflowId, limits};

use super::cut;
use super::out::Out;
use super::spec_of_format;
use super::submit_job::{
    alive_as_submitted, earlier_job, known_namespace, name_namespace, new_job, queue_has_room, secrets_are_there,
};
use crate::bits::Bits;
use crate::command::SubmitWorkflow;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{
    AliveRow, EndedJobs, Family, JobSpecRow, RequestRow, WaitsForRow, WorkflowNodeRow, WorkflowNodesRow, WorkflowRow,
    alive_key, job_key, workflow_key,
};
use crate::workflows::Hold;

pub fn submit_workflow(hot: &mut Hot, out: &mut Out, actor: String, command: SubmitWorkflow) -> Result<Reply, Refusal> {
    let actor = cut(actor);
    let SubmitWorkflow { namespace, request_id, request_hash, mut workflow } = command;
    let known = known_namespace(hot, &namespace)?;
    if let Some(first) = earlier_job(out, &request_id, &request_hash, true)? {
        let workflow = WorkflowId(first.0);
        let jobs = known.and_then(|ns| out.read::<WorkflowRow>(Family::Workflow, &workflow_key(ns, workflow)));
        return Ok(Reply::WorkflowSubmitted { workflow, jobs: jobs.map_or(0, |row| row.jobs), duplicate: true });
    }
    for node in &mut workflow.nodes {
        spec_of_format::keep(&mut node.spec, hot.version);
        // Whatever a user says: a job reads and writes the results of its own namespace.
        node.spec.namespace = if node.spec.needs_namespace() { namespace.clone() } else { String::new() };
    }
    let valid = ValidWorkflow::parse(workflow).map_err(|e| Refusal::InvalidWorkflow(cut(e.to_string())))?;
    if hot.jobs.len().saturating_add(valid.nodes.len()) > limits::LIVE_JOBS_MAX {
        return Err(Refusal::TooMany(hot.jobs.len()));
    }
    for node in &valid.nodes {
        secrets_are_there(out, known, node.spec())?;
    }
    queue_has_room(hot, known, &actor, valid.nodes.iter().fold(0, |sum, node| sum.saturating_add(node.spec().count)))?;

    let namespace = known.unwrap_or_else(|| name_namespace(hot, out, namespace));
    let (jobs, first) = (valid.nodes.len() as u32, JobId(hot.next_job));
    hot.next_job = hot.next_job.saturating_add(u64::from(jobs));
    let workflow = WorkflowId(first.0);
    if !request_id.is_empty() {
        let expires_ms = out.clock_ms.saturating_add(limits::REQUEST_RETENTION.0);
        let row = RequestRow { hash: request_hash, job: first.0, expires_ms, is_workflow: true };
        out.put(Family::Request, request_id.as_bytes(), &row);
    }
    put_rows(out, namespace, workflow, &valid, actor.clone(), request_id);
    for (place, spec) in valid.specs(first).enumerate() {
        let (id, node) = (WorkflowNodesRow::job(workflow, place), &valid.nodes[place]);
        for edge in &node.waits_for {
            let parent = WorkflowNodesRow::job(workflow, edge.node);
            let met = edge.each.then(|| Bits::new(spec.count));
            hot.workflows.hold(id, parent, Hold { on: edge.on, met });
            out.hold_changed(id, parent);
        }
        if node.waits_for.iter().any(|edge| edge.each) {
            hot.workflows.settle_one_by_one(id, Bits::new(spec.count));
            out.gate_changed(id);
        }
        // A start has to read how far a job has come that waits for others.
        let (untouched, submitted_ms) = (node.waits_for.is_empty(), out.clock_ms);
        let alive = alive_as_submitted(hot, namespace, &spec, submitted_ms, None, &actor);
        let alive = AliveRow { untouched, workflow: workflow.0, ..alive };
        out.put(Family::Alive, &alive_key(id), &alive);
        let row = JobSpecRow {
            spec,
            submitted_ms,
            actor: actor.clone(),
            workflow: workflow.0,
            node: node.name.clone(),
            trace_parent: out.trace_parent(hot),
            ..JobSpecRow::default()
        };
        out.put(Family::JobSpec, &job_key(namespace, id), &row);
        let job = new_job(hot, id, alive);
        if job.has_ready() {
            hot.queue.insert(&job, job.shape, id);
        }
        hot.backlog.moved(job.priority, job.shape, i64::from(job.counts.queued), 0);
        // Blocked ones as well.
        hot.tenants.waits(job.namespace, job.user, job.count.into());
        let tasks = job.count;
        hot.jobs.insert(id, job);
        out.job_submitted(namespace, id, tasks);
        if !node.waits_for.is_empty() {
            out.news(News::of_job(namespace, id, What::Blocked));
        }
    }
    Ok(Reply::WorkflowSubmitted { workflow, jobs, duplicate: false })
}

fn put_rows(
    out: &mut Out,
    namespace: NamespaceId,
    workflow: WorkflowId,
    valid: &ValidWorkflow,
    actor: String,
    request_id: String,
) {
    let nodes = valid.nodes.iter().map(|node| WorkflowNodeRow {
        name: node.name.clone(),
        waits_for: node
            .waits_for
            .iter()
            .map(|edge| WaitsForRow { node: edge.node as u32, on: edge.on as i32, each: edge.each })
            .collect(),
    });
    let key = workflow_key(namespace, workflow);
    out.put(Family::WorkflowNodes, &key, &WorkflowNodesRow { nodes: nodes.collect() });
    let row = WorkflowRow {
        name: valid.name.clone(),
        submitted_ms: out.clock_ms,
        actor,
        request_id,
        jobs: valid.nodes.len() as u32,
        ended: EndedJobs::default(),
        ended_ms: 0,
    };
    out.put(Family::Workflow, &key, &row);
}
