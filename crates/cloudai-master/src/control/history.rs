//! What happened to a task, or to a job as a whole. Comes in: requests whose caller is admitted. Goes out: the list that their rows make, page by page.

use cloudai_core::history::{Dated, JobPast, TaskPast, of_job, of_task};
use cloudai_core::rows::{AttemptRow, Family, JobNotesRow, TaskRow, WaitingRow, job_key, task_key};
use cloudai_proto::v1 as pb;
use cloudai_types::TaskId;
use tonic::Status;

use super::jobs::require_index;
use super::reads::{page, summary};
use super::{errors, events, workflows};
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn get<S: StateStore>(node: &Node<S>, request: pb::GetHistoryRequest) -> Result<pb::GetHistoryReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let (ns, job) = node.find_job(&state, &request.namespace, &request.job)?;
    let (spec, row) = node.job_rows(&state, ns, job)?;
    let notes: Option<JobNotesRow> =
        node.shared.row(&state, Family::JobNotes, &job_key(ns, job)).map_err(|e| errors::internal(&e))?;
    let waits_for = workflows::waits_for(node, &state, ns, job, spec.workflow)?;
    let past = JobPast {
        namespace: ns,
        job,
        spec: &spec,
        row: &row,
        notes: &notes.unwrap_or_default(),
        waits_for_others: !waits_for.is_empty(),
        one_by_one: waits_for.iter().any(|edge| edge.each),
    };
    let story = match request.index {
        None => of_job(&past),
        Some(index) => {
            let task = TaskId { job, index };
            require_index(task, &summary(&state.hot, state.index, ns, job, &spec, &row))?;
            let key = task_key(ns, task);
            let ended: Option<TaskRow> =
                node.shared.row(&state, Family::Task, &key).map_err(|e| errors::internal(&e))?;
            let waiting: Option<WaitingRow> =
                node.shared.row(&state, Family::Waiting, &key).map_err(|e| errors::internal(&e))?;
            let attempt: Option<AttemptRow> =
                node.shared.row(&state, Family::Attempt, &key).map_err(|e| errors::internal(&e))?;
            let own = TaskPast { task: ended.as_ref(), waiting: waiting.as_ref(), attempt: attempt.as_ref() };
            of_task(&past, index, &own)
        }
    };
    let (from, limit) = (request.from as usize, page(request.limit));
    let next_from = if story.len() > from.saturating_add(limit) { request.from + limit as u32 } else { 0 };
    let told = |Dated { at_ms, news }| events::event(&state.hot, &node.leaders, at_ms, news);
    let events = story.into_iter().skip(from).take(limit).map(told).collect();
    Ok(pb::GetHistoryReply { read: Some(read), job_id: job.0, events, next_from })
}
