//! Calls about workflows. Comes in: requests whose caller is admitted. Goes out: commands to the proposer, answers from rows. Who waits for whom, and
//! what an end leads to, `apply` decides.

use std::collections::BTreeMap;

use cloudai_core::command::{CancelWorkflow, Kind, RetryWorkflow, SubmitWorkflow, WORKFLOWS_SINCE};
use cloudai_core::rows::{Family, JobRow, JobState, WaitsForRow, WorkflowNodesRow, WorkflowRow, job_key, workflow_key};
use cloudai_core::{Command, Hot, Reply};
use cloudai_proto::convert::DEFAULT_NAMESPACE;
use cloudai_proto::v1 as pb;
use cloudai_telemetry::TraceContext;
use cloudai_types::workflow::Outcome;
use cloudai_types::{JobId, NamespaceId, RequestId, ValidWorkflow, WorkflowId, WorkflowSpec, ids, limits, spec};
use prost::Message;
use tonic::Status;
use xxhash_rust::xxh3::Xxh3;

use super::reads::{counts, page};
use super::spec_format::require_format_of;
use super::{errors, pinning};
use crate::machine::State;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn submit<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    trace: Option<&TraceContext>,
    request: pb::SubmitWorkflowRequest,
) -> Result<pb::SubmitWorkflowReply, Status> {
    require_workflows(&node.shared.read().hot)?;
    let mut submit = checked(request).map_err(|e| e.into_status())?;
    for n in &submit.workflow.nodes {
        require_format_of(node, &n.spec).map_err(|e| e.into_status())?;
    }
    pinning::pin_workflow(node, &mut submit).await.map_err(|e| e.into_status())?;
    match node.propose_in(trace, Command::new(actor, Kind::SubmitWorkflow(submit))).await {
        Ok((index, Reply::WorkflowSubmitted { workflow, jobs, duplicate })) => {
            Ok(pb::SubmitWorkflowReply { workflow_id: workflow.0, index, duplicate, jobs })
        }
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

/// The command of a request that is in order. The hash ties the request id to this very request.
fn checked(request: pb::SubmitWorkflowRequest) -> Result<SubmitWorkflow, Box<pb::ErrorInfo>> {
    let invalid = |why: String| pb::ErrorInfo::new(pb::ErrorKind::Invalid, "the workflow was not accepted").why(why);
    let request_id = match request.request_id.as_str() {
        "" => String::new(),
        text => text.parse::<RequestId>().map_err(|e| invalid(e.to_string()))?.into_string(),
    };
    let namespace = if request.namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { request.namespace };
    spec::check_name(&namespace).map_err(|why| invalid(format!("the namespace {why}")))?;
    let mut workflow = request.workflow.unwrap_or_default();
    // A digest is never the user's to say, and no part of what makes two requests the same.
    workflow.nodes.iter_mut().for_each(|n| n.spec.image_digest.clear());
    ValidWorkflow::parse(workflow.clone()).map_err(|e| {
        invalid(e.to_string()).next("correct it; `cloudai workflow validate -f FILE` checks it without submitting")
    })?;
    let request_hash = hash(&namespace, &workflow);
    Ok(SubmitWorkflow { namespace, request_id, request_hash, workflow })
}

fn hash(namespace: &str, workflow: &WorkflowSpec) -> Vec<u8> {
    let mut hash = Xxh3::new();
    hash.update(b"workflow\0");
    hash.update(namespace.as_bytes());
    hash.update(&[0]);
    hash.update(&workflow.encode_to_vec());
    hash.digest128().to_be_bytes().to_vec()
}

/// The commands are of a newer format: masters of an older build would stop at them.
fn require_workflows(hot: &Hot) -> Result<(), Status> {
    if hot.version >= WORKFLOWS_SINCE {
        return Ok(());
    }
    let why = format!("it uses format {} of the log, and workflows need {WORKFLOWS_SINCE}", hot.version);
    let next = "a cluster that has just started is ready in a moment: submit again; otherwise upgrade every master";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, "the cluster has no workflows yet")
        .why(why)
        .next(next)
        .into_status())
}

