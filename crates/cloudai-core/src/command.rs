//! What the log carries. Comes in: requests that a leader accepted, stamped with its time. Goes out: protobuf, for ever:
//! tags only grow, and a golden file of each version stays decodable. A new kind or meaning is proposed only after a logged
//! [`RaiseVersion`]; a master that meets a kind it does not know stops, and never skips it.

use std::collections::BTreeMap;

use cloudai_types::{
    ClusterConfig, EndReason, JobId, JobSpec, NamespaceId, QuotaChange, Resources, ScheduleSpec, SecretKind, TaskId,
    WaitCause, WorkflowSpec, limits,
};

/// The newest format that this build understands.
pub const VERSION: u32 = 8;

/// The first format whose submits write [`crate::rows::AliveRow::untouched`].
pub const UNTOUCHED_SINCE: u32 = 3;

/// The first format whose endings keep [`EndReason::usage`]. Before it, masters of older builds would not.
pub const USAGE_SINCE: u32 = 4;

/// The first format whose workers keep [`crate::rows::WorkerRow::reserved`].
pub const RESERVED_SINCE: u32 = 4;

/// The first format whose specs keep [`JobSpec::processes_max`].
pub const PROCESSES_MAX_SINCE: u32 = 4;

/// The first format whose specs keep what holds a task to its place: from [`JobSpec::open_files`] to [`JobSpec::network`],
/// [`JobSpec::pull`] and [`JobSpec::writable_root`].
pub const ISOLATION_SINCE: u32 = 4;

/// The first format whose specs keep [`JobSpec::retry`].
pub const RETRY_SINCE: u32 = 4;

/// The first format that lists dead tasks ([`crate::rows::Family::Dead`]), and has the commands that replay and drop them.
pub const DEAD_SINCE: u32 = 4;

/// The first format whose specs keep [`JobSpec::results`] and [`JobSpec::inputs`], whose endings keep [`EndReason::results`], and in which
/// an attempt that stores its results holds nothing any more.
pub const RESULTS_SINCE: u32 = 4;

/// The first format whose specs keep [`JobSpec::image_digest`].
pub const PINNED_SINCE: u32 = 5;

/// The first format whose submits write [`crate::rows::AliveRow::image`].
pub const IMAGE_SINCE: u32 = 5;

/// The first format that has secrets: the commands that set and remove them, [`crate::rows::Family::Secret`], and [`JobSpec::secrets`].
pub const SECRETS_SINCE: u32 = 5;

/// The first format whose specs keep [`JobSpec::queue_timeout_ms`], and that has [`ExpireQueued`].
pub const QUEUE_TIMEOUT_SINCE: u32 = 5;

/// The first format whose drains keep [`SetDrain::deadline_ms`], and that has [`EvictWorkers`].
pub const DRAIN_DEADLINE_SINCE: u32 = 5;

/// The first format in which a worker may say that it is about to end ([`WorkerLeaves`], [`RegisterWorker::leaving`]).
pub const LEAVING_SINCE: u32 = 5;

/// The first format whose specs keep [`JobSpec::volumes`], and [`cloudai_types::spec::Mount::write`].
pub const VOLUMES_SINCE: u32 = 5;

/// The first format that has workflows.
pub const WORKFLOWS_SINCE: u32 = 6;

/// The first format in which namespaces have weights, quotas and a memory of what they used.
pub const QUOTAS_SINCE: u32 = 6;

/// The first format in which hot state knows how long an attempt may run ([`crate::rows::AliveRow::timeout_ms`]).
pub const TIME_LIMITS_SINCE: u32 = 6;

/// The first format in which a namespace says in which order its tasks come ([`cloudai_types::Quota::order`], `wait_max_ms`).
pub const QUEUE_ORDER_SINCE: u32 = 7;

/// The first format in which a namespace says how many of its tasks may wait, and what each of its users may have
/// ([`cloudai_types::Quota::queued_max`], `user_tasks_max`, `user_queued_max`), and hot state knows the user of a job
/// ([`crate::rows::AliveRow::actor`]).
pub const USERS_SINCE: u32 = 7;

/// The first format in which tasks make room for others ([`PreemptTasks`], [`JobSpec::preemptible`], [`cloudai_types::Quota::preempt`]).
pub const PREEMPTION_SINCE: u32 = 7;

