//! The one function that changes replicated state, under any sequence of entries. Half of the inputs are entries as bytes of the
//! log, half are commands that mostly hit something alive. After each entry the invariants hold; at the end, the rows load to
//! the same state, and a replay has the same digest.

use arbitrary::{Arbitrary, Result, Unstructured};
use cloudai_core::command::{
    AdvanceClock, AttemptKey, AttemptReport, Authorize, CancelJob, CancelWorkflow, CreateSchedule, CreateTemplate,
    DeadGroup, DeleteSchedule, DeleteTemplate, DropDead, EvictWorkers, ExpireJobs, ExpireQueued, ExpireRequests,
    ExpiringJob, ForgetMaster, FoundCluster, Kind, LoseWorker, NoteReasons, PauseSchedule, PlaceGroup, PlaceTasks,
    PreemptTasks, RaiseVersion, ReasonNote, RedeemToken, RegisterMaster, RegisterWorker, RemoveSecret, ReplayDead,
    ReportAttempts, RetryWorkflow, Revoke, RunSchedule, SetConfig, SetDrain, SetQuota, SetSecret, SetTaint,
    StartIncarnation, SubmitJob, SubmitWorkflow, TaskKey, TriggerSchedule, VERSION, WorkerLeaves,
};
use cloudai_core::memory::MemRows;
use cloudai_core::{Command, Hot, Proposal, apply, invariants, load};
use cloudai_types::{
    ClusterConfig, Dependency, EndReason, JobSpec, NamespaceId, NearRule, Placement, QuotaChange, Resources, RetryRule,
    RetryRules, ScheduleSpec, SecretUse, WorkflowNode, WorkflowSpec,
};
use prost::Message;

/// More entries say nothing new, and replaying them costs.
const ENTRIES_MAX: usize = 64;

#[derive(Default)]
struct Replica {
    hot: Hot,
    rows: MemRows,
    index: u64,
}

impl Replica {
    /// False: a newer build's entry, which changes nothing and stops the node.
    fn entry(&mut self, proposal: Proposal) -> bool {
        let (commands, digest) = (proposal.commands.len(), self.hot.digest);
        let clock_ms = self.hot.clock_ms;
        match apply(&mut self.hot, &self.rows, self.index + 1, proposal) {
            Ok(applied) => {
                self.index += 1;
                assert_eq!(applied.replies.len(), commands, "one reply per command");
                self.rows.write(applied.writes);
            }
            Err(_) => {
                assert_eq!(self.hot.digest, digest, "what is not known changes nothing");
                return false;
            }
        }
        assert!(self.hot.clock_ms >= clock_ms, "replicated time only moves forward");
        let mut faults = invariants::check(&self.hot);
        faults.extend(invariants::check_notes(&self.rows));
        assert!(faults.is_empty(), "after entry {}: {faults:#?}", self.index);
        true
    }
}

pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut first = Replica::default();
    let mut entries = vec![];
    let mut u = Unstructured::new(rest);
    for _ in 0..ENTRIES_MAX {
        let proposal = if kind % 2 == 0 { raw(&mut u) } else { made(&mut u, &first.hot) };
        let Ok(proposal) = proposal else { break };
        // Through bytes, as the log has it.
        let bytes = proposal.encode_to_vec();
        if !first.entry(Proposal::decode(bytes.as_slice()).expect("what was written is read")) {
            break;
        }
        entries.push(bytes);
        if u.is_empty() {
            break;
        }
    }
    let loaded = load::load(&first.rows).expect("the rows that apply wrote load");
    assert_eq!(loaded.digest, first.hot.digest, "I9: the rows hold the state");
    let faults = invariants::check(&loaded);
    assert!(faults.is_empty(), "after loading: {faults:#?}");
    let mut second = Replica::default();
    for bytes in entries {
        second.entry(Proposal::decode(bytes.as_slice()).expect("it was read before"));
    }
    assert_eq!(second.hot.digest, first.hot.digest, "I8: the same log, the same digest");
    assert_eq!(second.rows, first.rows, "I8: and the same rows");
}

