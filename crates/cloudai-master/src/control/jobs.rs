//! Calls about jobs. Comes in: requests whose caller is admitted. Goes out: commands to the proposer, answers from rows.

use std::sync::Arc;

use cloudai_core::command::{CancelJob, Kind, SubmitJob, TaskKey};
use cloudai_core::reply::Refusal;
use cloudai_core::rows::{Family, JobRow, JobSpecRow, JobState, job_key};
use cloudai_core::{Command, Reply};
use cloudai_proto::convert::Submit;
use cloudai_proto::v1 as pb;
use cloudai_telemetry::TraceContext;
use cloudai_types::{Expression, JobId, NamespaceId, RequestId, TaskId, limits};
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;
use xxhash_rust::xxh3::Xxh3;

use super::dead::require_dead_letters;
use super::errors;
use super::pinning;
use super::reads::{page, summary};
use super::spec_format::require_format_of;
use super::workflows;
use crate::node::Node;
use crate::proposer::Outcome;
use crate::state_store::StateStore;

/// The command of a checked submit. The hash ties the request id to this very request.
fn submit_command(actor: &str, submit: Submit, replay_of: Option<TaskKey>) -> Command {
    let spec = submit.spec.into_inner();
    let mut hash = Xxh3::new();
    hash.update(submit.namespace.as_bytes());
    hash.update(&[0]);
    hash.update(&spec.encode_to_vec());
    if let Some(of) = replay_of {
        hash.update(&of.encode_to_vec());
    }
    let submit = SubmitJob {
        namespace: submit.namespace,
        request_id: submit.request_id.map(RequestId::into_string).unwrap_or_default(),
        request_hash: hash.digest128().to_be_bytes().to_vec(),
        spec,
        replay_of,
    };
    Command::new(actor, Kind::SubmitJob(submit))
}

fn submit_reply(outcome: Outcome) -> Result<pb::SubmitReply, Box<pb::ErrorInfo>> {
    match outcome {
        Ok((index, Reply::Submitted { job, duplicate })) => Ok(pb::SubmitReply { job_id: job.0, index, duplicate }),
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused_info(&refusal).into()),
        Ok((_, other)) => {
            Err(pb::ErrorInfo::new(pb::ErrorKind::Internal, "unexpected reply").why(format!("{other:?}")).into())
        }
        Err(error) => Err(errors::write_info(&error).into()),
    }
}

pub async fn submit<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    trace: Option<&TraceContext>,
    mut request: pb::SubmitRequest,
) -> Result<pb::SubmitReply, Status> {
    pinning::forget(&mut request);
    let submit = Submit::try_from(request).map_err(pb::ErrorInfo::into_status)?;
    require_format_of(node, submit.spec.get()).map_err(|e| e.into_status())?;
    propose_submit(node, trace, submit_command(actor, submit, None)).await
}

/// A dead task again with another spec: a new job that names it.
pub async fn submit_replay<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    trace: Option<&TraceContext>,
    request: pb::SubmitReplayRequest,
) -> Result<pb::SubmitReply, Status> {
    require_dead_letters(&node.shared.read().hot)?;
    let Some(of) = request.replay_of else {
        return Err(errors::invalid("no dead task is named that is to be replayed"));
    };
    let mut submit = request.submit.unwrap_or_default();
    pinning::forget(&mut submit);
    let submit = Submit::try_from(submit).map_err(pb::ErrorInfo::into_status)?;
    require_format_of(node, submit.spec.get()).map_err(|e| e.into_status())?;
    let replay_of = TaskKey { job: of.job_id, index: of.index };
    propose_submit(node, trace, submit_command(actor, submit, Some(replay_of))).await
}

async fn propose_submit<S: StateStore>(
    node: &Node<S>,
    trace: Option<&TraceContext>,
    mut command: Command,
) -> Result<pb::SubmitReply, Status> {
    if pinning::is_wanted(node, &command) {
        pinning::pin(node, &mut command).await.map_err(|error| error.into_status())?;
    }
    match node.propose_in(trace, command).await {
        Err(error) => Err(errors::write(&error)),
        outcome => submit_reply(outcome).map_err(|error| error.into_status()),
    }
}