/// The first format whose specs keep [`JobSpec::gang`].
pub const GANGS_SINCE: u32 = 7;

/// The first format whose specs keep [`JobSpec::placement`], and whose workers have taints ([`SetTaint`]).
pub const PLACEMENT_SINCE: u32 = 7;

/// The first format that has the policies `alignment`, `fgd` and `cost`, policies of namespaces ([`cloudai_types::Quota::score_policy`]), and
/// whose workers keep a price ([`crate::rows::WorkerRow::price_micros`]).
pub const POLICIES_SINCE: u32 = 7;

/// The first format whose specs keep [`JobSpec::labels`].
pub const JOB_LABELS_SINCE: u32 = 7;

/// The first format that has templates.
pub const TEMPLATES_SINCE: u32 = 7;

/// The first format that has schedules.
pub const SCHEDULES_SINCE: u32 = 7;

/// The first format that remembers why tasks have waited, and who cancelled them ([`NoteReasons`], [`crate::rows::Family::JobNotes`]).
pub const NOTES_SINCE: u32 = 7;

/// The first format in which masters know where workers serve their metrics ([`RegisterWorker::metrics_addr`]).
pub const DISCOVERY_SINCE: u32 = 7;

/// The first format in which a job remembers the trace that it belongs to ([`crate::rows::JobSpecRow::trace_parent`]).
pub const TRACE_SINCE: u32 = 8;

/// One log entry's payload: every command that waited when the entry was made.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Proposal {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The leader's clock, milliseconds since the epoch. `apply` lets replicated time only move forward.
    #[prost(uint64, tag = "2")]
    pub at_ms: u64,
    #[prost(message, repeated, tag = "3")]
    pub commands: Vec<Command>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Command {
    /// Who asked: a certificate's `role/name`, or `leader` for the leader's own loops.
    #[prost(string, tag = "1")]
    pub actor: String,
    /// W3C trace parent of the request, or empty.
    #[prost(string, tag = "2")]
    pub trace_parent: String,
    #[prost(
        oneof = "Kind",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 40, 41, 55, 56, 60, 61, 62, 70, 71, 72, 75, 80, 81, 90, 91, 92, 93, 94, 100, 101, 110"
    )]
    pub kind: Option<Kind>,
}

impl Command {
    pub fn new(actor: impl Into<String>, kind: Kind) -> Self {
        Command { actor: actor.into(), trace_parent: String::new(), kind: Some(kind) }
    }

    /// The oldest format that has this kind of command: what an entry with it must say, so that an older build stops there. It is
    /// proposed only after a [`RaiseVersion`] to this or more was applied.
    pub fn since(&self) -> u32 {
        match &self.kind {
            Some(Kind::ExpireJobs(_)) => 2,
            Some(Kind::ReplayDead(_) | Kind::DropDead(_)) => DEAD_SINCE,
            Some(Kind::SetSecret(_) | Kind::RemoveSecret(_)) => SECRETS_SINCE,
            Some(Kind::ExpireQueued(_)) => QUEUE_TIMEOUT_SINCE,
            Some(Kind::EvictWorkers(_)) => DRAIN_DEADLINE_SINCE,
            Some(Kind::WorkerLeaves(_)) => LEAVING_SINCE,
            Some(Kind::SetQuota(set)) if set.change.score_policy.is_some() => POLICIES_SINCE,
            Some(Kind::SetConfig(set)) if !set.config.score_policy().is_old() => POLICIES_SINCE,
            Some(Kind::SetQuota(set)) if set.change.is_about_order() => QUEUE_ORDER_SINCE,
            Some(Kind::SetQuota(set)) if set.change.is_about_queue_or_users() => USERS_SINCE,
            Some(Kind::SetQuota(_)) => QUOTAS_SINCE,
            Some(Kind::PreemptTasks(_)) => PREEMPTION_SINCE,
            Some(Kind::SetTaint(_)) => PLACEMENT_SINCE,
            Some(Kind::SubmitWorkflow(_) | Kind::CancelWorkflow(_) | Kind::RetryWorkflow(_)) => WORKFLOWS_SINCE,
            Some(Kind::CreateTemplate(_) | Kind::DeleteTemplate(_)) => TEMPLATES_SINCE,
            Some(Kind::NoteReasons(_)) => NOTES_SINCE,
            Some(
                Kind::CreateSchedule(_)
                | Kind::DeleteSchedule(_)
                | Kind::RunSchedule(_)
                | Kind::PauseSchedule(_)
                | Kind::TriggerSchedule(_),
            ) => SCHEDULES_SINCE,
            Some(
                Kind::SubmitJob(_)
                | Kind::CancelJob(_)
                | Kind::PlaceTasks(_)
                | Kind::ReportAttempts(_)
                | Kind::RegisterWorker(_)
                | Kind::LoseWorker(_)
                | Kind::Authorize(_)
                | Kind::RedeemToken(_)
                | Kind::Revoke(_)
                | Kind::SetDrain(_)
                | Kind::RegisterMaster(_)
                | Kind::ForgetMaster(_)
                | Kind::SetConfig(_)
                | Kind::ExpireRequests(_)
                | Kind::AdvanceClock(_)
                | Kind::RaiseVersion(_)
                | Kind::StartIncarnation(_)
                | Kind::FoundCluster(_),
            )
            | None => 1,
        }
    }
}