/// A length and so many bytes of a log entry.
fn raw(u: &mut Unstructured<'_>) -> Result<Proposal> {
    let length = usize::from(u16::arbitrary(u)? % 1024).min(u.len());
    Proposal::decode(u.bytes(length)?).map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn made(u: &mut Unstructured<'_>, hot: &Hot) -> Result<Proposal> {
    if u.is_empty() {
        return Err(arbitrary::Error::NotEnoughData);
    }
    let step_ms = *u.choose(&[0, 1, 1_000, 60_000, 90_000_000, u64::MAX])?;
    let count = u.int_in_range(0..=4)?;
    let actor = |n: usize| ["leader", "admin/ada", "admin/bob"][n % 3];
    let command = |n: usize| -> Result<Command> {
        let kind = kind(u, hot)?;
        // Nobody reads it here: a text that is none is as good as one that is.
        let trace_parent = if n == 3 { String::arbitrary(u)? } else { String::new() };
        Ok(Command { trace_parent, ..Command::new(actor(n), kind) })
    };
    let commands = (0..count).map(command).collect::<Result<Vec<_>>>()?;
    Ok(Proposal { version: VERSION, at_ms: hot.clock_ms.saturating_add(step_ms), commands })
}

fn name(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=9)? {
        n @ 0..=7 => format!("w{}", n % 4),
        8 => String::new(),
        _ => String::arbitrary(u)?,
    })
}

fn hash(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=7)? {
        0 => Vec::arbitrary(u)?,
        n => vec![n; 32],
    })
}

/// Mostly the id of something alive.
fn of<T: Copy + TryFrom<u64>>(u: &mut Unstructured<'_>, alive: impl Iterator<Item = T>) -> Result<T> {
    let alive: Vec<T> = alive.take(64).collect();
    if alive.is_empty() || u.ratio(1, 16)? {
        let n = u64::from(u8::arbitrary(u)?);
        return T::try_from(n).map_err(|_| arbitrary::Error::IncorrectFormat);
    }
    u.choose(&alive).copied()
}

fn job(u: &mut Unstructured<'_>, hot: &Hot) -> Result<u64> {
    of(u, hot.jobs.keys().map(|id| id.0))
}

fn worker(u: &mut Unstructured<'_>, hot: &Hot) -> Result<u32> {
    of(u, hot.workers.keys().map(|id| id.0))
}

fn resources(u: &mut Unstructured<'_>) -> Result<Resources> {
    let any = u.ratio(1, 16)?;
    let pick = |u: &mut Unstructured<'_>| if any { u64::arbitrary(u) } else { Ok(u64::from(u8::arbitrary(u)? % 8)) };
    Ok(Resources {
        cpu_milli: pick(u)?,
        memory_bytes: pick(u)?,
        storage_bytes: pick(u)?,
        gpus: u32::from(u8::arbitrary(u)? % 3),
    })
}

fn spec(u: &mut Unstructured<'_>) -> Result<JobSpec> {
    Ok(JobSpec {
        name: name(u)?,
        image: "i".to_owned(),
        image_digest: if u.ratio(1, 8)? { name(u)? } else { String::new() },
        resources: resources(u)?,
        priority: i32::from(i8::arbitrary(u)?),
        count: *u.choose(&[1, 2, 3, 0, 1_000_000, u32::MAX])?,
        max_attempts: *u.choose(&[1, 2, 5, 0, u32::MAX])?,
        on_disconnect: i32::from(u8::arbitrary(u)? % 3),
        retry: if u.ratio(1, 2)? { Some(rules(u)?) } else { None },
        results: u.ratio(1, 4)?,
        queue_timeout_ms: *u.choose(&[0, 0, 1, 60, u64::MAX])?,
        gang: u.ratio(1, 4)?,
        preemptible: u.ratio(1, 2)?,
        inputs: if u.ratio(1, 8)? { [(name(u)?, name(u)?)].into() } else { Default::default() },
        secrets: if u.ratio(1, 8)? { vec![SecretUse { name: name(u)?, ..Default::default() }] } else { vec![] },
        placement: if u.ratio(1, 4)? { Some(placement(u)?) } else { None },
        labels: if u.ratio(1, 2)? { [("app".to_owned(), name(u)?)].into() } else { Default::default() },
        ..Default::default()
    })
}

