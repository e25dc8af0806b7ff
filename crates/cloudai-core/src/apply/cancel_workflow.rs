//! All that lives of a workflow is cancelled. The last job first: whoever waits for another one is cancelled by the user, and neither released nor
//! cancelled for want of that one.

use cloudai_types::{JobId, NamespaceId, WorkflowId};

use super::cancel_job::cancel;
use super::ending::end_job_if_done;
use super::out::Out;
use crate::command::CancelWorkflow;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, WorkflowRow, workflow_key};

/// Again for the same workflow: no change, the answer says what is still to stop.
pub fn cancel_workflow(hot: &mut Hot, out: &mut Out, command: CancelWorkflow) -> Result<Reply, Refusal> {
    let (namespace, workflow) = (NamespaceId(command.namespace), WorkflowId(command.workflow));
    let row = out.read::<WorkflowRow>(Family::Workflow, &workflow_key(namespace, workflow));
    if row.is_none() {
        return Err(Refusal::NoSuchWorkflow(workflow));
    }
    let jobs: Vec<JobId> = hot.workflows.live_jobs(workflow).collect();
    let mut stopping = 0u32;
    for id in jobs.into_iter().rev() {
        stopping = stopping.saturating_add(cancel(hot, out, id).unwrap_or_default());
        end_job_if_done(hot, out, id);
    }
    Ok(Reply::WorkflowCancelRequested { workflow, stopping })
}
