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
    Ok((explained.state() == TaskState::Queued).then(|| reason(&explained.summary)))
}

/// Without the words before it: whose reason it is, and that it waits, is seen beside it.
fn reason(summary: &str) -> String {
    let (head, reason) = summary.split_once(" is waiting: ").unwrap_or(("", summary));
    if head.starts_with("task ") { reason.to_owned() } else { summary.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn only_what_is_said_anyway_is_left_out() {
        assert_eq!(reason("task snx8y2k5/0 is waiting: 2 of 2 workers: too small"), "2 of 2 workers: too small");
        assert_eq!(reason("no worker is ready"), "no worker is ready");
        assert_eq!(reason("somebody else is waiting: why"), "somebody else is waiting: why");
    }
}
