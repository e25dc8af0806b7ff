//! Properties of any pass, and the pass against a plain planner that asks every filter and every score of every worker for
//! every task. The state is changed by `apply`, which must accept every placement.

mod cluster;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloudai_core::hot::{Shape, ShapeId, Worker};
use cloudai_core::{Hot, invariants};
use cloudai_scheduler::score::{self, Load};
use cloudai_scheduler::{Plan, filter};
use cloudai_types::{
    Domain, JobId, JobSpec, ReasonKind, Resources, ScorePolicy, Spot, Spread, TaskId, WorkerId, limits,
};
use cluster::{Cluster, GIB, labels, placed, rules};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Join {
        capacity: Resources,
        labels: usize,
    },
    Rejoin {
        worker: usize,
        capacity: Resources,
        labels: usize,
    },
    Submit(Box<JobSpec>),
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

const LABELS: [&str; 7] =
    ["", "zone=eu", "zone=us", "zone=eu disk=ssd", "disk=ssd", "zone=eu rack=1", "zone=us rack=2 disk=ssd"];
const TAINTS: [&str; 3] = ["gpu=a100", "gpu=h100", "night"];
/// Rules of jobs; most have none.
const RULES: [&[&str]; 17] = [
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
];

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
    (ask(), 1u32..12, -1i32..2, of_label, 1u32..5, 0u8..4, of_rules).prop_map(
        |(resources, count, priority, require, max_attempts, retry, rules_of)| JobSpec {
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
        3 => (capacity(), 0..LABELS.len()).prop_map(|(capacity, labels)| Step::Join { capacity, labels }),
        1 => (any::<usize>(), capacity(), 0..LABELS.len())
            .prop_map(|(worker, capacity, labels)| Step::Rejoin { worker, capacity, labels }),
        4 => spec().prop_map(|spec| Step::Submit(Box::new(spec))),
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
    let policy = view.config.score_policy();
    let mut workers: BTreeMap<WorkerId, Worker> = view.workers.clone();
    let mut largest = [0; 4];
    for worker in workers.values() {
        for (most, here) in largest.iter_mut().zip(worker.capacity.dimensions()) {
            *most = here.max(*most);
        }
    }
    let mut order: Vec<(i16, JobId)> = view.jobs.iter().map(|(id, job)| (-job.priority, *id)).collect();
    order.sort_unstable();
    let is_at = |job: &JobId| view.jobs[job].active.values().map(|attempt| attempt.worker).collect();
    let mut siblings: BTreeMap<JobId, Vec<WorkerId>> = view.jobs.keys().map(|job| (*job, is_at(job))).collect();
    let mut placed = 0;
    let mut shares = Shares::new();
    for (_, id) in order {
        for (shape, tasks) in segments(view, id) {
            let shape = view.shapes.get(shape).expect("a live job's shape");
            let rules = shape.rules.as_deref().cloned().unwrap_or_default();
            for (index, avoid, never) in tasks {
                if placed == placements_max {
                    return shares;
                }
                let at = &siblings[&id];
                let rank = |id: &WorkerId, worker: &Worker| {
                    let load = Load {
                        capacity: worker.capacity.dimensions(),
                        free: worker.free().dimensions(),
                        attempts: worker.active.len() as u64,
                    };
                    let before_turn = policy == ScorePolicy::RoundRobin && id.0 <= *turn;
                    let crowd = rules.spread.as_ref().map_or(0, |spread| {
                        spread
                            .over
                            .spot(*id, &worker.labels)
                            .map_or(u32::MAX, |spot| crowd(view, at, &spread.over, &spot))
                    });
                    let liked = Reverse(rules.liking(&worker.labels));
                    (id.0 == avoid, liked, crowd, before_turn, score::rank(policy, &load, &largest), *id)
                };
                let fits = |id: &WorkerId, w: &Worker| {
                    !never.contains(&id.0) && filter::check(shape, w).is_none() && leaves_room(view, shape, at, *id)
                };
                let best = workers.iter().filter(|(id, w)| fits(id, w)).min_by_key(|(id, w)| rank(id, w));
                let Some(best) = best.map(|(id, _)| *id) else { continue };
                siblings.entry(id).or_default().push(best);
                let worker = workers.get_mut(&best).expect("it was just found");
                worker.used = worker.used.plus(&shape.resources);
                worker.active.insert(TaskId { job: id, index });
                *turn = best.0;
                placed += 1;
                *shares.entry((id.0, best.0)).or_default() += 1;
            }
        }
    }
    shares
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
    let mut c = Cluster::with_policy(score);
    c.without_reservations = true;
    let mut turn = 0;
    for step in steps {
        match step {
            Step::Join { capacity, labels } => {
                let name = format!("w{}", c.hot.workers.len());
                c.worker(&name, capacity, LABELS[labels]);
            }
            Step::Rejoin { worker, capacity, labels } => {
                if let Some(worker) = nth(c.hot.workers.keys().copied(), worker) {
                    c.register(worker, capacity, LABELS[labels]);
                }
            }
            Step::Submit(spec) => {
                c.submit(*spec);
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
                let wanted = plain_plan(&c.hot, &mut turn, bound);
                let plan = c.plan(bound);
                prop_assert_eq!(shares(&plan), wanted);
                prop_assert!(plan.placed <= bound);
                c.accept(&plan);
                prop_assert_eq!(invariants::check(&c.hot), vec![]);
                if plan.placed < bound {
                    prop_assert!(!plan.more);
                    // Nothing that fits was left: another pass finds nothing.
                    prop_assert_eq!(c.plan(bound).placed, 0);
                }
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
}
