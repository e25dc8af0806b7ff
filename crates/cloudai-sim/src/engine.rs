//! A container engine, without containers. Comes in: start, stop, remove; time. Goes out: what began and ended, to the agent that
//! listens, if one does: containers go on without it. Remembers everything that ever ran, for those who check.
//!
//! A task's command is its script: `run MS CODE` ends after MS with CODE; `stubborn MS CODE` also ignores SIGTERM; `flaky MS CODE` ends with CODE the
//! first time, and well after that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use cloudai_agent::{Found, FoundState, Input, Needs, Signal};
use cloudai_types::{AttemptId, EndReason, JobSpec, Results, Timestamp};
use tokio::sync::mpsc;

use crate::clock::EPOCH_MS;
use crate::dice::Dice;
use crate::event_log::EventLog;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Pulling, creating: runs from this time on.
    Preparing {
        until_ms: u64,
    },
    Running {
        since_ms: u64,
        until_ms: u64,
    },
    Exited {
        since_ms: u64,
        at_ms: u64,
        code: i32,
        ran: bool,
    },
}

#[derive(Clone, Debug)]
pub struct Container {
    pub assigned_index: u64,
    pub needs: Needs,
    state: State,
    runs_ms: u64,
    code: i32,
    stubborn: bool,
    /// A signal that is on its way: when it takes effect, and the exit code that it brings.
    dying: Option<(u64, i32)>,
}

impl Container {
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Holds resources: from the first preparation to the end.
    pub fn holds(&self) -> bool {
        matches!(self.state, State::Preparing { .. } | State::Running { .. })
    }
}

/// What an engine saw of one container that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub code: i32,
    pub ran: bool,
    /// It is a success only when its results are stored.
    pub leaves_results: bool,
}

struct Inner {
    containers: BTreeMap<AttemptId, Container>,
    /// How often each attempt was started, ever.
    starts: BTreeMap<(AttemptId, u64), u32>,
    endings: BTreeMap<(AttemptId, u64), Vec<Seen>>,
    listener: Option<mpsc::UnboundedSender<Input>>,
    /// What is on its way to the store, when it is there, and whether results are part of it. The agent's work: it ends with its process.
    storing: BTreeMap<AttemptId, (u64, bool)>,
    /// What the store has, for ever.
    stored: BTreeSet<AttemptId>,
    dice: Dice,
    now_ms: u64,
    name: String,
    events: EventLog,
}

/// Cheap to clone; survives the agent.
#[derive(Clone)]
pub struct Engine(Arc<Mutex<Inner>>);

const PREPARE_MS: (u64, u64) = (5, 300);
const TERM_TAKES_MS: (u64, u64) = (1, 400);
const STORE_MS_MAX: u64 = 2_000;
const KILL_TAKES_MS: (u64, u64) = (1, 20);

fn wall(at_ms: u64) -> Timestamp {
    Timestamp(EPOCH_MS + at_ms)
}

