//! What one log entry has produced so far. Comes in: row changes, events and news of its commands. Goes out: events without
//! repetition, news, and one write per changed row. Rows of jobs that only changed their counts are encoded once, at the end.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{AttemptId, JobId, NamespaceId, WorkerId, limits};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use crate::command::{QUOTAS_SINCE, TRACE_SINCE};
use crate::event::Event;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::rows::{
    CLUSTER_KEY, Family, JobState, Rows, Write, alive_key, hold_key, job_key, namespace_key, worker_key,
};
use crate::tenants::Tenant;
use crate::workflows::Gate;

pub(super) struct Out<'a> {
    rows: &'a dyn Rows,
    /// The entry's log index.
    pub index: u64,
    /// Replicated time of the entry.
    pub clock_ms: u64,
    /// Who asked for the command at hand: written by [`Out::asked_by`].
    pub actor: String,
    /// The trace parent of the command at hand: written by [`Out::traced_by`].
    trace_parent: String,
    /// By family: this entry's writes so far.
    pending: [BTreeMap<Vec<u8>, Option<Vec<u8>>>; Family::ALL.len()],
    /// Live jobs whose row is to be written; true: listeners are told of a change.
    jobs: BTreeMap<JobId, bool>,
    /// Namespaces whose row is to be written.
    tenants: BTreeSet<NamespaceId>,
    /// Jobs whose gate's row is to be written, and holds (who waits, for whom): what is gone by the end is deleted.
    gates: BTreeSet<JobId>,
    holds: BTreeSet<(JobId, JobId)>,
    assigned: BTreeMap<WorkerId, Vec<AttemptId>>,
    withdrawn: BTreeMap<WorkerId, Vec<AttemptId>>,
    events: Vec<Event>,
    news: Vec<News>,
    capacity_changed: bool,
    tasks_ready: bool,
}

impl<'a> Out<'a> {
    pub fn new(rows: &'a dyn Rows, index: u64, clock_ms: u64) -> Self {
        Out {
            rows,
            index,
            clock_ms,
            actor: String::new(),
            trace_parent: String::new(),
            pending: Default::default(),
            jobs: BTreeMap::new(),
            tenants: BTreeSet::new(),
            gates: BTreeSet::new(),
            holds: BTreeSet::new(),
            assigned: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            events: vec![],
            news: vec![],
            capacity_changed: false,
            tasks_ready: false,
        }
    }

    /// The row as of now: earlier entries plus this one's writes. A row that does not decode counts as absent; the store
    /// checks its own bytes, so that is a bug or damage that its checksums find.
    pub fn read<M: Message + Default>(&self, family: Family, key: &[u8]) -> Option<M> {
        match self.pending[place(family)].get(key) {
            Some(value) => M::decode(value.as_deref()?).ok(),
            None => M::decode(self.rows.get(family, key)?.as_slice()).ok(),
        }
    }

    pub fn put(&mut self, family: Family, key: &[u8], row: &impl Message) {
        self.pending[place(family)].insert(key.to_vec(), Some(row.encode_to_vec()));
    }

    pub fn delete(&mut self, family: Family, key: &[u8]) {
        self.pending[place(family)].insert(key.to_vec(), None);
    }

    /// Writes the worker's row and tells listeners.
    pub fn worker_changed(&mut self, hot: &Hot, id: WorkerId) {
        self.put_worker(hot, id);
        self.events.push(Event::WorkerChanged { worker: id });
    }

    pub fn put_worker(&mut self, hot: &Hot, id: WorkerId) {
        if let Some(worker) = hot.workers.get(&id) {
            self.put(Family::Worker, &worker_key(id), &worker.row());
        }
    }

    pub fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// A command begins. A text of the log that can be nobody's name is not told.
    pub fn asked_by(&mut self, actor: &str) {
        self.actor.clear();
        if actor.len() <= limits::TEXT_BYTES_MAX {
            self.actor.push_str(actor);
        }
    }

