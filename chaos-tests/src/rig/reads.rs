//! What the rig asks the cluster: who leads, does it serve, are all caught up. Comes in: nothing but the rig. Goes out: answers for the
//! drills. Nothing here is measured: the history is what counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use cloudai_proto::v1::{
    ClusterStatusReply, ClusterStatusRequest, Consistency, ListJobsRequest, ListWorkersReply, ListWorkersRequest,
    MemberRole, WorkerState,
};
use futures::future::join_all;

use super::standing::Rig;
use crate::wait;

/// One master's own time to answer.
const ANSWER: Duration = Duration::from_millis(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PAGE: u32 = 1000;
/// Entries that a follower may be behind and still count as caught up while a load runs.
const LAG_MAX: u64 = 200;

impl Rig {
    /// What every running master knows by itself now; those that do not answer are missing.
    pub fn views(&self) -> BTreeMap<String, ClusterStatusReply> {
        let names: Vec<String> = self.masters().into_iter().filter(|m| self.machines[m].pid().is_some()).collect();
        let asked = names.iter().map(|name| async move {
            let client = self.client_of(name, ANSWER).ok()?;
            let request = ClusterStatusRequest { consistency: Consistency::Stale as i32 };
            let reply = tokio::time::timeout(ANSWER, client.cluster_status(request)).await.ok()?.ok()?;
            Some((name.clone(), reply))
        });
        self.wait(async { join_all(asked).await }).into_iter().flatten().collect()
    }

    /// Who says that it leads, in the highest term.
    pub fn leader_now(&self) -> Option<(u64, String)> {
        let views = self.views();
        let leading = views.iter().filter(|(_, v)| v.read.as_ref().is_some_and(|r| r.leader));
        leading.map(|(name, v)| (v.term, name.clone())).max()
    }

    /// Waits until one is known.
    pub fn leader(&self) -> anyhow::Result<String> {
        wait::until("a leader", Duration::from_secs(30), LOOK_EVERY, || Ok(self.leader_now().map(|(_, name)| name)))
    }

    pub fn followers(&self, leader: &str) -> Vec<String> {
        self.masters().into_iter().filter(|m| m != leader).collect()
    }

    /// A linearizable read, which only a leader with a quorum answers.
    pub fn status(&self, limit: Duration) -> anyhow::Result<ClusterStatusReply> {
        let client = self.client(limit)?;
        let request = ClusterStatusRequest { consistency: Consistency::Linearizable as i32 };
        let reply = self.wait(client.cluster_status(request)).context("the cluster gives no status")?;
        ensure!(reply.read.as_ref().is_some_and(|r| !r.stale), "the cluster has no quorum");
        Ok(reply)
    }

    /// Until somebody leads and has a quorum; how long that took.
    pub fn wait_serving(&self, limit: Duration) -> anyhow::Result<Duration> {
        let began = Instant::now();
        wait::until("a cluster that serves", limit, LOOK_EVERY, || {
            Ok(self.status(Duration::from_millis(500)).is_ok_and(|s| s.leader_id > 0).then_some(()))
        })?;
        Ok(began.elapsed())
    }

    /// All workers, as the leader sees them.
    pub fn list_workers(&self) -> anyhow::Result<ListWorkersReply> {
        // Only the leader knows sessions.
        let leader = self.leader()?;
        let client = self.client_of(&leader, Duration::from_secs(2))?;
        let request = ListWorkersRequest { consistency: Consistency::Linearizable as i32 };
        self.wait(client.list_workers(request)).context("workers cannot be listed")
    }

    /// Until every worker that runs is connected.
    pub fn wait_workers(&self, limit: Duration) -> anyhow::Result<()> {
        let wanted: BTreeSet<String> =
            self.workers().into_iter().filter(|w| self.machines[w].pid().is_some()).collect();
        wait::until("workers that are all connected", limit, LOOK_EVERY, || {
            let reply = self.list_workers()?;
            let ready = reply.workers.iter().filter(|w| w.state() == WorkerState::Ready && w.connected);
            let ready: BTreeSet<String> = ready.map(|w| w.name.clone()).collect();
            Ok(wanted.is_subset(&ready).then_some(()))
        })
    }

    /// Until all masters vote and are (nearly) up to date: a follower too far behind cannot be leader next.
    pub fn wait_caught_up(&self, limit: Duration) -> anyhow::Result<()> {
        let wanted = self.masters().len();
        wait::until("masters that are all caught up", limit, LOOK_EVERY, || {
            // Only the leader knows how far behind the others are.
            let Some((_, leader)) = self.leader_now() else { return Ok(None) };
            let client = self.client_of(&leader, Duration::from_secs(1))?;
            let request = ClusterStatusRequest { consistency: Consistency::Linearizable as i32 };
            let status = self.wait(client.cluster_status(request))?;
            let voters = status.members.iter().filter(|m| m.role() == MemberRole::Voter);
            let close = voters.filter(|m| m.leader || m.lag_entries.is_some_and(|lag| lag <= LAG_MAX)).count();
            // The lag is what the leader knows, which may be old: each has to answer for itself too.
            let views = self.views();
            let newest = views.values().map(|v| v.applied_index).max().unwrap_or_default();
            let there = views.values().filter(|v| v.applied_index + LAG_MAX >= newest).count();
            ensure!(
                close >= wanted && there == wanted,
                "{close} of {wanted} by the leader's word, {there} by their own"
            );
            Ok(Some(()))
        })
    }

    /// Ids of all jobs, by a linearizable walk through all pages.
    pub fn all_jobs(&self) -> anyhow::Result<BTreeSet<u64>> {
        let client = self.client(Duration::from_secs(30))?;
        let (mut before, mut ids) = (0, BTreeSet::new());
        loop {
            let request = ListJobsRequest {
                limit: PAGE,
                before,
                consistency: Consistency::Linearizable as i32,
                ..ListJobsRequest::default()
            };
            let page = self.wait(client.list_jobs(request)).context("jobs cannot be listed")?;
            ids.extend(page.jobs.iter().map(|j| j.id));
            before = page.next_before;
            if before == 0 {
                return Ok(ids);
            }
        }
    }

    /// Once nothing writes any more: index and digest of every master's state, at one and the same index.
    pub fn digests(&self, limit: Duration) -> anyhow::Result<(u64, BTreeMap<String, u64>)> {
        let began = Instant::now();
        loop {
            let views = self.views();
            let at = |v: &ClusterStatusReply| v.read.as_ref().map_or(0, |r| r.index);
            let indexes: BTreeSet<u64> = views.values().map(at).collect();
            if views.len() == self.masters().len()
                && let (1, Some(index)) = (indexes.len(), indexes.first())
            {
                return Ok((*index, views.into_iter().map(|(name, v)| (name, v.digest)).collect()));
            }
            if began.elapsed() > limit {
                let shown: Vec<String> = views.iter().map(|(name, v)| format!("{name} at {}", at(v))).collect();
                bail!("the masters did not come to the same index within {} s: {}", limit.as_secs(), shown.join(", "));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
