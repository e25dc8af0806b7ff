//! Rows: the durable form of the state. Comes in: point reads. Goes out: writes with protobuf values. Who stores them, and how,
//! is not known here.
//!
//! A key begins with its family (one byte, added by the store). Numbers in keys are big-endian, so that a scan is in order.
//! Tenants: every job's row begins with its namespace.

use std::collections::BTreeMap;
use std::ops::Range;

use cloudai_types::{
    AttemptId, ClusterConfig, Condition, EndReason, JobSpec, Placement, Quota, ReasonKind, Resources, RetryRules,
    Taints, TaskId,
};

use crate::command::{AttemptState, TaskKey};
use crate::gangs::Fall;
pub use crate::keys::{
    CLUSTER_KEY, alive_key, hold_key, job_key, master_key, member_key, name_of_key, named_key, namespace_key,
    secret_key, task_key, task_of_key, template_version_key, worker_key, workflow_key,
};
pub use crate::note_rows::{JobNotesRow, WaitNote};
pub use crate::schedule_rows::ScheduleRow;
pub use crate::template_rows::{TemplateRow, TemplateVersionRow, VersionInfo};
pub use crate::workflow_rows::{
    EndedJobs, GateRow, HoldRow, WaitsForRow, WorkflowNodeRow, WorkflowNodesRow, WorkflowRow,
};

/// Key families. The numbers are persisted: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Family {
    /// One row: [`ClusterRow`].
    Cluster = 1,
    /// namespace id → [`NamespaceRow`].
    Namespace = 2,
    /// namespace, job → [`JobSpecRow`]. Written once.
    JobSpec = 3,
    /// namespace, job → [`JobRow`]: counts and state, rewritten per log entry that changes them.
    Job = 4,
    /// job → [`AliveRow`]: exactly the jobs in hot state, with what hot state needs of their specs, so that a start reads
    /// no history and no specs. Written once, deleted when the job ends.
    Alive = 5,
    /// namespace, job, index → [`TaskRow`]: ended attempts; written when an attempt ends.
    Task = 6,
    /// namespace, job, index → [`WaitingRow`]: a queued index that deviates from its fresh siblings.
    Waiting = 7,
    /// namespace, job, index → [`AttemptRow`]: the live attempt.
    Attempt = 8,
    /// worker id → [`WorkerRow`].
    Worker = 9,
    /// request id (text bytes) → [`RequestRow`].
    Request = 10,
    /// role byte, name → [`MemberRow`]: who may join, tokens, revocations.
    Member = 11,
    /// node id → [`MasterRow`].
    Master = 12,
    /// namespace, job → [`ExpiringRow`]: a removed job whose tasks' rows are not all gone yet. Since format 2.
    Expiring = 13,
    /// namespace, job, index → [`DeadRow`]: the dead-letter queue. Exactly the dead tasks that were neither replayed nor dropped. Since
    /// format 4.
    Dead = 14,
    /// namespace, kind, name → [`SecretRow`]. Since format 5.
    Secret = 15,
    /// namespace, workflow → [`WorkflowRow`]: rewritten when one of its jobs ends, or lives again. Since format 6.
    Workflow = 16,
    /// namespace, workflow → [`WorkflowNodesRow`]. Written once. Since format 6.
    WorkflowNodes = 17,
    /// job → [`GateRow`]: a job that waits for others, and whose tasks leave one by one. Since format 6.
    Gate = 18,
    /// job, the one that it waits for → [`HoldRow`]: a dependency that still holds it back, and nothing else. Since format 6.
    Hold = 19,
    /// namespace, name → [`ScheduleRow`]: rewritten at each of its times. Since format 7.
    Schedule = 20,
    /// namespace, name → [`cloudai_types::ScheduleSpec`]. Written when it is created or replaced. Since format 7.
    ScheduleSpec = 21,
    /// namespace, name → [`TemplateRow`]: which versions there are. Since format 7.
    Template = 22,
    /// namespace, name, version → [`TemplateVersionRow`]. Written once. Since format 7.
    TemplateVersion = 23,
    /// namespace, job → [`JobNotesRow`]: what is remembered of a job for people alone. Since format 7.
    JobNotes = 24,
}