// Submits are the largest and the most frequent: a box would cost each of them an allocation, and save nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    #[prost(message, tag = "10")]
    SubmitJob(SubmitJob),
    #[prost(message, tag = "11")]
    CancelJob(CancelJob),
    #[prost(message, tag = "12")]
    PlaceTasks(PlaceTasks),
    #[prost(message, tag = "13")]
    ReportAttempts(ReportAttempts),
    #[prost(message, tag = "14")]
    RegisterWorker(RegisterWorker),
    #[prost(message, tag = "15")]
    LoseWorker(LoseWorker),
    #[prost(message, tag = "16")]
    Authorize(Authorize),
    #[prost(message, tag = "17")]
    RedeemToken(RedeemToken),
    #[prost(message, tag = "18")]
    Revoke(Revoke),
    #[prost(message, tag = "19")]
    SetDrain(SetDrain),
    #[prost(message, tag = "20")]
    RegisterMaster(RegisterMaster),
    #[prost(message, tag = "21")]
    ForgetMaster(ForgetMaster),
    #[prost(message, tag = "22")]
    SetConfig(SetConfig),
    #[prost(message, tag = "23")]
    ExpireRequests(ExpireRequests),
    /// Moves replicated time forward, so that waiting retries become ready.
    #[prost(message, tag = "24")]
    AdvanceClock(AdvanceClock),
    #[prost(message, tag = "25")]
    RaiseVersion(RaiseVersion),
    /// A restore or quorum recovery starts a new incarnation: every older fence is void.
    #[prost(message, tag = "26")]
    StartIncarnation(StartIncarnation),
    /// Names the cluster, once, as its first command.
    #[prost(message, tag = "27")]
    FoundCluster(FoundCluster),
    /// Since format 2.
    #[prost(message, tag = "28")]
    ExpireJobs(ExpireJobs),
    /// Since format 4.
    #[prost(message, tag = "40")]
    ReplayDead(ReplayDead),
    /// Since format 4.
    #[prost(message, tag = "41")]
    DropDead(DropDead),
    /// Since format 5.
    #[prost(message, tag = "55")]
    SetSecret(SetSecret),
    /// Since format 5.
    #[prost(message, tag = "56")]
    RemoveSecret(RemoveSecret),
    /// Since format 5.
    #[prost(message, tag = "60")]
    ExpireQueued(ExpireQueued),
    /// Since format 5.
    #[prost(message, tag = "61")]
    EvictWorkers(EvictWorkers),
    /// Since format 5.
    #[prost(message, tag = "62")]
    WorkerLeaves(WorkerLeaves),
    /// Since format 6.
    #[prost(message, tag = "80")]
    SetQuota(SetQuota),
    /// Since format 7.
    #[prost(message, tag = "81")]
    PreemptTasks(PreemptTasks),
    /// Since format 6.
    #[prost(message, tag = "70")]
    SubmitWorkflow(SubmitWorkflow),
    /// Since format 6.
    #[prost(message, tag = "71")]
    CancelWorkflow(CancelWorkflow),
    /// Since format 6.
    #[prost(message, tag = "72")]
    RetryWorkflow(RetryWorkflow),
    /// Since format 7.
    #[prost(message, tag = "75")]
    SetTaint(SetTaint),
    /// Since format 7.
    #[prost(message, tag = "90")]
    CreateSchedule(CreateSchedule),
    /// Since format 7.
    #[prost(message, tag = "91")]
    DeleteSchedule(DeleteSchedule),
    /// Since format 7.
    #[prost(message, tag = "92")]
    RunSchedule(RunSchedule),
    /// Since format 7.
    #[prost(message, tag = "93")]
    PauseSchedule(PauseSchedule),
    /// Since format 7.
    #[prost(message, tag = "94")]
    TriggerSchedule(TriggerSchedule),
    /// Since format 7.
    #[prost(message, tag = "100")]
    CreateTemplate(CreateTemplate),
    /// Since format 7.
    #[prost(message, tag = "101")]
    DeleteTemplate(DeleteTemplate),
    /// Since format 7.
    #[prost(message, tag = "110")]
    NoteReasons(NoteReasons),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SubmitJob {
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// The client's request id; empty: none, the submit is not idempotent.
    #[prost(string, tag = "2")]
    pub request_id: String,
    /// XXH3-128 of the namespace and the encoded spec: the same id with another body is refused.
    #[prost(bytes = "vec", tag = "3")]
    pub request_hash: Vec<u8>,
    /// Valid: the leader parsed it. `apply` still treats it as any bytes from the log.
    #[prost(message, required, tag = "4")]
    pub spec: JobSpec,
    /// A dead task of the same namespace that this job replays with another spec: it leaves the dead-letter queue, and the job has a task
    /// of the same index and no others. Refused when the dead task is not there. Since format 4.
    #[prost(message, optional, tag = "20")]
    pub replay_of: Option<TaskKey>,
}

