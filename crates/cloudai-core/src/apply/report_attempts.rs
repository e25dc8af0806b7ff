//! What a worker says of its attempts. An attempt only moves forward (I2); a report of another session, worker or number, or
//! of a state that was reached before, changes nothing (I5) and is counted as stale, so that the worker can forget it.

use cloudai_types::{AttemptId, EndReason, JobId, ReasonKind, TaskId, WorkerId, limits};

use super::cut;
use super::ending::{Ending, end_attempt};
use super::out::Out;
use crate::command::{AttemptReport, AttemptState, RESULTS_SINCE, ReportAttempts, USAGE_SINCE};
use crate::hot::{Hot, raised};
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, WorkerState, task_key};

pub fn report_attempts(hot: &mut Hot, out: &mut Out, command: ReportAttempts) -> Result<Reply, Refusal> {
    let worker = WorkerId(command.worker);
    match hot.workers.get(&worker) {
        Some(w) if w.session == command.session && w.state == WorkerState::Ready => {}
        Some(_) | None => return Err(Refusal::StaleSession),
    }
    let (mut accepted, mut stale) = (0, 0);
    for report in command.reports {
        *(if report_attempt(hot, out, worker, report) { &mut accepted } else { &mut stale }) += 1;
    }
    Ok(Reply::Reported { accepted, stale })
}

/// False: stale.
fn report_attempt(hot: &mut Hot, out: &mut Out, worker: WorkerId, report: AttemptReport) -> bool {
    let AttemptReport { job, index, number, state, reason, started_ms, ended_ms } = report;
    let id = AttemptId::new(JobId(job), index, number);
    let remembering_ms = hot.remembering_ms();
    let Some(job) = hot.jobs.get_mut(&id.task.job) else { return false };
    let Some(attempt) = job.active.get_mut(&index) else { return false };
    let Ok(state) = AttemptState::try_from(state) else { return false };
    if attempt.number != number || attempt.worker != worker || state <= attempt.state {
        return false;
    }
    match state {
        // Not a worker's to say: `Assigned` is never further, `Lost` is the leader's.
        AttemptState::Assigned | AttemptState::Lost => false,
        AttemptState::Preparing | AttemptState::Running | AttemptState::Stopping | AttemptState::Storing => {
            attempt.state = state;
            if started_ms > 0 {
                attempt.started_ms = started_ms;
            }
            let frees = state == AttemptState::Storing && hot.version >= RESULTS_SINCE;
            attempt.released = frees;
            let memory_mib = attempt.memory_mib;
            let row = attempt.row();
            out.put(Family::Attempt, &task_key(job.namespace, id.task), &row);
            if state == AttemptState::Running {
                out.news(News::of_task(job.namespace, id.task, number, What::Started).on(worker));
            }
            // The program has ended: somebody else's may use what it had.
            if frees
                && let Some(host) = hot.workers.get_mut(&worker)
                && let Some(shape) = hot.shapes.get(job.shape)
            {
                let had = raised(&shape.resources, memory_mib);
                host.used = host.used.minus(&had);
                if let Some(tenant) = hot.tenants.get_mut(job.namespace) {
                    tenant.give_back(job.user, &had, remembering_ms);
                    out.tenant_gave_back(job.namespace, tenant);
                }
                if host.is_schedulable() {
                    out.capacity_changed();
                }
            }
            out.job_changed(id.task.job);
            true
        }
        AttemptState::Exited => {
            end_exited(hot, out, id.task, reason, started_ms, ended_ms);
            true
        }
    }
}

fn end_exited(hot: &mut Hot, out: &mut Out, task: TaskId, reason: Option<EndReason>, started_ms: u64, ended_ms: u64) {
    let reason = reason.unwrap_or_else(|| EndReason::new(ReasonKind::Unknown, "the worker gave no reason"));
    let reason = closed(reason, hot.version);
    end_attempt(hot, out, task, Ending { state: AttemptState::Exited, reason, started_ms, ended_ms });
}

/// A kind that this build does not know is `unknown`; a long detail is cut; what masters of an older format would not keep goes.
fn closed(mut reason: EndReason, version: u32) -> EndReason {
    reason.kind = reason.kind() as i32;
    if version < USAGE_SINCE {
        reason.usage = None;
    }
    // A list that is too long is left to the manifest, as its worker should have done.
    if version < RESULTS_SINCE {
        reason.results = None;
    } else if let Some(results) = &mut reason.results
        && !results.fits()
    {
        results.files.clear();
        results.manifest = cut(std::mem::take(&mut results.manifest));
    }
    if reason.detail.len() > limits::REASON_DETAIL_BYTES_MAX {
        reason.detail = EndReason::new(ReasonKind::Unknown, reason.detail).detail;
    }
    reason
}
