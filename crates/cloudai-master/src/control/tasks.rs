//! A call about one task that only the leader answers: why it waits. Comes in: requests whose caller is admitted. Goes out: the scheduler's
//! explanation in words of the wire.

use cloudai_core::rows::TaskState;
use cloudai_proto::convert::Submit;
use cloudai_proto::v1 as pb;
use cloudai_scheduler::{Standing, WaitKind, WaitReason, explain as explain_task, nearest_reason, outlook};
use cloudai_types::{NamespaceId, TaskId, WorkerId, limits};
use tonic::Status;

use super::jobs::require_index;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn explain<S: StateStore>(
    node: &Node<S>,
    request: pb::ExplainTaskRequest,
) -> Result<pb::Explanation, Status> {
    let mut read = node.read_point(pb::Consistency::Linearizable).await?;
    let state = node.shared.read();
    read.index = state.index;
    let (ns, job) = node.find_job(&state, &request.namespace, &request.job)?;
    let summary = node.summary(&state, ns, job)?;
    let task = TaskId { job, index: request.index };
    require_index(task, &summary)?;
    let info = node.task(&state, ns, task)?;
    let e = explain_task(&state.hot, &node.reserved(), task);
    let start = e.prospect.start(e.ahead.unwrap_or_default(), e.turn, node.started_lately(ns));
    let task_state = TaskState::try_from(info.state).unwrap_or(TaskState::Queued);
    let since_ms = match task_state {
        TaskState::Active => info.attempts.last().map_or(0, |a| a.started_ms.max(a.assigned_ms)),
        TaskState::Queued | TaskState::Blocked => {
            let from_ms = summary.submitted_ms.max(summary.released_ms);
            info.attempts.last().map_or(from_ms, |a| a.ended_ms.max(from_ms))
        }
        TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled | TaskState::Dead => info.ended_ms,
    };
    let reasons = e.reasons.iter().map(reason_count).collect();
    let has_ended = matches!(e.standing, Standing::NotAlive | Standing::Ended);
    let is_blocked = matches!(e.standing, Standing::Blocked { .. });
    let last = info.attempts.last().and_then(|a| Some((a.number, a.reason.as_ref()?)));
    let why = match &e.standing {
        Standing::NotAlive | Standing::Ended => {
            let reason = last.map(|(_, reason)| reason).or(info.reason.as_ref());
            reason.map(|reason| format!(" ({reason})"))
        }
        Standing::Delayed { until_ms, .. } => {
            let after =
                last.map_or(String::new(), |(number, reason)| format!(" after attempt {number} failed: {reason}"));
            Some(format!(": it waits until {}{after}", utc(*until_ms)))
        }
        Standing::Blocked { .. } => Some(format!(": {}", e.fix)),
        Standing::Waiting => e.headline().map(|what| format!(": {what}")),
        Standing::Active { .. } | Standing::Stopping { .. } | Standing::NoSuchIndex { .. } => None,
    };
    let word =
        if has_ended { pb::TaskState::try_from(info.state).unwrap_or_default().name() } else { e.standing.name() };
    let why = why.or_else(|| {
        let on = info.attempts.last().filter(|a| a.phase() == pb::AttemptPhase::Preparing)?;
        let (spec, _) = node.job_rows(&state, ns, job).ok()?;
        let pull = node.pulls.text(WorkerId(on.worker_id), &spec.spec.pinned_image())?;
        Some(format!(": {} pulls its image, {pull}", on.worker))
    });
    let explained = format!("task {task} is {word}{}", why.unwrap_or_default());
    Ok(pb::Explanation {
        read: Some(read),
        job_id: job.0,
        index: task.index,
        state: info.state,
        since_ms,
        ahead: e.ahead.as_ref().map_or(0, |a| a.tasks),
        workers_total: e.workers,
        workers_fitting: e.fitting,
        reasons,
        smallest_change: if has_ended || is_blocked { String::new() } else { e.fix.clone() },
        summary: explained,
        not_before_ms: info.not_before_ms,
        waiting_ms: node.now_ms().saturating_sub(since_ms),
        quota: e.quota.unwrap_or_default(),
        namespaces_waiting: e.turn.map_or(0, |turn| turn.waiting as u32),
        namespaces_before: e.turn.map_or(0, |turn| turn.before as u32),
        gang: e.gang.unwrap_or_default(),
        user_quota: e.user_quota.unwrap_or_default(),
        start: start.map_or(String::new(), |start| start.to_string()),
    })
}