/// One task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct TaskKey {
    #[prost(uint64, tag = "1")]
    pub job: u64,
    #[prost(uint32, tag = "2")]
    pub index: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CancelJob {
    #[prost(uint64, tag = "1")]
    pub job: u64,
}

/// Placements, grouped by job and worker so that an array costs a few bytes per task.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PlaceTasks {
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<PlaceGroup>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PlaceGroup {
    #[prost(uint64, tag = "1")]
    pub job: u64,
    #[prost(uint32, tag = "2")]
    pub worker: u32,
    #[prost(uint32, repeated, tag = "3")]
    pub indexes: Vec<u32>,
}

/// Attempts that make room for a task of this job. Those that may not be stopped (any more) are refused one by one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreemptTasks {
    #[prost(uint64, tag = "1")]
    pub job: u64,
    #[prost(message, repeated, tag = "2")]
    pub victims: Vec<AttemptKey>,
}

/// One attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct AttemptKey {
    #[prost(uint64, tag = "1")]
    pub job: u64,
    #[prost(uint32, tag = "2")]
    pub index: u32,
    #[prost(uint32, tag = "3")]
    pub number: u32,
}

/// How far an attempt has come. The numbers are persisted and are the rank: an attempt only moves to a higher one (I2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum AttemptState {
    Assigned = 0,
    Preparing = 1,
    Running = 2,
    Stopping = 3,
    Storing = 4,
    Exited = 5,
    Lost = 6,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReportAttempts {
    #[prost(uint32, tag = "1")]
    pub worker: u32,
    #[prost(uint64, tag = "2")]
    pub session: u64,
    #[prost(message, repeated, tag = "3")]
    pub reports: Vec<AttemptReport>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AttemptReport {
    #[prost(uint64, tag = "1")]
    pub job: u64,
    #[prost(uint32, tag = "2")]
    pub index: u32,
    #[prost(uint32, tag = "3")]
    pub number: u32,
    #[prost(enumeration = "AttemptState", tag = "4")]
    pub state: i32,
    /// Present when the state is `Exited`.
    #[prost(message, optional, tag = "5")]
    pub reason: Option<EndReason>,
    /// Worker's clock, for people.
    #[prost(uint64, tag = "6")]
    pub started_ms: u64,
    #[prost(uint64, tag = "7")]
    pub ended_ms: u64,
}

/// A worker's session begins: the worker is ready, with this capacity. Its live attempts stay its own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterWorker {
    #[prost(uint32, tag = "1")]
    pub worker: u32,
    #[prost(message, required, tag = "2")]
    pub capacity: Resources,
    /// What the worker says of itself; labels given at authorisation win.
    #[prost(btree_map = "string, string", tag = "3")]
    pub labels: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    pub software: String,
    /// What its operator keeps for the machine itself, beside the capacity; `None`: nothing. Kept since format 4.
    #[prost(message, optional, tag = "5")]
    pub reserved: Option<Resources>,
    /// It is about to end: it gets no new tasks in this session. Kept since format 5.
    #[prost(bool, tag = "60")]
    pub leaving: bool,
    /// A [`cloudai_types::HourlyPrice`]; 0: none. Kept since format 7.
    #[prost(uint64, tag = "110")]
    pub price_micros: u64,
    /// Where it serves its metrics, `HOST:PORT`; empty: nowhere. Kept since format 7.
    #[prost(string, tag = "90")]
    pub metrics_addr: String,
}

