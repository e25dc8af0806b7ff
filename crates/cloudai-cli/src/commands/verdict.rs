//! What an ended job means as an exit code. Comes in: the job, and for a job of one task how its last attempt ended. Goes out: a code.

use cloudai_client::Client;
use cloudai_proto::v1::{GetTaskRequest, JobState, JobSummary};
use cloudai_types::{EndReason, JobId, ReasonKind};

use crate::exit::{Code, Failure};
use crate::output::say;

/// Of a job that has ended. For several tasks: 0 when all succeeded, 1 otherwise.
pub async fn of_job(client: &Client, job: &JobSummary) -> Result<Code, Failure> {
    if job.state() == JobState::Succeeded {
        return Ok(Code::Ok);
    }
    if job.count != 1 {
        return Ok(if job.state() == JobState::Cancelled { Code::Interrupted } else { Code::Failed });
    }
    let request = GetTaskRequest {
        namespace: job.namespace.clone(),
        job: JobId(job.id).to_string(),
        index: job.first_index,
        consistency: cloudai_proto::v1::Consistency::Linearizable as i32,
    };
    let task = client.get_task(request).await?.task.unwrap_or_default();
    Ok(match task.attempts.last().and_then(|a| a.reason.as_ref()).or(task.reason.as_ref()) {
        Some(reason) => {
            if !reason.is_success() && reason.kind() != ReasonKind::ExitCode {
                say(format!("the task ended: {reason}"));
            }
            of_reason(reason)
        }
        // Cancelled before it was placed.
        None => Code::Interrupted,
    })
}

/// The program's own code where there is one.
pub fn of_reason(reason: &EndReason) -> Code {
    let own = |otherwise: Code| match reason.exit_code.map(u8::try_from) {
        Some(Ok(code)) if code != 0 => Code::Task(code),
        _ => otherwise,
    };
    match reason.kind() {
        ReasonKind::ExitCode => match reason.exit_code {
            Some(0) => Code::Ok,
            _ => own(Code::Failed),
        },
        ReasonKind::Signal | ReasonKind::Unknown => own(Code::Failed),
        ReasonKind::OutOfMemory => own(Code::Task(137)),
        ReasonKind::Timeout => own(Code::WaitTimeout),
        ReasonKind::Cancelled => own(Code::Interrupted),
        ReasonKind::StartFailed => own(Code::Task(127)),
        ReasonKind::Preempted
        | ReasonKind::ImageNotFound
        | ReasonKind::ImagePullFailed
        | ReasonKind::WorkerLost
        | ReasonKind::DiskQuota
        | ReasonKind::EngineError
        | ReasonKind::Rejected
        | ReasonKind::ResultStore => Code::RunFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_own_code_wins_where_it_has_one() {
        let code =
            |kind, exit: Option<i32>| of_reason(&EndReason { exit_code: exit, ..EndReason::new(kind, "") }).number();
        assert_eq!(code(ReasonKind::ExitCode, Some(0)), 0);
        assert_eq!(code(ReasonKind::ExitCode, Some(3)), 3);
        assert_eq!(code(ReasonKind::ExitCode, Some(300)), 1);
        assert_eq!(code(ReasonKind::ExitCode, None), 1);
        assert_eq!(code(ReasonKind::Signal, Some(137)), 137);
        assert_eq!(code(ReasonKind::OutOfMemory, None), 137);
        assert_eq!(code(ReasonKind::Timeout, None), 124);
        assert_eq!(code(ReasonKind::Timeout, Some(143)), 143);
        assert_eq!(code(ReasonKind::Timeout, Some(0)), 124);
        assert_eq!(code(ReasonKind::Cancelled, None), 130);
        assert_eq!(code(ReasonKind::StartFailed, None), 127);
        assert_eq!(code(ReasonKind::ImageNotFound, None), 125);
        for kind in ReasonKind::ALL {
            assert_ne!(code(kind, None), 0, "{kind:?}: nothing but exit code 0 is a success");
        }
    }
}
