//! Hot state: what is alive. Comes in: changes by `apply` alone. Goes out: reads for the scheduler, the dispatcher and people.
//! Ended jobs are not here; they are rows.
//!
//! A job's indexes are in exactly one of five places: `fresh` (a range: never placed), `waiting` (placed before, delayed, or released one by one
//! from a workflow), `active` (a live attempt), blocked (in none of these lists: the job's gate in [`Hot::workflows`] says which), or ended (rows
//! and counts only). Waiting ones that ask for something else than their siblings are listed in `apart` as well.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use cloudai_types::{
    ClusterConfig, HourlyPrice, JobId, NamespaceId, NodeId, Placement, Resources, RetryRules, Rules, Taints, TaskId,
    WorkerId,
};

use crate::apart::Apart;
use crate::backlog::Backlog;
use crate::command::{AttemptState, QUOTAS_SINCE};
use crate::gangs::Gangs;
use crate::job_labels::JobLabels;
use crate::job_table::JobTable;
use crate::queue::Queue;
use crate::queue_limits::QueueLimits;
use crate::rows::{
    AliveRow, AttemptRow, ClusterRow, Counts, JobRow, JobState, MasterRow, TaskState, WorkerRow, WorkerState,
};
use crate::schedules::Schedules;
use crate::tenants::Tenants;
use crate::users::UserId;
pub use crate::waiting::Waiting;
use crate::workflows::Workflows;

/// What the scheduler needs to know of a spec; jobs with equal shapes share one and are placed alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shape {
    pub resources: Resources,
    /// Required labels, sorted.
    pub require: Vec<(String, String)>,
    /// So many tasks start together or not at all; 0: each by itself.
    pub gang: u32,
    /// Boxed and absent for most: no rules but room and those labels.
    pub rules: Option<Box<Rules>>,
}

/// A shape's number in [`Hot::shapes`]. Local to this process: never persisted, never in a reply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShapeId(pub u32);

/// All fields are written by `apply` and `load` only.
#[derive(Clone, Debug)]
pub struct Hot {
    pub cluster: String,
    pub incarnation: u64,
    /// Replicated time; only moves forward.
    pub clock_ms: u64,
    pub next_job: u64,
    pub next_worker: u32,
    pub next_node: u64,
    pub next_namespace: u32,
    pub next_session: u64,
    pub version: u32,
    pub config: ClusterConfig,
    /// Chained over every entry's writes (I8).
    pub digest: u64,
    pub namespaces: BTreeMap<String, NamespaceId>,
    /// The same by number, with what each may have, holds and has held.
    pub tenants: Tenants,
    pub jobs: JobTable<Job>,
    /// Jobs that have an index ready to be placed now, under each shape that such an index has.
    pub queue: Queue,
    /// Waiting indexes whose time has not come: (not before, job, index).
    pub delayed: BTreeSet<(u64, JobId, u32)>,
    pub workers: BTreeMap<WorkerId, Worker>,
    pub worker_names: BTreeMap<String, WorkerId>,
    /// (role byte, name) of revoked members.
    pub revoked: BTreeSet<(u8, String)>,
    pub masters: BTreeMap<NodeId, MasterRow>,
    pub shapes: Shapes,
    /// Queued and active tasks of all jobs.
    pub backlog: Backlog,
    /// Waiting indexes that ask for something else than their siblings.
    pub apart: Apart,
    /// Live jobs with rules of their own about what follows a failed attempt. Most have none, and are not here.
    pub retry: BTreeMap<JobId, RetryRules>,
    /// Live jobs of which only one index ever runs, because they replay a dead task with another spec.
    pub only: BTreeMap<JobId, u32>,
    /// How many secrets and logins each namespace has; those without are not here. The secrets themselves are rows.
    pub secrets: BTreeMap<NamespaceId, u32>,
    /// Live jobs whose tasks may wait only for so long. Most have no such limit, and are not here.
    pub queue_limits: QueueLimits,
    /// Live jobs whose attempts may run only for so long, in milliseconds. The others are not here.
    pub time_limits: BTreeMap<JobId, u64>,
    /// Live jobs that have labels, or rules that keep other jobs away. Most have neither, and are not here.
    pub job_labels: JobLabels,
    /// Live jobs that may be stopped for others of a higher priority. Most may not, and are not here.
    pub preemptible: BTreeSet<JobId>,
    /// (deadline, worker) of those that drain until a time that has not come.
    pub drains: BTreeSet<(u64, WorkerId)>,
    /// Live jobs of workflows, and what holds some of them back. Others are not here.
    pub workflows: Workflows,
    /// Gangs of which one has failed, and others have not stopped yet.
    pub gangs: Gangs,
    /// When each schedule is due. What they say are rows.
    pub schedules: Schedules,
    /// How many templates each namespace has; those without are not here.
    pub templates: BTreeMap<NamespaceId, u32>,
}