pub async fn list<S: StateStore>(
    node: &Node<S>,
    request: pb::ListWorkflowsRequest,
) -> Result<pb::ListWorkflowsReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let limit = page(request.limit);
    let before = WorkflowId(if request.before == 0 { u64::MAX } else { request.before });
    let state = node.shared.read();
    read.index = state.index;
    let namespaces: Vec<NamespaceId> = match request.namespace.as_str() {
        "*" => state.hot.namespaces.values().copied().collect(),
        name => node.namespace(&state, name).into_iter().collect(),
    };
    let mut found: Vec<(WorkflowId, NamespaceId, WorkflowRow)> = vec![];
    for ns in namespaces {
        let mut taken = 0;
        let mut each = |key: &[u8], value: &[u8]| {
            if let (Some(id), Ok(row)) = (workflow_of_key(key), WorkflowRow::decode(value)) {
                found.push((id, ns, row));
                taken += 1;
            }
            taken <= limit
        };
        let (from, to) = (workflow_key(ns, WorkflowId(0)), workflow_key(ns, before));
        let store = node.shared.store();
        store.scan(Family::Workflow, &from, Some(&to), true, &mut each).map_err(|e| errors::internal(&e))?;
    }
    found.sort_by_key(|(id, ..)| std::cmp::Reverse(*id));
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_before = if has_more { found.last().map_or(0, |(id, ..)| id.0) } else { 0 };
    let workflows = found.into_iter().map(|(id, ns, row)| summary(&state.hot, ns, id, row)).collect();
    Ok(pb::ListWorkflowsReply { read: Some(read), workflows, next_before })
}

pub async fn get<S: StateStore>(
    node: &Node<S>,
    request: pb::GetWorkflowRequest,
) -> Result<pb::GetWorkflowReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let (ns, id, row) = find(node, &state, &request.namespace, &request.workflow)?;
    let mut jobs = vec![];
    if request.with_jobs {
        let nodes = nodes(node, &state, ns, id)?;
        let mut states = BTreeMap::new();
        for (place, n) in nodes.nodes.iter().enumerate() {
            let job_id = WorkflowNodesRow::job(id, place);
            let row = job_row(node, &state, ns, job_id)?;
            states.insert(place as u32, row.state);
            // Each comes after those that it waits for.
            let state_of = |of: u32| states.get(&of).copied().unwrap_or_default();
            let waits_for = n.waits_for.iter().map(|edge| waits_for_one(&nodes, id, edge, state_of(edge.node)));
            jobs.push(pb::WorkflowJob {
                node: n.name.clone(),
                job_id: job_id.0,
                state: row.state,
                counts: Some(counts(&row)),
                cancel_requested: row.cancel_requested,
                skipped: row.ended_ms > 0 && row.outcome() == Outcome::Skipped,
                why: row.unmet.map(|unmet| unmet.text()).unwrap_or_default(),
                started_ms: row.started_ms,
                ended_ms: row.ended_ms,
                waits_for: waits_for.collect(),
            });
        }
    }
    Ok(pb::GetWorkflowReply { read: Some(read), workflow: Some(summary(&state.hot, ns, id, row)), jobs })
}

/// Whom a job waits for in its workflow (0: it is of none), met or not.
pub fn waits_for<S: StateStore>(
    node: &Node<S>,
    state: &State,
    ns: NamespaceId,
    job: JobId,
    workflow: u64,
) -> Result<Vec<pb::WaitsFor>, Status> {
    if workflow == 0 {
        return Ok(vec![]);
    }
    let id = WorkflowId(workflow);
    let nodes = nodes(node, state, ns, id)?;
    let place = usize::try_from(job.0.saturating_sub(workflow)).unwrap_or(usize::MAX);
    let edges = nodes.nodes.get(place).map_or(vec![], |n| n.waits_for.clone());
    let one = |edge: &WaitsForRow| {
        let parent = job_row(node, state, ns, WorkflowNodesRow::job(id, edge.node as usize))?;
        Ok(waits_for_one(&nodes, id, edge, parent.state))
    };
    edges.iter().map(one).collect()
}

fn waits_for_one(nodes: &WorkflowNodesRow, id: WorkflowId, edge: &WaitsForRow, state: i32) -> pb::WaitsFor {
    let place = edge.node as usize;
    pb::WaitsFor {
        node: nodes.nodes.get(place).map(|n| n.name.clone()).unwrap_or_default(),
        job_id: WorkflowNodesRow::job(id, place).0,
        on: edge.on,
        each: edge.each,
        state,
    }
}

/// Empty where the workflow is about to leave.
fn nodes<S: StateStore>(
    node: &Node<S>,
    state: &State,
    ns: NamespaceId,
    id: WorkflowId,
) -> Result<WorkflowNodesRow, Status> {
    let row = node.shared.row(state, Family::WorkflowNodes, &workflow_key(ns, id));
    Ok(row.map_err(|e| errors::internal(&e))?.unwrap_or_default())
}

