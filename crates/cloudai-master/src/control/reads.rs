//! Reading. Comes in: a consistency level, names and id prefixes. Goes out: the moment at which this master may read, and rows
//! turned into answers. Linearizable reads ask the leader for its read index and then read here (ReadIndex); stale ones read
//! at once and say how old that may be.

use std::time::Duration;

use cloudai_core::queue_limits::waited_too_long;
use cloudai_core::rows::{Counts, EndedAttempt, Family, JobRow, JobSpecRow, TaskRow, TaskState, job_key, task_key};
use cloudai_core::{ActiveAttempt, Hot};
use cloudai_proto::v1 as pb;
use cloudai_types::{JobId, NamespaceId, TaskId, limits};
use tokio::time::Instant;
use tonic::Status;

use super::errors;
use crate::machine::State;
use crate::node::Node;
use crate::raft_link::header;
use crate::state_store::StateStore;

impl<S: StateStore> Node<S> {
    /// Waits until this master may answer with the given consistency.
    pub async fn read_point(&self, consistency: pb::Consistency) -> Result<pb::ReadInfo, Status> {
        let age_ms = match consistency {
            pb::Consistency::Linearizable => {
                let deadline = Instant::now() + limits::LEADER_WAIT.as_duration();
                let index = self.read_index(deadline).await?;
                let waited = self.raft.await_applied(index, deadline).await;
                waited.map_err(|e| {
                    pb::ErrorInfo::new(
                        pb::ErrorKind::Unreachable,
                        "this master is too far behind for a linearizable read",
                    )
                    .why(e.to_string())
                    .next("ask another master, or read with --consistency stale")
                    .into_status()
                })?;
                0
            }
            pb::Consistency::Stale => self.heard_from_leader_ms_ago(),
        };
        Ok(pb::ReadInfo {
            index: self.shared.read().index,
            master: self.config.name.clone(),
            leader: self.leading().is_some(),
            age_ms,
            known_leader: self.leader().map(|l| l.node.name).unwrap_or_default(),
            stale: consistency == pb::Consistency::Stale,
        })
    }