/// Interned shapes, counted by the live jobs that use them.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    pub by_shape: BTreeMap<Arc<Shape>, ShapeId>,
    pub by_id: BTreeMap<ShapeId, (Arc<Shape>, u32)>,
    pub next: u32,
    /// So many of them have rules about other jobs.
    pub near: usize,
}

/// A live job. Kept small: a million single-task jobs wait in memory. The full spec is a row.
#[derive(Clone, Debug)]
pub struct Job {
    pub namespace: NamespaceId,
    pub shape: ShapeId,
    /// Of its namespace.
    pub user: UserId,
    /// [`limits::PRIORITY_MAX`] and [`limits::ATTEMPTS_MAX`] fit: a million of these wait.
    pub priority: i16,
    pub max_attempts: u16,
    pub count: u32,
    pub submitted_ms: u64,
    /// Replicated time of the first assignment; 0: none yet.
    pub started_ms: u64,
    pub cancel_requested: bool,
    /// Its [`AliveRow`] says so: the first change writes that row once more.
    pub untouched: bool,
    pub counts: Counts,
    /// Indexes that were never placed.
    pub fresh: Range<u32>,
    /// Queued indexes with a past. Boxed and absent for most jobs.
    pub waiting: Option<Box<BTreeMap<u32, Waiting>>>,
    /// How many of `waiting` are in [`Hot::delayed`]: their time has not come.
    pub delayed: u32,
    /// How many of `waiting` may be placed now, and stand in [`Hot::apart`].
    pub apart_ready: u32,
    pub active: BTreeMap<u32, ActiveAttempt>,
    /// [`cloudai_types::image::fingerprint`]; 0: not known.
    pub image: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveAttempt {
    pub number: u32,
    pub worker: WorkerId,
    pub state: AttemptState,
    /// Log index of the assignment.
    pub assigned_index: u64,
    pub assigned_ms: u64,
    pub started_ms: u64,
    pub attempts_used: u16,
    pub losses: u8,
    /// Memory that it was given, where that is more than the spec says; 0: what the spec says.
    pub memory_mib: u32,
    /// It is no part of [`Worker::used`] any more: it stores its results.
    pub released: bool,
    /// It is told to stop, to make room for another task.
    pub preempted: bool,
}

#[derive(Clone, Debug)]
pub struct Worker {
    pub name: String,
    pub state: WorkerState,
    pub draining: bool,
    /// While it drains: replicated time from which on what still runs is stopped; 0: it may finish.
    pub drain_deadline_ms: u64,
    /// That time has passed: its attempts are told to stop, and go elsewhere.
    pub evicting: bool,
    /// It said itself that it is about to end.
    pub leaving: bool,
    /// What tasks may have.
    pub capacity: Resources,
    /// What its operator keeps for the machine itself, beside the capacity: for people, no decision looks at it.
    pub reserved: Option<Resources>,
    /// What it costs; nothing, where it said no price.
    pub price: HourlyPrice,
    /// Sum over `active`, without those that only store their results: what placements reserved (I4).
    pub used: Resources,
    /// Its own labels under `assigned_labels`: what filters look at.
    pub labels: BTreeMap<String, String>,
    /// Given at authorisation; they win.
    pub assigned_labels: BTreeMap<String, String>,
    /// By `SetTaint`: only who tolerates all of them is placed there.
    pub taints: Taints,
    pub session: u64,
    pub registered_ms: u64,
    pub software: String,
    /// Where it serves its metrics, `HOST:PORT`; empty: nowhere, or not known.
    pub metrics_addr: String,
    /// Live attempts, in order; their records are in their jobs.
    pub active: BTreeSet<TaskId>,
}

impl Default for Hot {
    /// Before the first log entry. The numbers are part of the replicated history: they never change with a build.
    fn default() -> Self {
        Hot {
            cluster: String::new(),
            incarnation: 0,
            clock_ms: 0,
            next_job: 1,
            next_worker: 1,
            next_node: 1,
            next_namespace: 1,
            next_session: 0,
            version: 1,
            config: ClusterConfig::default(),
            digest: 0,
            namespaces: BTreeMap::new(),
            tenants: Tenants::default(),
            jobs: JobTable::default(),
            queue: Queue::default(),
            delayed: BTreeSet::new(),
            workers: BTreeMap::new(),
            worker_names: BTreeMap::new(),
            revoked: BTreeSet::new(),
            masters: BTreeMap::new(),
            shapes: Shapes::default(),
            backlog: Backlog::default(),
            apart: Apart::default(),
            retry: BTreeMap::new(),
            only: BTreeMap::new(),
            secrets: BTreeMap::new(),
            queue_limits: QueueLimits::default(),
            time_limits: BTreeMap::new(),
            job_labels: JobLabels::default(),
            preemptible: BTreeSet::new(),
            drains: BTreeSet::new(),
            workflows: Workflows::default(),
            gangs: Gangs::default(),
            schedules: Schedules::default(),
            templates: BTreeMap::new(),
        }
    }
}

impl Hot {
    /// The worker of this name, if it was ever authorised.
    pub fn worker_named(&self, name: &str) -> Option<(WorkerId, &Worker)> {
        let id = *self.worker_names.get(name)?;
        Some((id, self.workers.get(&id)?))
    }

