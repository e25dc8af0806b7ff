//! Properties of any pass, and the pass against a plain planner that asks every filter and every score of every worker for
//! every task. The state is changed by `apply`, which must accept every placement.

mod cluster;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloudai_core::hot::{Shape, ShapeId, Worker};
use cloudai_core::{Hot, invariants};
use cloudai_scheduler::score::{self, Load, Measure};
use cloudai_scheduler::{Plan, filter};
use cloudai_types::quota::NO_CAP;
use cloudai_types::{
    Domain, HourlyPrice, JobId, JobSpec, Near, QuotaChange, ReasonKind, Resources, Rules, ScorePolicy, Spot, Spread,
    TaskId, WorkerId, limits,
};
use cluster::{Cluster, GIB, labels, placed, rules};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Join {
        capacity: Resources,
        labels: usize,
        price: HourlyPrice,
    },
    Rejoin {
        worker: usize,
        capacity: Resources,
        labels: usize,
        price: HourlyPrice,
    },
    /// In one of the namespaces.
    Submit(usize, Box<JobSpec>),
    /// A namespace's policy; `None`: the cluster's.
    Policy(usize, Option<ScorePolicy>),
    End {
        nth: usize,
        kind: ReasonKind,
        exit_code: i32,
    },
    Lose(usize),
    Drain(usize, bool),
    Taint(usize, usize, bool),
    Cancel(usize),
    Wait(u64),
    /// A pass with this bound.
    Pass(u32),
    /// A pass whose proposal is lost.
    LostPass(u32),
}

/// Where namespaces differ in policy; otherwise the first has all jobs.
const NAMESPACES: [&str; 3] = ["default", "a", "b"];
const LABELS: [&str; 7] =
    ["", "zone=eu", "zone=us", "zone=eu disk=ssd", "disk=ssd", "zone=eu rack=1", "zone=us rack=2 disk=ssd"];
const TAINTS: [&str; 3] = ["gpu=a100", "gpu=h100", "night"];
/// Rules of jobs; most have none.
const RULES: [&[&str]; 23] = [
    &["zone in (eu,us)"],
    &["!disk", "zone!=us"],
    &["rack>1"],
    &["prefer:disk=ssd:10"],
    &["prefer:zone=us:10", "prefer:!rack:20"],
    &["tolerate:gpu"],
    &["tolerate:gpu=a100", "tolerate:night", "prefer:disk:1"],
    &["apart:worker"],
    &["apart:worker", "prefer:zone=eu:1"],
    &["apart:zone"],
    &["apart:rack", "tolerate:night"],
    &["spread:zone"],
    &["spread:worker", "zone"],
    &["spread:zone:1"],
    &["spread:rack:2", "prefer:zone=us:5"],
    &["spread:worker:1"],
    &["spread:zone:1", "apart:worker", "tolerate:gpu"],
    &["apart_from:app=db@worker"],
    &["apart_from:app@zone", "prefer:zone=us:5"],
    &["apart_from:app!=db@rack", "apart:zone"],
    &["together_with:app=db@worker"],
    &["together_with:app in (db,web)@zone", "spread:worker"],
    &["together_with:tier=1@zone", "apart_from:app=web@worker", "tolerate:night"],
];
/// Labels of jobs; most have none.
const JOB_LABELS: [&str; 5] = ["", "app=db", "app=web", "app=web tier=1", "tier=1"];

fn capacity() -> impl Strategy<Value = Resources> {
    (0u64..9, 0u64..9, 0u64..3, 0u32..3).prop_map(|(cpu, memory, storage, gpus)| Resources {
        cpu_milli: cpu * 1_000,
        memory_bytes: memory * GIB,
        storage_bytes: storage * GIB,
        gpus,
    })
}