fn job_row<S: StateStore>(node: &Node<S>, state: &State, ns: NamespaceId, job: JobId) -> Result<JobRow, Status> {
    let row = node.shared.row(state, Family::Job, &job_key(ns, job));
    Ok(row.map_err(|e| errors::internal(&e))?.unwrap_or_default())
}

pub async fn cancel<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::CancelWorkflowRequest,
) -> Result<pb::CancelWorkflowReply, Status> {
    let (ns, id) = confirmed(node, &request.namespace, &request.workflow).await?;
    let cancel = CancelWorkflow { namespace: ns.0, workflow: id.0 };
    match node.proposer.propose(Command::new(actor, Kind::CancelWorkflow(cancel))).await {
        Ok((index, Reply::WorkflowCancelRequested { workflow, stopping })) => {
            Ok(pb::CancelWorkflowReply { workflow_id: workflow.0, index, stopping })
        }
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

pub async fn retry<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::RetryWorkflowRequest,
) -> Result<pb::RetryWorkflowReply, Status> {
    let (ns, id) = confirmed(node, &request.namespace, &request.workflow).await?;
    not_leaving(node, ns, id)?;
    let retry = RetryWorkflow { namespace: ns.0, workflow: id.0, from: request.from };
    match node.proposer.propose(Command::new(actor, Kind::RetryWorkflow(retry))).await {
        Ok((index, Reply::WorkflowRetried { jobs, tasks })) => {
            Ok(pb::RetryWorkflowReply { workflow_id: id.0, index, jobs, tasks })
        }
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

/// As of a confirmed read: a leader that stood still may have been replaced meanwhile and not know it, nor the newest workflows.
async fn confirmed<S: StateStore>(
    node: &Node<S>,
    namespace: &str,
    text: &str,
) -> Result<(NamespaceId, WorkflowId), Status> {
    node.read_point(pb::Consistency::Linearizable).await?;
    let state = node.shared.read();
    require_workflows(&state.hot)?;
    find(node, &state, namespace, text).map(|(ns, id, _)| (ns, id))
}

/// This leader may be removing the results of an old workflow at this moment.
fn not_leaving<S: StateStore>(node: &Node<S>, ns: NamespaceId, id: WorkflowId) -> Result<(), Status> {
    let keep_ms = node.config.job_retention_secs.saturating_mul(1_000);
    let now_ms = node.now_ms();
    let state = node.shared.read();
    let row: Option<WorkflowRow> =
        node.shared.row(&state, Family::Workflow, &workflow_key(ns, id)).map_err(|e| errors::internal(&e))?;
    if row.is_some_and(|row| super::dead::is_leaving(row.ended_ms, now_ms, keep_ms)) {
        let what = format!("workflow {id} is about to leave: its retention is over");
        return Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, what).next("submit it again").into_status());
    }
    Ok(())
}

/// A workflow by its id or by a beginning that only one has.
fn find<S: StateStore>(
    node: &Node<S>,
    state: &State,
    namespace: &str,
    text: &str,
) -> Result<(NamespaceId, WorkflowId, WorkflowRow), Status> {
    let shown = if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace };
    let unknown = || {
        let what = format!("there is no workflow '{text}' in namespace '{shown}'");
        errors::not_found(what, "list them with `cloudai workflow list`")
    };
    let ns = node.namespace(state, namespace).ok_or_else(unknown)?;
    let prefix = text.to_ascii_lowercase();
    if let Ok(id) = prefix.parse::<WorkflowId>() {
        let row = node.shared.row(state, Family::Workflow, &workflow_key(ns, id)).map_err(|e| errors::internal(&e))?;
        return row.map(|row| (ns, id, row)).ok_or_else(unknown);
    }
    if prefix.strip_prefix(ids::WORKFLOW_PREFIX).unwrap_or(&prefix).is_empty() {
        return Err(unknown());
    }
    let (mut found, mut seen) = (vec![], 0);
    let mut each = |key: &[u8], value: &[u8]| {
        if let (Some(id), Ok(row)) = (workflow_of_key(key), WorkflowRow::decode(value))
            && id.has_prefix(&prefix)
        {
            found.push((ns, id, row));
        }
        seen += 1;
        seen < limits::PAGE_SCAN_MAX && found.len() <= limits::PREFIX_CANDIDATES_MAX
    };
    let (from, to) = (workflow_key(ns, WorkflowId(0)), workflow_key(ns, WorkflowId(u64::MAX)));
    let store = node.shared.store();
    store.scan(Family::Workflow, &from, Some(&to), true, &mut each).map_err(|e| errors::internal(&e))?;
    match found.len() {
        0 => Err(unknown()),
        1 => Ok(found.remove(0)),
        _ => Err(pb::ErrorInfo::new(pb::ErrorKind::Ambiguous, format!("several workflows begin with '{text}'"))
            .next("give more characters of the id")
            .with_candidates(found.iter().map(|(_, id, _)| id.to_string()).collect())
            .into_status()),
    }
}