    /// The leader's read index, from itself or over the Raft port.
    async fn read_index(&self, deadline: Instant) -> Result<u64, Status> {
        loop {
            // Without a quorum it waits longer than the caller should.
            if let Ok(Ok(index)) = tokio::time::timeout_at(deadline, self.raft.read_index()).await {
                return Ok(index);
            }
            if let Some(leader) = self.leader().filter(|l| l.id != self.me.node) {
                let request = pb::ReadIndexRequest { header: Some(header(&self.me, leader.id, &self.directory)) };
                let asked = self.masters.read_index(leader.node.raft_addr, request);
                // A dead leader's connection may hang: better ask again than wait for it.
                let until = deadline.min(Instant::now() + Duration::from_secs(1));
                if let Ok(Ok(reply)) = tokio::time::timeout_at(until, asked).await {
                    return Ok(reply.index);
                }
            }
            if Instant::now() > deadline {
                return Err(errors::no_leader());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `None`: no such namespace, so it has no jobs.
    pub fn namespace(&self, state: &State, name: &str) -> Option<NamespaceId> {
        let name = if name.is_empty() { cloudai_proto::convert::DEFAULT_NAMESPACE } else { name };
        state.hot.namespaces.get(name).copied()
    }

    /// A job by its id or by a prefix that only one job begins with.
    pub fn find_job(&self, state: &State, namespace: &str, text: &str) -> Result<(NamespaceId, JobId), Status> {
        let unknown = || {
            errors::not_found(
                format!("there is no job '{text}' in namespace '{}'", shown(namespace)),
                "list them with `cloudai job list`",
            )
        };
        let ns = self.namespace(state, namespace).ok_or_else(unknown)?;
        let exists = |job: JobId| -> Result<bool, Status> {
            let row = self.shared.get(state, Family::Job, &job_key(ns, job));
            Ok(row.map_err(|e| errors::internal(&e))?.is_some())
        };
        let prefix = text.to_ascii_lowercase();
        if let Ok(job) = prefix.parse::<JobId>() {
            return if exists(job)? { Ok((ns, job)) } else { Err(unknown()) };
        }
        if prefix.is_empty() {
            return Err(unknown());
        }
        let newest = state.hot.next_job.saturating_sub(1);
        let mut found = vec![];
        for n in
            (newest.saturating_sub(limits::PREFIX_JOBS_MAX)..=newest).rev().map(JobId).filter(|j| j.has_prefix(&prefix))
        {
            if exists(n)? {
                found.push(n);
                if found.len() > limits::PREFIX_CANDIDATES_MAX {
                    break;
                }
            }
        }
        match found[..] {
            [] => Err(unknown()),
            [only] => Ok((ns, only)),
            _ => Err(pb::ErrorInfo::new(pb::ErrorKind::Ambiguous, format!("several jobs begin with '{text}'"))
                .next("give more characters of the id")
                .with_candidates(found.iter().map(JobId::to_string).collect())
                .into_status()),
        }
    }

    /// Spec and current state of a job, alive or ended.
    pub fn job_rows(&self, state: &State, ns: NamespaceId, job: JobId) -> Result<(JobSpecRow, JobRow), Status> {
        let key = job_key(ns, job);
        let spec = self.shared.row(state, Family::JobSpec, &key).map_err(|e| errors::internal(&e))?;
        let row = self.shared.row(state, Family::Job, &key).map_err(|e| errors::internal(&e))?;
        match (spec, row) {
            (Some(spec), Some(row)) => Ok((spec, row)),
            _ => Err(errors::not_found(format!("there is no job {job}"), "list the jobs with `cloudai job list`")),
        }
    }

    pub fn summary(&self, state: &State, ns: NamespaceId, job: JobId) -> Result<pb::JobSummary, Status> {
        let (spec, row) = self.job_rows(state, ns, job)?;
        Ok(summary(&state.hot, state.index, ns, job, &spec, &row))
    }

    /// One task with all its attempts, alive or ended. The index must be below the job's count.
    pub fn task(&self, state: &State, ns: NamespaceId, task: TaskId) -> Result<pb::TaskInfo, Status> {
        let row: Option<TaskRow> =
            self.shared.row(state, Family::Task, &task_key(ns, task)).map_err(|e| errors::internal(&e))?;
        let row = row.unwrap_or_default();
        let mut info =
            pb::TaskInfo { job_id: task.job.0, index: task.index, ended_ms: row.ended_ms, ..Default::default() };
        let lost = |a: &&EndedAttempt| a.reason.kind().is_infrastructure();
        info.losses = row.of_budget().iter().filter(lost).count() as u32;
        info.attempts_used = row.of_budget().len() as u32 - info.losses;
        info.attempts = row.attempts.iter().map(|a| ended_attempt(&state.hot, a)).collect();
        let alive = state.hot.jobs.get(&task.job);
        let task_state = match alive {
            Some(job) => match state.hot.live_task_state(task) {
                Some(live) => {
                    if let Some(active) = job.active.get(&task.index) {
                        info.attempts.push(live_attempt(&state.hot, active));
                        info.memory_bytes = u64::from(active.memory_mib) << 20;
                    }
                    if let Some(waiting) = job.waiting.as_ref().and_then(|w| w.get(&task.index)) {
                        info.not_before_ms = waiting.not_before_ms;
                        info.memory_bytes = u64::from(waiting.memory_mib) << 20;
                    }
                    live
                }
                None => ended_state(&row),
            },
            None => ended_state(&row),
        };
        info.reason = row.unmet.map(|unmet| unmet.reason()).filter(|_| task_state == TaskState::Cancelled);
        // It was never placed: its job's own row says what became of those, and when.
        let task_state = if task_state == TaskState::Cancelled && row.ended_ms == 0 {
            self.end_of_fresh(state, ns, task, &mut info)?
        } else {
            task_state
        };
        info.state = task_state as i32;
        Ok(info)
    }

    /// A task without a row of its own, in a job that has nothing fresh any more: a cancel took it, or the job's queue time-out, or it waited for
    /// another job in vain.
    fn end_of_fresh(
        &self,
        state: &State,
        ns: NamespaceId,
        task: TaskId,
        info: &mut pb::TaskInfo,
    ) -> Result<TaskState, Status> {
        let job: Option<JobRow> =
            self.shared.row(state, Family::Job, &job_key(ns, task.job)).map_err(|e| errors::internal(&e))?;
        let Some(job) = job else { return Ok(TaskState::Cancelled) };
        if job.queue_expired_ms == 0 {
            if let Some(unmet) = job.unmet.filter(|_| task.index >= job.next_fresh) {
                (info.ended_ms, info.reason) = (job.ended_ms, Some(unmet.reason()));
            }
            return Ok(TaskState::Cancelled);
        }
        let (spec, _) = self.job_rows(state, ns, task.job)?;
        let since_ms = spec.submitted_ms.max(job.released_ms);
        info.ended_ms = job.queue_expired_ms;
        info.reason = Some(waited_too_long(since_ms, spec.spec.queue_timeout_ms, job.queue_expired_ms));
        Ok(TaskState::Failed)
    }
}

/// Of a task that does not live. Without a row it was never placed.
fn ended_state(row: &TaskRow) -> TaskState {
    if row.attempts.is_empty() && row.ended_ms == 0 {
        return TaskState::Cancelled;
    }
    TaskState::try_from(row.state).unwrap_or(TaskState::Failed)
}

fn shown(namespace: &str) -> &str {
    if namespace.is_empty() { cloudai_proto::convert::DEFAULT_NAMESPACE } else { namespace }
}

pub fn summary(hot: &Hot, index: u64, ns: NamespaceId, job: JobId, spec: &JobSpecRow, row: &JobRow) -> pb::JobSummary {
    let namespace = hot.namespaces.iter().find(|(_, id)| **id == ns).map(|(name, _)| name.clone()).unwrap_or_default();
    pb::JobSummary {
        id: job.0,
        name: spec.spec.name.clone(),
        namespace,
        state: row.state,
        counts: Some(counts(row)),
        count: spec.indexes().len() as u32,
        first_index: spec.indexes().start,
        priority: spec.spec.priority,
        submitted_ms: spec.submitted_ms,
        started_ms: row.started_ms,
        ended_ms: row.ended_ms,
        cancel_requested: row.cancel_requested,
        image: spec.spec.image.clone(),
        index,
        workflow_id: spec.workflow,
        node: spec.node.clone(),
        why: row.unmet.map(|unmet| unmet.text()).unwrap_or_default(),
        released_ms: row.released_ms,
        labels: spec.spec.labels.clone(),
    }
}

pub fn counts(row: &JobRow) -> pb::TaskCounts {
    let Counts { queued, active, succeeded, failed, cancelled, dead } = row.counts;
    pb::TaskCounts { queued, active, succeeded, failed, cancelled, dead, blocked: row.blocked }
}

fn worker_name(hot: &Hot, worker: u32) -> String {
    hot.workers.get(&cloudai_types::WorkerId(worker)).map(|w| w.name.clone()).unwrap_or_default()
}

fn ended_attempt(hot: &Hot, a: &EndedAttempt) -> pb::AttemptInfo {
    pb::AttemptInfo {
        number: a.number,
        worker_id: a.worker,
        worker: worker_name(hot, a.worker),
        phase: a.state,
        reason: Some(a.reason.clone()),
        assigned_ms: a.assigned_ms,
        started_ms: a.started_ms,
        ended_ms: a.ended_ms,
    }
}

fn live_attempt(hot: &Hot, a: &ActiveAttempt) -> pb::AttemptInfo {
    pb::AttemptInfo {
        number: a.number,
        worker_id: a.worker.0,
        worker: worker_name(hot, a.worker.0),
        phase: a.state as i32,
        reason: None,
        assigned_ms: a.assigned_ms,
        started_ms: a.started_ms,
        ended_ms: 0,
    }
}

/// Rows in one page: what was asked, within the limits.
pub fn page(limit: u32) -> usize {
    if limit == 0 { limits::PAGE_ROWS_DEFAULT } else { (limit as usize).min(limits::PAGE_ROWS_MAX) }
}