fn ask() -> impl Strategy<Value = Resources> {
    (0u64..6, 0u64..5, prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(|(cpu, memory, storage, gpu)| {
        Resources {
            cpu_milli: cpu * 500,
            memory_bytes: memory * GIB,
            storage_bytes: u64::from(storage) * GIB,
            gpus: u32::from(gpu),
        }
    })
}

fn spec() -> impl Strategy<Value = JobSpec> {
    let of_label = prop_oneof![3 => Just(0usize), 1 => 0..LABELS.len()];
    let of_rules = prop_oneof![1 => Just(None), 1 => (0..RULES.len()).prop_map(Some)];
    let of_job_labels = prop_oneof![2 => Just(0usize), 3 => 0..JOB_LABELS.len()];
    (ask(), 1u32..12, -1i32..2, of_label, 1u32..5, 0u8..4, of_rules, of_job_labels).prop_map(
        |(resources, count, priority, require, max_attempts, retry, rules_of, job_labels)| JobSpec {
            labels: labels(JOB_LABELS[job_labels]),
            placement: rules_of.and_then(|at| placed(RULES[at])),
            resources,
            count,
            priority,
            max_attempts,
            require: labels(LABELS[require]),
            image: "busybox".to_owned(),
            retry: match retry {
                0 => Some(rules(&[ReasonKind::ExitCode], if resources.memory_bytes > 0 { 8 } else { 0 })),
                1 => Some(rules(&[ReasonKind::OutOfMemory], if resources.memory_bytes > 0 { 6 } else { 0 })),
                _ => None,
            },
            ..JobSpec::default()
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let bound = || prop_oneof![1u32..8, Just(1_000_000u32)];
    prop_oneof![
        3 => (capacity(), 0..LABELS.len(), price())
            .prop_map(|(capacity, labels, price)| Step::Join { capacity, labels, price }),
        1 => (any::<usize>(), capacity(), 0..LABELS.len(), price())
            .prop_map(|(worker, capacity, labels, price)| Step::Rejoin { worker, capacity, labels, price }),
        4 => spec().prop_map(|spec| Step::Submit(0, Box::new(spec))),
        5 => (any::<usize>(), prop::sample::select(vec![ReasonKind::ExitCode, ReasonKind::OutOfMemory]), 0i32..2)
            .prop_map(|(nth, kind, exit_code)| Step::End { nth, kind, exit_code }),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(worker, on)| Step::Drain(worker, on)),
        1 => (any::<usize>(), 0..TAINTS.len(), any::<bool>()).prop_map(|(worker, taint, on)| Step::Taint(worker, taint, on)),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (0u64..4_000).prop_map(Step::Wait),
        4 => bound().prop_map(Step::Pass),
        1 => bound().prop_map(Step::LostPass),
    ]
}

fn price() -> impl Strategy<Value = HourlyPrice> {
    prop_oneof![Just(0u64), (1u64..6).prop_map(|n| n * 100_000)].prop_map(HourlyPrice)
}

/// Single tasks in several namespaces, whose policies change.
fn mixed_step() -> impl Strategy<Value = Step> {
    let policy = || prop::option::of(prop::sample::select(ScorePolicy::ALL.to_vec()));
    let one = || spec().prop_map(|spec| Box::new(JobSpec { count: 1, ..spec }));
    prop_oneof![
        3 => step().prop_map(|step| match step {
            Step::Submit(_, spec) => Step::Submit(0, Box::new(JobSpec { count: 1, ..*spec })),
            other => other,
        }),
        1 => (0..NAMESPACES.len(), one()).prop_map(|(namespace, spec)| Step::Submit(namespace, spec)),
        1 => (0..NAMESPACES.len(), policy()).prop_map(|(namespace, policy)| Step::Policy(namespace, policy)),
    ]
}

fn nth<T: Copy>(items: impl Iterator<Item = T>, n: usize) -> Option<T> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then(|| items[n % items.len()])
}

/// Who gets how many tasks of which job.
type Shares = BTreeMap<(u64, u32), u32>;

fn shares(plan: &Plan) -> Shares {
    let mut shares = Shares::new();
    for group in &plan.groups {
        *shares.entry((group.job, group.worker)).or_default() += group.indexes.len() as u32;
    }
    shares
}

/// Every task in the documented order, every worker asked through the filters, the best rank taken.
fn plain_plan(view: &Hot, turn: &mut u32, placements_max: u32) -> Shares {
    let mut planner = Planner::new(view);
    let mut order: Vec<(i16, JobId)> = view.jobs.iter().map(|(id, job)| (-job.priority, *id)).collect();
    order.sort_unstable();
    let mut placed = 0;
    let mut shares = Shares::new();
    for (_, id) in order {
        for (shape, tasks) in segments(view, id) {
            for task in tasks {
                if placed == placements_max {
                    return shares;
                }
                let Some(best) = planner.first(id, shape, &task, *turn) else { continue };
                planner.take(id, shape, task.0, best);
                *turn = best.0;
                placed += 1;
                *shares.entry((id.0, best.0)).or_default() += 1;
            }
        }
    }
    shares
}

/// Asks every filter and every score of every worker.
struct Planner<'a> {
    view: &'a Hot,
    workers: BTreeMap<WorkerId, Worker>,
    measure: Measure,
    /// Where each job's tasks are.
    siblings: BTreeMap<JobId, Vec<WorkerId>>,
}

