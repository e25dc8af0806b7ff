//! What masters and workers write to their logs, and other filters for a while. Comes in: requests whose caller is admitted. Goes out: the filter of this
//! very process, or a question to a worker on its session with this leader. Nothing of it is replicated: it is a property of a process, and ends
//! with it.

use std::time::Duration;

use cloudai_proto::v1 as pb;
use cloudai_proto::v1::leader_message::Kind;
use cloudai_proto::v1::{ErrorInfo, ErrorKind};
use cloudai_telemetry::{Levels, levels};
use cloudai_types::{Millis, limits};
use tokio::time::Instant;
use tonic::Status;

use super::workers::worker_is_known;
use super::{asking, errors};
use crate::node::Node;
use crate::state_store::StateStore;

/// Of this master.
pub fn of_master<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: &pb::MasterLogFilterRequest,
) -> Result<pb::LogFilter, Status> {
    let lasts = request.change.as_ref().map(lasts).transpose()?;
    let levels = levels().ok_or_else(|| {
        ErrorInfo::new(ErrorKind::Conflict, "the log of this master cannot be changed")
            .why("another program than cloudai has set it up")
            .into_status()
    })?;
    match (&request.change, lasts) {
        (Some(change), Some(lasts)) if !change.filter.is_empty() => {
            levels.change_for(&change.filter, actor, lasts).map_err(|e| errors::invalid(e.to_string()))?;
        }
        (Some(_), _) => levels.restore(actor),
        (None, _) => {}
    }
    Ok(told(&node.config.name, levels))
}

/// Of a worker, which is asked for it.
pub async fn of_worker<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::WorkerLogFilterRequest,
) -> Result<pb::LogFilter, Status> {
    let pb::WorkerLogFilterRequest { worker: name, change } = request;
    change.as_ref().map(lasts).transpose()?;
    worker_is_known(node, &name).await?;
    let unreachable = |why: String| {
        ErrorInfo::new(ErrorKind::Unreachable, format!("worker '{name}' cannot be asked"))
            .why(why)
            .next("`cloudai cluster doctor` says how it is; try again once it has a session")
            .into_status()
    };
    let is_change = change.is_some();
    let Some((worker, _)) = node.shared.read().hot.worker_named(&name) else {
        return Err(unreachable("it has just been removed".to_owned()));
    };
    let Ok(_turn) = node.log_level_askers.try_acquire() else {
        return Err(ErrorInfo::new(ErrorKind::TooBusy, "too many workers are being asked")
            .why(format!("{} questions of this kind wait for workers already", limits::LOG_FILTER_ASKED_MAX))
            .next("nothing was changed; try again in a moment")
            .into_status());
    };
    let (id, mut answer) = node.log_levels.open(&name, 1);
    let question = Kind::SetLogLevel(pb::leader_message::SetLogLevel { id, change, by: actor.to_owned() });
    let deadline = Instant::now() + limits::LOG_FILTER_ANSWER_WITHIN.as_duration();
    if !asking::ask(node, worker, &question, deadline).await {
        node.log_levels.close(id);
        return Err(unreachable("it has no session with the leader now".to_owned()));
    }
    let answered = tokio::time::timeout_at(deadline, answer.recv()).await;
    node.log_levels.close(id);
    match answered {
        Ok(Some(level)) if level.refused.is_empty() => {
            Ok(pb::LogFilter { node: name.clone(), ..level.now.unwrap_or_default() })
        }
        Ok(Some(level)) => Err(ErrorInfo::new(ErrorKind::Conflict, format!("worker '{name}' does not do that"))
            .why(level.refused)
            .into_status()),
        Ok(None) | Err(_) if is_change => Err(ErrorInfo::new(ErrorKind::OutcomeUnknown, "the outcome is unknown")
            .why(format!("worker '{name}' was told, and has not answered"))
            .next("ask it without a filter, or tell it again: that changes nothing more")
            .into_status()),
        Ok(None) | Err(_) => {
            Err(unreachable(format!("it has not answered within {} s", limits::LOG_FILTER_ANSWER_WITHIN.0 / 1_000)))
        }
    }
}

/// How long a change that is well-formed lasts.
fn lasts(change: &pb::LogFilterChange) -> Result<Duration, Status> {
    if !change.filter.is_empty() {
        cloudai_telemetry::levels::check(&change.filter).map_err(|e| errors::invalid(e.to_string()))?;
    }
    match Millis(change.for_ms) {
        Millis(0) => Ok(limits::LOG_FILTER_FOR.as_duration()),
        lasts if lasts <= limits::LOG_FILTER_FOR_MAX => Ok(lasts.as_duration()),
        _ => Err(errors::invalid(format!(
            "a log filter holds for {} hours at most: a longer one is for the process's own configuration",
            limits::LOG_FILTER_FOR_MAX.0 / 3_600_000
        ))),
    }
}

fn told(node: &str, levels: &Levels) -> pb::LogFilter {
    let standing = levels.standing(std::time::Instant::now());
    let (left_ms, changed_by) = standing.change.map_or((0, String::new()), |c| (c.left.as_millis() as u64, c.by));
    pb::LogFilter { node: node.to_owned(), filter: standing.filter, usual: standing.usual, left_ms, changed_by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_lasts_for_a_while_and_never_for_ever() {
        let asked = |filter: &str, for_ms| {
            let change = pb::LogFilterChange { filter: filter.to_owned(), for_ms };
            lasts(&change).map_err(|status| status.message().to_owned())
        };
        assert_eq!(asked("debug", 0), Ok(limits::LOG_FILTER_FOR.as_duration()));
        assert_eq!(asked("", 1_500), Ok(Duration::from_millis(1_500)));
        assert_eq!(asked("debug", limits::LOG_FILTER_FOR_MAX.0), Ok(limits::LOG_FILTER_FOR_MAX.as_duration()));
        let too_long = asked("debug", limits::LOG_FILTER_FOR_MAX.0 + 1).expect_err("too long");
        assert!(too_long.contains("for 24 hours at most"), "{too_long}");
        assert!(asked("debgu", 0).expect_err("a slip").contains("'debgu' is no level"));
    }
}