/// What a job would meet that is checked as for a submit, and not submitted.
pub async fn plan<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::SubmitRequest,
) -> Result<pb::JobPlan, Status> {
    let mut read = node.read_point(pb::Consistency::Linearizable).await?;
    let submit = Submit::try_from(request).map_err(pb::ErrorInfo::into_status)?;
    let state = node.shared.read();
    read.index = state.index;
    let o = outlook(&state.hot, &node.reserved(), &submit.namespace, actor, submit.spec.get());
    // No namespace has the number 0: one that is not there yet has started nothing.
    let namespace = state.hot.namespaces.get(&submit.namespace).copied().unwrap_or(NamespaceId(0));
    let start = o.prospect.start(o.ahead, o.turn, node.started_lately(namespace));
    let refused = o.queue_full.as_ref().map(|why| format!("a submit would be refused now: {why}"));
    let by_rule = refused.as_ref().or(o.quota.as_ref()).or(o.user_quota.as_ref()).or(o.gang.as_ref());
    let summary = match (by_rule, nearest_reason(&o.reasons)) {
        (Some(what), _) => what.clone(),
        (None, _) if o.room_now == o.tasks && o.ahead.tasks == 0 => "there is room for all of it now".to_owned(),
        (None, _) if o.room_now > 0 => format!("there is room for {} of {} tasks now", o.room_now, o.tasks),
        (None, Some(r)) => format!("it would wait: {} of {} workers: {}", r.workers, o.workers, r.message),
        (None, None) => "it would wait: there is no worker".to_owned(),
    };
    Ok(pb::JobPlan {
        read: Some(read),
        tasks: o.tasks,
        room_now: o.room_now,
        jobs_ahead: o.ahead.jobs,
        tasks_ahead: o.ahead.tasks,
        ahead_at_least: o.ahead.at_least,
        workers_total: o.workers,
        workers_fitting: o.fitting,
        reasons: o.reasons.iter().map(reason_count).collect(),
        smallest_change: o.fix,
        quota: o.quota.unwrap_or_default(),
        namespaces_waiting: o.turn.map_or(0, |turn| turn.waiting as u32),
        namespaces_before: o.turn.map_or(0, |turn| turn.before as u32),
        summary,
        gang: o.gang.unwrap_or_default(),
        user_quota: o.user_quota.unwrap_or_default(),
        queue_full: o.queue_full.unwrap_or_default(),
        start: start.map_or(String::new(), |start| start.to_string()),
    })
}

fn reason_count(reason: &WaitReason) -> pb::ReasonCount {
    pb::ReasonCount {
        kind: reason_kind(reason.kind) as i32,
        message: reason.message.clone(),
        workers: reason.workers,
        example: reason.example.clone(),
    }
}

/// `2026-11-24T02:03:04Z`, for people: rounded up, so that a time that is waited for is not over.
fn utc(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000).min(limits::REPLICATED_TIME_MAX.0 / 1_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days since March of the year 0, in eras of 400 years: a year that begins in March has its leap day at its end.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn reason_kind(kind: WaitKind) -> pb::WaitReason {
    match kind {
        WaitKind::NeverSeen | WaitKind::Lost | WaitKind::Revoked => pb::WaitReason::NotReady,
        WaitKind::Draining => pb::WaitReason::Draining,
        WaitKind::MissingLabel | WaitKind::UnmetExpression => pb::WaitReason::Label,
        WaitKind::Tainted => pb::WaitReason::Tainted,
        WaitKind::Apart => pb::WaitReason::Apart,
        WaitKind::Spread => pb::WaitReason::Spread,
        WaitKind::ApartFrom => pb::WaitReason::ApartFrom,
        WaitKind::TogetherWith => pb::WaitReason::TogetherWith,
        WaitKind::KeptAway => pb::WaitReason::KeptAway,
        WaitKind::Busy => pb::WaitReason::Busy,
        WaitKind::TooSmall => pb::WaitReason::TooSmall,
        WaitKind::AttemptsFull => pb::WaitReason::Full,
        WaitKind::Avoided => pb::WaitReason::Avoided,
        WaitKind::Reserved => pb::WaitReason::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:01Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_790_000_000_000, "2026-09-21T14:13:20Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(utc(ms), text);
        }
    }
}
