//! Calls about one task that only the leader answers: why it waits, and its log. Comes in: requests whose caller is admitted. Goes
//! out: the scheduler's explanation in words of the wire; a worker's log frames as they come.

use std::sync::Arc;
use std::time::Duration;

use cloudai_core::rows::{JobState, TaskState, WorkerState};
use cloudai_proto::v1 as pb;
use cloudai_scheduler::{Standing, WaitKind, explain as explain_task};
use cloudai_types::{NamespaceId, TaskId, WorkerId, limits};
use tokio::sync::mpsc;
use tonic::Status;

use super::errors;
use super::jobs::require_index;
use crate::dispatch::logs::Upload;
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
    let e = explain_task(&state.hot, task);
    let task_state = TaskState::try_from(info.state).unwrap_or(TaskState::Queued);
    let since_ms = match task_state {
        TaskState::Active => info.attempts.last().map_or(0, |a| a.started_ms.max(a.assigned_ms)),
        TaskState::Queued | TaskState::Blocked => {
            info.attempts.last().map_or(summary.submitted_ms, |a| a.ended_ms.max(summary.submitted_ms))
        }
        TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled | TaskState::Dead => info.ended_ms,
    };
    let reasons: Vec<pb::ReasonCount> = e
        .reasons
        .iter()
        .map(|r| pb::ReasonCount {
            kind: reason_kind(r.kind) as i32,
            message: r.message.clone(),
            workers: r.workers,
            example: r.example.clone(),
        })
        .collect();
    let has_ended = matches!(e.standing, Standing::NotAlive | Standing::Ended);
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
        Standing::Waiting | Standing::Active { .. } | Standing::Stopping { .. } | Standing::NoSuchIndex { .. } => {
            e.reasons.first().map(|r| format!(": {} of {} workers: {}", r.workers, e.workers, r.message))
        }
    };
    let word =
        if has_ended { pb::TaskState::try_from(info.state).unwrap_or_default().name() } else { e.standing.name() };
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
        smallest_change: if has_ended { String::new() } else { e.fix.clone() },
        summary: explained,
        not_before_ms: info.not_before_ms,
        waiting_ms: node.now_ms().saturating_sub(since_ms),
    })
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
        WaitKind::MissingLabel => pb::WaitReason::Label,
        WaitKind::Busy => pb::WaitReason::Busy,
        WaitKind::TooSmall => pb::WaitReason::TooSmall,
        WaitKind::AttemptsFull => pb::WaitReason::Full,
        WaitKind::Avoided => pb::WaitReason::Avoided,
    }
}

/// How long a reader waits for the worker to dial in with the log.
const UPLOAD_WAIT: Duration = Duration::from_secs(10);
/// How often a session that is about to come is looked for.
const SESSION_LOOK: Duration = Duration::from_millis(50);
/// How often the first attempt of a queued task is looked for, besides the job's changes.
const FIRST_ATTEMPT_LOOK: Duration = Duration::from_secs(1);

pub async fn logs<S: StateStore>(
    node: Arc<Node<S>>,
    request: pb::LogsRequest,
) -> Result<mpsc::Receiver<Result<pb::LogsReply, Status>>, Status> {
    node.read_point(pb::Consistency::Linearizable).await?;
    let (ns, job) = node.find_job(&node.shared.read(), &request.namespace, &request.job)?;
    let task = TaskId { job, index: request.index };
    require_index(task, &node.summary(&node.shared.read(), ns, job)?)?;
    let attempt = match wanted_attempt(&node, ns, task, request.attempt)? {
        Some(attempt) => Some(attempt),
        None if request.follow && request.attempt == 0 => None,
        None => {
            let which = if request.attempt == 0 {
                "it has not started yet".into()
            } else {
                format!("it has no attempt {}", request.attempt)
            };
            return Err(errors::not_found(
                format!("task {task} has no log: {which}"),
                "follow it with -f, or see `cloudai task explain`",
            ));
        }
    };
    let (out, replies) = mpsc::channel(8);
    tokio::spawn(async move {
        if let Err(status) = stream(&node, ns, task, attempt, &request, &out).await {
            // A reader that has gone does not need to hear it.
            let _ = out.send(Err(status)).await;
        }
    });
    Ok(replies)
}

/// The asked attempt, or the newest; `None`: there is none.
fn wanted_attempt<S: StateStore>(
    node: &Node<S>,
    ns: NamespaceId,
    task: TaskId,
    number: u32,
) -> Result<Option<pb::AttemptInfo>, Status> {
    let info = node.task(&node.shared.read(), ns, task)?;
    let mut attempts = info.attempts.into_iter();
    Ok(if number == 0 { attempts.next_back() } else { attempts.find(|a| a.number == number) })
}