/// A place for the answer is reserved before the next request is read: natural flow control, and an answer never waits.
pub fn submit_stream<S: StateStore>(
    node: Arc<Node<S>>,
    actor: String,
    mut requests: tonic::Streaming<pb::SubmitStreamRequest>,
) -> mpsc::Receiver<Result<pb::SubmitAck, Status>> {
    let (out, acks) = mpsc::channel(limits::STREAM_CALLS_MAX);
    tokio::spawn(async move {
        while let Ok(place) = out.clone().reserve_owned().await {
            let Ok(Some(pb::SubmitStreamRequest { tag, request })) = requests.message().await else { return };
            let ack = move |result: Result<pb::SubmitReply, Box<pb::ErrorInfo>>| {
                use pb::submit_ack::Outcome;
                let outcome = Some(result.map_or_else(|error| Outcome::Error(*error), Outcome::Reply));
                place.send(Ok(pb::SubmitAck { tag, outcome }));
            };
            let mut request = request.unwrap_or_default();
            pinning::forget(&mut request);
            let submit = Submit::try_from(request).map_err(Box::new).and_then(|submit| {
                require_format_of(&node, submit.spec.get())?;
                Ok(submit)
            });
            let mut command = match submit {
                Ok(submit) => submit_command(&actor, submit, None),
                Err(error) => {
                    ack(Err(error));
                    continue;
                }
            };
            if !pinning::is_wanted(&node, &command) {
                node.proposer.enqueue(command, move |outcome| ack(submit_reply(outcome))).await;
                continue;
            }
            // The requests behind it do not wait for its registry; as many are on their way as there are places.
            let node = node.clone();
            tokio::spawn(async move {
                match pinning::pin(&node, &mut command).await {
                    Ok(()) => node.proposer.enqueue(command, move |outcome| ack(submit_reply(outcome))).await,
                    Err(error) => ack(Err(error)),
                }
            });
        }
    });
    acks
}

pub async fn list<S: StateStore>(node: &Node<S>, request: pb::ListJobsRequest) -> Result<pb::ListJobsReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let limit = page(request.limit);
    let wanted: Vec<i32> = request.states.clone();
    let labelled = label_filter(&request.labels)?;
    let scan_max = if labelled.is_empty() { limits::PAGE_SCAN_MAX } else { limits::PAGE_SPECS_MAX };
    let before = JobId(if request.before == 0 { u64::MAX } else { request.before });
    let state = node.shared.read();
    read.index = state.index;
    let namespaces: Vec<NamespaceId> = match request.namespace.as_str() {
        "*" => state.hot.namespaces.values().copied().collect(),
        name => node.namespace(&state, name).into_iter().collect(),
    };
    let meets = |spec: &JobSpecRow| {
        let labels = &spec.spec.labels;
        !labels.is_empty() && labelled.iter().all(|expression| expression.is_met_by(labels))
    };
    // The newest of each namespace, then the newest of all. `reached` is how far down a scan came when it was cut short.
    let mut rows: Vec<(JobId, NamespaceId, JobRow)> = vec![];
    let mut reached = 0;
    for ns in namespaces {
        let (mut seen, mut taken) = (0, 0);
        let mut each = |key: &[u8], value: &[u8]| {
            let Some(job) = key.get(4..12).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes) else { return true };
            if taken > limit || seen > scan_max {
                reached = reached.max(job + 1);
                return false;
            }
            seen += 1;
            if let Ok(row) = JobRow::decode(value)
                && (wanted.is_empty() || wanted.contains(&row.state))
                && (labelled.is_empty() || node.job_rows(&state, ns, JobId(job)).is_ok_and(|(spec, _)| meets(&spec)))
            {
                taken += 1;
                rows.push((JobId(job), ns, row));
            }
            true
        };
        let (from, to) = (job_key(ns, JobId(0)), job_key(ns, before));
        node.shared.store().scan(Family::Job, &from, Some(&to), true, &mut each).map_err(|e| errors::internal(&e))?;
    }
    rows.sort_by_key(|(job, ..)| std::cmp::Reverse(*job));
    if rows.len() > limit {
        rows.truncate(limit);
        reached = rows.last().map_or(0, |(job, ..)| job.0);
    }
    let mut jobs = vec![];
    for (job, ns, row) in rows {
        let (spec, _) = node.job_rows(&state, ns, job)?;
        jobs.push(summary(&state.hot, state.index, ns, job, &spec, &row));
    }
    Ok(pb::ListJobsReply { read: Some(read), jobs, next_before: reached })
}

/// What the labels of a listed job are to meet.
fn label_filter(texts: &[String]) -> Result<Vec<Expression>, Status> {
    if texts.len() > limits::PLACEMENT_RULES_MAX {
        let (count, most) = (texts.len(), limits::PLACEMENT_RULES_MAX);
        return Err(errors::invalid(format!("labels: has {count} entries; {most} are allowed")));
    }
    let parsed = texts.iter().map(|text| text.parse::<Expression>());
    parsed.map(|expression| expression.map_err(|e| errors::invalid(format!("labels: {e}")))).collect()
}

pub async fn get<S: StateStore>(node: &Node<S>, request: pb::GetJobRequest) -> Result<pb::GetJobReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let (ns, job) = node.find_job(&state, &request.namespace, &request.job)?;
    let (spec, row) = node.job_rows(&state, ns, job)?;
    let summary = summary(&state.hot, state.index, ns, job, &spec, &row);
    let waits_for = workflows::waits_for(node, &state, ns, job, spec.workflow)?;
    let (mut tasks, mut next_index) = (vec![], 0);
    if request.with_tasks {
        let indexes = spec.indexes();
        let from = request.from_index.max(indexes.start);
        let end = from.saturating_add(page(request.limit) as u32).min(indexes.end);
        for index in from..end {
            tasks.push(node.task(&state, ns, TaskId { job, index })?);
        }
        next_index = if end < indexes.end { end } else { 0 };
    }
    let (trace_id, trace_link) = node.traces.shown(&spec.trace_parent);
    Ok(pb::GetJobReply {
        read: Some(read),
        job: Some(summary),
        spec: Some(spec.spec),
        actor: spec.actor,
        request_id: spec.request_id,
        tasks,
        next_index,
        replay_of: spec.replay_of.map(|of| pb::TaskKey { job_id: of.job, index: of.index }),
        waits_for,
        trace_id,
        trace_link,
    })
}

