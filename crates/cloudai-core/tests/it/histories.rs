//! Arbitrary histories. A step is abstract: it is resolved against the state that it meets, so that most steps hit something
//! alive; a part of them misses on purpose (wrong ids, numbers, sessions), and a part is garbage.

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::command::*;
use cloudai_core::schedules::Scheduled;
use cloudai_types::quota::NO_CAP;
use cloudai_types::{
    ClusterConfig, Condition, Dependency, EndReason, JobId, JobSpec, NamespaceId, NearRule, Placement, Preference,
    QuotaChange, ReasonKind, Resources, RetryAction, RetryRule, RetryRules, ScheduleSpec, SecretUse, Usage,
    WorkflowNode, WorkflowSpec,
};
use proptest::prelude::*;

use crate::garbage::garbage;

/// What some ended attempts had used.
pub const USED: Usage = Usage {
    cpu_micros: Some(9),
    memory_peak_bytes: Some(1 << 20),
    read_bytes: None,
    written_bytes: Some(0),
    processes_max: Some(2),
};

/// Where jobs and secrets may be; the last is no name.
const NAMESPACES: [&str; 3] = ["default", "team-a", "not valid"];

/// An entry: how far time moves (or a jump back), and its steps.
pub type EntrySteps = (i64, Vec<Step>);

#[derive(Clone, Debug)]
pub enum Step {
    Submit {
        namespace: u8,
        request: u8,
        body: u8,
        count: u8,
        cpu: u8,
        attempts: u8,
        priority: i8,
        zone: bool,
        /// Which of [`retry_rules`]; 5: it uses a secret, which may be there.
        retry: u8,
    },
    Cancel(u16),
    /// `graph`: who waits for whom and how, see [`workflow`].
    SubmitWorkflow {
        namespace: u8,
        request: u8,
        jobs: u8,
        graph: u64,
        attempts: u8,
    },
    /// A live one, or whatever has this number.
    CancelWorkflow(u16),
    RetryWorkflow {
        workflow: u16,
        live: bool,
        from: u8,
    },
    /// `skip` makes some placements name an index that is not the front.
    Place {
        job: u16,
        worker: u16,
        many: u8,
        skip: u8,
    },
    Report {
        attempts: Vec<(u16, i32, Option<Reason>)>,
        miss: Miss,
    },
    Register {
        worker: u16,
        cpu: u8,
        zone: bool,
    },
    Lose {
        worker: u16,
        miss: bool,
    },
    Authorize {
        master: bool,
        name: u8,
        token: u8,
    },
    Redeem {
        master: bool,
        name: u8,
        token: u8,
        key: u8,
    },
    Revoke {
        master: bool,
        name: u8,
    },
    Drain {
        name: u8,
        draining: bool,
        /// So many milliseconds after the state's own time; 0: no deadline.
        deadline: u16,
    },
    ExpireQueued,
    /// Caps of 8 and more are no caps; `weight` 0 is refused.
    SetQuota {
        namespace: u8,
        weight: u8,
        tasks: u8,
        cpu: u8,
        /// Of each user.
        own: u8,
        queued: u8,
    },
    /// The second value of the same taint is another one.
    Taint {
        name: u8,
        value: u8,
        tainted: bool,
    },
    EvictWorkers,
    /// For one job, all attempts of another.
    Preempt {
        job: u16,
        victims: u16,
    },
    Leaves {
        worker: u16,
        miss: bool,
    },
    RegisterMaster {
        node: u64,
        disk: u8,
    },
    ForgetMaster(u64),
    SetConfig(i32),
    ExpireRequests,
    /// All jobs that ever were, of all namespaces: those that ended so many milliseconds ago.
    ExpireJobs(u64),
    /// Whatever is dead of the newest jobs, of all namespaces.
    ReplayDead,
    DropDead,
    SetSecret {
        namespace: u8,
        kind: i32,
        name: u8,
    },
    RemoveSecret {
        namespace: u8,
        kind: i32,
        name: u8,
    },
    /// `every`: seconds between its times; `overlap`: 3 is none.
    CreateSchedule {
        namespace: u8,
        name: u8,
        every: u8,
        overlap: i32,
        replace: bool,
    },
    /// `stale`: that many seconds before the time that the state has; 0: that time. Where it has not come, a miss.
    RunSchedule {
        schedule: u16,
        stale: u8,
        missed: u8,
        is_missed: bool,
        other_hash: bool,
    },
    PauseSchedule {
        schedule: u16,
        paused: bool,
    },
    DeleteSchedule(u16),
    TriggerSchedule {
        schedule: u16,
        request: u8,
    },
    CreateTemplate {
        namespace: u8,
        name: u8,
        document: u8,
    },
    DeleteTemplate {
        namespace: u8,
        name: u8,
        version: u32,
    },
    /// Of two jobs, alike: the second time is nothing new.
    NoteReasons {
        job: u16,
        cause: i32,
        memory_mib: u32,
    },
    Tick,
    RaiseVersion(u32),
    StartIncarnation,
    FoundCluster(u64),
    Garbage(Box<Kind>),
}