fn workflow_of_key(key: &[u8]) -> Option<WorkflowId> {
    key.get(4..12).and_then(|bytes| bytes.try_into().ok()).map(|bytes| WorkflowId(u64::from_be_bytes(bytes)))
}

fn summary(hot: &Hot, ns: NamespaceId, id: WorkflowId, row: WorkflowRow) -> pb::WorkflowSummary {
    let namespace = hot.namespaces.iter().find(|(_, of)| **of == ns).map(|(name, _)| name.clone()).unwrap_or_default();
    let state = match (row.ended_ms, row.ended.failed, row.ended.cancelled) {
        (0, ..) => JobState::Running,
        (_, 0, 0) => JobState::Succeeded,
        (_, 0, _) => JobState::Cancelled,
        (..) => JobState::Failed,
    };
    pb::WorkflowSummary {
        id: id.0,
        name: row.name,
        namespace,
        state: state as i32,
        jobs: row.jobs,
        succeeded: row.ended.succeeded,
        failed: row.ended.failed,
        cancelled: row.ended.cancelled,
        skipped: row.ended.skipped,
        submitted_ms: row.submitted_ms,
        ended_ms: row.ended_ms,
        actor: row.actor,
        request_id: row.request_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_core::rows::EndedJobs;
    use cloudai_types::{JobSpec, WorkflowNode};

    #[test]
    fn a_workflow_is_checked_once_and_its_hash_is_its_own() {
        let spec = JobSpec { image: "busybox".into(), image_digest: "sha256:forged".into(), ..JobSpec::default() };
        let nodes = vec![WorkflowNode { name: "a".into(), spec, depends_on: vec![] }];
        let workflow = Some(WorkflowSpec { name: "w".into(), nodes });
        let ok = pb::SubmitWorkflowRequest { request_id: "k".into(), namespace: String::new(), workflow };
        let submit = checked(ok.clone()).expect("valid");
        assert_eq!((submit.namespace.as_str(), submit.request_hash.len()), ("default", 16));
        assert_eq!(submit.workflow.nodes[0].spec.image_digest, "", "nobody says what a tag means");
        let other = checked(pb::SubmitWorkflowRequest { namespace: "x".into(), ..ok.clone() }).expect("valid");
        assert_ne!(submit.request_hash, other.request_hash);
        for bad in [
            pb::SubmitWorkflowRequest { workflow: None, ..ok.clone() },
            pb::SubmitWorkflowRequest { request_id: "a b".into(), ..ok.clone() },
            pb::SubmitWorkflowRequest { namespace: "a/b".into(), ..ok },
        ] {
            assert_eq!(checked(bad).expect_err("refused").kind(), pb::ErrorKind::Invalid);
        }
    }

    #[test]
    fn who_never_had_to_run_fails_nothing() {
        let state = |succeeded, failed, cancelled, skipped, ended_ms| {
            let row = WorkflowRow {
                ended: EndedJobs { succeeded, failed, cancelled, skipped },
                ended_ms,
                ..WorkflowRow::default()
            };
            summary(&Hot::default(), NamespaceId(1), WorkflowId(1), row).state()
        };
        assert_eq!(state(1, 1, 0, 0, 0), pb::JobState::Running, "some live");
        assert_eq!(state(1, 0, 0, 2, 9), pb::JobState::Succeeded);
        assert_eq!(state(1, 0, 1, 0, 9), pb::JobState::Cancelled);
        assert_eq!(state(1, 1, 1, 0, 9), pb::JobState::Failed);
    }

    #[test]
    fn an_older_format_has_no_workflows_yet() {
        let hot = Hot { version: WORKFLOWS_SINCE - 1, ..Hot::default() };
        let status = require_workflows(&hot).unwrap_err();
        assert!(status.message().contains("no workflows yet"), "{status}");
        assert!(require_workflows(&Hot { version: WORKFLOWS_SINCE, ..hot }).is_ok());
    }
}