/// The job now, then after each change, until it has ended. Served from this master's own state: it survives a change of leader.
pub async fn wait<S: StateStore>(
    node: Arc<Node<S>>,
    request: pb::WaitJobRequest,
) -> Result<mpsc::Receiver<Result<pb::JobSummary, Status>>, Status> {
    node.read_point(pb::Consistency::Linearizable).await?;
    let (ns, job) = node.find_job(&node.shared.read(), &request.namespace, &request.job)?;
    let (out, summaries) = mpsc::channel(4);
    tokio::spawn(async move {
        // Registered before the first look, so that no change falls between.
        let watch = node.hub.watch_job(job);
        loop {
            let summary = node.summary(&node.shared.read(), ns, job);
            let is_last = summary.as_ref().map_or(true, |s| s.state().is_ended());
            if out.send(summary).await.is_err() || is_last {
                return;
            }
            tokio::select! {
                () = watch.changed() => {}
                () = out.closed() => return,
            }
        }
    });
    Ok(summaries)
}

pub async fn cancel<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::CancelJobRequest,
) -> Result<pb::CancelJobReply, Status> {
    let found = node.find_job(&node.shared.read(), &request.namespace, &request.job);
    let (ns, job) = match found {
        Ok(found) => found,
        // Not to be said yet: a leader that stood still may have been replaced meanwhile and not know it, nor the newest jobs.
        Err(_) => {
            node.read_point(pb::Consistency::Linearizable).await?;
            node.find_job(&node.shared.read(), &request.namespace, &request.job)?
        }
    };
    let cancel = Kind::CancelJob(CancelJob { job: job.0 });
    match node.proposer.propose(Command::new(actor, cancel)).await {
        Ok((index, Reply::CancelRequested { job, stopping })) => {
            Ok(pb::CancelJobReply { job_id: job.0, index, stopping, already_ended: false })
        }
        Ok((index, Reply::Refused(Refusal::NoSuchJob(_)))) => {
            // It is no longer alive: it ended, or was never there.
            let (_, row) = node.job_rows(&node.shared.read(), ns, job)?;
            debug_assert!(JobState::try_from(row.state).is_ok_and(JobState::is_ended));
            Ok(pb::CancelJobReply { job_id: job.0, index, stopping: 0, already_ended: true })
        }
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

pub async fn list_tasks<S: StateStore>(
    node: &Node<S>,
    request: pb::ListTasksRequest,
) -> Result<pb::ListTasksReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let (ns, job) = node.find_job(&state, &request.namespace, &request.job)?;
    let (spec, _) = node.job_rows(&state, ns, job)?;
    let indexes = spec.indexes();
    let limit = page(request.limit);
    let mut tasks = vec![];
    let mut index = request.from_index.max(indexes.start);
    let stop = index.saturating_add(limits::PAGE_SCAN_MAX as u32).min(indexes.end);
    while index < stop && tasks.len() < limit {
        let task = node.task(&state, ns, TaskId { job, index })?;
        if request.states.is_empty() || request.states.contains(&task.state) {
            tasks.push(task);
        }
        index += 1;
    }
    Ok(pb::ListTasksReply { read: Some(read), tasks, next_index: if index < indexes.end { index } else { 0 } })
}

pub async fn get_task<S: StateStore>(node: &Node<S>, request: pb::GetTaskRequest) -> Result<pb::GetTaskReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let (ns, job) = node.find_job(&state, &request.namespace, &request.job)?;
    let summary = node.summary(&state, ns, job)?;
    let task = TaskId { job, index: request.index };
    require_index(task, &summary)?;
    let waits_for = workflows::waits_for(node, &state, ns, job, summary.workflow_id)?;
    let task = Some(node.task(&state, ns, task)?);
    let (trace_id, trace_link) = node.traces.shown(&node.job_rows(&state, ns, job)?.0.trace_parent);
    Ok(pb::GetTaskReply { read: Some(read), task, job: Some(summary), waits_for, trace_id, trace_link })
}

pub fn require_index(task: TaskId, job: &pb::JobSummary) -> Result<(), Status> {
    let end = job.first_index.saturating_add(job.count);
    if (job.first_index..end).contains(&task.index) {
        return Ok(());
    }
    if job.first_index > 0 {
        let what =
            format!("job {} has one task, {}/{}, so there is no task {task}", task.job, task.job, job.first_index);
        return Err(errors::not_found(what, "it replays a dead task, and keeps that one's index"));
    }
    let what = format!("job {} has {} tasks, so there is no task {task}", task.job, job.count);
    Err(errors::not_found(what, "indexes count from 0"))
}