/// Mostly valid, over labels that workers mostly have.
fn placement(u: &mut Unstructured<'_>) -> Result<Placement> {
    let domain = |u: &mut Unstructured<'_>| Ok(if u.ratio(1, 2)? { "worker".to_owned() } else { name(u)? });
    let require = match u.int_in_range(0..=3)? {
        0 => vec![format!("!{}", name(u)?)],
        1 => vec![format!("{} notin ({},{})", name(u)?, name(u)?, name(u)?)],
        _ => vec![],
    };
    Ok(Placement {
        require,
        tolerate: if u.ratio(1, 2)? { vec![name(u)?] } else { vec![] },
        apart: if u.ratio(1, 2)? { domain(u)? } else { String::new() },
        spread: domain(u)?,
        max_skew: u32::from(u8::arbitrary(u)? % 3),
        apart_from: if u.ratio(1, 3)? { vec![near(u)?] } else { vec![] },
        together_with: if u.ratio(1, 4)? { vec![near(u)?] } else { vec![] },
        ..Placement::default()
    })
}

/// About jobs that are mostly there.
fn near(u: &mut Unstructured<'_>) -> Result<NearRule> {
    let jobs = if u.ratio(1, 2)? { format!("app={}", name(u)?) } else { "app".to_owned() };
    Ok(NearRule { jobs, over: if u.ratio(1, 2)? { "worker".to_owned() } else { name(u)? } })
}

/// Jobs that mostly wait for earlier ones, and now and then for nobody that is there.
fn workflow(u: &mut Unstructured<'_>) -> Result<WorkflowSpec> {
    let count = u.int_in_range(0..=4)?;
    let node = |u: &mut Unstructured<'_>, n: u8| -> Result<WorkflowNode> {
        let edges = u.int_in_range(0..=2)?;
        let edge = |u: &mut Unstructured<'_>| -> Result<Dependency> {
            let node = format!("n{}", u8::arbitrary(u)? % n.max(1));
            Ok(Dependency { node, on: i32::from(u8::arbitrary(u)? % 4), each: u.ratio(1, 3)? })
        };
        let depends_on = (0..edges).map(|_| edge(u)).collect::<Result<_>>()?;
        let spec = JobSpec { image: "i".into(), count: *u.choose(&[1, 2, 2, 3, 100_001])?, ..JobSpec::default() };
        let spec = if u.ratio(1, 8)? { self::spec(u)? } else { spec };
        Ok(WorkflowNode { name: format!("n{n}"), spec, depends_on })
    };
    let nodes = (0..count).map(|n| node(u, n)).collect::<Result<_>>()?;
    Ok(WorkflowSpec { name: name(u)?, nodes })
}

/// Mostly valid ones.
fn rules(u: &mut Unstructured<'_>) -> Result<RetryRules> {
    let count = u.int_in_range(0..=3)?;
    let rule = |u: &mut Unstructured<'_>| -> Result<RetryRule> {
        Ok(RetryRule { reason: i32::from(u8::arbitrary(u)? % 16), action: i32::from(u8::arbitrary(u)? % 4) })
    };
    let more = u.ratio(1, 2)?;
    Ok(RetryRules {
        rules: (0..count).map(|_| rule(u)).collect::<Result<_>>()?,
        delay_ms: *u.choose(&[0, 1, 1_000, 60_000, u64::MAX])?,
        delay_factor_percent: *u.choose(&[0, 100, 150, u32::MAX])?,
        jitter_percent: *u.choose(&[0, 20, 100, 101])?,
        memory_factor_percent: if more { 150 } else { 0 },
        memory_max_bytes: if more { 1 << 30 } else { 0 },
        ..Default::default()
    })
}

/// Tasks of the first jobs, alive or not: what is dead is only in rows.
fn dead(u: &mut Unstructured<'_>) -> Result<Vec<DeadGroup>> {
    let count = u.int_in_range(0..=3)?;
    let group = |u: &mut Unstructured<'_>| -> Result<DeadGroup> {
        let (namespace, job) = (u32::from(u8::arbitrary(u)? % 4), u64::from(u8::arbitrary(u)? % 16));
        Ok(DeadGroup { namespace, job, indexes: (0..3).collect() })
    };
    (0..count).map(|_| group(u)).collect()
}