    /// The time by which use is remembered; `None` while masters of an older format would not.
    pub(crate) fn remembering_ms(&self) -> Option<u64> {
        (self.version >= QUOTAS_SINCE).then_some(self.clock_ms)
    }

    /// The live attempt of a task, if it has one.
    pub fn attempt(&self, task: TaskId) -> Option<&ActiveAttempt> {
        self.jobs.get(&task.job)?.active.get(&task.index)
    }

    /// The state of a task of a live job; `None`: it has ended, or there is no such task.
    pub fn live_task_state(&self, task: TaskId) -> Option<TaskState> {
        let job = self.jobs.get(&task.job)?;
        let is_blocked = task.index < job.count && self.workflows.is_blocked(task);
        if is_blocked { Some(TaskState::Blocked) } else { job.placed_or_queued(task.index) }
    }

    /// What an attempt with so much memory (0: as the spec says) takes of its worker.
    pub fn needs(&self, job: &Job, memory_mib: u32) -> Resources {
        self.shapes.get(job.shape).map_or(Resources::default(), |shape| raised(&shape.resources, memory_mib))
    }

    /// Puts an index of a live job among those that wait; its counts are the caller's. True when it may be placed now.
    pub(crate) fn add_waiting(&mut self, task: TaskId, waiting: Waiting) -> bool {
        let Some(job) = self.jobs.get_mut(&task.job) else { return false };
        let is_ready = waiting.not_before_ms <= self.clock_ms;
        let shape = if waiting.is_apart() {
            job.apart_ready = job.apart_ready.saturating_add(u32::from(is_ready));
            self.apart.add(&mut self.shapes, task, job.shape, waiting.memory_mib, is_ready)
        } else {
            job.shape
        };
        self.backlog.moved(job.priority, shape, 1, 0);
        job.waiting.get_or_insert_default().insert(task.index, waiting);
        if is_ready {
            self.queue.insert(job, shape, task.job);
        } else {
            self.delayed.insert((waiting.not_before_ms, task.job, task.index));
            job.delayed = job.delayed.saturating_add(1);
        }
        is_ready
    }

    /// What a start needs of a live job, but for how far it has come.
    pub fn alive_row(&self, id: JobId) -> Option<AliveRow> {
        let job = self.jobs.get(&id)?;
        let shape = self.shapes.get(job.shape)?;
        Some(AliveRow {
            namespace: job.namespace.0,
            resources: shape.resources,
            require: shape.require.iter().cloned().collect(),
            priority: job.priority.into(),
            count: job.count,
            max_attempts: job.max_attempts.into(),
            submitted_ms: job.submitted_ms,
            untouched: job.untouched,
            retry: self.retry.get(&id).cloned(),
            only_index: self.only.get(&id).copied(),
            queue_timeout_ms: self.queue_limits.get(id).timeout_ms,
            image: job.image.into(),
            workflow: self.workflows.member(id).map_or(0, |member| member.workflow.0),
            timeout_ms: self.time_limit_ms(id),
            gang: shape.gang > 0,
            preemptible: self.preemptible.contains(&id),
            placement: shape.rules.as_ref().map(|rules| rules.placement()),
            actor: self.user_name(job).to_owned(),
            labels: self.job_labels.get(id).cloned().unwrap_or_default(),
        })
    }