impl<'a> Planner<'a> {
    fn new(view: &'a Hot) -> Self {
        let is_at = |job: &JobId| view.jobs[job].active.values().map(|attempt| attempt.worker).collect();
        Planner {
            view,
            workers: view.workers.clone(),
            measure: Measure::of(view),
            siblings: view.jobs.keys().map(|job| (*job, is_at(job))).collect(),
        }
    }

    fn policy(&self, job: JobId) -> ScorePolicy {
        let tenant = self.view.tenants.get(self.view.jobs[&job].namespace);
        tenant.and_then(|tenant| tenant.quota.policy()).unwrap_or(self.view.config.score_policy())
    }

    /// The worker for this task; `turn`: the one that was taken last in turn.
    fn first(&self, job: JobId, shape: ShapeId, (_, avoid, never): &Task, turn: u32) -> Option<WorkerId> {
        let (view, policy, at) = (self.view, self.policy(job), &self.siblings[&job]);
        let shape = view.shapes.get(shape).expect("a live job's shape");
        let rules = shape.rules.as_deref().cloned().unwrap_or_default();
        let wish = score::of(policy).wish(&shape.resources.dimensions(), &self.measure);
        let rank = |id: &WorkerId, worker: &Worker| {
            let load = Load {
                capacity: worker.capacity.dimensions(),
                free: worker.free().dimensions(),
                attempts: worker.active.len() as u64,
                price: worker.price,
            };
            let before_turn = policy == ScorePolicy::RoundRobin && id.0 <= turn;
            let crowd = rules.spread.as_ref().map_or(0, |spread| {
                spread.over.spot(*id, &worker.labels).map_or(u32::MAX, |spot| crowd(view, at, &spread.over, &spot))
            });
            let liked = Reverse(rules.liking(&worker.labels));
            let rank = score::of(policy).rank(&load, &wish, &self.measure);
            (id.0 == *avoid, liked, crowd, before_turn, rank, *id)
        };
        let fits = |id: &WorkerId, w: &Worker| {
            !never.contains(&id.0)
                && filter::check(shape, w).is_none()
                && leaves_room(view, shape, at, *id)
                && others_leave_room(view, &self.siblings, job, *id)
        };
        let best = self.workers.iter().filter(|(id, w)| fits(id, w)).min_by_key(|(id, w)| rank(id, w));
        best.map(|(id, _)| *id)
    }

    fn take(&mut self, job: JobId, shape: ShapeId, index: u32, at: WorkerId) {
        let shape = self.view.shapes.get(shape).expect("a live job's shape");
        self.siblings.entry(job).or_default().push(at);
        let worker = self.workers.get_mut(&at).expect("it is there");
        worker.used = worker.used.plus(&shape.resources);
        worker.active.insert(TaskId { job, index });
    }
}

/// Whoever is placed, in the order of the plan, goes to the first worker by its own namespace's policy. True: each of them does.
fn each_goes_first(view: &Hot, plan: &Plan, turn: &mut u32) -> Result<(), TestCaseError> {
    let mut planner = Planner::new(view);
    for group in &plan.groups {
        let job = JobId(group.job);
        let tasks: BTreeMap<u32, (ShapeId, Task)> = segments(view, job)
            .into_iter()
            .flat_map(|(shape, tasks)| tasks.into_iter().map(move |task| (task.0, (shape, task))))
            .collect();
        for index in &group.indexes {
            let (shape, task) = &tasks[index];
            let worker = WorkerId(group.worker);
            prop_assert_eq!(planner.first(job, *shape, task, *turn), Some(worker), "{}/{}", job, index);
            planner.take(job, *shape, *index, worker);
            if planner.policy(job) == ScorePolicy::RoundRobin {
                *turn = worker.0;
            }
        }
    }
    Ok(())
}

/// A pass, accepted, and as it is to be: what the plain planner places; in several namespaces, each where it would put it.
fn compared_pass(c: &mut Cluster, bound: u32, mixed: bool, turn: &mut u32) -> Result<Plan, TestCaseError> {
    let wanted = (!mixed).then(|| plain_plan(&c.hot, turn, bound));
    let plan = c.plan(bound);
    match wanted {
        Some(wanted) => prop_assert_eq!(shares(&plan), wanted),
        None => each_goes_first(&c.hot, &plan, turn)?,
    }
    prop_assert!(plan.placed <= bound);
    c.accept(&plan);
    prop_assert_eq!(invariants::check(&c.hot), vec![]);
    Ok(plan)
}

/// Of tasks that are on these workers, so many are in the spot.
fn crowd(view: &Hot, at: &[WorkerId], domain: &Domain, spot: &Spot) -> u32 {
    at.iter().filter(|id| domain.spot(**id, &view.workers[id].labels).as_ref() == Some(spot)).count() as u32
}