async fn first_attempt<S: StateStore>(
    node: &Arc<Node<S>>,
    ns: NamespaceId,
    task: TaskId,
    out: &mpsc::Sender<Result<pb::LogsReply, Status>>,
) -> Result<Option<pb::AttemptInfo>, Status> {
    let watch = node.hub.watch_job(task.job);
    loop {
        if let Some(attempt) = wanted_attempt(node, ns, task, 0)? {
            return Ok(Some(attempt));
        }
        let summary = node.summary(&node.shared.read(), ns, task.job)?;
        if JobState::try_from(summary.state).is_ok_and(JobState::is_ended) {
            return Ok(None);
        }
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep(FIRST_ATTEMPT_LOOK) => {}
            () = out.closed() => return Ok(None),
        }
    }
}

async fn stream<S: StateStore>(
    node: &Arc<Node<S>>,
    ns: NamespaceId,
    task: TaskId,
    attempt: Option<pb::AttemptInfo>,
    request: &pb::LogsRequest,
    out: &mpsc::Sender<Result<pb::LogsReply, Status>>,
) -> Result<(), Status> {
    let attempt = match attempt {
        Some(attempt) => attempt,
        None => match first_attempt(node, ns, task, out).await? {
            Some(attempt) => attempt,
            // It was cancelled before it ever started: an empty log is complete.
            None => {
                let _ = out.send(Ok(pb::LogsReply { complete: true, ..Default::default() })).await;
                return Ok(());
            }
        },
    };
    // The worker must hear of the attempt before it is asked for the log: its assignment leaves after the commit.
    let seen_at = node.shared.read().index;
    let deadline = tokio::time::Instant::now() + UPLOAD_WAIT;
    if node.raft.await_applied(seen_at, deadline).await.is_err() {
        return Err(unreachable_worker(&attempt.worker));
    }
    let (stream_id, mut uploads) = node.logs.open(&attempt.worker);
    let open = pb::leader_message::OpenLog {
        stream_id,
        attempt: Some(pb::AttemptKey { job: task.job.0, index: task.index, number: attempt.number }),
        follow: request.follow,
        tail_lines: request.tail_lines,
        address: node.own.grpc_addr.clone(),
    };
    // Right after a change of leader the worker is on its way here: it is waited for, unless it is known to be gone.
    let worker = WorkerId(attempt.worker_id);
    while !node.hub.open_log(worker, open.clone()) {
        let is_ready = node.shared.read().hot.workers.get(&worker).is_some_and(|w| w.state == WorkerState::Ready);
        if !is_ready || tokio::time::Instant::now() > deadline || out.is_closed() {
            node.logs.close(stream_id);
            return Err(unreachable_worker(&attempt.worker));
        }
        tokio::time::sleep(SESSION_LOOK).await;
    }
    let header = pb::LogsReply { attempt: attempt.number, worker: attempt.worker.clone(), ..Default::default() };
    if out.send(Ok(header)).await.is_err() {
        return Ok(());
    }
    let mut wait = UPLOAD_WAIT;
    loop {
        let upload = tokio::select! {
            upload = tokio::time::timeout(wait, uploads.recv()) => upload,
            () = out.closed() => return Ok(()),
        };
        match upload {
            Err(_) => {
                node.logs.close(stream_id);
                return Err(unreachable_worker(&attempt.worker));
            }
            Ok(None) => return Err(unreachable_worker(&attempt.worker)),
            Ok(Some(Upload::Failed { reason, not_found })) => {
                let kind = if not_found { pb::ErrorKind::NotFound } else { pb::ErrorKind::Unreachable };
                let what = format!("the log of task {task} cannot be read on worker '{}'", attempt.worker);
                return Err(pb::ErrorInfo::new(kind, what).why(reason).into_status());
            }
            Ok(Some(Upload::Frames(message))) => {
                // From now on the stream's own end counts: a quiet program may be quiet for days.
                wait = limits::TIMEOUT_MAX.as_duration();
                if !message.error.is_empty() {
                    let what = format!("the log of task {task} broke off on worker '{}'", attempt.worker);
                    return Err(pb::ErrorInfo::new(pb::ErrorKind::Unreachable, what).why(message.error).into_status());
                }
                let reply = pb::LogsReply {
                    attempt: attempt.number,
                    worker: attempt.worker.clone(),
                    frames: message.frames,
                    complete: message.complete,
                };
                if out.send(Ok(reply)).await.is_err() || message.complete {
                    return Ok(());
                }
            }
        }
    }
}

fn unreachable_worker(worker: &str) -> Status {
    pb::ErrorInfo::new(pb::ErrorKind::Unreachable, format!("worker '{worker}' has the log and cannot be reached now"))
        .next("try again when it is back: `cloudai worker show` tells")
        .into_status()
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
