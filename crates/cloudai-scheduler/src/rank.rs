//! Who comes first among the tasks of one namespace. Comes in: what its operator said of the order, a job's priority and since when it waits.
//! Goes out: a rank to compare, lowest first. Whose turn it is among namespaces is not known here.

use std::cmp::Reverse;

use cloudai_core::Hot;
use cloudai_types::{JobId, NamespaceId, QueueOrder, Quota};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Rank {
    /// Who has waited for longer than anybody should comes first.
    is_in_time: bool,
    priority: Reverse<i32>,
    /// In the order of submission.
    job: JobId,
}

/// Of a job that waits, or of one that was not submitted yet.
pub(crate) fn rank(view: &Hot, namespace: NamespaceId, priority: i32, job: JobId) -> Rank {
    let quota = view.tenants.get(namespace).map(|tenant| tenant.quota).unwrap_or_default();
    let priority = match quota.order() {
        QueueOrder::Priority => priority,
        QueueOrder::Fifo => 0,
    };
    Rank { is_in_time: !is_overdue(view, &quota, job), priority: Reverse(priority), job }
}

/// True when its tasks have waited for longer than they should.
pub(crate) fn is_overdue(view: &Hot, quota: &Quota, job: JobId) -> bool {
    let Some(max_ms) = quota.wait_max_ms.filter(|_| view.jobs.contains_key(&job)) else { return false };
    let submitted_ms = view.jobs.get(&job).map_or(view.clock_ms, |job| job.submitted_ms);
    // A job of a workflow waits for a worker since nothing else holds it back.
    let released_ms = view.workflows.member(job).map_or(0, |member| member.released_ms);
    submitted_ms.max(released_ms).saturating_add(max_ms) <= view.clock_ms
}