    /// Who has submitted it, by `role/name`; empty: nobody remembers.
    pub fn user_name(&self, job: &Job) -> &str {
        let user = self.tenants.get(job.namespace).and_then(|tenant| tenant.users.get(job.user));
        user.map_or("", |user| &user.name)
    }

    /// How long an attempt of a live job may run; 0: no limit, or one that was submitted before format 6.
    pub fn time_limit_ms(&self, id: JobId) -> u64 {
        self.time_limits.get(&id).copied().unwrap_or_default()
    }

    /// The singleton row of this state.
    pub fn cluster_row(&self) -> ClusterRow {
        ClusterRow {
            cluster: self.cluster.clone(),
            incarnation: self.incarnation,
            clock_ms: self.clock_ms,
            next_job: self.next_job,
            next_worker: self.next_worker,
            next_node: self.next_node,
            next_namespace: self.next_namespace,
            version: self.version,
            config: self.config,
            digest: self.digest,
            next_session: self.next_session,
        }
    }
}

impl Shapes {
    /// The number of an equal shape, or a new one; counts one more user.
    pub(crate) fn intern(&mut self, shape: Shape) -> ShapeId {
        if let Some(id) = self.by_shape.get(&shape) {
            let id = *id;
            if let Some((_, users)) = self.by_id.get_mut(&id) {
                *users += 1;
            }
            return id;
        }
        while self.by_id.contains_key(&ShapeId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = ShapeId(self.next);
        self.next = self.next.wrapping_add(1);
        self.near += usize::from(shape.looks_at_others());
        let shape = Arc::new(shape);
        self.by_shape.insert(shape.clone(), id);
        self.by_id.insert(id, (shape, 1));
        id
    }

    /// One user less; the last one takes the shape with it.
    pub(crate) fn release(&mut self, id: ShapeId) {
        let Some((shape, users)) = self.by_id.get_mut(&id) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            let shape = shape.clone();
            self.near -= usize::from(shape.looks_at_others());
            self.by_shape.remove(&shape);
            self.by_id.remove(&id);
        }
    }

    pub fn get(&self, id: ShapeId) -> Option<&Arc<Shape>> {
        self.by_id.get(&id).map(|(shape, _)| shape)
    }
}

/// The same with so much memory; 0: the same.
pub fn raised(resources: &Resources, memory_mib: u32) -> Resources {
    if memory_mib == 0 {
        return *resources;
    }
    Resources { memory_bytes: u64::from(memory_mib) << 20, ..*resources }
}

impl Shape {
    /// `gang`: so many tasks start together; 0: each by itself. What is no valid placement is none: `apply` has refused it.
    pub fn new(
        resources: Resources,
        require: BTreeMap<String, String>,
        placement: Option<&Placement>,
        gang: u32,
    ) -> Self {
        let rules = placement.and_then(|placement| Rules::parse(placement).ok());
        let rules = rules.filter(|rules| *rules != Rules::default()).map(Box::new);
        Shape { resources, require: require.into_iter().collect(), gang, rules }
    }

    /// Where its job's other tasks are may forbid a place.
    pub fn looks_at_siblings(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.look_at_siblings())
    }

    /// Where tasks of other jobs are may forbid a place by its rules.
    pub fn looks_at_others(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.look_at_others())
    }

    /// Its rules keep other jobs away from where its job's tasks are.
    pub fn keeps_others_away(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| !rules.apart_from.is_empty())
    }

    /// True when the worker has every required label with exactly its value, meets every expression, and each of its taints is tolerated.
    /// Readiness, room, and where other tasks are, are looked at elsewhere.
    pub fn accepts(&self, worker: &Worker) -> bool {
        self.require.iter().all(|(k, v)| worker.labels.get(k) == Some(v))
            && match &self.rules {
                None => worker.taints.is_empty(),
                Some(rules) => {
                    rules.require.iter().all(|e| e.is_met_by(&worker.labels)) && rules.tolerates(&worker.taints)
                }
            }
    }
}

impl Job {
    /// `Blocked`, `Queued`, `Running` or the final state, from the counts alone and how many its gate holds back.
    pub fn state(&self, blocked: u32) -> JobState {
        job_state(&self.counts, blocked, self.cancel_requested, self.started_ms > 0)
    }

