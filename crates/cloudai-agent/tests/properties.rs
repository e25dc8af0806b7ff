//! Random histories: whatever comes in whatever order, W1 to W3 hold, nothing is reported before it is durable, and nothing is
//! removed before it is acknowledged. The watcher here is an independent model: it sees only inputs and calls.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudai_agent::{
    Agent, Assignment, Deps, EndingRecord, Fence, Input, Leave, Now, Phase, Report, Settings, Signal, WithdrawWhy,
    Withdrawal,
};
use cloudai_types::limits::{REPORTS_WINDOW, STOP_KILL_AFTER, STOP_TERM_AFTER};
use cloudai_types::{AttemptId, EndReason, JobSpec, Millis, Resources, Results, Timestamp};
use proptest::prelude::*;
use support::{WALL_OFFSET, bound, id, spec};

const CAPACITY: u64 = 1000;
const CPU: u64 = 400;

#[derive(Default)]
struct World {
    started: BTreeSet<AttemptId>,
    stopped: BTreeMap<AttemptId, Signal>,
    alive: BTreeSet<AttemptId>,
    bound: BTreeSet<AttemptId>,
    to_persist: Vec<AttemptId>,
    persisted: BTreeSet<AttemptId>,
    /// Asked to be stored, and not answered.
    storing: BTreeSet<AttemptId>,
    /// What the store has, whatever became of the attempt.
    stored: BTreeSet<AttemptId>,
    /// Logs are stored too.
    stores_logs: bool,
    /// Attempts that leave results.
    leaves: BTreeSet<AttemptId>,
    /// Messages on their way: which endings they hold.
    on_the_way: BTreeMap<u64, Vec<AttemptId>>,
    acked_endings: BTreeSet<AttemptId>,
    highest: BTreeMap<AttemptId, Phase>,
    left: bool,
}