/// One that there is, with its time and the hash of its words, or none.
fn schedule(u: &mut Unstructured<'_>, hot: &Hot) -> Result<(NamespaceId, String, u64, u64)> {
    let all: Vec<_> = hot.schedules.iter().collect();
    if all.is_empty() || u.ratio(1, 8)? {
        return Ok((NamespaceId(1), name(u)?, hot.clock_ms, u64::from(u8::arbitrary(u)?)));
    }
    let (namespace, name, scheduled) = *u.choose(&all)?;
    Ok((namespace, name.to_owned(), scheduled.due_ms.unwrap_or(hot.clock_ms), scheduled.spec_hash))
}

fn session(u: &mut Unstructured<'_>, hot: &Hot, worker: u32) -> Result<u64> {
    let known = hot.workers.get(&cloudai_types::WorkerId(worker)).map_or(0, |w| w.session);
    Ok(if u.ratio(1, 8)? { u64::from(u8::arbitrary(u)?) } else { known })
}

fn report(u: &mut Unstructured<'_>, hot: &Hot) -> Result<AttemptReport> {
    let job = job(u, hot)?;
    let alive = hot.jobs.get(&cloudai_types::JobId(job));
    let index = of(u, alive.iter().flat_map(|j| j.active.keys().copied()))?;
    let number = alive.and_then(|j| j.active.get(&index)).map_or(1, |a| a.number);
    let reason = match u.int_in_range(0..=4)? {
        0 => None,
        1 | 2 => Some(EndReason::exit(i32::from(i8::arbitrary(u)?))),
        _ => Some(EndReason { kind: i32::from(i8::arbitrary(u)?), detail: name(u)?, ..Default::default() }),
    };
    let number = if u.ratio(1, 8)? { u32::arbitrary(u)? } else { number };
    let state = i32::from(u8::arbitrary(u)? % 9) - 1;
    Ok(AttemptReport { job, index, number, state, reason, started_ms: u.arbitrary()?, ended_ms: u.arbitrary()? })
}

fn group(u: &mut Unstructured<'_>, hot: &Hot) -> Result<PlaceGroup> {
    let job = job(u, hot)?;
    let fresh = hot.jobs.get(&cloudai_types::JobId(job)).map_or(0, |j| j.fresh.start);
    let count = u.int_in_range(0..=4)?;
    let mut indexes = vec![];
    for n in 0..count {
        indexes.push(if u.ratio(1, 4)? { u32::from(u8::arbitrary(u)?) } else { fresh.saturating_add(n) });
    }
    Ok(PlaceGroup { job, worker: worker(u, hot)?, indexes })
}