#[derive(Clone, Copy, Debug)]
pub enum Reason {
    Exit(i32),
    Kind(i32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Miss {
    Nothing,
    Session,
    Worker,
    Number,
}

pub fn entries(
    length: std::ops::Range<usize>,
    commands: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<EntrySteps>> {
    let advance = prop_oneof![4 => Just(0i64), 3 => 1i64..2_000, 2 => 2_000i64..400_000, 1 => -5_000i64..0, 1 => 80_000_000i64..100_000_000];
    proptest::collection::vec((advance, proptest::collection::vec(step(), commands)), length)
}

/// Workers come and go all the time, and hardly anything ends well: tasks get to their last loss.
pub fn unlucky(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<EntrySteps>> {
    let submit = (0..4u8).prop_map(|retry| Step::Submit {
        namespace: 0,
        request: 0,
        body: 0,
        count: 2,
        cpu: 1,
        attempts: 3,
        priority: 0,
        zone: false,
        retry,
    });
    let report = |n, state| vec![(n, state, Some(Reason::Kind(ReasonKind::EngineError as i32)))];
    let step = prop_oneof![
        1 => submit,
        8 => (any::<u16>(), any::<u16>()).prop_map(|(job, worker)| Step::Place { job, worker, many: 3, skip: 0 }),
        6 => any::<u16>().prop_map(|worker| Step::Register { worker, cpu: 8, zone: true }),
        3 => any::<u16>().prop_map(|worker| Step::Lose { worker, miss: false }),
        5 => (any::<u16>(), 1..6i32)
            .prop_map(move |(n, state)| Step::Report { attempts: report(n, state), miss: Miss::Nothing }),
        2 => (0..3u8).prop_map(|name| Step::Revoke { master: false, name }),
        5 => (0..3u8).prop_map(|name| Step::Authorize { master: false, name, token: 0 }),
        1 => Just(Step::ReplayDead),
    ];
    let steps = proptest::collection::vec((5_000i64..20_000, step.prop_map(|step| vec![step])), length);
    steps.prop_map(|mut steps| {
        steps.insert(0, (0, vec![Step::RaiseVersion(VERSION)]));
        steps
    })
}

/// Rules that histories can meet: none, elsewhere, more memory (of 512 MiB), never after a loss.
fn retry_rules(which: u8) -> Option<RetryRules> {
    use ReasonKind::{EngineError, ExitCode, OutOfMemory, StartFailed, Timeout, WorkerLost};
    use RetryAction::{Elsewhere, Fail, Retry};
    let rules = |of: &[(ReasonKind, RetryAction)]| {
        of.iter().map(|(kind, action)| RetryRule { reason: *kind as i32, action: *action as i32 }).collect()
    };
    let own = match which {
        1 => RetryRules {
            rules: rules(&[(ExitCode, Elsewhere), (EngineError, Elsewhere)]),
            delay_ms: 400,
            jitter_percent: 50,
            ..RetryRules::default()
        },
        2 => RetryRules {
            rules: rules(&[(OutOfMemory, Retry)]),
            memory_factor_percent: 150,
            memory_max_bytes: 4 << 30,
            ..RetryRules::default()
        },
        3 => RetryRules {
            rules: rules(&[(WorkerLost, Fail), (Timeout, Fail), (StartFailed, Retry)]),
            delay_factor_percent: 300,
            delay_max_ms: 100_000,
            ..RetryRules::default()
        },
        _ => return None,
    };
    Some(own)
}

/// Jobs of one to three tasks. For each that stands before another, three bits of `graph`: whether it is waited for, and how.
pub fn workflow(jobs: u8, graph: u64, attempts: u8) -> WorkflowSpec {
    let count = |n: u8| 1 + ((graph >> (n % 4)) % 3) as u32;
    let node = |n: u8| {
        let edge = |other: u8| {
            let how = (graph >> ((u32::from(n) * 7 + u32::from(other) * 3) % 61)) & 7;
            let each = how & 1 == 1 && count(n) == count(other);
            let on = [Condition::Success, Condition::Completion, Condition::Failure, Condition::Success];
            (how > 2).then(|| Dependency { node: format!("n{other}"), on: on[(how & 3) as usize] as i32, each })
        };
        let spec = JobSpec {
            image: "busybox".into(),
            count: count(n),
            max_attempts: attempts.into(),
            queue_timeout_ms: if graph % 11 == 3 { 1_000 } else { 0 },
            ..JobSpec::default()
        };
        WorkflowNode { name: format!("n{n}"), spec, depends_on: (0..n).filter_map(edge).collect() }
    };
    WorkflowSpec { name: "w".into(), nodes: (0..jobs).map(node).collect() }
}

fn step() -> impl Strategy<Value = Step> {
    let submit = (0..3u8, 0..6u8, 0..2u8, 0..6u8, 0..4u8, 0..4u8, -2..3i8, any::<bool>(), 0..6u8).prop_map(
        |(namespace, request, body, count, cpu, attempts, priority, zone, retry)| Step::Submit {
            namespace,
            request,
            body,
            count,
            cpu,
            attempts,
            priority,
            zone,
            retry,
        },
    );
    let place = (any::<u16>(), any::<u16>(), 0..4u8, prop_oneof![5 => Just(0u8), 1 => 0..4u8])
        .prop_map(|(job, worker, many, skip)| Step::Place { job, worker, many, skip });
    let reason = prop_oneof![
        1 => Just(None),
        3 => Just(Some(Reason::Exit(0))),
        3 => Just(Some(Reason::Exit(3))),
        3 => (-1..17i32).prop_map(|k| Some(Reason::Kind(k))),
        4 => Just(Some(Reason::Kind(ReasonKind::EngineError as i32))),
        2 => Just(Some(Reason::Kind(ReasonKind::OutOfMemory as i32))),
    ];
    let state = prop_oneof![4 => Just(5i32), 4 => -1..8i32];
    let miss = prop_oneof![12 => Just(Miss::Nothing), 1 => Just(Miss::Session), 1 => Just(Miss::Worker), 1 => Just(Miss::Number)];
    let report = (proptest::collection::vec((any::<u16>(), state, reason), 1..4), miss)
        .prop_map(|(attempts, miss)| Step::Report { attempts, miss });
    prop_oneof![
        6 => submit,
        2 => any::<u16>().prop_map(Step::Cancel),
        4 => (0..2u8, 0..6u8, 1..7u8, any::<u64>(), 1..3u8).prop_map(|(namespace, request, jobs, graph, attempts)| {
            Step::SubmitWorkflow { namespace, request, jobs, graph, attempts }
        }),
        1 => any::<u16>().prop_map(Step::CancelWorkflow),
        3 => (any::<u16>(), any::<bool>(), 0..9u8)
            .prop_map(|(workflow, live, from)| Step::RetryWorkflow { workflow, live, from }),
        12 => place,
        12 => report,
        4 => (any::<u16>(), 0..9u8, any::<bool>()).prop_map(|(worker, cpu, zone)| Step::Register { worker, cpu, zone }),
        3 => (any::<u16>(), any::<bool>()).prop_map(|(worker, miss)| Step::Lose { worker, miss }),
        1 => (any::<bool>(), 0..5u8, 0..3u8).prop_map(|(master, name, token)| Step::Authorize { master, name, token }),
        1 => (any::<bool>(), 0..5u8, 0..3u8, 0..3u8)
            .prop_map(|(master, name, token, key)| Step::Redeem { master, name, token, key }),
        1 => (any::<bool>(), 0..5u8).prop_map(|(master, name)| Step::Revoke { master, name }),
        2 => (0..5u8, any::<bool>(), prop_oneof![Just(0u16), Just(1u16), any::<u16>()])
            .prop_map(|(name, draining, deadline)| Step::Drain { name, draining, deadline }),
        2 => Just(Step::ExpireQueued),
        2 => (0..3u8, 0..4u8, 0..16u8, 0..16u8, 0..16u8, 0..24u8).prop_map(|(namespace, weight, tasks, cpu, own, queued)| {
            Step::SetQuota { namespace, weight, tasks, cpu, own, queued }
        }),
        2 => (0..5u8, 0..3u8, any::<bool>()).prop_map(|(name, value, tainted)| Step::Taint { name, value, tainted }),
        1 => Just(Step::EvictWorkers),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(job, victims)| Step::Preempt { job, victims }),
        1 => (any::<u16>(), any::<bool>()).prop_map(|(worker, miss)| Step::Leaves { worker, miss }),
        1 => (0..9u64, 0..2u8).prop_map(|(node, disk)| Step::RegisterMaster { node, disk }),
        1 => (0..9u64).prop_map(Step::ForgetMaster),
        1 => (-1..6i32).prop_map(Step::SetConfig),
        1 => Just(Step::ExpireRequests),
        1 => prop_oneof![Just(0), 0..400_000u64].prop_map(Step::ExpireJobs),
        2 => Just(Step::ReplayDead),
        1 => Just(Step::DropDead),
        2 => (0..3u8, 0..2i32, 0..3u8).prop_map(|(namespace, kind, name)| Step::SetSecret { namespace, kind, name }),
        1 => (0..2u8, 0..2i32, 0..3u8)
            .prop_map(|(namespace, kind, name)| Step::RemoveSecret { namespace, kind, name }),
        3 => (0..3u8, 0..2u8, 1..90u8, 0..4i32, any::<bool>()).prop_map(|(namespace, name, every, overlap, replace)| {
            Step::CreateSchedule { namespace, name, every, overlap, replace }
        }),
        6 => (any::<u16>(), prop_oneof![3 => Just(0u8), 1 => 0..90u8], 0..3u8, any::<bool>(), 0..9u8).prop_map(
            |(schedule, stale, missed, is_missed, n)| {
                Step::RunSchedule { schedule, stale, missed, is_missed: is_missed && n < 5, other_hash: n == 8 }
            }
        ),
        1 => (any::<u16>(), any::<bool>()).prop_map(|(schedule, paused)| Step::PauseSchedule { schedule, paused }),
        1 => any::<u16>().prop_map(Step::DeleteSchedule),
        2 => (any::<u16>(), 0..5u8).prop_map(|(schedule, request)| Step::TriggerSchedule { schedule, request }),
        2 => (0..3u8, 0..2u8, 0..3u8)
            .prop_map(|(namespace, name, document)| Step::CreateTemplate { namespace, name, document }),
        1 => (0..2u8, 0..2u8, 0..4u32)
            .prop_map(|(namespace, name, version)| Step::DeleteTemplate { namespace, name, version }),
        4 => (any::<u16>(), 0..18i32, prop_oneof![3 => Just(0u32), 1 => 1..3u32])
            .prop_map(|(job, cause, memory_mib)| Step::NoteReasons { job, cause, memory_mib }),
        2 => Just(Step::Tick),
        2 => prop_oneof![0..=VERSION, Just(VERSION)].prop_map(Step::RaiseVersion),
        1 => Just(Step::StartIncarnation),
        1 => (0..12u64).prop_map(Step::FoundCluster),
        3 => garbage().prop_map(|kind| Step::Garbage(Box::new(kind))),
    ]
}

/// Three workers that are ready, so that histories get somewhere.
pub fn prelude() -> Vec<Kind> {
    let mut kinds = vec![Kind::FoundCluster(FoundCluster { cluster: "0123456789abcdef".into(), founders: 3 })];
    for n in 0..3u8 {
        kinds.push(authorize(false, n, 0));
        kinds.push(register(u32::from(n) + 1, 4, n == 0));
    }
    kinds
}

pub fn register(worker: u32, cpu: u8, zone: bool) -> Kind {
    let capacity = Resources { cpu_milli: u64::from(cpu) * 1000, memory_bytes: 8 << 30, storage_bytes: 0, gpus: 0 };
    let labels = if zone { BTreeMap::from([("zone".to_owned(), "eu".to_owned())]) } else { BTreeMap::new() };
    Kind::RegisterWorker(RegisterWorker {
        worker,
        capacity,
        labels,
        software: "test".into(),
        reserved: zone.then_some(capacity),
        leaving: false,
        price_micros: u64::from(cpu) * 100_000,
        metrics_addr: if zone { format!("10.0.0.{worker}:7610") } else { String::new() },
    })
}

fn authorize(master: bool, name: u8, token: u8) -> Kind {
    let name = member(master, name);
    Kind::Authorize(Authorize { role: i32::from(master), name, secret_hash: vec![token; 32], labels: BTreeMap::new() })
}

fn member(master: bool, name: u8) -> String {
    format!("{}{name}", if master { "m" } else { "w" })
}

fn pick<T>(items: impl Iterator<Item = T>, n: u16) -> Option<T> {
    let mut items: Vec<T> = items.collect();
    if items.is_empty() { None } else { Some(items.swap_remove(usize::from(n) % items.len())) }
}

/// Rules of a third of the jobs; what they ask for is found on each worker of a kind scheduler.
fn placement(body: u8, retry: u8) -> Option<Placement> {
    let placement = match (body, retry) {
        (0, 1) => Placement { apart: "worker".into(), ..Placement::default() },
        (0, 3) => Placement { tolerate: vec!["kind".into()], apart: "zone".into(), ..Placement::default() },
        (1, 1) => Placement { spread: "worker".into(), max_skew: 1, ..Placement::default() },
        (1, 3) => Placement { tolerate: vec!["kind=t1".into()], require: vec!["!gpu".into()], ..Placement::default() },
        (1, 0) => Placement {
            prefer: vec![Preference { expression: "zone".into(), weight: 5 }],
            spread: "zone".into(),
            max_skew: 2,
            ..Placement::default()
        },
        _ => return None,
    };
    Some(placement)
}

/// Of most jobs: what the rules of [`near`] are about.
fn job_labels(count: u8) -> BTreeMap<String, String> {
    let app = ["", "db", "web", "db"][usize::from(count % 4)];
    [("app".to_owned(), app.to_owned())].into_iter().filter(|(_, app)| !app.is_empty()).collect()
}

/// Rules about other jobs, of some.
fn near(count: u8, priority: i8) -> Placement {
    let rule = |jobs: &str, over: &str| vec![NearRule { jobs: jobs.into(), over: over.into() }];
    match (count % 3, priority.rem_euclid(4)) {
        (0, 1) => Placement { apart_from: rule("app=db", "worker"), ..Placement::default() },
        (1, 1) => Placement { apart_from: rule("app!=db", "zone"), ..Placement::default() },
        (1, 2) => Placement { together_with: rule("app", "zone"), ..Placement::default() },
        (2, 2) => Placement { together_with: rule("app=web", "worker"), ..Placement::default() },
        _ => Placement::default(),
    }
}

/// What the step means in this state.
pub fn resolve(hot: &Hot, step: &Step) -> Kind {
    match step.clone() {
        Step::Submit { namespace, request, body, count, cpu, attempts, priority, zone, retry } => {
            let mut spec = JobSpec { image: "busybox".into(), ..Default::default() };
            spec.count = u32::from(count);
            spec.max_attempts = u32::from(attempts);
            spec.priority = i32::from(priority);
            spec.resources.cpu_milli = u64::from(cpu) * 500;
            spec.retry = retry_rules(retry);
            // Half of them may wait only for a second or for an hour.
            spec.queue_timeout_ms = [0, 0, 1_000, 3_600_000][usize::from(count % 4)];
            if retry == 2 {
                spec.resources.memory_bytes = 512 << 20;
            }
            if retry == 5 {
                spec.secrets.push(SecretUse { name: "s0.x".into(), ..SecretUse::default() });
            }
            if zone {
                spec.require.insert("zone".into(), "eu".into());
            }
            spec.gang = body % 3 == 2;
            spec.preemptible = attempts != 2;
            let Placement { apart_from, together_with, .. } = near(count, priority);
            spec.placement =
                Some(Placement { apart_from, together_with, ..placement(body, retry).unwrap_or_default() });
            spec.labels = job_labels(count);
            // One of the last jobs' first tasks; it is hardly ever dead.
            let last = hot.next_job.saturating_sub(1 + u64::from(body));
            let replay_of = (retry == 4).then_some(TaskKey { job: last, index: 0 });
            let request_id = if request < 3 { String::new() } else { format!("r{request}") };
            Kind::SubmitJob(SubmitJob {
                namespace: NAMESPACES[usize::from(namespace)].into(),
                request_id,
                request_hash: vec![body; 16],
                spec,
                replay_of,
            })
        }
        Step::SubmitWorkflow { namespace, request, jobs, graph, attempts } => Kind::SubmitWorkflow(SubmitWorkflow {
            namespace: NAMESPACES[usize::from(namespace)].into(),
            request_id: if request < 3 { String::new() } else { format!("r{request}") },
            request_hash: vec![jobs, 0xee],
            workflow: workflow(jobs, graph, attempts),
        }),
        Step::CancelWorkflow(n) => {
            let (namespace, workflow) = some_workflow(hot, n, true);
            Kind::CancelWorkflow(CancelWorkflow { namespace, workflow })
        }
        Step::RetryWorkflow { workflow, live, from } => {
            let (namespace, workflow) = some_workflow(hot, workflow, live);
            let from = if from < 6 { String::new() } else { format!("n{}", from - 6) };
            Kind::RetryWorkflow(RetryWorkflow { namespace, workflow, from })
        }
        Step::Cancel(job) => {
            Kind::CancelJob(CancelJob { job: pick(hot.jobs.keys(), job).map_or(u64::from(job), |id| id.0) })
        }
        Step::Place { job, worker, many, skip } => {
            let worker = pick(hot.workers.keys(), worker).map_or(0, |id| id.0);
            let Some((id, job)) = pick(hot.jobs.iter(), job) else {
                return Kind::PlaceTasks(PlaceTasks::default());
            };
            let waiting = job.waiting.iter().flat_map(|w| w.keys().copied());
            let fresh = job.fresh.clone().skip(usize::from(skip));
            let is_gang = hot.is_gang(*id);
            // All of a gang, or now and then one fewer than that; on two workers.
            let most =
                if is_gang { (job.counts.queued as usize).saturating_sub(usize::from(many == 1)) } else { many.into() };
            let indexes: Vec<u32> = waiting.chain(fresh).take(most + usize::from(!is_gang)).collect();
            let other = if is_gang { hot.workers.keys().next_back().map_or(worker, |id| id.0) } else { worker };
            let (here, there) = indexes.split_at(if is_gang { indexes.len().div_ceil(2) } else { indexes.len() });
            let groups = [(worker, here), (other, there)].into_iter().filter(|(_, indexes)| !indexes.is_empty());
            let group = |(worker, indexes): (u32, &[u32])| PlaceGroup { job: id.0, worker, indexes: indexes.to_vec() };
            Kind::PlaceTasks(PlaceTasks { groups: groups.map(group).collect() })
        }
        Step::Report { attempts, miss } => resolve_report(hot, &attempts, miss),
        Step::Register { worker, cpu, zone } => {
            register(pick(hot.workers.keys(), worker).map_or(0, |id| id.0), cpu, zone)
        }
        Step::Lose { worker, miss } => {
            let found = pick(hot.workers.iter(), worker);
            let (worker, session) = found.map_or((0, 0), |(id, w)| (id.0, w.session));
            Kind::LoseWorker(LoseWorker { worker, session: session.wrapping_sub(u64::from(miss)) })
        }
        Step::Authorize { master, name, token } => authorize(master, name, token),
        Step::Redeem { master, name, token, key } => Kind::RedeemToken(RedeemToken {
            role: i32::from(master),
            name: member(master, name),
            secret_hash: vec![token; 32],
            key_hash: vec![key; 32],
        }),
        Step::Revoke { master, name } => Kind::Revoke(Revoke { role: i32::from(master), name: member(master, name) }),
        Step::Drain { name, draining, deadline } => {
            let deadline_ms = if deadline == 0 { 0 } else { hot.clock_ms.saturating_add(deadline.into()) };
            Kind::SetDrain(SetDrain { name: member(false, name), draining, deadline_ms })
        }
        Step::ExpireQueued => Kind::ExpireQueued(ExpireQueued {}),
        Step::SetQuota { namespace, weight, tasks, cpu, own, queued } => {
            let cap = |n: u8, unit: u64| Some(if n < 8 { u64::from(n) * unit } else { NO_CAP });
            let change = QuotaChange {
                weight: Some(weight.into()),
                tasks_max: cap(tasks, 1),
                cpu_milli_max: cap(cpu, 1_000),
                preempt: Some(tasks % 2 == 0),
                score_policy: Some(if cpu < 7 { cpu.into() } else { NO_CAP }),
                queued_max: cap(queued, 16),
                user_tasks_max: cap(own, 1),
                user_queued_max: cap(queued, 4 + u64::from(own)),
                ..QuotaChange::default()
            };
            Kind::SetQuota(SetQuota { namespace: NAMESPACES[usize::from(namespace)].into(), change })
        }
        Step::Taint { name, value, tainted } => {
            let value = if value == 0 { String::new() } else { format!("t{value}") };
            Kind::SetTaint(SetTaint { name: member(false, name), key: "kind".into(), value, tainted })
        }
        Step::EvictWorkers => Kind::EvictWorkers(EvictWorkers {}),
        Step::Preempt { job, victims } => {
            let victims = pick(hot.jobs.iter(), victims).into_iter().flat_map(|(id, job)| {
                job.active.iter().map(|(index, a)| AttemptKey { job: id.0, index: *index, number: a.number })
            });
            let job = pick(hot.jobs.keys(), job).map_or(0, |id| id.0);
            Kind::PreemptTasks(PreemptTasks { job, victims: victims.collect() })
        }
        Step::Leaves { worker, miss } => {
            let found = pick(hot.workers.iter(), worker);
            let (worker, session) = found.map_or((0, 0), |(id, w)| (id.0, w.session));
            Kind::WorkerLeaves(WorkerLeaves { worker, session: session.wrapping_sub(u64::from(miss)) })
        }
        Step::RegisterMaster { node, disk } => Kind::RegisterMaster(RegisterMaster {
            node,
            name: format!("m{node}"),
            disk: format!("disk-{disk}"),
            raft_addr: "127.0.0.1:1".into(),
            ..Default::default()
        }),
        Step::ForgetMaster(node) => Kind::ForgetMaster(ForgetMaster { node }),
        Step::SetConfig(score_policy) => Kind::SetConfig(SetConfig { config: ClusterConfig { score_policy } }),
        Step::ExpireRequests => {
            let keys = (3..6).map(|n| format!("r{n}").into_bytes()).collect();
            Kind::ExpireRequests(ExpireRequests { keys })
        }
        Step::ExpireJobs(ago) => {
            let jobs = (1..hot.next_job.min(200))
                .flat_map(|job| (1..hot.next_namespace.min(4)).map(move |namespace| ExpiringJob { namespace, job }));
            let ended_until_ms = hot.clock_ms.saturating_sub(ago);
            Kind::ExpireJobs(ExpireJobs { jobs: jobs.collect(), ended_until_ms })
        }
        Step::ReplayDead => Kind::ReplayDead(ReplayDead { groups: newest(hot) }),
        Step::DropDead => Kind::DropDead(DropDead { groups: newest(hot) }),
        Step::SetSecret { namespace, kind, name } => Kind::SetSecret(SetSecret {
            namespace: NAMESPACES[usize::from(namespace)].into(),
            kind,
            name: format!("s{name}.x"),
            sealed: vec![name; 40],
        }),
        Step::RemoveSecret { namespace, kind, name } => Kind::RemoveSecret(RemoveSecret {
            namespace: NAMESPACES[usize::from(namespace)].into(),
            kind,
            name: format!("s{name}.x"),
        }),
        Step::CreateSchedule { namespace, name, every, overlap, replace } => Kind::CreateSchedule(CreateSchedule {
            namespace: NAMESPACES[usize::from(namespace)].into(),
            name: format!("t{name}"),
            spec: ScheduleSpec {
                // What it says is the leader's to understand.
                cron: format!("every {every}"),
                zone: "UTC".into(),
                overlap,
                job: JobSpec { image: "busybox".into(), count: 1 + u32::from(every % 3), ..JobSpec::default() },
                ..ScheduleSpec::default()
            },
            next_due_ms: if every % 7 == 0 { 0 } else { hot.clock_ms.saturating_add(u64::from(every) * 1_000) },
            replace,
        }),
        Step::RunSchedule { schedule, stale, missed, is_missed, other_hash } => {
            let (ns, name, Scheduled { due_ms, spec_hash }) = some_schedule(hot, schedule);
            let due_ms = due_ms.unwrap_or(hot.clock_ms).saturating_sub(u64::from(stale) * 1_000);
            Kind::RunSchedule(RunSchedule {
                namespace: ns.0,
                name,
                spec_hash: spec_hash.wrapping_add(other_hash.into()),
                due_ms,
                next_due_ms: if stale % 11 == 7 { 0 } else { due_ms.saturating_add(30_000) },
                missed: missed.into(),
                missed_last_ms: due_ms.saturating_sub(1),
                is_missed,
                ..RunSchedule::default()
            })
        }
        Step::PauseSchedule { schedule, paused } => {
            let (ns, name, _) = some_schedule(hot, schedule);
            Kind::PauseSchedule(PauseSchedule { namespace: named(hot, ns), name, paused })
        }
        Step::DeleteSchedule(schedule) => {
            let (ns, name, _) = some_schedule(hot, schedule);
            Kind::DeleteSchedule(DeleteSchedule { namespace: named(hot, ns), name })
        }
        Step::TriggerSchedule { schedule, request } => {
            let (ns, name, Scheduled { spec_hash, .. }) = some_schedule(hot, schedule);
            Kind::TriggerSchedule(TriggerSchedule {
                namespace: named(hot, ns),
                name,
                request_id: if request < 2 { String::new() } else { format!("r{request}") },
                request_hash: vec![0x5c],
                spec_hash,
                image_digest: String::new(),
            })
        }
        Step::CreateTemplate { namespace, name, document } => Kind::CreateTemplate(CreateTemplate {
            namespace: NAMESPACES[usize::from(namespace)].into(),
            name: format!("t{name}"),
            document: format!("image: {document}"),
        }),
        Step::DeleteTemplate { namespace, name, version } => Kind::DeleteTemplate(DeleteTemplate {
            namespace: NAMESPACES[usize::from(namespace)].into(),
            name: format!("t{name}"),
            version,
        }),
        Step::NoteReasons { job, cause, memory_mib } => {
            let jobs = [job, job.wrapping_add(1)].map(|n| pick(hot.jobs.keys(), n).map_or(u64::from(n), |id| id.0));
            let note = |job| ReasonNote { job, cause, workers: 1, of: 3, memory_mib };
            Kind::NoteReasons(NoteReasons { notes: jobs.into_iter().map(note).collect() })
        }
        Step::Tick => Kind::AdvanceClock(AdvanceClock {}),
        Step::RaiseVersion(version) => Kind::RaiseVersion(RaiseVersion { version }),
        Step::StartIncarnation => Kind::StartIncarnation(StartIncarnation {}),
        Step::FoundCluster(founders) => {
            Kind::FoundCluster(FoundCluster { cluster: "0123456789abcdef".into(), founders })
        }
        Step::Garbage(kind) => *kind,
    }
}

/// One that lives, or one of the newest jobs' numbers, which is a workflow's now and then.
fn some_workflow(hot: &Hot, n: u16, live: bool) -> (u32, u64) {
    let of_member = |(id, member): (JobId, &cloudai_core::workflows::Member)| {
        (hot.jobs.get(&id).map_or(1, |job| job.namespace.0), member.workflow.0)
    };
    let found = if live { pick(hot.workflows.members().map(of_member), n) } else { None };
    found.unwrap_or((1 + u32::from(n % 2), hot.next_job.saturating_sub(1 + u64::from(n / 2) % 30)))
}

/// One that there is, or none.
fn some_schedule(hot: &Hot, n: u16) -> (NamespaceId, String, Scheduled) {
    let found = pick(hot.schedules.iter(), n).map(|(ns, name, scheduled)| (ns, name.to_owned(), scheduled));
    found.unwrap_or((NamespaceId(1), "t9".to_owned(), Scheduled::default()))
}

fn named(hot: &Hot, ns: NamespaceId) -> String {
    hot.tenants.get(ns).map(|tenant| tenant.name.clone()).unwrap_or_default()
}

/// The first tasks of the newest jobs, in every namespace that they may be of.
fn newest(hot: &Hot) -> Vec<DeadGroup> {
    let jobs = hot.next_job.saturating_sub(40).max(1)..hot.next_job;
    let of_job = |job| (1..hot.next_namespace.min(4)).map(move |namespace| (namespace, job));
    let group = |(namespace, job)| DeadGroup { namespace, job, indexes: (0..6).collect() };
    jobs.flat_map(of_job).map(group).collect()
}

/// Reports of live attempts of one worker; the other ones in the list are stale.
fn resolve_report(hot: &Hot, attempts: &[(u16, i32, Option<Reason>)], miss: Miss) -> Kind {
    let live = || {
        hot.jobs.iter().flat_map(|(id, job)| {
            job.active.iter().map(move |(index, attempt)| (id.0, *index, attempt.number, attempt.worker))
        })
    };
    let Some(worker) = attempts.first().and_then(|(n, ..)| pick(live(), *n)).map(|(.., worker)| worker) else {
        return Kind::ReportAttempts(ReportAttempts { worker: 1, session: 1, reports: vec![] });
    };
    let mut reports = vec![];
    for (n, state, reason) in attempts {
        let of_worker = live().filter(|(.., w)| *w == worker || miss == Miss::Worker);
        let Some((job, index, number, _)) = pick(of_worker, *n) else { continue };
        reports.push(AttemptReport {
            job,
            index,
            number: number.wrapping_sub(u32::from(miss == Miss::Number)),
            state: *state,
            reason: reason.map(|r| match r {
                // Every second one was measured.
                Reason::Exit(code) => EndReason::exit(code).with_usage((code % 2 == 0).then_some(USED)),
                Reason::Kind(kind) => EndReason { kind, ..EndReason::new(ReasonKind::Unknown, "test") },
            }),
            started_ms: u64::from(*n),
            ended_ms: 0,
        });
    }
    let session = hot.workers.get(&worker).map_or(0, |w| w.session).wrapping_sub(u64::from(miss == Miss::Session));
    Kind::ReportAttempts(ReportAttempts { worker: worker.0, session, reports })
}