    /// A command begins. A text of the log that can be no trace parent belongs to no trace; what a shorter one means is not looked at here.
    pub fn traced_by(&mut self, trace_parent: String) {
        self.trace_parent = trace_parent;
        if self.trace_parent.len() > limits::TRACE_PARENT_BYTES_MAX {
            self.trace_parent.clear();
        }
    }

    /// What jobs of the command at hand remember of its trace.
    pub fn trace_parent(&self, hot: &Hot) -> String {
        if hot.version >= TRACE_SINCE { self.trace_parent.clone() } else { String::new() }
    }

    /// For people.
    pub fn news(&mut self, news: News) {
        if !self.news.last_mut().is_some_and(|last| last.absorb(&news)) {
            self.news.push(news);
        }
    }

    /// Of tasks that begin to be. Who submitted them, their job's row tells: submits are too many to say it here.
    pub fn job_submitted(&mut self, namespace: NamespaceId, job: JobId, tasks: u32) {
        self.jobs.insert(job, false);
        self.events.push(Event::JobSubmitted { job });
        self.news(News::of_job(namespace, job, What::Submitted { tasks, actor: String::new() }));
        self.tasks_ready = true;
    }

    pub fn job_changed(&mut self, job: JobId) {
        self.jobs.insert(job, true);
    }

    /// It left hot state; its last row is written already.
    pub fn job_ended(&mut self, namespace: NamespaceId, job: JobId, state: JobState) {
        self.jobs.remove(&job);
        self.events.push(Event::JobEnded { job });
        self.news(News::of_job(namespace, job, What::Finished { state }));
    }

    /// It lives again. Where it ended in this very entry, nobody need hear of that.
    pub fn job_revived(&mut self, job: JobId) {
        self.events.retain(|event| *event != Event::JobEnded { job });
        self.job_changed(job);
    }

    /// Which of its tasks wait for others has changed, or it waits no more.
    pub fn gate_changed(&mut self, job: JobId) {
        self.gates.insert(job);
    }

    /// A dependency is new, or met for some tasks, or gone.
    pub fn hold_changed(&mut self, job: JobId, waits_for: JobId) {
        self.holds.insert((job, waits_for));
    }

    pub fn assigned(&mut self, namespace: NamespaceId, worker: WorkerId, attempt: AttemptId) {
        self.assigned.entry(worker).or_default().push(attempt);
        self.news(News::of_task(namespace, attempt.task, attempt.number, What::Placed).on(worker));
    }

    pub fn withdrawn(&mut self, worker: WorkerId, attempt: AttemptId) {
        self.withdrawn.entry(worker).or_default().push(attempt);
    }

    /// Its session is void: what this entry assigned to it is not sent.
    pub fn worker_gone(&mut self, worker: WorkerId) {
        self.assigned.remove(&worker);
    }

    /// What it may have, holds or has held.
    pub fn tenant_changed(&mut self, namespace: NamespaceId) {
        self.tenants.insert(namespace);
    }

    /// Room under its quota is room as well, also where the worker takes nothing new.
    pub fn tenant_gave_back(&mut self, namespace: NamespaceId, tenant: &Tenant) {
        self.tenant_changed(namespace);
        self.capacity_changed |= tenant.quota.is_capped();
    }

    pub fn capacity_changed(&mut self) {
        self.capacity_changed = true;
    }

    pub fn tasks_ready(&mut self) {
        self.tasks_ready = true;
    }