impl Deps for World {
    fn start(&mut self, a: AttemptId, _: u64, spec: &Arc<JobSpec>) {
        assert!(self.started.insert(a), "W1: {a} was started twice");
        self.alive.insert(a);
        if spec.results {
            self.leaves.insert(a);
        }
        if spec.on_disconnect == 1 {
            self.bound.insert(a);
        }
        assert!(self.alive.len() as u64 * CPU <= CAPACITY, "more was started than fits");
    }
    fn stop(&mut self, a: AttemptId, signal: Signal) {
        assert!(self.alive.contains(&a), "{a} is not there to be stopped");
        let before = self.stopped.entry(a).or_insert(signal);
        *before = signal.max(*before);
    }
    fn store(&mut self, a: AttemptId, results: bool) {
        assert_eq!(results, self.leaves.contains(&a));
        assert!((results || self.stores_logs) && !self.alive.contains(&a), "{a} has nothing to store yet");
        assert!(self.storing.insert(a), "{a} is being stored already");
    }
    fn remove(&mut self, a: AttemptId) {
        assert!(self.acked_endings.contains(&a), "{a} was removed before its ending was acknowledged");
        assert!(!self.alive.contains(&a));
    }
    fn persist_ending(&mut self, e: &EndingRecord) {
        if e.reason.is_success() && self.leaves.contains(&e.attempt) {
            assert!(
                self.stored.contains(&e.attempt),
                "{} is called a success, and its results are not stored",
                e.attempt
            );
            assert!(e.reason.results.is_some());
        } else if e.reason.is_success() && self.stores_logs {
            assert!(!self.storing.contains(&e.attempt), "{} is called a success, and its log is not stored", e.attempt);
            assert!(e.reason.results.is_none());
        }
        self.to_persist.push(e.attempt);
    }
    fn forget_ending(&mut self, a: AttemptId) {
        assert!(self.acked_endings.contains(&a) && self.persisted.contains(&a));
    }
    fn persist_fence(&mut self, _: Fence) {}
    fn send_reports(&mut self, sequence: u64, reports: Vec<Report>) {
        let mut endings = vec![];
        for r in reports {
            if r.phase == Phase::Exited {
                assert!(!self.alive.contains(&r.attempt));
                assert!(!self.started.contains(&r.attempt) || self.persisted.contains(&r.attempt), "not durable yet");
                endings.push(r.attempt);
            }
            let before = self.highest.entry(r.attempt).or_insert(r.phase);
            assert!(r.phase >= *before, "I2: {} moved back", r.attempt);
            *before = r.phase;
        }
        assert!(self.on_the_way.insert(sequence, endings).is_none());
        assert!(self.on_the_way.len() <= REPORTS_WINDOW);
    }
    fn acknowledge_set(&mut self, _: Fence) {}
    fn leave_session(&mut self, _: Leave) {
        self.left = true;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Up,
    Down,
    Renew,
    FullSet {
        back: u64,
        members: Vec<u32>,
        stop: Vec<u32>,
    },
    Delta {
        back: u64,
        add: Vec<u32>,
        stop: Vec<(u32, u8)>,
    },
    Started(u32),
    Ended(u32),
    Stored(u32, bool),
    Persist,
    Ack,
    AckAgain,
    Wait(u64),
    /// It is about to end, after so many milliseconds if any.
    Leave(Option<u64>),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let few = || prop::collection::vec(0u32..6, 0..4);
    prop_oneof![
        1 => Just(Step::Up),
        1 => Just(Step::Down),
        3 => Just(Step::Renew),
        1 => (0u64..3, few(), few()).prop_map(|(back, members, stop)| Step::FullSet { back, members, stop }),
        4 => (0u64..3, few(), prop::collection::vec((0u32..6, 0u8..3), 0..2))
            .prop_map(|(back, add, stop)| Step::Delta { back, add, stop }),
        4 => (0u32..6).prop_map(Step::Started),
        4 => (0u32..6).prop_map(Step::Ended),
        4 => (0u32..6, any::<bool>()).prop_map(|(index, good)| Step::Stored(index, good)),
        4 => Just(Step::Persist),
        4 => Just(Step::Ack),
        1 => Just(Step::AckAgain),
        3 => (1u64..3_000).prop_map(Step::Wait),
        1 => prop::option::weighted(0.7, 0u64..5_000).prop_map(Step::Leave),
        4 => Just(Step::Flush),
    ]
}

/// Odd indexes are bound to the lease, some of them with a grace beyond it; every third leaves results.
fn assignment(index: u32) -> Assignment {
    let spec = if index % 2 == 1 { bound(CPU) } else { spec(CPU) };
    let grace_ms = [0, 60_000, 500][index as usize % 3];
    let spec = JobSpec { grace_ms, results: index.is_multiple_of(3), ..spec };
    // One assignment index per attempt, whatever set it comes in.
    Assignment { attempt: id(index, 1), assigned_index: 1_000, phase: Phase::Assigned, spec: Arc::new(spec) }
}

fn play(steps: Vec<Step>, stores_logs: bool) {
    let capacity = Resources { cpu_milli: CAPACITY, ..Default::default() };
    let mut agent = Agent::new(Settings { capacity, volatile: false, stores_logs });
    let mut world = World { stores_logs, ..World::default() };
    let (mut ms, mut log, mut sequence, mut renewed) = (0u64, 10u64, 0u64, None::<u64>);
    let (mut session, mut synced) = (false, false);
    let mut last_acked = 0;
    // Once it is about to end: when it must have stopped everything, if it must.
    let (mut leaves, mut started_before_leaving) = (None::<Option<u64>>, None::<BTreeSet<AttemptId>>);
    // Endings acknowledged at the highest fence: only those can still come in a repeated delta.
    let mut over_at_this_fence = BTreeSet::new();
    let mut fence_before = Fence::default();
    for step in steps {
        if agent.fence() != fence_before {
            fence_before = agent.fence();
            over_at_this_fence.clear();
        }
        let now = Now { mono: Timestamp(ms), wall: Timestamp(WALL_OFFSET + ms) };
        let go = |agent: &mut Agent, world: &mut World, input| agent.handle(now, input, world);
        match step {
            Step::Up => {
                (session, synced, sequence, renewed) = (true, false, 0, Some(ms));
                world.on_the_way.clear();
                go(&mut agent, &mut world, Input::SessionUp { incarnation: 1, hello_sent: Timestamp(ms) });
            }
            Step::Down => {
                session = false;
                go(&mut agent, &mut world, Input::SessionDown);
            }
            Step::Renew if session => {
                sequence += 1;
                renewed = Some(ms);
                go(&mut agent, &mut world, Input::HeartbeatSent { sequence });
                go(&mut agent, &mut world, Input::HeartbeatAcked { sequence });
            }
            Step::FullSet { back, members, stop } if session => {
                // What is over for the leader is in no set of it any more.
                log += 1;
                let fence = Fence { incarnation: 1, index: log.saturating_sub(back) };
                let older = fence < agent.fence();
                let over = |i: &u32| world.acked_endings.contains(&id(*i, 1));
                let members: Vec<u32> = members.into_iter().filter(|i| !over(i)).collect();
                let stop: Vec<Withdrawal> = stop
                    .into_iter()
                    .filter(|i| !over(i) && !members.contains(i))
                    .map(|i| Withdrawal { attempt: id(i, 1), why: WithdrawWhy::Cancelled })
                    .collect();
                let assignments = members.iter().map(|i| assignment(*i)).collect();
                let alive = world.alive.clone();
                world.left = false;
                go(&mut agent, &mut world, Input::FullSet { fence, assignments, stop });
                assert_eq!(world.left, older);
                if older {
                    session = false;
                    go(&mut agent, &mut world, Input::SessionDown);
                } else {
                    synced = true;
                    for a in alive {
                        let outside = !members.contains(&a.task.index);
                        assert!(!outside || world.stopped.contains_key(&a), "W2: {a} runs outside the set");
                    }
                }
            }
            Step::Delta { back, add, stop } if session && synced => {
                log += 1;
                let fence = Fence { incarnation: 1, index: log.saturating_sub(back) };
                let over = |i: &u32| world.acked_endings.contains(&id(*i, 1));
                let repeats = |i: u32| fence <= agent.fence() && over_at_this_fence.contains(&id(i, 1));
                let add: Vec<Assignment> =
                    add.into_iter().filter(|i| !over(i) || repeats(*i)).map(assignment).collect();
                let stop = stop
                    .into_iter()
                    .filter(|(i, _)| !over(i))
                    .map(|(i, why)| Withdrawal {
                        attempt: id(i, 1),
                        why: [WithdrawWhy::Lost, WithdrawWhy::Cancelled, WithdrawWhy::Preempted][usize::from(why)],
                    })
                    .collect();
                go(&mut agent, &mut world, Input::Delta { fence, add, stop });
            }
            Step::Started(index) if world.alive.contains(&id(index, 1)) => {
                let started = Timestamp(WALL_OFFSET + ms);
                go(&mut agent, &mut world, Input::Started { attempt: id(index, 1), started });
            }
            Step::Ended(index) if world.alive.contains(&id(index, 1)) => {
                let at = Timestamp(WALL_OFFSET + ms);
                let attempt = id(index, 1);
                // The slot is free before the agent hears of it: it may use it at once.
                world.alive.remove(&attempt);
                let reason = EndReason::exit(0);
                go(&mut agent, &mut world, Input::Ended { attempt, reason, started: at, ended: at, container: true });
            }
            Step::Stored(index, good) if world.storing.contains(&id(index, 1)) => {
                let attempt = id(index, 1);
                world.storing.remove(&attempt);
                let stored = if good {
                    world.stored.insert(attempt);
                    Ok(world.leaves.contains(&attempt).then(|| Results { manifest: "k".into(), ..Results::default() }))
                } else {
                    Err("the store is full".to_owned())
                };
                go(&mut agent, &mut world, Input::Stored { attempt, stored });
            }
            Step::Persist => {
                let attempts = std::mem::take(&mut world.to_persist);
                world.persisted.extend(&attempts);
                go(&mut agent, &mut world, Input::Persisted(attempts));
            }
            Step::Ack if session => {
                if let Some((sequence, endings)) = world.on_the_way.pop_first() {
                    over_at_this_fence.extend(endings.clone());
                    world.acked_endings.extend(endings);
                    last_acked = sequence;
                    go(&mut agent, &mut world, Input::ReportsAcked { sequence });
                }
            }
            Step::AckAgain if session && !world.on_the_way.contains_key(&last_acked) => {
                go(&mut agent, &mut world, Input::ReportsAcked { sequence: last_acked });
            }
            Step::Wait(more) => {
                ms += more;
                let now = Now { mono: Timestamp(ms), wall: Timestamp(WALL_OFFSET + ms) };
                agent.handle(now, Input::Tick, &mut world);
            }
            Step::Leave(after) => {
                let at = after.map(|after| ms + after);
                leaves = Some(leaves.flatten().into_iter().chain(at).min());
                go(&mut agent, &mut world, Input::Leave { after: after.map(Millis) });
                started_before_leaving.get_or_insert_with(|| world.started.clone());
            }
            Step::Flush => go(&mut agent, &mut world, Input::Flush),
            // Not possible now.
            Step::Renew
            | Step::FullSet { .. }
            | Step::Delta { .. }
            | Step::Started(_)
            | Step::Ended(_)
            | Step::Stored(..)
            | Step::Ack
            | Step::AckAgain => {}
        }
        if let Some(before) = &started_before_leaving {
            assert_eq!(*before, world.started, "a worker that leaves starts nothing");
            let waits = agent.held().find(|(_, phase)| *phase == Phase::Assigned);
            assert_eq!(waits, None, "a worker that leaves keeps nothing waiting");
        }
        if leaves.flatten().is_some_and(|at| ms >= at) {
            for a in &world.alive {
                assert!(world.stopped.contains_key(a), "{a} outstays the deadline of a worker that leaves");
            }
        }
        let age = renewed.map_or(u64::MAX, |r| ms - r);
        for a in world.alive.intersection(&world.bound) {
            assert!(age < STOP_TERM_AFTER.0 || world.stopped.contains_key(a), "W3: {a} runs without a lease");
            assert!(age < STOP_KILL_AFTER.0 || world.stopped.get(a) == Some(&Signal::Kill), "W3: {a} was not killed");
        }
        if let Some(at) = agent.next_deadline() {
            assert!(at.0 > ms, "a deadline of the past was left: {at:?} at {ms}");
        }
        let held = agent.held().filter(|(_, p)| (Phase::Preparing..Phase::Storing).contains(p)).count() as u64;
        assert_eq!(agent.in_use().cpu_milli, held * CPU);
        assert_eq!(held as usize, world.alive.len());
    }
    // Heal: a session, everything ends, is persisted and acknowledged: nothing may be left.
    let now = Now { mono: Timestamp(ms + 1), wall: Timestamp(WALL_OFFSET + ms + 1) };
    world.on_the_way.clear();
    agent.handle(now, Input::SessionUp { incarnation: 1, hello_sent: Timestamp(ms + 1) }, &mut world);
    let fence = Fence { incarnation: 1, index: log + 10 };
    agent.handle(now, Input::FullSet { fence, assignments: vec![], stop: vec![] }, &mut world);
    for attempt in std::mem::take(&mut world.alive) {
        let (reason, at) = (EndReason::exit(143), now.wall);
        agent.handle(now, Input::Ended { attempt, reason, started: at, ended: at, container: true }, &mut world);
    }
    let attempts = std::mem::take(&mut world.to_persist);
    world.persisted.extend(&attempts);
    agent.handle(now, Input::Persisted(attempts), &mut world);
    for _ in 0..4 {
        agent.handle(now, Input::Flush, &mut world);
        while let Some((sequence, endings)) = world.on_the_way.pop_first() {
            world.acked_endings.extend(endings);
            agent.handle(now, Input::ReportsAcked { sequence }, &mut world);
        }
    }
    assert!(agent.is_empty());
    assert_eq!(agent.held().collect::<Vec<_>>(), [], "something was never reported or never removed");
    assert_eq!(agent.next_deadline(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_promises(steps in prop::collection::vec(step(), 1..80), stores_logs in any::<bool>()) {
        play(steps, stores_logs);
    }
}