/// Its lease ran out in the leader's memory. Only if `session` is still its session.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LoseWorker {
    #[prost(uint32, tag = "1")]
    pub worker: u32,
    #[prost(uint64, tag = "2")]
    pub session: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum MemberRole {
    Worker = 0,
    Master = 1,
}

/// An operator lets a name join, with a one-time token. Again for the same name: a new token, the old one void.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Authorize {
    #[prost(enumeration = "MemberRole", tag = "1")]
    pub role: i32,
    #[prost(string, tag = "2")]
    pub name: String,
    /// SHA-256 of the token's secret.
    #[prost(bytes = "vec", tag = "3")]
    pub secret_hash: Vec<u8>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub labels: BTreeMap<String, String>,
}

/// Committed before the certificate leaves; may be repeated with the same CSR key only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RedeemToken {
    #[prost(enumeration = "MemberRole", tag = "1")]
    pub role: i32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bytes = "vec", tag = "3")]
    pub secret_hash: Vec<u8>,
    /// SHA-256 of the CSR's public key.
    #[prost(bytes = "vec", tag = "4")]
    pub key_hash: Vec<u8>,
}

/// The name's certificates are refused from now on; a worker's attempts are lost at once.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Revoke {
    #[prost(enumeration = "MemberRole", tag = "1")]
    pub role: i32,
    #[prost(string, tag = "2")]
    pub name: String,
}

/// An operator says what a namespace may have. One that is new begins to be with it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetQuota {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(message, required, tag = "2")]
    pub change: QuotaChange,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SetDrain {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bool, tag = "2")]
    pub draining: bool,
    /// Replicated time from which on what still runs there is stopped, and goes elsewhere; 0: it may finish. Kept since format 5.
    #[prost(uint64, tag = "60")]
    pub deadline_ms: u64,
}

/// An operator keeps tasks from a worker that do not tolerate this taint, or lets them go there again. What runs there goes on. Again: no change.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SetTaint {
    #[prost(string, tag = "1")]
    pub name: String,
    /// Of the taint. A worker has one of each at most.
    #[prost(string, tag = "2")]
    pub key: String,
    /// Empty: it has none. In the place of the one that it had.
    #[prost(string, tag = "3")]
    pub value: String,
    /// False: the taint goes, whatever its value.
    #[prost(bool, tag = "4")]
    pub tainted: bool,
}

/// A master tells its node id, its disk's own random id and its addresses, at every start. The first disk of a node id
/// wins for ever: a wiped disk has another id and is refused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterMaster {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub disk: String,
    #[prost(string, tag = "4")]
    pub raft_addr: String,
    #[prost(string, tag = "5")]
    pub grpc_addr: String,
    #[prost(string, tag = "6")]
    pub http_addr: String,
    /// The newest command format that it understands.
    #[prost(uint32, tag = "7")]
    pub version: u32,
}

/// A removed master: its node id is poisoned and never reused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ForgetMaster {
    #[prost(uint64, tag = "1")]
    pub node: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SetConfig {
    #[prost(message, required, tag = "1")]
    pub config: ClusterConfig,
}