    /// Encodes what is left, chains the digest (I8), and hands everything out.
    pub fn finish(mut self, hot: &mut Hot) -> (Vec<Event>, Vec<News>, Vec<Write>) {
        for (id, changed) in std::mem::take(&mut self.jobs) {
            let Some(job) = hot.jobs.get_mut(&id) else { continue };
            let blocked = hot.workflows.blocked(id, job.count);
            let row = hot.workflows.complete(id, job.row(blocked, 0, hot.queue_limits.get(id).expired_ms));
            let row = hot.gangs.complete(id, row);
            self.put(Family::Job, &job_key(job.namespace, id), &row);
            if changed {
                if std::mem::take(&mut job.untouched)
                    && let Some(row) = hot.alive_row(id)
                {
                    self.put(Family::Alive, &alive_key(id), &row);
                }
                self.events.push(Event::JobChanged { job: id });
            }
        }
        if hot.version >= QUOTAS_SINCE {
            for id in std::mem::take(&mut self.tenants) {
                if let Some(tenant) = hot.tenants.get(id) {
                    self.put(Family::Namespace, &namespace_key(id), &tenant.row());
                }
            }
        }
        self.put_gates(hot);
        let mut events = self.events;
        // Assignments first: an attempt that was placed and cancelled in one entry is heard of in that order.
        events.extend(self.assigned.into_iter().map(|(worker, attempts)| Event::Assigned { worker, attempts }));
        events.extend(self.withdrawn.into_iter().map(|(worker, attempts)| Event::Withdrawn { worker, attempts }));
        if self.capacity_changed {
            events.push(Event::CapacityChanged);
        }
        if self.tasks_ready {
            events.push(Event::TasksReady);
        }
        let mut writes: Vec<Write> = Vec::with_capacity(self.pending.iter().map(BTreeMap::len).sum::<usize>() + 1);
        for (family, rows) in Family::ALL.into_iter().zip(self.pending) {
            writes.extend(rows.into_iter().map(|(key, value)| Write { family, key, value }));
        }
        // The cluster's row takes part in its own digest with the previous one inside.
        let row = |hot: &Hot| Write {
            family: Family::Cluster,
            key: CLUSTER_KEY.to_vec(),
            value: Some(hot.cluster_row().encode_to_vec()),
        };
        writes.push(row(hot));
        hot.digest = digest(self.index, &writes);
        if let Some(last) = writes.last_mut() {
            *last = row(hot);
        }
        (events, self.news, writes)
    }

    fn put_gates(&mut self, hot: &Hot) {
        for job in std::mem::take(&mut self.gates) {
            match hot.workflows.gate(job).and_then(Gate::row) {
                Some(row) => self.put(Family::Gate, &alive_key(job), &row),
                None => self.delete(Family::Gate, &alive_key(job)),
            }
        }
        for (job, waits_for) in std::mem::take(&mut self.holds) {
            match hot.workflows.gate(job).and_then(|gate| gate.holds.get(&waits_for)) {
                Some(hold) => self.put(Family::Hold, &hold_key(job, waits_for), &hold.row()),
                None => self.delete(Family::Hold, &hold_key(job, waits_for)),
            }
        }
    }
}

/// The family's place in [`Family::ALL`]: their numbers begin with 1 and have no gap (tested).
fn place(family: Family) -> usize {
    family as usize - 1
}

/// The previous digest is inside the cluster's row.
fn digest(index: u64, writes: &[Write]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&index.to_le_bytes());
    for Write { family, key, value } in writes {
        let mut head = [0; 18];
        head[0] = *family as u8;
        head[1] = u8::from(value.is_some());
        head[2..10].copy_from_slice(&(key.len() as u64).to_le_bytes());
        head[10..].copy_from_slice(&(value.as_ref().map_or(0, Vec::len) as u64).to_le_bytes());
        hash.update(&head);
        hash.update(key);
        hash.update(value.as_deref().unwrap_or_default());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_a_place_of_its_own() {
        for (n, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(place(family), n);
        }
    }

    #[test]
    fn the_digest_tells_apart_what_looks_alike() {
        let write = |family, key: &[u8], value: Option<&[u8]>| Write {
            family,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        let some = [
            vec![],
            vec![write(Family::Job, b"a", None)],
            vec![write(Family::Job, b"a", Some(b""))],
            vec![write(Family::Task, b"a", Some(b""))],
            vec![write(Family::Job, b"ab", Some(b"c"))],
            vec![write(Family::Job, b"a", Some(b"bc"))],
        ];
        let digests: std::collections::BTreeSet<u64> =
            some.iter().map(|w| digest(1, w)).chain([digest(2, &[])]).collect();
        assert_eq!(digests.len(), some.len() + 1);
    }
}