impl Engine {
    pub fn new(name: String, dice: Dice, events: EventLog) -> Self {
        let inner = Inner {
            containers: BTreeMap::new(),
            starts: BTreeMap::new(),
            endings: BTreeMap::new(),
            listener: None,
            storing: BTreeMap::new(),
            stored: BTreeSet::new(),
            dice,
            now_ms: 0,
            name,
            events,
        };
        Engine(Arc::new(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("the engine does not panic")
    }

    /// A new agent listens from now on. What is there, it finds.
    pub fn adopt(&self, listener: mpsc::UnboundedSender<Input>) -> Vec<Found> {
        let mut inner = self.lock();
        inner.listener = Some(listener);
        inner.storing.clear();
        let found = |(attempt, c): (&AttemptId, &Container)| Found {
            attempt: *attempt,
            assigned_index: c.assigned_index,
            needs: c.needs,
            state: match c.state {
                State::Preparing { .. } => FoundState::Created,
                State::Running { since_ms, .. } => FoundState::Running { started: wall(since_ms) },
                State::Exited { since_ms, at_ms, code, .. } => {
                    FoundState::Exited { reason: EndReason::exit(code), started: wall(since_ms), ended: wall(at_ms) }
                }
            },
        };
        let all: Vec<Found> = inner.containers.iter().map(found).collect();
        // Nobody goes on with what had only been created: the agent removes it, or starts it anew.
        inner.containers.retain(|_, c| !matches!(c.state, State::Preparing { .. }));
        for f in all.iter().filter(|f| f.state == FoundState::Created) {
            inner.starts.remove(&(f.attempt, f.assigned_index));
        }
        all
    }

    /// The agent's process is gone.
    pub fn orphan(&self) {
        let mut inner = self.lock();
        inner.listener = None;
        inner.storing.clear();
    }

    /// The whole machine is gone, and every container with it.
    pub fn power_cut(&self) {
        let mut inner = self.lock();
        inner.listener = None;
        inner.storing.clear();
        inner.containers.clear();
        // What ran before is gone: the same attempt may run once more.
        inner.starts.clear();
    }

    pub fn start(&self, attempt: AttemptId, assigned_index: u64, spec: &JobSpec) {
        let mut inner = self.lock();
        *inner.starts.entry((attempt, assigned_index)).or_default() += 1;
        let mut words = spec.command.iter();
        let program = words.next().map_or("", String::as_str);
        let (stubborn, flaky) = (program == "stubborn", program == "flaky");
        let runs_ms = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
        let code = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
        let code = if flaky && attempt.number > 1 { 0 } else { code };
        let until_ms = inner.now_ms + inner.dice.between(PREPARE_MS.0, PREPARE_MS.1);
        inner.say(format_args!("start {attempt} @{assigned_index}"));
        let container = Container {
            assigned_index,
            needs: Needs::of(spec),
            state: State::Preparing { until_ms },
            runs_ms,
            code,
            stubborn,
            dying: None,
        };
        inner.containers.insert(attempt, container);
    }

    pub fn stop(&self, attempt: AttemptId, signal: Signal) {
        let mut inner = self.lock();
        let now = inner.now_ms;
        let (low, high) = if signal == Signal::Kill { KILL_TAKES_MS } else { TERM_TAKES_MS };
        let at = now + inner.dice.between(low, high);
        let Some(c) = inner.containers.get_mut(&attempt) else { return };
        if !c.holds() || (signal == Signal::Term && c.stubborn && c.is_running()) {
            return;
        }
        let code = if signal == Signal::Kill { 137 } else { 143 };
        if c.dying.is_none_or(|(before, _)| at < before) {
            c.dying = Some((at, code));
            inner.say(format_args!("stop {attempt} {signal:?}"));
        }
    }

    pub fn remove(&self, attempt: AttemptId) {
        let mut inner = self.lock();
        if inner.containers.get(&attempt).is_some_and(|c| !c.holds()) {
            inner.containers.remove(&attempt);
        }
    }

    /// What the attempt left goes to the store: how long that takes depends on who it is, and on no dice.
    pub fn store(&self, attempt: AttemptId, results: bool) {
        let mut inner = self.lock();
        let takes = u64::from(attempt.task.index) * 7 % STORE_MS_MAX;
        let until_ms = inner.now_ms + 1 + (attempt.task.job.0 * 131 + takes) % STORE_MS_MAX;
        inner.storing.insert(attempt, (until_ms, results));
        inner.say(format_args!("stores {attempt}"));
    }

    /// Time passes.
    pub fn advance(&self, now_ms: u64) {
        let mut inner = self.lock();
        inner.now_ms = now_ms;
        let due: Vec<AttemptId> = inner
            .containers
            .iter()
            .filter(|(_, c)| c.is_due(now_ms, inner.listener.is_some()))
            .map(|(a, _)| *a)
            .collect();
        for attempt in due {
            inner.move_on(attempt);
        }
        let is_there = |(attempt, (until_ms, results)): (&AttemptId, &(u64, bool))| {
            (*until_ms <= now_ms).then_some((*attempt, *results))
        };
        let stored: Vec<(AttemptId, bool)> = inner.storing.iter().filter_map(is_there).collect();
        for (attempt, results) in stored {
            inner.storing.remove(&attempt);
            inner.stored.insert(attempt);
            inner.say(format_args!("has stored {attempt}"));
            let results = results.then(|| Results { manifest: attempt.to_string(), ..Results::default() });
            if let Some(listener) = &inner.listener {
                let _ = listener.send(Input::Stored { attempt, stored: Ok(results) });
            }
        }
    }

    pub fn containers(&self) -> Vec<(AttemptId, Container)> {
        self.lock().containers.iter().map(|(a, c)| (*a, c.clone())).collect()
    }

    pub fn has_stored(&self, attempt: AttemptId) -> bool {
        self.lock().stored.contains(&attempt)
    }

    pub fn started_twice(&self) -> Option<AttemptId> {
        self.lock().starts.iter().find(|(_, n)| **n > 1).map(|((a, _), _)| *a)
    }

    /// Everything of this attempt that ended here.
    pub fn endings(&self, attempt: AttemptId) -> Vec<Seen> {
        let inner = self.lock();
        inner.endings.range((attempt, 0)..=(attempt, u64::MAX)).flat_map(|(_, seen)| seen.clone()).collect()
    }
}

impl Container {
    /// Preparing is the agent's work: it stands still without one.
    fn is_due(&self, now_ms: u64, has_agent: bool) -> bool {
        let dying = self.dying.is_some_and(|(at, _)| at <= now_ms);
        match self.state {
            State::Preparing { until_ms } => has_agent && (dying || until_ms <= now_ms),
            State::Running { until_ms, .. } => dying || until_ms <= now_ms,
            State::Exited { .. } => false,
        }
    }
}

impl Inner {
    fn say(&self, what: std::fmt::Arguments) {
        self.events.add(self.now_ms, &self.name, what);
    }

    fn move_on(&mut self, attempt: AttemptId) {
        let now = self.now_ms;
        let Some(c) = self.containers.get_mut(&attempt) else { return };
        let leaves_results = c.needs.results;
        let killed = c.dying.filter(|(at, _)| *at <= now).map(|(_, code)| code);
        let input = match (c.state, killed) {
            (State::Preparing { .. }, Some(code)) => {
                c.state = State::Exited { since_ms: now, at_ms: now, code, ran: false };
                self.end(attempt, Seen { code, ran: false, leaves_results }, now)
            }
            (State::Preparing { .. }, None) => {
                c.state = State::Running { since_ms: now, until_ms: now + c.runs_ms };
                Input::Started { attempt, started: wall(now) }
            }
            (State::Running { since_ms, .. }, killed) => {
                let code = killed.unwrap_or(c.code);
                c.state = State::Exited { since_ms, at_ms: now, code, ran: true };
                self.end(attempt, Seen { code, ran: true, leaves_results }, since_ms)
            }
            (State::Exited { .. }, _) => return,
        };
        match &input {
            Input::Started { .. } => self.say(format_args!("runs {attempt}")),
            _ => self.say(format_args!("ends {attempt}")),
        }
        if let Some(listener) = &self.listener {
            let _ = listener.send(input);
        }
    }

    fn end(&mut self, attempt: AttemptId, seen: Seen, since_ms: u64) -> Input {
        let assigned_index = self.containers.get(&attempt).map_or(0, |c| c.assigned_index);
        self.endings.entry((attempt, assigned_index)).or_default().push(seen);
        Input::Ended {
            attempt,
            reason: EndReason::exit(seen.code),
            started: wall(since_ms),
            ended: wall(self.now_ms),
            container: true,
        }
    }
}