/// Request ids that the leader found past their retention; `apply` checks each again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExpireRequests {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub keys: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AdvanceClock {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RaiseVersion {
    #[prost(uint32, tag = "1")]
    pub version: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StartIncarnation {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct FoundCluster {
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// Node ids up to this one are the founders'; the next joiner gets the one after.
    #[prost(uint64, tag = "2")]
    pub founders: u64,
}

/// Ended jobs that the leader found past their retention; `apply` checks each again, and removes at most
/// [`cloudai_types::limits::EXPIRE_ROWS_MAX`] rows per command. What it leaves, the leader names again.
///
/// A request id outlives its job until its own time is over (I6): a late repetition is answered with the number of the first time.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExpireJobs {
    #[prost(message, repeated, tag = "1")]
    pub jobs: Vec<ExpiringJob>,
    /// Only what ended at this replicated time or before.
    #[prost(uint64, tag = "2")]
    pub ended_until_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct ExpiringJob {
    #[prost(uint32, tag = "1")]
    pub namespace: u32,
    #[prost(uint64, tag = "2")]
    pub job: u64,
}

/// Dead tasks that an operator wants to run again as they are: each waits again, with a new budget, and its attempts go on being counted.
/// The leader names what it found; each is checked again: one that is not in the dead-letter queue any more, whose job was cancelled, or
/// that had [`cloudai_types::limits::REPLAYED_ATTEMPTS_MAX`] attempts is left as it is. An ended job lives again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReplayDead {
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<DeadGroup>,
}

/// Dead tasks that nobody wants to hear of any more: they leave the dead-letter queue, and stay dead in their job's history.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DropDead {
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<DeadGroup>,
}

/// A secret is stored, or replaced. Proposed for a user by the leader, which has sealed it: what the log, rows and snapshots hold can be
/// opened only with a key that is in none of them. Refused when a name or a size is wrong, or the namespace has too many.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SetSecret {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(enumeration = "SecretKind", tag = "2")]
    pub kind: i32,
    /// Of a registry login: the registry's host.
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(bytes = "vec", tag = "4")]
    pub sealed: Vec<u8>,
}

/// Proposed for a user. Refused when there is none of that name. Tasks that wait and name it will not start.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RemoveSecret {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(enumeration = "SecretKind", tag = "2")]
    pub kind: i32,
    #[prost(string, tag = "3")]
    pub name: String,
}

/// Tasks that were never placed, and have waited for longer than their job's queue time-out, have failed. `apply` finds them by replicated
/// time, of at most [`cloudai_types::limits::EXPIRE_QUEUED_JOBS_MAX`] jobs per command; the leader proposes it again while there are more.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ExpireQueued {}

/// What still runs on draining workers whose deadline has passed is stopped, and goes elsewhere. `apply` finds them by replicated time, at most
/// [`cloudai_types::limits::EVICT_WORKERS_MAX`] per command.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct EvictWorkers {}

/// A worker says that it is about to end: from now on it gets no new tasks, until it registers again without saying so.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WorkerLeaves {
    #[prost(uint32, tag = "1")]
    pub worker: u32,
    /// Only if this is still its session.
    #[prost(uint64, tag = "2")]
    pub session: u64,
}

/// All jobs of a workflow at once, with ids that follow each other in the order in which one waits for another. Refused as a whole.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubmitWorkflow {
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// As in [`SubmitJob`].
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub request_hash: Vec<u8>,
    /// Valid: the leader parsed it. `apply` still treats it as any bytes from the log.
    #[prost(message, required, tag = "4")]
    pub workflow: WorkflowSpec,
}

/// All that lives of a workflow is cancelled, and nothing of it is released by that.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct CancelWorkflow {
    #[prost(uint32, tag = "1")]
    pub namespace: u32,
    #[prost(uint64, tag = "2")]
    pub workflow: u64,
}

/// Jobs of a workflow that ended, and not well, run again: their tasks that have not succeeded get a new budget. Those that wait for them, and never
/// could run, wait again. A job that can never run is left as it is, and so is one that lives.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RetryWorkflow {
    #[prost(uint32, tag = "1")]
    pub namespace: u32,
    #[prost(uint64, tag = "2")]
    pub workflow: u64,
    /// Only this one, and whoever waits for it; empty: all.
    #[prost(string, tag = "3")]
    pub from: String,
}

/// A schedule begins, or is replaced. The same once more changes nothing. Refused when there is one of this name that says something else, unless
/// it is to be replaced.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateSchedule {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// Valid: the leader parsed it, its times too. `apply` knows no calendar, and treats the rest as any bytes from the log.
    #[prost(message, required, tag = "3")]
    pub spec: ScheduleSpec,
    /// Its first time, as the leader reckons it.
    #[prost(uint64, tag = "4")]
    pub next_due_ms: u64,
    /// What is there of this name is replaced; its runs are remembered.
    #[prost(bool, tag = "5")]
    pub replace: bool,
}

