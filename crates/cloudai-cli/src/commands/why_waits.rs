//! Why a job waits, in one sentence: of the first of its tasks that do. Two questions, for whoever shows it beside other things.

use cloudai_client::{CallError, Client};
use cloudai_proto::v1::{Consistency, ExplainTaskRequest, ListTasksRequest, TaskState};

/// Nothing where none of its tasks waits any more.
pub async fn of_job(client: &Client, namespace: &str, job: &str) -> Result<Option<String>, CallError> {
    let first = ListTasksRequest {
        namespace: namespace.to_owned(),
        job: job.to_owned(),
        limit: 1,
        states: vec![TaskState::Queued as i32],
        consistency: Consistency::Stale as i32,
        ..ListTasksRequest::default()
    };
    let Some(task) = client.list_tasks(first).await?.tasks.into_iter().next() else { return Ok(None) };
    let request = ExplainTaskRequest { namespace: namespace.to_owned(), job: job.to_owned(), index: task.index };
    let explained = client.explain_task(request).await?;
    // It may have started between the two.
    Ok((explained.state() == TaskState::Queued).then_some(explained.summary))
}