    /// True when an index that asks for what the spec says, anywhere, may be placed now. Then the job is in [`Hot::queue`] under its own
    /// shape. For others see [`Hot::apart`].
    pub fn has_ready(&self) -> bool {
        !self.fresh.is_empty() || self.has_ready_waiting()
    }

    /// The same, of those that were placed before.
    pub fn has_ready_waiting(&self) -> bool {
        self.waiting_len() > self.delayed as usize + self.apart_ready as usize
    }

    /// Queued indexes with a past, delayed ones included.
    pub fn waiting_len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |w| w.len())
    }

    /// The state of an index that no gate holds back. For others see [`Hot::live_task_state`].
    fn placed_or_queued(&self, index: u32) -> Option<TaskState> {
        if self.active.contains_key(&index) {
            Some(TaskState::Active)
        } else if self.fresh.contains(&index) || self.waiting.as_ref().is_some_and(|w| w.contains_key(&index)) {
            Some(TaskState::Queued)
        } else {
            None
        }
    }

    /// Takes an index out of `waiting`; the box goes with the last one.
    pub(crate) fn take_waiting(&mut self, index: u32) -> Option<Waiting> {
        let waiting = self.waiting.as_mut()?;
        let taken = waiting.remove(&index);
        if waiting.is_empty() {
            self.waiting = None;
        }
        taken
    }

    /// The row of this state, without what [`Hot::workflows`] knows; `ended_ms` is 0 while the job lives, `queue_expired_ms` unless its queue time-out took some tasks.
    pub fn row(&self, blocked: u32, ended_ms: u64, queue_expired_ms: u64) -> JobRow {
        JobRow {
            state: self.state(blocked) as i32,
            counts: self.counts,
            blocked,
            next_fresh: self.fresh.start,
            cancel_requested: self.cancel_requested,
            started_ms: self.started_ms,
            ended_ms,
            queue_expired_ms,
            ..JobRow::default()
        }
    }
}

impl ActiveAttempt {
    pub(crate) fn row(&self) -> AttemptRow {
        AttemptRow {
            number: self.number,
            worker: self.worker.0,
            state: self.state as i32,
            assigned_index: self.assigned_index,
            assigned_ms: self.assigned_ms,
            started_ms: self.started_ms,
            attempts_used: self.attempts_used.into(),
            losses: self.losses.into(),
            memory_mib: self.memory_mib,
            released: self.released,
            preempted: self.preempted,
        }
    }
}

/// A job's state is a function of its counts.
pub fn job_state(counts: &Counts, blocked: u32, cancel_requested: bool, started: bool) -> JobState {
    if counts.queued > 0 || counts.active > 0 {
        return if started { JobState::Running } else { JobState::Queued };
    }
    if blocked > 0 {
        return JobState::Blocked;
    }
    if cancel_requested && counts.cancelled > 0 {
        JobState::Cancelled
    } else if counts.failed > 0 || counts.dead > 0 {
        JobState::Failed
    } else if counts.cancelled > 0 {
        JobState::Cancelled
    } else {
        JobState::Succeeded
    }
}

impl Worker {
    pub(crate) fn row(&self) -> WorkerRow {
        WorkerRow {
            name: self.name.clone(),
            state: self.state as i32,
            draining: self.draining,
            capacity: self.capacity,
            labels: self.labels.clone(),
            session: self.session,
            registered_ms: self.registered_ms,
            software: self.software.clone(),
            assigned_labels: self.assigned_labels.clone(),
            taints: self.taints.clone(),
            reserved: self.reserved,
            drain_deadline_ms: self.drain_deadline_ms,
            evicting: self.evicting,
            leaving: self.leaving,
            price_micros: self.price.0,
            metrics_addr: self.metrics_addr.clone(),
        }
    }

    /// True when the scheduler may place here.
    pub fn is_schedulable(&self) -> bool {
        self.state == WorkerState::Ready && !self.draining && !self.leaving
    }

    /// When its attempts are to be told to stop; `None`: they need not, or were told.
    pub(crate) fn evicts_at_ms(&self) -> Option<u64> {
        (self.draining && self.drain_deadline_ms > 0 && !self.evicting).then_some(self.drain_deadline_ms)
    }

    /// What is left for placements; zero where it holds more than it has (it registered again with less).
    pub fn free(&self) -> Resources {
        self.capacity.minus(&self.used)
    }
}