/// A schedule ends. Jobs that it has submitted go on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeleteSchedule {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

/// A time of a schedule has come. The leader found it with its calendar; what comes of it, `apply` decides: a time that is not later than the last
/// one that was decided is refused, and so no time has two jobs, however many leaders propose it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RunSchedule {
    #[prost(uint32, tag = "1")]
    pub namespace: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    /// [`crate::rows::ScheduleRow::spec_hash`] of what the leader read.
    #[prost(fixed64, tag = "3")]
    pub spec_hash: u64,
    #[prost(uint64, tag = "4")]
    pub due_ms: u64,
    /// The time after that; 0: none.
    #[prost(uint64, tag = "5")]
    pub next_due_ms: u64,
    /// Times before `due_ms` that are passed over, and the last of them.
    #[prost(uint32, tag = "6")]
    pub missed: u32,
    #[prost(uint64, tag = "7")]
    pub missed_last_ms: u64,
    /// `due_ms` itself is passed over as well: no job.
    #[prost(bool, tag = "8")]
    pub is_missed: bool,
    /// What the image's tag means now, or empty.
    #[prost(string, tag = "9")]
    pub image_digest: String,
    /// The image cannot be had: no job, and this is why. Empty: it can.
    #[prost(string, tag = "10")]
    pub refused: String,
}

/// Times that pass while it is paused are missed; what becomes of them is decided when it goes on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PauseSchedule {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bool, tag = "3")]
    pub paused: bool,
}

/// A user wants a run now, paused or not. Its times are not touched by it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TriggerSchedule {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// As in [`SubmitJob`].
    #[prost(string, tag = "3")]
    pub request_id: String,
    #[prost(bytes = "vec", tag = "4")]
    pub request_hash: Vec<u8>,
    /// Of what the leader read, whose image it pinned.
    #[prost(fixed64, tag = "5")]
    pub spec_hash: u64,
    #[prost(string, tag = "6")]
    pub image_digest: String,
}

/// A new version of a template. The newest version's own document once more makes none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateTemplate {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// What whoever runs it fills in and submits. Its language is not known here.
    #[prost(string, tag = "3")]
    pub document: String,
}

/// Jobs that were made from it go on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeleteTemplate {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// 0: all of them.
    #[prost(uint32, tag = "3")]
    pub version: u32,
}

/// Why tasks have waited for a while, as the leader saw it. For people: nothing is decided by it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NoteReasons {
    /// At most [`cloudai_types::limits::NOTES_BATCH_MAX`].
    #[prost(message, repeated, tag = "1")]
    pub notes: Vec<ReasonNote>,
}

/// Of one job: the main reason, and how many workers say so, of how many (of a turn: namespaces).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ReasonNote {
    #[prost(uint64, tag = "1")]
    pub job: u64,
    #[prost(enumeration = "WaitCause", tag = "2")]
    pub cause: i32,
    #[prost(uint32, tag = "3")]
    pub workers: u32,
    #[prost(uint32, tag = "4")]
    pub of: u32,
    /// Of those of its tasks that ask for so much memory; 0: as the spec says.
    #[prost(uint32, tag = "5")]
    pub memory_mib: u32,
}

/// Tasks of one job.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeadGroup {
    #[prost(uint32, tag = "1")]
    pub namespace: u32,
    #[prost(uint64, tag = "2")]
    pub job: u64,
    #[prost(uint32, repeated, tag = "3")]
    pub indexes: Vec<u32>,
}

impl DeadGroup {
    /// At most [`cloudai_types::limits::DEAD_BATCH_MAX`] tasks of all groups, whatever the log says.
    pub(crate) fn tasks(groups: &[DeadGroup]) -> impl Iterator<Item = (NamespaceId, TaskId)> {
        let of_group = |group: &DeadGroup| {
            let (namespace, job) = (NamespaceId(group.namespace), JobId(group.job));
            group.indexes.clone().into_iter().map(move |index| (namespace, TaskId { job, index }))
        };
        groups.iter().flat_map(of_group).take(limits::DEAD_BATCH_MAX)
    }
}
