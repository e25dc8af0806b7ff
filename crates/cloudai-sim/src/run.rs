//! One seed, from its plan to its verdict: a beginning without faults, a safety phase with them, a liveness phase after them in which
//! everything has to come to rest. Comes in: a seed. Goes out: what happened, and what was wrong.

use crate::coverage::Counts;
use crate::event_log::EventLog;
use crate::invariants::{Checks, Violation};
use crate::nemesis::Nemesis;
use crate::panics;
use crate::plan::Plan;
use crate::world::{TICK_MS, World};

/// What a seed came to.
pub struct Report {
    pub seed: u64,
    pub violation: Option<Violation>,
    pub events: EventLog,
    pub simulated_ms: u64,
    pub acknowledged: u64,
    pub unknown: u64,
    pub leaderships: u64,
    pub messages: u64,
    pub faults: usize,
    pub seen: Counts,
}

const BEGINNING_MAX_MS: u64 = 30_000;
/// After the last fault: an election, two leases, retries with their waits, and the work itself.
const LIVENESS_MAX_MS: u64 = 240_000;
/// Whole states are looked at so often.
const STATES_EVERY_MS: u64 = 400;

struct Run {
    world: World,
    checks: Checks,
}

/// One seed per process: panics and election dice belong to the process.
pub fn run(seed: u64) -> Report {
    panics::watch();
    let mut run = Run { world: World::new(seed), checks: Checks::default() };
    let violation = run.all().err();
    let Run { world, checks } = &run;
    let (acknowledged, unknown) = world.oracle.counts();
    Report {
        seed,
        violation,
        events: world.events.clone(),
        simulated_ms: world.now_ms,
        acknowledged,
        unknown,
        leaderships: world.leaderships,
        messages: world.net.delivered(),
        faults: world.plan.faults.len(),
        seen: checks.seen().clone(),
    }
}

/// The plan of a seed, for people.
pub fn plan_of(seed: u64) -> Plan {
    Plan::draw(&mut crate::dice::Dice::new(seed).fork())
}

fn stuck(what: String) -> Violation {
    Violation { invariant: "liveness".into(), what }
}

impl Run {
    fn all(&mut self) -> Result<(), Violation> {
        for n in 0..self.world.masters.len() {
            self.world.boot_master(n);
        }
        while !(self.world.now_ms.is_multiple_of(200) && self.world.authorize()) {
            self.step()?;
            if self.world.now_ms > BEGINNING_MAX_MS {
                return Err(stuck("no leader took up its work on a healthy network".into()));
            }
        }
        for n in 0..self.world.workers.len() {
            self.world.boot_worker(n);
        }
        self.world.open_doors();

        let zero_ms = self.world.now_ms;
        let mut nemesis = Nemesis::new(&self.world.plan.faults, zero_ms);
        while self.world.now_ms < zero_ms + self.world.plan.safety_ms {
            nemesis.strike(&mut self.world);
            self.step()?;
        }
        nemesis.heal(&mut self.world);
        let healed_ms = self.world.now_ms;
        while let Some(what) = self.unrest() {
            if self.world.now_ms > healed_ms + LIVENESS_MAX_MS {
                return Err(stuck(format!("{LIVENESS_MAX_MS} ms after the last fault: {what}")));
            }
            for _ in 0..(250 / TICK_MS) {
                self.step()?;
            }
        }
        self.world.say(format_args!("all is at rest"));
        self.checks.on_states(&self.world.view())?;
        self.checks.at_end(&self.world.view())
    }

    fn step(&mut self) -> Result<(), Violation> {
        let commits = self.world.step();
        let view = self.world.view();
        self.checks.on_commits(&commits, &view)?;
        self.checks.on_step(&view)?;
        if self.world.now_ms.is_multiple_of(STATES_EVERY_MS) {
            self.checks.on_states(&view)?;
        }
        Ok(())
    }

    /// What is not yet as it has to be in the end; `None`: everything is.
    fn unrest(&self) -> Option<String> {
        let world = &self.world;
        if world.oracle.open() > 0 {
            return Some(format!("{} calls have no outcome", world.oracle.open()));
        }
        let nodes: Vec<_> = world.master_views.iter().filter_map(|m| m.node.as_ref()).collect();
        if nodes.len() < world.masters.len() {
            return Some("a master is down".into());
        }
        let leading = nodes.iter().filter(|n| n.leading().is_some()).count();
        if leading != 1 {
            return Some(format!("{leading} masters lead"));
        }
        let at: Vec<_> = nodes.iter().map(|n| n.shared.read()).map(|s| (s.index, s.hot.digest)).collect();
        for node in nodes {
            let state = node.shared.read();
            if let Some((id, job)) = state.hot.jobs.first_key_value() {
                let (jobs, index) = (state.hot.jobs.len(), state.index);
                return Some(format!("at index {index} of {at:?} {jobs} jobs have not ended, such as {id}: {job:?}"));
            }
        }
        if let Some(name) = self.undecided() {
            return Some(format!("a time of schedule {name} has come, and nobody has decided it"));
        }
        if at.iter().any(|a| *a != at[0]) {
            return Some(format!("masters stand at (index, digest) {at:?}"));
        }
        for worker in &world.worker_views {
            let belief = worker.belief();
            if belief.settled_since_ms.is_none() {
                return Some(format!("{} has no session", worker.name));
            }
            if let Some((attempt, _)) = worker.engine.containers().first() {
                return Some(format!("{attempt} is still on the engine of {}", worker.name));
            }
            if let Some(attempt) = belief.held.first() {
                return Some(format!("{} still holds {attempt}", worker.name));
            }
        }
        None
    }

    /// A schedule that is due by replicated time.
    fn undecided(&self) -> Option<String> {
        let node = self.world.leader()?.1;
        let state = node.shared.read();
        state.hot.schedules.due(state.hot.clock_ms).next().map(|(_, name, _)| name.to_owned())
    }
}