/// By the rules about siblings, which are on the workers `at`.
fn leaves_room(view: &Hot, shape: &Shape, at: &[WorkerId], id: WorkerId) -> bool {
    let rules = shape.rules.as_deref().cloned().unwrap_or_default();
    let spot_of = |domain: &Domain| domain.spot(id, &view.workers[&id].labels);
    let is_apart =
        rules.apart.is_none_or(|domain| spot_of(&domain).is_some_and(|spot| crowd(view, at, &domain, &spot) == 0));
    let is_even = rules.spread.filter(|spread| spread.max_skew > 0).is_none_or(|Spread { over, max_skew }| {
        let could = view.workers.iter().filter(|(_, w)| w.is_schedulable() && shape.accepts(w));
        let spots = could.filter_map(|(id, w)| over.spot(*id, &w.labels));
        let fewest = spots.map(|spot| crowd(view, at, &over, &spot)).min().unwrap_or(0);
        spot_of(&over).is_some_and(|spot| crowd(view, at, &over, &spot) < fewest + max_skew)
    });
    is_apart && is_even
}

fn rules_of(view: &Hot, job: JobId) -> Rules {
    let shape = view.shapes.get(view.jobs[&job].shape).expect("a live job's shape");
    shape.rules.as_deref().cloned().unwrap_or_default()
}

/// By the rules about other jobs, which are on the workers `at`: its own, and theirs about it.
fn others_leave_room(view: &Hot, at: &BTreeMap<JobId, Vec<WorkerId>>, job: JobId, id: WorkerId) -> bool {
    let spot_of = |near: &Near, id: WorkerId| near.over.spot(id, &view.workers[&id].labels);
    let is_met = |near: &Near, job: &JobId| view.job_labels.get(*job).is_some_and(|l| near.jobs.is_met_by(l));
    let is_near = |near: &Near, other: &JobId| {
        let spot = spot_of(near, id);
        at[other].iter().any(|there| spot.is_some() && spot_of(near, *there) == spot)
    };
    let namespace = |job: &JobId| view.jobs[job].namespace;
    let is_other = |other: &JobId| *other != job && namespace(other) == namespace(&job);
    let others: Vec<JobId> = at.keys().copied().filter(is_other).collect();
    let own = rules_of(view, job);
    let by_own = own.apart_from.iter().all(|near| {
        spot_of(near, id).is_some() && !others.iter().any(|other| is_met(near, other) && is_near(near, other))
    });
    let together =
        own.together_with.iter().all(|near| others.iter().any(|other| is_met(near, other) && is_near(near, other)));
    let by_theirs = others.iter().all(|other| {
        rules_of(view, *other).apart_from.iter().all(|near| !(is_met(near, &job) && is_near(near, other)))
    });
    by_own && together && by_theirs
}

/// Its index, the worker that it avoids, and those that it may not go to.
type Task = (u32, u32, Vec<u32>);

/// A job's tasks that may be placed, by what they ask for, in the order in which a pass comes to them.
fn segments(view: &Hot, id: JobId) -> BTreeMap<ShapeId, Vec<Task>> {
    let job = &view.jobs[&id];
    let mut segments: BTreeMap<ShapeId, Vec<Task>> = BTreeMap::new();
    let due = |apart: bool| {
        let waiting = job.waiting.iter().flat_map(|w| w.iter());
        waiting.filter(move |(_, w)| w.not_before_ms <= view.clock_ms && w.is_apart() == apart)
    };
    for (index, w) in due(true) {
        let group = view.apart.get(id, w.memory_mib).expect("it stands apart");
        segments.entry(group.shape).or_default().push((*index, w.avoid_worker(), w.never().to_vec()));
    }
    let own = segments.entry(job.shape).or_default();
    own.extend(due(false).map(|(index, w)| (*index, w.avoid_worker(), vec![])));
    own.extend(job.fresh.clone().map(|index| (index, 0, vec![])));
    segments
}

fn run(score: ScorePolicy, steps: Vec<Step>) -> Result<(), TestCaseError> {
    run_as(score, steps, false)
}

