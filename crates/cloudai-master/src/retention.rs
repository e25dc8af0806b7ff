//! Ended jobs leave when their retention is over. Comes in: rows of jobs, looked at in rounds, a bounded part at a time. Goes out: a
//! logged command that names them; `apply` checks each again, so that a stale look removes nothing it must not. Jobs of a workflow leave when all of
//! it has ended for long enough.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cloudai_core::command::{ExpireJobs, ExpiringJob, Kind};
use cloudai_core::rows::{ExpiringRow, Family, JobRow, WorkflowRow, workflow_key};
use cloudai_core::{Command, Reply};
use cloudai_types::{JobId, NamespaceId, WorkflowId, limits};
use futures::StreamExt as _;
use prost::Message;

use crate::node::Node;
use crate::state_store::StateStore;

/// Where the round is. A new leader begins a new one.
#[derive(Default)]
pub struct Retention {
    cursor: Vec<u8>,
    has_more: bool,
}

/// What one look found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    jobs: Vec<ExpiringJob>,
    /// What they have in rows, about.
    rows: u64,
}

impl Found {
    fn is_full(&self) -> bool {
        self.jobs.len() >= limits::EXPIRE_JOBS_MAX || self.rows >= u64::from(limits::EXPIRE_ROWS_MAX)
    }

    fn push(&mut self, key: &[u8], rows: u32) {
        let Ok(key) = <&[u8; 12]>::try_from(key) else { return };
        let (namespace, job) = key.split_at(4);
        self.jobs.push(ExpiringJob {
            namespace: namespace.try_into().map_or(0, u32::from_be_bytes),
            job: job.try_into().map_or(0, u64::from_be_bytes),
        });
        self.rows += u64::from(rows) + 2;
    }
}

