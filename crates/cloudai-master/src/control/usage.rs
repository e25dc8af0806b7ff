//! What a worker or one attempt used. Comes in: requests whose caller is admitted. Goes out: the answer of the worker, which alone keeps it. Nothing of
//! it is in the state, and none of it is kept here.

use cloudai_proto::v1 as pb;
use cloudai_types::{AttemptId, TaskId, WorkerId, limits};
use tonic::Status;

use super::jobs::require_index;
use super::{asking, errors, workers};
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn history<S: StateStore>(
    node: &Node<S>,
    request: pb::WorkerHistoryRequest,
) -> Result<pb::WorkerHistoryReply, Status> {
    node.read_point(pb::Consistency::Linearizable).await?;
    let whose = match &request.task {
        Some(task) => of_task(node, task)?,
        None => of_worker(node, &request.worker)?,
    };
    let Ok(_turn) = node.usage_askers.try_acquire() else {
        let what = format!("{} cannot be read now", whose.words());
        return Err(pb::ErrorInfo::new(pb::ErrorKind::TooBusy, what)
            .why(format!("{} questions of this kind wait for workers already", limits::HISTORY_ASKERS_MAX))
            .next("try again in a moment")
            .into_status());
    };
    let (stream_id, mut answer) = node.usages.open(&whose.worker, 1);
    let open = pb::leader_message::OpenHistory {
        stream_id,
        address: node.own.grpc_addr.clone(),
        back_ms: request.back_ms,
        points_max: match request.points_max {
            0 => limits::HISTORY_POINTS_DEFAULT,
            n => n.min(limits::HISTORY_POINTS_MAX),
        },
        attempt: whose.attempt.map(key),
    };
    let deadline = tokio::time::Instant::now() + limits::HISTORY_ANSWER_WITHIN.as_duration();
    let question = pb::leader_message::Kind::OpenHistory(open);
    if !asking::ask(node, whose.worker_id, &question, deadline).await {
        node.usages.close(stream_id);
        return Err(whose.unreachable("it has no session with the leader, and only it has kept this"));
    }
    let answered = tokio::time::timeout_at(deadline, answer.recv()).await;
    node.usages.close(stream_id);
    let Ok(Some(answered)) = answered else {
        let seconds = limits::HISTORY_ANSWER_WITHIN.0 / 1_000;
        return Err(whose.unreachable(&format!("it has not answered within {seconds} s")));
    };
    match answered.history {
        Some(history) => {
            Ok(pb::WorkerHistoryReply { worker: whose.worker, attempt: whose.attempt.map(key), history: Some(history) })
        }
        None => Err(whose.refused(&answered)),
    }
}

/// Who is asked, and about what.
struct Whose {
    worker_id: WorkerId,
    worker: String,
    attempt: Option<AttemptId>,
}

impl Whose {
    fn words(&self) -> String {
        match self.attempt {
            Some(attempt) => format!("what attempt {attempt} used on worker '{}'", self.worker),
            None => format!("what worker '{}' used", self.worker),
        }
    }

    fn unreachable(&self, why: &str) -> Status {
        pb::ErrorInfo::new(pb::ErrorKind::Unreachable, format!("{} cannot be read", self.words()))
            .why(why.to_owned())
            .next(format!("try again when it is back: `cloudai worker show {}` tells", self.worker))
            .into_status()
    }

    /// The worker has answered, without a history.
    fn refused(&self, answered: &pb::UploadHistoryRequest) -> Status {
        if !answered.not_found {
            return self.unreachable(&answered.error);
        }
        let next = match self.attempt {
            Some(_) => {
                "docs/history.md says what is kept, and for how long; `cloudai task show` has what it used in all"
            }
            None => "ask for a longer time, or again in a few seconds",
        };
        pb::ErrorInfo::new(pb::ErrorKind::NotFound, format!("{} is not known", self.words()))
            .why(answered.error.clone())
            .next(next)
            .into_status()
    }
}

fn of_worker<S: StateStore>(node: &Node<S>, name: &str) -> Result<Whose, Status> {
    let state = node.shared.read();
    let worker = workers::find(&state.hot, name)?;
    let (worker_id, _) = state.hot.worker_named(&worker).ok_or_else(|| workers::unknown(name))?;
    Ok(Whose { worker_id, worker, attempt: None })
}

/// The worker of the asked attempt, or of the newest.
fn of_task<S: StateStore>(node: &Node<S>, name: &pb::worker_history_request::TaskName) -> Result<Whose, Status> {
    let state = node.shared.read();
    let (ns, job) = node.find_job(&state, &name.namespace, &name.job)?;
    let task = TaskId { job, index: name.index };
    require_index(task, &node.summary(&state, ns, job)?)?;
    let mut attempts = node.task(&state, ns, task)?.attempts.into_iter();
    let found = if name.attempt == 0 { attempts.next_back() } else { attempts.find(|a| a.number == name.attempt) };
    let Some(attempt) = found else {
        let which = match name.attempt {
            0 => "it has not started yet".to_owned(),
            n => format!("it has no attempt {n}"),
        };
        return Err(errors::not_found(format!("task {task} has used nothing: {which}"), "see `cloudai task explain`"));
    };
    let id = AttemptId { task, number: attempt.number };
    Ok(Whose { worker_id: WorkerId(attempt.worker_id), worker: attempt.worker, attempt: Some(id) })
}

fn key(attempt: AttemptId) -> pb::AttemptKey {
    pb::AttemptKey { job: attempt.task.job.0, index: attempt.task.index, number: attempt.number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    fn told(status: &Status) -> (pb::ErrorKind, String) {
        let info = pb::ErrorInfo::from_status(status);
        (info.kind(), format!("{}; {}; {}", info.what, info.why, info.next))
    }

    #[test]
    fn what_a_worker_cannot_give_says_why_and_what_to_do() {
        let machine = Whose { worker_id: WorkerId(1), worker: "w1".into(), attempt: None };
        let task = Whose { attempt: Some(AttemptId::new(JobId(7), 3, 1)), ..machine };
        let answer = |error: &str, not_found| pb::UploadHistoryRequest {
            error: error.to_owned(),
            not_found,
            ..Default::default()
        };
        let (kind, text) = told(&task.refused(&answer("it keeps nothing of that", true)));
        assert_eq!(kind, pb::ErrorKind::NotFound);
        assert!(text.contains("on worker 'w1' is not known; it keeps nothing of that; docs/history.md"), "{text}");
        let (kind, text) = told(&task.refused(&answer("its disk failed", false)));
        assert_eq!(kind, pb::ErrorKind::Unreachable);
        assert!(
            text.ends_with(
                "cannot be read; its disk failed; try again when it is back: `cloudai worker show w1` tells"
            ),
            "{text}"
        );
    }
}