/// `mixed`: in several namespaces, each task on its own.
fn run_as(score: ScorePolicy, steps: Vec<Step>, mixed: bool) -> Result<(), TestCaseError> {
    let mut c = Cluster::with_policy(score);
    c.without_reservations = true;
    let mut turn = 0;
    for step in steps {
        match step {
            Step::Join { capacity, labels, price } => {
                let worker = c.authorize(&format!("w{}", c.hot.workers.len()));
                c.register_at(worker, capacity, LABELS[labels], price);
            }
            Step::Rejoin { worker, capacity, labels, price } => {
                if let Some(worker) = nth(c.hot.workers.keys().copied(), worker) {
                    c.register_at(worker, capacity, LABELS[labels], price);
                }
            }
            Step::Submit(namespace, spec) => {
                c.submit_in(NAMESPACES[namespace], *spec);
            }
            Step::Policy(namespace, policy) => {
                let score_policy = Some(policy.map_or(NO_CAP, |policy| policy as u64));
                c.quota(NAMESPACES[namespace], QuotaChange { score_policy, ..QuotaChange::default() });
            }
            Step::End { nth: n, kind, exit_code } => {
                let active = c
                    .hot
                    .jobs
                    .iter()
                    .flat_map(|(job, j)| j.active.keys().map(|index| TaskId { job: *job, index: *index }));
                if let Some(task) = nth(active, n) {
                    c.end(task, kind, exit_code);
                }
            }
            Step::Lose(n) => {
                let ready = c.hot.workers.iter().filter(|(_, w)| w.state == cloudai_core::rows::WorkerState::Ready);
                if let Some(worker) = nth(ready.map(|(id, _)| *id), n) {
                    c.lose(worker);
                }
            }
            Step::Drain(n, on) => {
                if let Some(worker) = nth(c.hot.workers.keys().copied(), n) {
                    let name = c.hot.workers[&worker].name.clone();
                    c.drain(&name, on);
                }
            }
            Step::Taint(n, taint, on) => {
                if let Some(worker) = nth(c.hot.workers.keys().copied(), n) {
                    let name = c.hot.workers[&worker].name.clone();
                    c.taint(&name, TAINTS[taint], on);
                }
            }
            Step::Cancel(n) => {
                if let Some(job) = nth(c.hot.jobs.keys().copied(), n) {
                    c.cancel(job);
                }
            }
            Step::Wait(ms) => c.wait_ms(ms),
            Step::Pass(bound) => {
                let plan = compared_pass(&mut c, bound, mixed, &mut turn)?;
                if plan.placed < bound {
                    let (mut goes_on, mut placed) = (plan.more, plan.placed);
                    // Whoever goes together with others may have come before them.
                    prop_assert!(
                        !goes_on || c.hot.jobs.keys().any(|job| !rules_of(&c.hot, *job).together_with.is_empty())
                    );
                    while goes_on {
                        let plan = compared_pass(&mut c, bound, mixed, &mut turn)?;
                        prop_assert!(!plan.more || plan.placed > 0);
                        placed = plan.placed;
                        goes_on = plan.more && placed < bound;
                    }
                    // Nothing that fits was left: another pass finds nothing.
                    prop_assert!(placed == bound || c.plan(bound).placed == 0);
                }
            }
            Step::LostPass(bound) if mixed => {
                let plan = c.plan(bound);
                each_goes_first(&c.hot, &plan, &mut turn)?;
            }
            Step::LostPass(bound) => {
                plain_plan(&c.hot, &mut turn, bound);
                c.plan(bound);
            }
        }
        for worker in c.hot.workers.values() {
            prop_assert!(worker.active.len() <= limits::WORKER_ATTEMPTS_MAX);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn balanced(steps in prop::collection::vec(step(), 1..80)) {
        run(ScorePolicy::Balanced, steps)?;
    }

    #[test]
    fn round_robin(steps in prop::collection::vec(step(), 1..80)) {
        run(ScorePolicy::RoundRobin, steps)?;
    }

    #[test]
    fn binpack(steps in prop::collection::vec(step(), 1..80)) {
        run(ScorePolicy::Binpack, steps)?;
    }

    #[test]
    fn greedy(steps in prop::collection::vec(step(), 1..80)) {
        run(ScorePolicy::Greedy, steps)?;
    }

    #[test]
    fn alignment(steps in prop::collection::vec(step(), 1..80)) {
        run(ScorePolicy::Alignment, steps)?;
    }

    #[test]
    fn fgd(steps in prop::collection::vec(step(), 1..80)) {
        run(ScorePolicy::Fgd, steps)?;
    }

    #[test]
    fn cost(steps in prop::collection::vec(step(), 1..80)) {
        run(ScorePolicy::Cost, steps)?;
    }

    /// Each namespace by its own policy, through changes of it: each placement against the plain planner, in the order of the plan.
    #[test]
    fn namespaces_with_policies_of_their_own(
        score in prop::sample::select(ScorePolicy::ALL.to_vec()), steps in prop::collection::vec(mixed_step(), 1..120),
    ) {
        run_as(score, steps, true)?;
    }
}
