//! Calls about the dead-letter queue. Comes in: requests whose caller is admitted: which namespace, job, task or reasons. Goes out: pages of
//! dead tasks; logged commands that name those to replay or to drop, a bounded number at a time. Each is checked again by `apply`.

use std::collections::BTreeMap;

use cloudai_core::command::{DEAD_SINCE, DeadGroup, DropDead, Kind, ReplayDead};
use cloudai_core::rows::{DeadRow, Family, job_key, namespace_key, task_key, task_of_key};
use cloudai_core::{Command, Hot, Reply};
use cloudai_proto::v1 as pb;
use cloudai_types::{EndReason, JobId, NamespaceId, TaskId, limits};
use prost::Message;
use tonic::Status;

use super::errors;
use super::reads::page;
use crate::machine::State;
use crate::node::Node;
use crate::state_store::StateStore;

/// A part of the queue by its keys: from the first (inclusive) to the second (exclusive; `None`: to the end).
type Range = (Vec<u8>, Option<Vec<u8>>);

#[derive(Default)]
struct Found {
    tasks: Vec<(NamespaceId, TaskId, DeadRow)>,
    /// The key to go on from; empty: nothing is left.
    next: Vec<u8>,
}

pub async fn list<S: StateStore>(node: &Node<S>, request: pb::ListDeadRequest) -> Result<pb::ListDeadReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let found = match range(node, &state, &request.namespace, &request.job, request.index)? {
        Some((from, to)) => {
            let from = from.max(request.cursor.to_vec());
            find(node, &from, to.as_deref(), &request.reasons, page(request.limit))?
        }
        None => Found::default(),
    };
    let mut names: BTreeMap<JobId, Option<String>> = BTreeMap::new();
    let mut tasks = vec![];
    for (ns, task, row) in found.tasks {
        let name = names
            .entry(task.job)
            .or_insert_with(|| node.job_rows(&state, ns, task.job).ok().map(|(spec, _)| spec.spec.name));
        // Without a job its retention is over, and it is about to leave.
        let Some(job_name) = name.clone() else { continue };
        let namespace = state.hot.namespaces.iter().find(|(_, id)| **id == ns).map(|(name, _)| name.clone());
        tasks.push(pb::DeadTask {
            job_id: task.job.0,
            index: task.index,
            namespace: namespace.unwrap_or_default(),
            job_name,
            reason: Some(EndReason { kind: row.reason, exit_code: row.exit_code, ..EndReason::default() }),
            attempts: row.attempts,
            dead_ms: row.dead_ms,
        });
    }
    Ok(pb::ListDeadReply { read: Some(read), tasks, next_cursor: found.next.into() })
}