impl Retention {
    /// The last step found as much as one command takes: there is probably more.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Looks at the next rows, and proposes what is over.
    pub async fn step<S: StateStore>(&mut self, node: &Node<S>) {
        self.has_more = false;
        let keep_ms = node.config.job_retention_secs.saturating_mul(1_000);
        let (clock_ms, version) = {
            let state = node.shared.read();
            (state.hot.clock_ms, state.hot.version)
        };
        // The command is of format 2: masters of an older build would stop at it.
        if keep_ms == 0 || version < 2 {
            return;
        }
        let ended_until_ms = node.now_ms().saturating_sub(keep_ms).min(clock_ms);
        let found = match self.look(node.shared.store(), ended_until_ms) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the rows of jobs cannot be read");
                return;
            }
        };
        if found.jobs.is_empty() {
            return;
        }
        self.has_more = found.is_full();
        let late = self.remove_stored(node, &found.jobs).await;
        let jobs: Vec<ExpiringJob> = found.jobs.into_iter().filter(|job| !late.contains(&job.job)).collect();
        if jobs.is_empty() {
            return;
        }
        let expire = Kind::ExpireJobs(ExpireJobs { jobs, ended_until_ms });
        match node.proposer.propose(Command::new("leader", expire)).await {
            Ok((_, Reply::JobsExpired { jobs, rows })) => tracing::debug!(jobs, rows, "old jobs are removed"),
            Ok((_, other)) => tracing::warn!(?other, "an unexpected reply to the removal of old jobs"),
            Err(error) => tracing::debug!(%error, "the removal of old jobs has no outcome; the next round tries again"),
        }
    }

    /// Results and logs go with their job, before its rows: what breaks off here is found again by the next round. A store that refuses holds
    /// nobody up: the job goes all the same, and what is left of it in the store is named in the log. Where it takes too long the job
    /// waits for the next round, which goes on with it: these jobs are returned.
    async fn remove_stored<S: StateStore>(&self, node: &Node<S>, jobs: &[ExpiringJob]) -> BTreeSet<u64> {
        let Some(store) = node.results.store() else { return BTreeSet::new() };
        let mut stored = vec![];
        for job in jobs {
            let (ns, id) = (NamespaceId(job.namespace), JobId(job.job));
            let state = node.shared.read();
            // Without rows: they went with an earlier round.
            if let Ok((row, _)) = node.job_rows(&state, ns, id) {
                stored.push((id, row.spec.results.then_some(row.spec.namespace)));
            }
        }
        // One that does not answer is not asked for each of a thousand jobs.
        let is_silent = &AtomicBool::new(false);
        let removing = stored.into_iter().map(|(id, namespace)| async move {
            if is_silent.load(Relaxed) {
                return Some(id.0);
            }
            let removal = async {
                if let Some(namespace) = &namespace {
                    store.remove_job(namespace, id).await?;
                }
                store.remove_logs(id).await
            };
            match tokio::time::timeout(limits::REMOVE_WITHIN.as_duration(), removal).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    tracing::error!(%error, job = %id, "results or logs of a job that is removed stay in the store");
                    None
                }
                Err(_) => {
                    is_silent.store(true, Relaxed);
                    tracing::warn!(job = %id, "the store is slow: results and logs of old jobs are removed later");
                    Some(id.0)
                }
            }
        });
        let late = futures::stream::iter(removing).buffer_unordered(limits::REMOVED_AT_ONCE);
        late.filter_map(std::future::ready).collect().await
    }

    /// First what was begun, then the next part of the jobs, round and round.
    fn look<S: StateStore>(&mut self, store: &S, ended_until_ms: u64) -> std::io::Result<Found> {
        let mut found = Found::default();
        store.scan(Family::Expiring, &[], None, false, &mut |key, value| {
            let rest = ExpiringRow::decode(value).unwrap_or_default();
            found.push(key, rest.end.saturating_sub(rest.next));
            !found.is_full()
        })?;
        if found.is_full() {
            return Ok(found);
        }
        let from = std::mem::take(&mut self.cursor);
        let mut seen = 0;
        let mut of_ended = OfEnded { store, ended_until_ms, last: (0, false), error: None };
        store.scan(Family::Job, &from, None, false, &mut |key, value| {
            if seen >= limits::EXPIRE_SCAN_MAX || found.is_full() {
                self.cursor = key.to_vec();
                return false;
            }
            seen += 1;
            if let Ok(row) = JobRow::decode(value)
                && row.ended_ms > 0
                && row.ended_ms <= ended_until_ms
                && of_ended.may_leave(key, row.workflow)
            {
                found.push(key, row.next_fresh);
            }
            true
        })?;
        of_ended.error.map_or(Ok(found), Err)
    }
}

/// Whether a job's workflow has ended for long enough. What lives of it may need the results of what has ended, so they stay together.
struct OfEnded<'a, S> {
    store: &'a S,
    ended_until_ms: u64,
    /// Of the last one that was asked for: jobs of a workflow follow each other.
    last: (u64, bool),
    error: Option<std::io::Error>,
}

impl<S: StateStore> OfEnded<'_, S> {
    /// `key`: the job's. `workflow`: 0 for a job of none.
    fn may_leave(&mut self, key: &[u8], workflow: u64) -> bool {
        if workflow == 0 || self.last.0 == workflow {
            return workflow == 0 || self.last.1;
        }
        let Some(namespace) = key.first_chunk::<4>() else { return false };
        let key = workflow_key(NamespaceId(u32::from_be_bytes(*namespace)), WorkflowId(workflow));
        let may = match self.store.get(Family::Workflow, &key) {
            Ok(Some(value)) => WorkflowRow::decode(value.as_slice())
                .is_ok_and(|row| row.ended_ms > 0 && row.ended_ms <= self.ended_until_ms),
            // It went with another of its jobs.
            Ok(None) => true,
            Err(error) => {
                self.error = Some(error);
                false
            }
        };
        self.last = (workflow, may);
        may
    }
}
