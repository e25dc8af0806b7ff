//! A workflow's own row: how many of its jobs have ended, and when the last one did. Comes in: jobs that end, live again or want to leave. Who
//! waits for whom is not known here.

use cloudai_types::{JobId, NamespaceId, WorkflowId};

use super::out::Out;
use crate::hot::Hot;
use crate::rows::{Family, JobRow, WorkflowRow, workflow_key};

/// `row`: what became of the job.
pub(super) fn job_ended(out: &mut Out, namespace: NamespaceId, workflow: WorkflowId, row: &JobRow) {
    let key = workflow_key(namespace, workflow);
    // Without a row it is about to leave, and nobody asks.
    let Some(mut record) = out.read::<WorkflowRow>(Family::Workflow, &key) else { return };
    let ended = record.ended.of(row);
    *ended = ended.saturating_add(1);
    if record.ended.total() >= record.jobs {
        record.ended_ms = out.clock_ms.max(1);
    }
    out.put(Family::Workflow, &key, &record);
}

/// `row`: what had become of it. Its past goes with it into hot state.
pub(super) fn job_lives_again(hot: &mut Hot, out: &mut Out, namespace: NamespaceId, id: JobId, row: &JobRow) {
    let Some(member) = hot.workflows.member_mut(id) else { return };
    (member.released_ms, member.unmet) = (row.released_ms, row.unmet);
    let key = workflow_key(namespace, member.workflow);
    let Some(mut record) = out.read::<WorkflowRow>(Family::Workflow, &key) else { return };
    let ended = record.ended.of(row);
    *ended = ended.saturating_sub(1);
    record.ended_ms = 0;
    out.put(Family::Workflow, &key, &record);
}

/// True for a job whose workflow has ended for long enough, or has left already: its rows go with this. Also for one of no workflow (0).
pub(super) fn may_leave(out: &mut Out, namespace: NamespaceId, workflow: u64, until_ms: u64) -> bool {
    let key = workflow_key(namespace, WorkflowId(workflow));
    let Some(record) = out.read::<WorkflowRow>(Family::Workflow, &key).filter(|_| workflow > 0) else { return true };
    if record.ended_ms == 0 || record.ended_ms > until_ms {
        return false;
    }
    out.delete(Family::Workflow, &key);
    out.delete(Family::WorkflowNodes, &key);
    true
}