impl Family {
    pub const ALL: [Family; 24] = [
        Family::Cluster,
        Family::Namespace,
        Family::JobSpec,
        Family::Job,
        Family::Alive,
        Family::Task,
        Family::Waiting,
        Family::Attempt,
        Family::Worker,
        Family::Request,
        Family::Member,
        Family::Master,
        Family::Expiring,
        Family::Dead,
        Family::Secret,
        Family::Workflow,
        Family::WorkflowNodes,
        Family::Gate,
        Family::Hold,
        Family::Schedule,
        Family::ScheduleSpec,
        Family::Template,
        Family::TemplateVersion,
        Family::JobNotes,
    ];
}

/// Point reads of rows as of the previous log index plus the writes of this entry so far. An implementation that cannot read
/// (a broken disk) remembers the error and stops the node before the entry's result is used; to `apply` the row is absent.
pub trait Rows {
    fn get(&self, family: Family, key: &[u8]) -> Option<Vec<u8>>;
}

/// Ordered scans, used once, when a node starts.
pub trait RowScan {
    /// Calls `each(key, value)` for the rows of the family in key order, from the key `from` on, until it says `false`.
    fn scan(&self, family: Family, from: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> std::io::Result<()>;
}

/// One change of a row. `value: None` deletes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    pub family: Family,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ClusterRow {
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// Counts restores and recoveries; the first part of every fence.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// Replicated time, milliseconds since the epoch; only moves forward.
    #[prost(uint64, tag = "3")]
    pub clock_ms: u64,
    #[prost(uint64, tag = "4")]
    pub next_job: u64,
    #[prost(uint32, tag = "5")]
    pub next_worker: u32,
    #[prost(uint64, tag = "6")]
    pub next_node: u64,
    #[prost(uint32, tag = "7")]
    pub next_namespace: u32,
    #[prost(uint32, tag = "8")]
    pub version: u32,
    #[prost(message, required, tag = "9")]
    pub config: ClusterConfig,
    /// Chained XXH3 over every entry's writes (I8).
    #[prost(fixed64, tag = "10")]
    pub digest: u64,
    #[prost(uint64, tag = "11")]
    pub next_session: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NamespaceRow {
    #[prost(string, tag = "1")]
    pub name: String,
    /// `None`: the usual one. Since format 6.
    #[prost(message, optional, tag = "80")]
    pub quota: Option<Quota>,
    /// What its tasks have held on average, in [`crate::tenants::AVERAGE_PARTS`] of a unit, by dimension; none yet: empty. Since format 6.
    #[prost(uint64, repeated, tag = "81")]
    pub average_held: Vec<u64>,
    /// Replicated time at which that was so. Since format 6.
    #[prost(uint64, tag = "82")]
    pub average_at_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct JobSpecRow {
    #[prost(message, required, tag = "1")]
    pub spec: JobSpec,
    #[prost(uint64, tag = "2")]
    pub submitted_ms: u64,
    #[prost(string, tag = "3")]
    pub actor: String,
    #[prost(string, tag = "4")]
    pub request_id: String,
    /// The dead task of the same namespace that this job replays with another spec. Since format 4.
    #[prost(message, optional, tag = "20")]
    pub replay_of: Option<TaskKey>,
    /// The workflow that it is a job of; 0: none. Since format 6.
    #[prost(uint64, tag = "70")]
    pub workflow: u64,
    /// What the workflow's other jobs call it. Since format 6.
    #[prost(string, tag = "71")]
    pub node: String,
    /// The W3C trace parent of its submit, as the leader wrote it; empty: none. For people and collectors alone: nothing is decided by it.
    /// Since format 8.
    #[prost(string, tag = "120")]
    pub trace_parent: String,
}

impl JobSpecRow {
    /// The indexes of its tasks: one that replays a dead task has only that one's.
    pub fn indexes(&self) -> Range<u32> {
        match self.replay_of {
            Some(of) => of.index..of.index.saturating_add(1),
            None => 0..self.spec.count,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AliveRow {
    #[prost(uint32, tag = "1")]
    pub namespace: u32,
    #[prost(message, required, tag = "2")]
    pub resources: Resources,
    #[prost(btree_map = "string, string", tag = "3")]
    pub require: BTreeMap<String, String>,
    #[prost(sint32, tag = "4")]
    pub priority: i32,
    #[prost(uint32, tag = "5")]
    pub count: u32,
    #[prost(uint32, tag = "6")]
    pub max_attempts: u32,
    #[prost(uint64, tag = "7")]
    pub submitted_ms: u64,
    /// The job is as its submit made it: nothing was placed or cancelled yet, so a start need not read its [`JobRow`]. Since format 3;
    /// false says nothing.
    #[prost(bool, tag = "8")]
    pub untouched: bool,
    /// The spec's. Since format 4.
    #[prost(message, optional, tag = "20")]
    pub retry: Option<RetryRules>,
    /// Only this index of the job ever runs: it replays a dead task. Since format 4.
    #[prost(uint32, optional, tag = "21")]
    pub only_index: Option<u32>,
    /// The spec's. Since format 5.
    #[prost(uint64, tag = "60")]
    pub queue_timeout_ms: u64,
    /// What its tasks run, as [`cloudai_types::image::fingerprint`] names it; 0: not known. Since format 5.
    #[prost(uint32, tag = "61")]
    pub image: u32,
    /// The workflow that it is a job of; 0: none. Since format 6.
    #[prost(uint64, tag = "70")]
    pub workflow: u64,
    /// The spec's: run time of one attempt; 0: no limit. Since format 6.
    #[prost(uint64, tag = "80")]
    pub timeout_ms: u64,
    /// The spec's: all its tasks start together. Since format 7.
    #[prost(bool, tag = "81")]
    pub gang: bool,
    /// The spec's: it may be stopped for a task of a higher priority. Since format 7.
    #[prost(bool, tag = "82")]
    pub preemptible: bool,
    /// The spec's. Since format 7.
    #[prost(message, optional, tag = "75")]
    pub placement: Option<Placement>,
    /// Who has submitted it: a certificate's `role/name`. Since format 7; empty says nothing.
    #[prost(string, tag = "110")]
    pub actor: String,
    /// The spec's. Since format 7.
    #[prost(btree_map = "string, string", tag = "76")]
    pub labels: BTreeMap<String, String>,
}

/// Tasks of a job by state. With the blocked ones ([`JobRow::blocked`]) they always sum up to the job's `count`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Counts {
    #[prost(uint32, tag = "1")]
    pub queued: u32,
    #[prost(uint32, tag = "2")]
    pub active: u32,
    #[prost(uint32, tag = "3")]
    pub succeeded: u32,
    #[prost(uint32, tag = "4")]
    pub failed: u32,
    #[prost(uint32, tag = "5")]
    pub cancelled: u32,
    #[prost(uint32, tag = "6")]
    pub dead: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum JobState {
    /// No task has started.
    Queued = 0,
    /// Some task is active, or some have ended and others wait.
    Running = 1,
    Succeeded = 2,
    /// Every task ended, and at least one failed or is dead.
    Failed = 3,
    Cancelled = 4,
    /// Nothing of it is queued or active, and some of it waits for other jobs. Since format 6.
    Blocked = 5,
}

impl JobState {
    pub fn is_ended(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Failed | JobState::Cancelled)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct JobRow {
    #[prost(enumeration = "JobState", tag = "1")]
    pub state: i32,
    #[prost(message, required, tag = "2")]
    pub counts: Counts,
    /// Indexes from here on are fresh: never placed. After a cancel: indexes from here on without a task row were cancelled. After its queue
    /// time-out (`queue_expired_ms`): they have failed.
    #[prost(uint32, tag = "3")]
    pub next_fresh: u32,
    #[prost(bool, tag = "4")]
    pub cancel_requested: bool,
    /// Replicated time of the first assignment; 0: none yet.
    #[prost(uint64, tag = "5")]
    pub started_ms: u64,
    #[prost(uint64, tag = "6")]
    pub ended_ms: u64,
    /// Replicated time at which its queue time-out took what was fresh; 0: it did not. Since format 5.
    #[prost(uint64, tag = "60")]
    pub queue_expired_ms: u64,
    /// The workflow that it is a job of; 0: none. Since format 6.
    #[prost(uint64, tag = "70")]
    pub workflow: u64,
    /// Replicated time from which on its tasks were in the queue, where that is not the submit; 0: it is. Since format 6.
    #[prost(uint64, tag = "71")]
    pub released_ms: u64,
    /// Why tasks of it were cancelled by nobody. Since format 6.
    #[prost(message, optional, tag = "72")]
    pub unmet: Option<Unmet>,
    /// Tasks that wait for other jobs of their workflow: the job's gate knows which. Since format 6.
    #[prost(uint32, tag = "73")]
    pub blocked: u32,
    /// It is a gang that falls. Since format 7.
    #[prost(message, optional, tag = "74")]
    pub fall: Option<Fall>,
}

/// What a job or a task waited for in vain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Unmet {
    #[prost(uint64, tag = "1")]
    pub job: u64,
    /// What was waited for.
    #[prost(enumeration = "Condition", tag = "2")]
    pub on: i32,
    /// It never had to run ([`cloudai_types::workflow::Outcome::Skipped`]).
    #[prost(bool, tag = "3")]
    pub skipped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum TaskState {
    Blocked = 0,
    Queued = 1,
    Active = 2,
    Succeeded = 3,
    Failed = 4,
    Cancelled = 5,
    Dead = 6,
}

/// The ended attempts of a task, and its state when it has ended (`Queued` while it waits for another try, `Blocked` while it waits for other
/// jobs before that).
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskRow {
    #[prost(enumeration = "TaskState", tag = "1")]
    pub state: i32,
    #[prost(message, repeated, tag = "2")]
    pub attempts: Vec<EndedAttempt>,
    #[prost(uint64, tag = "3")]
    pub ended_ms: u64,
    /// After a replay: the first attempt that its new budget pays for. 0: it was never replayed. Since format 4.
    #[prost(uint32, tag = "20")]
    pub budget_from: u32,
    /// It was cancelled for this. Since format 6.
    #[prost(message, optional, tag = "70")]
    pub unmet: Option<Unmet>,
}

impl TaskRow {
    /// The ended attempts that the present budget pays for.
    pub fn of_budget(&self) -> &[EndedAttempt] {
        let from = self.attempts.partition_point(|attempt| attempt.number < self.budget_from);
        self.attempts.get(from..).unwrap_or_default()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EndedAttempt {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(uint32, tag = "2")]
    pub worker: u32,
    /// `Exited` or `Lost`.
    #[prost(enumeration = "AttemptState", tag = "3")]
    pub state: i32,
    #[prost(message, required, tag = "4")]
    pub reason: EndReason,
    #[prost(uint64, tag = "5")]
    pub assigned_ms: u64,
    #[prost(uint64, tag = "6")]
    pub started_ms: u64,
    #[prost(uint64, tag = "7")]
    pub ended_ms: u64,
}

/// A queued index with a past: at most 64 bytes in memory.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WaitingRow {
    /// The number that the next attempt gets.
    #[prost(uint32, tag = "1")]
    pub next_number: u32,
    /// Attempts of the user's budget used so far.
    #[prost(uint32, tag = "2")]
    pub attempts_used: u32,
    #[prost(uint32, tag = "3")]
    pub losses: u32,
    /// Ready when replicated time reaches this.
    #[prost(uint64, tag = "4")]
    pub not_before_ms: u64,
    /// A worker that just failed it, avoided while another fits; 0: none.
    #[prost(uint32, tag = "5")]
    pub avoid_worker: u32,
    /// Memory that the next attempt asks for, where that is more than the spec says; 0: what the spec says. Since format 4.
    #[prost(uint32, tag = "6")]
    pub memory_mib: u32,
    /// Workers that it may not go to. Since format 4.
    #[prost(uint32, repeated, tag = "7")]
    pub never_workers: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AttemptRow {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(uint32, tag = "2")]
    pub worker: u32,
    #[prost(enumeration = "AttemptState", tag = "3")]
    pub state: i32,
    /// Log index of the assignment: the second part of its fence.
    #[prost(uint64, tag = "4")]
    pub assigned_index: u64,
    #[prost(uint64, tag = "5")]
    pub assigned_ms: u64,
    #[prost(uint64, tag = "6")]
    pub started_ms: u64,
    #[prost(uint32, tag = "7")]
    pub attempts_used: u32,
    #[prost(uint32, tag = "8")]
    pub losses: u32,
    /// It stores its results, and what it held is free again. Since format 4.
    #[prost(bool, tag = "9")]
    pub released: bool,
    /// Memory that it was given, where that is more than the spec says; 0: what the spec says. Since format 4.
    #[prost(uint32, tag = "20")]
    pub memory_mib: u32,
    /// It is told to stop, to make room for another task. Since format 7.
    #[prost(bool, tag = "81")]
    pub preempted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum WorkerState {
    /// Authorised, never seen.
    Authorized = 0,
    Ready = 1,
    Lost = 2,
    Revoked = 3,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerRow {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(enumeration = "WorkerState", tag = "2")]
    pub state: i32,
    #[prost(bool, tag = "3")]
    pub draining: bool,
    #[prost(message, required, tag = "4")]
    pub capacity: Resources,
    /// The worker's own labels under those of its authorisation.
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: BTreeMap<String, String>,
    /// Grows with each registration; reports of an older one are stale.
    #[prost(uint64, tag = "6")]
    pub session: u64,
    #[prost(uint64, tag = "7")]
    pub registered_ms: u64,
    #[prost(string, tag = "8")]
    pub software: String,
    /// Given at authorisation.
    #[prost(btree_map = "string, string", tag = "9")]
    pub assigned_labels: BTreeMap<String, String>,
    /// What its operator keeps for the machine itself, beside the capacity; `None`: nothing. Since format 4.
    #[prost(message, optional, tag = "10")]
    pub reserved: Option<Resources>,
    /// While it drains: replicated time from which on what still runs is stopped; 0: it may finish. Since format 5.
    #[prost(uint64, tag = "60")]
    pub drain_deadline_ms: u64,
    /// That time has passed, and its attempts were told to stop. Since format 5.
    #[prost(bool, tag = "61")]
    pub evicting: bool,
    /// It said itself that it is about to end. Since format 5.
    #[prost(bool, tag = "62")]
    pub leaving: bool,
    /// Keep tasks away that do not tolerate each of them. Since format 7.
    #[prost(btree_map = "string, string", tag = "75")]
    pub taints: Taints,
    /// A [`cloudai_types::HourlyPrice`]; 0: none. Since format 7.
    #[prost(uint64, tag = "110")]
    pub price_micros: u64,
    /// Where it serves its metrics, `HOST:PORT`; empty: nowhere. Since format 7.
    #[prost(string, tag = "90")]
    pub metrics_addr: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestRow {
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub job: u64,
    #[prost(uint64, tag = "3")]
    pub expires_ms: u64,
    /// It submitted a workflow; `job` is its first one. Since format 6.
    #[prost(bool, tag = "70")]
    pub is_workflow: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberRow {
    #[prost(bytes = "vec", tag = "1")]
    pub secret_hash: Vec<u8>,
    /// Set at redemption: only this key may repeat it.
    #[prost(bytes = "vec", tag = "2")]
    pub key_hash: Vec<u8>,
    #[prost(bool, tag = "3")]
    pub revoked: bool,
    /// The worker's id, for a worker.
    #[prost(uint32, tag = "4")]
    pub worker: u32,
    /// The node id, for a master.
    #[prost(uint64, tag = "5")]
    pub node: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MasterRow {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub disk: String,
    #[prost(string, tag = "3")]
    pub raft_addr: String,
    #[prost(string, tag = "4")]
    pub grpc_addr: String,
    #[prost(string, tag = "5")]
    pub http_addr: String,
    #[prost(uint32, tag = "6")]
    pub version: u32,
    /// Never reused.
    #[prost(bool, tag = "7")]
    pub removed: bool,
}

/// The job's own rows are gone already.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ExpiringRow {
    /// Task rows from here on, up to `end`, are still to be removed.
    #[prost(uint32, tag = "1")]
    pub next: u32,
    #[prost(uint32, tag = "2")]
    pub end: u32,
    /// Some of them were dead, and may have a [`DeadRow`]. Since format 4.
    #[prost(bool, tag = "3")]
    pub some_dead: bool,
}

/// A task in the dead-letter queue, in what a list of them shows; its attempts are in its [`TaskRow`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct DeadRow {
    /// How its last attempt ended.
    #[prost(enumeration = "ReasonKind", tag = "1")]
    pub reason: i32,
    #[prost(int32, optional, tag = "2")]
    pub exit_code: Option<i32>,
    /// Attempts that it had in all.
    #[prost(uint32, tag = "3")]
    pub attempts: u32,
    /// Replicated time of its end.
    #[prost(uint64, tag = "4")]
    pub dead_ms: u64,
}

/// A secret, sealed: its value can be opened only with a key that is not in the state.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SecretRow {
    #[prost(bytes = "vec", tag = "1")]
    pub sealed: Vec<u8>,
    /// Replicated time.
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
    #[prost(uint64, tag = "3")]
    pub updated_ms: u64,
    /// Who set it last.
    #[prost(string, tag = "4")]
    pub actor: String,
    /// How often it was set since it was made.
    #[prost(uint64, tag = "5")]
    pub version: u64,
}

impl AttemptRow {
    pub fn id(&self, task: TaskId) -> AttemptId {
        AttemptId { task, number: self.number }
    }
}