pub async fn replay<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    selection: pb::DeadSelection,
) -> Result<pb::ReplayDeadReply, Status> {
    let (groups, more) = selected(node, &selection).await?;
    let (groups, leaving) = without_leaving(node, groups);
    match node.proposer.propose(Command::new(actor, Kind::ReplayDead(ReplayDead { groups }))).await {
        Ok((index, Reply::DeadReplayed { replayed, refused })) => {
            Ok(pb::ReplayDeadReply { index, replayed, refused: refused.saturating_add(leaving), more })
        }
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

pub async fn drop_dead<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    selection: pb::DeadSelection,
) -> Result<pb::DropDeadReply, Status> {
    let (groups, more) = selected(node, &selection).await?;
    match node.proposer.propose(Command::new(actor, Kind::DropDead(DropDead { groups }))).await {
        Ok((index, Reply::DeadDropped { dropped })) => Ok(pb::DropDeadReply { index, dropped, more }),
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

/// The commands are of a newer format: masters of an older build would stop at them.
pub fn require_dead_letters(hot: &Hot) -> Result<(), Status> {
    if hot.version >= DEAD_SINCE {
        return Ok(());
    }
    let what = "the cluster has no dead-letter queue yet";
    let why = format!("it uses format {} of the log, and the queue needs {DEAD_SINCE}", hot.version);
    let next = "upgrade every master: the newer format is then used by itself";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, what).why(why).next(next).into_status())
}

/// What the caller selects, as of a confirmed read, and whether there is more of it.
async fn selected<S: StateStore>(
    node: &Node<S>,
    selection: &pb::DeadSelection,
) -> Result<(Vec<DeadGroup>, bool), Status> {
    node.read_point(pb::Consistency::Linearizable).await?;
    let state = node.shared.read();
    require_dead_letters(&state.hot)?;
    let range = range(node, &state, &selection.namespace, &selection.job, selection.index)?;
    let Some((from, to)) = range else { return Ok((vec![], false)) };
    let limit = match selection.limit as usize {
        0 => limits::DEAD_BATCH_MAX,
        limit => limit.min(limits::DEAD_BATCH_MAX),
    };
    let found = find(node, &from, to.as_deref(), &selection.reasons, limit)?;
    if let (Some(index), true) = (selection.index, found.tasks.is_empty()) {
        let what = format!("task {}/{index} is not in the dead-letter queue, or not for such a reason", selection.job);
        return Err(errors::not_found(what, "list what is there with `cloudai dead list`"));
    }
    Ok((grouped(found.tasks), !found.next.is_empty()))
}

/// Those whose jobs stay, and how many tasks of others were left out: this leader may be removing their results at this moment.
fn without_leaving<S: StateStore>(node: &Node<S>, groups: Vec<DeadGroup>) -> (Vec<DeadGroup>, u32) {
    let keep_ms = node.config.job_retention_secs.saturating_mul(1_000);
    let now_ms = node.now_ms();
    let state = node.shared.read();
    let stays = |group: &DeadGroup| {
        let rows = node.job_rows(&state, NamespaceId(group.namespace), JobId(group.job));
        !rows.is_ok_and(|(_, job)| is_leaving(job.ended_ms, now_ms, keep_ms))
    };
    let (staying, leaving): (Vec<_>, Vec<_>) = groups.into_iter().partition(stays);
    (staying, leaving.iter().map(|group| group.indexes.len() as u32).sum())
}

/// `keep_ms`: 0 keeps jobs for ever.
pub(super) fn is_leaving(ended_ms: u64, now_ms: u64, keep_ms: u64) -> bool {
    let before = limits::REPLAY_BEFORE_REMOVAL.0.min(keep_ms / 10);
    keep_ms > 0 && ended_ms > 0 && ended_ms.saturating_add(keep_ms - before) <= now_ms
}

/// Tasks of one job stand together already.
fn grouped(tasks: Vec<(NamespaceId, TaskId, DeadRow)>) -> Vec<DeadGroup> {
    let mut groups: Vec<DeadGroup> = vec![];
    for (ns, task, _) in tasks {
        match groups.last_mut() {
            Some(last) if (last.namespace, last.job) == (ns.0, task.job.0) => last.indexes.push(task.index),
            Some(_) | None => {
                groups.push(DeadGroup { namespace: ns.0, job: task.job.0, indexes: vec![task.index] });
            }
        }
    }
    groups
}

/// `None`: there is no such namespace, so nothing in it.
fn range<S: StateStore>(
    node: &Node<S>,
    state: &State,
    namespace: &str,
    job: &str,
    index: Option<u32>,
) -> Result<Option<Range>, Status> {
    if !job.is_empty() {
        let (ns, job) = node.find_job(state, namespace, job)?;
        let of_task = |index| task_key(ns, TaskId { job, index }).to_vec();
        return Ok(Some(match index {
            Some(index) => (of_task(index), Some(of_task(index.saturating_add(1)))),
            None => (of_task(0), Some(job_key(ns, JobId(job.0.saturating_add(1))).to_vec())),
        }));
    }
    if index.is_some() {
        return Err(errors::invalid("a task's index is given, and not of which job"));
    }
    if namespace == "*" {
        return Ok(Some((vec![], None)));
    }
    let Some(ns) = node.namespace(state, namespace) else { return Ok(None) };
    let after = NamespaceId(ns.0.saturating_add(1));
    Ok(Some((namespace_key(ns).to_vec(), Some(namespace_key(after).to_vec()))))
}

fn is_wanted(row: &DeadRow, reasons: &[i32]) -> bool {
    reasons.is_empty() || reasons.contains(&row.reason)
}

/// At most `limit` of the range, and after a look at no more than [`limits::PAGE_SCAN_MAX`] rows.
fn find<S: StateStore>(
    node: &Node<S>,
    from: &[u8],
    to: Option<&[u8]>,
    reasons: &[i32],
    limit: usize,
) -> Result<Found, Status> {
    let (mut found, mut seen) = (Found::default(), 0);
    // A cursor may come from another question.
    if to.is_some_and(|to| from >= to) {
        return Ok(found);
    }
    let mut each = |key: &[u8], value: &[u8]| {
        let (Some((ns, task)), Ok(row)) = (task_of_key(key), DeadRow::decode(value)) else { return true };
        let is_wanted = is_wanted(&row, reasons);
        if seen == limits::PAGE_SCAN_MAX || (is_wanted && found.tasks.len() == limit) {
            found.next = key.to_vec();
            return false;
        }
        seen += 1;
        if is_wanted {
            found.tasks.push((ns, task, row));
        }
        true
    };
    node.shared.store().scan(Family::Dead, from, to, false, &mut each).map_err(|e| errors::internal(&e))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_one_job_share_a_group() {
        let task = |ns, job, index| (NamespaceId(ns), TaskId { job: JobId(job), index }, DeadRow::default());
        let groups = grouped(vec![task(1, 4, 0), task(1, 4, 7), task(1, 5, 0), task(2, 5, 1)]);
        let words: Vec<_> = groups.into_iter().map(|g| (g.namespace, g.job, g.indexes)).collect();
        assert_eq!(words, [(1, 4, vec![0, 7]), (1, 5, vec![0]), (2, 5, vec![1])]);
        assert!(grouped(vec![]).is_empty());
    }

    #[test]
    fn a_job_that_is_about_to_leave_is_not_replayed() {
        let day = 24 * 3_600_000;
        let leaves = |ended_ms, now_ms| is_leaving(ended_ms, now_ms, day);
        assert!(!leaves(1, day - 60_000) && leaves(1, day - 59_999) && leaves(1, 9 * day));
        assert!(!leaves(0, 9 * day), "it lives");
        assert!(!is_leaving(1, u64::MAX, 0), "jobs are kept for ever");
        assert!(!is_leaving(1, 900, 1_000) && is_leaving(1, 901, 1_000), "a retention shorter than the rest");
    }

    #[test]
    fn an_older_format_has_no_queue_yet() {
        let hot = Hot { version: DEAD_SINCE - 1, ..Hot::default() };
        let status = require_dead_letters(&hot).unwrap_err();
        assert!(status.message().contains("no dead-letter queue yet"), "{status}");
        assert!(require_dead_letters(&Hot { version: DEAD_SINCE, ..hot }).is_ok());
    }
}