fn kind(u: &mut Unstructured<'_>, hot: &Hot) -> Result<Kind> {
    let role = i32::from(u8::arbitrary(u)? % 3);
    Ok(match u.int_in_range(0..=38)? {
        0..=2 => Kind::SubmitJob(SubmitJob {
            namespace: name(u)?,
            request_id: name(u)?,
            request_hash: hash(u)?,
            spec: spec(u)?,
            replay_of: match u.int_in_range(0..=7)? {
                0 => Some(TaskKey { job: u64::from(u8::arbitrary(u)? % 16), index: 0 }),
                _ => None,
            },
        }),
        3 => Kind::CancelJob(CancelJob { job: job(u, hot)? }),
        4..=6 => {
            let count = u.int_in_range(0..=3)?;
            Kind::PlaceTasks(PlaceTasks { groups: (0..count).map(|_| group(u, hot)).collect::<Result<_>>()? })
        }
        7..=9 => {
            let worker = worker(u, hot)?;
            let count = u.int_in_range(0..=3)?;
            let reports = (0..count).map(|_| report(u, hot)).collect::<Result<_>>()?;
            Kind::ReportAttempts(ReportAttempts { worker, session: session(u, hot, worker)?, reports })
        }
        10 | 11 => Kind::RegisterWorker(RegisterWorker {
            worker: worker(u, hot)?,
            capacity: resources(u)?,
            labels: [(name(u)?, name(u)?)].into(),
            software: name(u)?,
            reserved: None,
            leaving: false,
            price_micros: u.arbitrary()?,
            metrics_addr: name(u)?,
        }),
        12 => {
            let worker = worker(u, hot)?;
            Kind::LoseWorker(LoseWorker { worker, session: session(u, hot, worker)? })
        }
        13 | 14 => {
            let labels = [(name(u)?, name(u)?)].into();
            Kind::Authorize(Authorize { role, name: name(u)?, secret_hash: hash(u)?, labels })
        }
        15 => Kind::RedeemToken(RedeemToken { role, name: name(u)?, secret_hash: hash(u)?, key_hash: hash(u)? }),
        16 => Kind::Revoke(Revoke { role, name: name(u)? }),
        17 => {
            let deadline_ms = *u.choose(&[0, 1, hot.clock_ms.saturating_add(50), u64::MAX])?;
            Kind::SetDrain(SetDrain { name: name(u)?, draining: u.arbitrary()?, deadline_ms })
        }
        18 => Kind::RegisterMaster(RegisterMaster {
            node: u64::from(u8::arbitrary(u)? % 6),
            name: name(u)?,
            disk: name(u)?,
            raft_addr: name(u)?,
            grpc_addr: name(u)?,
            http_addr: name(u)?,
            version: u32::from(u8::arbitrary(u)? % 3),
        }),
        19 => Kind::ForgetMaster(ForgetMaster { node: u64::from(u8::arbitrary(u)? % 6) }),
        20 => {
            let bytes: &[u8] = u.arbitrary()?;
            Kind::SetConfig(SetConfig { config: ClusterConfig::decode(bytes).unwrap_or_default() })
        }
        21 => Kind::ExpireRequests(ExpireRequests { keys: u.arbitrary()? }),
        22 => match u.int_in_range(0..=2)? {
            0 => Kind::AdvanceClock(AdvanceClock {}),
            1 => Kind::StartIncarnation(StartIncarnation {}),
            _ => Kind::RaiseVersion(RaiseVersion { version: u.arbitrary()? }),
        },
        23 => {
            let count = u.int_in_range(0..=3)?;
            let ended = |u: &mut Unstructured<'_>| -> Result<ExpiringJob> {
                Ok(ExpiringJob { namespace: u32::from(u8::arbitrary(u)? % 4), job: u64::from(u8::arbitrary(u)?) })
            };
            let jobs = (0..count).map(|_| ended(u)).collect::<Result<_>>()?;
            Kind::ExpireJobs(ExpireJobs { jobs, ended_until_ms: hot.clock_ms })
        }
        24 => Kind::ReplayDead(ReplayDead { groups: dead(u)? }),
        25 => Kind::DropDead(DropDead { groups: dead(u)? }),
        26 => Kind::SetSecret(SetSecret { namespace: name(u)?, kind: role, name: name(u)?, sealed: hash(u)? }),
        27 => Kind::RemoveSecret(RemoveSecret { namespace: name(u)?, kind: role, name: name(u)? }),
        28 => Kind::ExpireQueued(ExpireQueued {}),
        29 if u.arbitrary()? => {
            let (weight, tasks_max, cpu_milli_max) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
            let order = if u.ratio(1, 4)? { Some(i32::from(u8::arbitrary(u)? % 3)) } else { None };
            let preempt = Some(bool::arbitrary(u)?);
            let score_policy = if u.ratio(1, 4)? { Some(u64::from(u8::arbitrary(u)? % 9)) } else { None };
            let namespace = name(u)?;
            let mut small = || Ok(if u.ratio(1, 3)? { Some(u64::from(u8::arbitrary(u)? % 8)) } else { None });
            let (queued_max, user_tasks_max, user_queued_max) = (small()?, small()?, small()?);
            let change = QuotaChange {
                weight,
                tasks_max,
                cpu_milli_max,
                order,
                preempt,
                score_policy,
                queued_max,
                user_tasks_max,
                user_queued_max,
                ..QuotaChange::default()
            };
            Kind::SetQuota(SetQuota { namespace, change })
        }
        29 if u.arbitrary()? => Kind::EvictWorkers(EvictWorkers {}),
        29 => {
            let count = u.int_in_range(0..=2)?;
            let victim = |u: &mut Unstructured<'_>| -> Result<AttemptKey> {
                let (index, number) = (u32::from(u8::arbitrary(u)? % 4), u32::from(u8::arbitrary(u)? % 4));
                Ok(AttemptKey { job: job(u, hot)?, index, number })
            };
            let victims = (0..count).map(|_| victim(u)).collect::<Result<_>>()?;
            Kind::PreemptTasks(PreemptTasks { job: job(u, hot)?, victims })
        }
        30 => {
            let worker = worker(u, hot)?;
            Kind::WorkerLeaves(WorkerLeaves { worker, session: session(u, hot, worker)? })
        }
        31 => Kind::SubmitWorkflow(SubmitWorkflow {
            namespace: name(u)?,
            request_id: name(u)?,
            request_hash: hash(u)?,
            workflow: workflow(u)?,
        }),
        32 => {
            Kind::CancelWorkflow(CancelWorkflow { namespace: u32::from(u8::arbitrary(u)? % 4), workflow: job(u, hot)? })
        }
        33 => Kind::RetryWorkflow(RetryWorkflow {
            namespace: u32::from(u8::arbitrary(u)? % 4),
            workflow: u64::from(u8::arbitrary(u)? % 16),
            from: if u.ratio(1, 4)? { name(u)? } else { String::new() },
        }),
        34 => Kind::CreateSchedule(CreateSchedule {
            namespace: name(u)?,
            name: name(u)?,
            spec: ScheduleSpec {
                cron: name(u)?,
                zone: "UTC".into(),
                overlap: i32::from(u8::arbitrary(u)? % 4),
                missed: role,
                job: JobSpec { image: "i".into(), count: 2, ..JobSpec::default() },
                template: String::new(),
            },
            next_due_ms: hot.clock_ms.saturating_add(u64::from(u16::arbitrary(u)?)),
            replace: u.arbitrary()?,
        }),
        35 => {
            let (namespace, name, due_ms, spec_hash) = schedule(u, hot)?;
            Kind::RunSchedule(RunSchedule {
                namespace: namespace.0,
                name,
                spec_hash,
                due_ms: if u.ratio(1, 8)? { u.arbitrary()? } else { due_ms },
                next_due_ms: due_ms.saturating_add(u64::from(u16::arbitrary(u)?)),
                missed: u.int_in_range(0..=2)?,
                is_missed: u.ratio(1, 4)?,
                ..RunSchedule::default()
            })
        }
        36 => {
            let (namespace, of, _, spec_hash) = schedule(u, hot)?;
            let namespace = hot.tenants.get(namespace).map(|tenant| tenant.name.clone()).unwrap_or_default();
            match u.int_in_range(0..=2)? {
                0 => Kind::DeleteSchedule(DeleteSchedule { namespace, name: of }),
                1 => Kind::PauseSchedule(PauseSchedule { namespace, name: of, paused: u.arbitrary()? }),
                _ => Kind::TriggerSchedule(TriggerSchedule {
                    namespace,
                    name: of,
                    request_id: name(u)?,
                    request_hash: hash(u)?,
                    spec_hash,
                    image_digest: String::new(),
                }),
            }
        }
        37 => match u.int_in_range(0..=1)? {
            0 => Kind::CreateTemplate(CreateTemplate { namespace: name(u)?, name: name(u)?, document: name(u)? }),
            _ => Kind::DeleteTemplate(DeleteTemplate {
                namespace: name(u)?,
                name: name(u)?,
                version: u32::from(u8::arbitrary(u)? % 4),
            }),
        },
        _ if u.arbitrary()? => {
            Kind::SetTaint(SetTaint { name: name(u)?, key: name(u)?, value: name(u)?, tainted: u.arbitrary()? })
        }
        _ if u.arbitrary()? => {
            let count = u.int_in_range(0..=3)?;
            let note = |u: &mut Unstructured<'_>| -> Result<ReasonNote> {
                let (cause, memory_mib) = (i32::from(u8::arbitrary(u)? % 20), u32::from(u8::arbitrary(u)? % 3));
                Ok(ReasonNote { job: job(u, hot)?, cause, workers: u.arbitrary()?, of: u.arbitrary()?, memory_mib })
            };
            Kind::NoteReasons(NoteReasons { notes: (0..count).map(|_| note(u)).collect::<Result<_>>()? })
        }
        _ => Kind::FoundCluster(FoundCluster { cluster: name(u)?, founders: u.arbitrary()? }),
    })
}
