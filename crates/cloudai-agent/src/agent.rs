//! The agent itself: its state, the dispatch of inputs, and the life of a container. Sets are in `assignments.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloudai_types::limits::{REPORTS_BYTES_MAX, STOP_GRACE};
use cloudai_types::{AttemptId, EndReason, Millis, Resources, Timestamp};

use crate::attempt::{Attempt, Durability, Phase, State, StopWhy, reason_of_stopped};
use crate::deps::{Deps, EndingRecord, Leave, Report, Signal};
use crate::fence::Fence;
use crate::input::{Found, FoundState, Input, Needs, Now};
use crate::lease::Lease;
use crate::leaving::Leaving;
use crate::outbox::Outbox;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What this worker has: the sum of what its attempts hold stays below, found containers aside.
    pub capacity: Resources,
    /// Attempts live in this process only (`noop`): endings are not persisted, and an attempt that the masters believe to
    /// be running is simply started after a restart.
    pub volatile: bool,
    /// Logs go to a store: a success waits for its own.
    pub stores_logs: bool,
}

/// All fields are written by `handle` only.
#[derive(Debug)]
pub struct Agent {
    pub(crate) settings: Settings,
    /// The highest fence seen, ever.
    pub(crate) fence: Fence,
    /// The full set of this session; `None`: not come yet.
    pub(crate) set: Option<Fence>,
    pub(crate) attempts: BTreeMap<AttemptId, Attempt>,
    /// Waiting attempts in the order in which they came. Some may have left that state since.
    pub(crate) waiting: VecDeque<AttemptId>,
    /// What attempts from `Preparing` to `Stopping` hold.
    in_use: Resources,
    /// When something is due, of each attempt that has a deadline.
    deadlines: BTreeSet<(Timestamp, AttemptId)>,
    /// `on_disconnect: stop` attempts that hold resources.
    bound_to_lease: BTreeSet<AttemptId>,
    lease: Lease,
    pub(crate) outbox: Outbox,
    session: bool,
    /// True from a new session's welcome until its set is here, however long that takes and however many sessions.
    pub(crate) awaits_set: bool,
    /// Attempts whose ending was acknowledged since the fence last moved: a repeated delta must not start them again.
    pub(crate) forgotten: BTreeSet<AttemptId>,
    /// Containers that were found made but never started.
    pub(crate) unstarted: BTreeSet<AttemptId>,
    /// Once this worker is about to end.
    pub(crate) leaving: Option<Leaving>,
}

/// What the executor saw of an ending.
struct Over {
    reason: EndReason,
    started: Timestamp,
    ended: Timestamp,
    container: bool,
}

impl Agent {
    pub fn new(settings: Settings) -> Self {
        Agent {
            settings,
            fence: Fence::default(),
            set: None,
            attempts: BTreeMap::new(),
            waiting: VecDeque::new(),
            in_use: Resources::default(),
            deadlines: BTreeSet::new(),
            bound_to_lease: BTreeSet::new(),
            lease: Lease::default(),
            outbox: Outbox::default(),
            session: false,
            awaits_set: false,
            forgotten: BTreeSet::new(),
            unstarted: BTreeSet::new(),
            leaving: None,
        }
    }

    /// The one way to change an agent.
    pub fn handle(&mut self, now: Now, input: Input, deps: &mut impl Deps) {
        match input {
            Input::Restored { fence, endings, renewed } => self.on_restored(fence, endings, renewed),
            Input::Found(found) => self.on_found(now, found, deps),
            Input::SessionUp { incarnation, hello_sent } => self.on_session_up(incarnation, hello_sent, deps),
            Input::SessionDown => {
                self.session = false;
                self.set = None;
            }
            Input::HeartbeatSent { sequence } => self.lease.on_sent(sequence, now.mono),
            Input::HeartbeatAcked { sequence } => {
                self.lease.on_acked(sequence);
                self.start_what_fits(now, deps);
            }
            Input::FullSet { fence, assignments, stop } => self.on_full_set(now, fence, assignments, stop, deps),
            Input::Delta { fence, add, stop } => self.on_delta(now, fence, add, stop, deps),
            Input::ReportsAcked { sequence } => self.on_reports_acked(sequence, deps),
            Input::Started { attempt, started } => self.on_started(now, attempt, started, deps),
            Input::Ended { attempt, reason, started, ended, container } => {
                self.on_ended(now, attempt, Over { reason, started, ended, container }, deps);
                self.start_what_fits(now, deps);
            }
            Input::Stored { attempt, stored } => self.on_stored(attempt, stored, deps),
            Input::Leave { after } => self.on_leave(now, after),
            Input::Persisted(attempts) => self.on_persisted(&attempts),
            Input::Tick => {}
            Input::Flush => self.flush(deps),
        }
        self.enforce(now, deps);
    }

    /// When the next `Tick` is due on the monotonic clock; `None`: nothing is.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let own = self.deadlines.first().map(|(at, _)| *at);
        let lease = self
            .bound_to_lease
            .iter()
            .filter_map(|id| match self.attempts[id].state {
                State::Preparing | State::Running { .. } => Some(self.lease.term_at()),
                State::Stopping { stage: Signal::Term, .. } => Some(self.lease.kill_at()),
                State::Stopping { stage: Signal::Kill, .. }
                | State::Waiting { .. }
                | State::Storing { .. }
                | State::Ended { .. } => None,
            })
            .min();
        own.into_iter().chain(lease).chain(self.leaves_at()).min()
    }

    /// Every attempt that this worker has, and how far it is.
    pub fn held(&self) -> impl Iterator<Item = (AttemptId, Phase)> + '_ {
        self.attempts.iter().map(|(id, a)| (*id, a.phase()))
    }

    pub fn phase(&self, attempt: AttemptId) -> Option<Phase> {
        self.attempts.get(&attempt).map(Attempt::phase)
    }

    /// The highest fence seen, ever.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// What attempts from `Preparing` to `Stopping` hold.
    pub fn in_use(&self) -> Resources {
        self.in_use
    }

    /// Attempts with news that no leader has acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.outbox.len()
    }

    /// When the last acknowledged renewal was sent, on the monotonic clock.
    pub fn renewed(&self) -> Option<Timestamp> {
        self.lease.renewed()
    }

    // ---- Start of the agent -------------------------------------------------------------------------------------------

    fn on_restored(&mut self, fence: Fence, endings: Vec<EndingRecord>, renewed: Option<Timestamp>) {
        self.fence = self.fence.max(fence);
        self.lease.restore(renewed);
        for ending in endings {
            let (id, assigned_index) = (ending.attempt, ending.assigned_index);
            let state = State::Ended { ending, durability: Durability::OnDisk, container: false };
            self.insert(id, assigned_index, Needs::default(), state);
        }
    }

    fn on_found(&mut self, now: Now, found: Found, deps: &mut impl Deps) {
        let id = found.attempt;
        if let Some(known) = self.attempts.get_mut(&id) {
            // Its ending is in the journal; the container goes when that is acknowledged.
            if let State::Ended { container, .. } = &mut known.state {
                *container = true;
            }
            return;
        }
        match found.state {
            FoundState::Created => {
                self.unstarted.insert(id);
            }
            FoundState::Running { started } => {
                self.insert(id, found.assigned_index, found.needs, State::Running { started });
                self.arm_timeout(now, id);
            }
            FoundState::Exited { reason, started, ended } => {
                self.insert(id, found.assigned_index, found.needs, State::Running { started });
                self.on_ended(now, id, Over { reason, started, ended, container: true }, deps);
            }
        }
    }

    // ---- The session --------------------------------------------------------------------------------------------------

    fn on_session_up(&mut self, incarnation: u64, hello_sent: Timestamp, deps: &mut impl Deps) {
        if incarnation < self.fence.incarnation {
            deps.leave_session(Leave::OlderIncarnation { offered: incarnation, seen: self.fence.incarnation });
            return;
        }
        self.session = true;
        self.set = None;
        self.awaits_set = true;
        self.lease.session_up(hello_sent);
        self.outbox.session_up();
        for (id, a) in &mut self.attempts {
            a.acked = Phase::Assigned;
            if a.phase() > Phase::Assigned {
                self.outbox.mark(*id);
            }
        }
    }

    fn on_reports_acked(&mut self, sequence: u64, deps: &mut impl Deps) {
        for (id, phase) in self.outbox.acked(sequence) {
            let Some(a) = self.attempts.get_mut(&id) else { continue };
            a.acked = a.acked.max(phase);
            if phase != Phase::Exited {
                continue;
            }
            if let State::Ended { durability, container, .. } = a.state {
                if container {
                    deps.remove(id);
                }
                if durability == Durability::OnDisk {
                    deps.forget_ending(id);
                }
                self.attempts.remove(&id);
                self.outbox.forget(id);
                self.forgotten.insert(id);
            }
        }
    }

    fn flush(&mut self, deps: &mut impl Deps) {
        while self.session {
            let batch = self.outbox.take();
            if batch.is_empty() {
                return;
            }
            let mut reports = Vec::with_capacity(batch.len());
            let mut phases = Vec::with_capacity(batch.len());
            let mut bytes = 0;
            for id in batch {
                let Some(a) = self.attempts.get(&id) else { continue };
                let (reason, ended) = match &a.state {
                    State::Ended { durability: Durability::Pending, .. } => continue,
                    State::Ended { ending, .. } => (Some(ending.reason.clone()), ending.ended),
                    State::Waiting { .. }
                    | State::Preparing
                    | State::Running { .. }
                    | State::Stopping { .. }
                    | State::Storing { .. } => (None, Timestamp(0)),
                };
                let phase = a.phase();
                if phase <= a.acked {
                    continue;
                }
                let size = reason.as_ref().map_or(0, EndReason::encoded_bytes);
                if bytes + size > REPORTS_BYTES_MAX && !reports.is_empty() {
                    // The next message takes it.
                    self.outbox.mark(id);
                    continue;
                }
                bytes += size;
                reports.push(Report { attempt: id, phase, reason, started: a.started(), ended });
                phases.push((id, phase));
            }
            if !reports.is_empty() {
                let sequence = self.outbox.sent(phases);
                deps.send_reports(sequence, reports);
            }
        }
    }

    // ---- Containers ---------------------------------------------------------------------------------------------------

    /// Starts waiting attempts in their order, as long as the next one fits and the lease is young: what is started
    /// without one has perhaps been given to another worker. A new session brings a young lease before it brings the set that
    /// may take attempts away: nothing starts in between.
    pub(crate) fn start_what_fits(&mut self, now: Now, deps: &mut impl Deps) {
        if self.leaving.is_some() {
            self.give_back_what_waits(now);
            return;
        }
        if self.awaits_set || now.mono >= self.lease.term_at() {
            return;
        }
        while let Some(id) = self.waiting.front().copied() {
            let spec = match self.attempts.get(&id) {
                Some(Attempt { state: State::Waiting { spec }, needs, .. }) => {
                    if !self.in_use.plus(&needs.resources).fits(&self.settings.capacity) {
                        return;
                    }
                    spec.clone()
                }
                Some(_) | None => {
                    self.waiting.pop_front();
                    continue;
                }
            };
            self.waiting.pop_front();
            self.unstarted.remove(&id);
            self.change(id, State::Preparing, None);
            deps.start(id, self.attempts[&id].assigned_index, &spec);
        }
    }

    fn on_started(&mut self, now: Now, id: AttemptId, started: Timestamp, deps: &mut impl Deps) {
        let Some(a) = self.attempts.get(&id) else { return };
        match a.state {
            State::Preparing => {
                self.change(id, State::Running { started }, None);
                self.arm_timeout(now, id);
            }
            // The stop overtook the start: say it again, the container is there now.
            State::Stopping { why, stage, asked, .. } => {
                let deadline = a.deadline;
                self.change(id, State::Stopping { why, stage, asked, started }, deadline);
                deps.stop(id, stage);
            }
            State::Waiting { .. } | State::Running { .. } | State::Storing { .. } | State::Ended { .. } => {}
        }
    }

    fn on_ended(&mut self, now: Now, id: AttemptId, over: Over, deps: &mut impl Deps) {
        let Over { reason, started, ended, container } = over;
        let Some(a) = self.attempts.get(&id) else { return };
        let reason = match a.state {
            State::Preparing | State::Running { .. } => reason,
            State::Stopping { why, asked, .. } => reason_of_stopped(why, asked, reason, ended),
            State::Waiting { .. } | State::Storing { .. } | State::Ended { .. } => return,
        };
        let ending = EndingRecord { attempt: id, assigned_index: a.assigned_index, reason, started, ended };
        if ending.reason.is_success() && (a.needs.results || self.settings.stores_logs) {
            self.begin_storing(now, ending, container, deps);
        } else {
            self.settle(ending, container, deps);
        }
    }

    /// Nothing changes this ending any more.
    pub(crate) fn settle(&mut self, ending: EndingRecord, container: bool, deps: &mut impl Deps) {
        let id = ending.attempt;
        let durability = if self.settings.volatile { Durability::NotNeeded } else { Durability::Pending };
        if durability == Durability::Pending {
            deps.persist_ending(&ending);
        }
        self.change(id, State::Ended { ending, durability, container }, None);
    }

    fn on_persisted(&mut self, attempts: &[AttemptId]) {
        for id in attempts {
            if let Some(Attempt { state: State::Ended { durability, .. }, .. }) = self.attempts.get_mut(id)
                && *durability == Durability::Pending
            {
                *durability = Durability::OnDisk;
                self.outbox.mark(*id);
            }
        }
    }

    /// Ends an attempt that has no container here and needs none.
    pub(crate) fn end_without_running(&mut self, now: Now, id: AttemptId, reason: EndReason) {
        let assigned_index = self.attempts.get(&id).map_or(0, |a| a.assigned_index);
        let container = self.unstarted.remove(&id);
        let ending = EndingRecord { attempt: id, assigned_index, reason, started: Timestamp(0), ended: now.wall };
        let state = State::Ended { ending, durability: Durability::NotNeeded, container };
        if self.attempts.contains_key(&id) {
            self.change(id, state, None);
        } else {
            self.insert(id, assigned_index, Needs::default(), state);
        }
    }

    pub(crate) fn begin_stop(&mut self, now: Now, id: AttemptId, why: StopWhy, deps: &mut impl Deps) {
        let (started, grace) = (self.attempts[&id].started(), self.attempts[&id].needs.grace());
        let state = State::Stopping { why, stage: Signal::Term, asked: now, started };
        self.change(id, state, Some(now.mono + grace));
        deps.stop(id, Signal::Term);
    }

    fn kill(&mut self, now: Now, id: AttemptId, deps: &mut impl Deps) {
        if let State::Stopping { why, asked, started, .. } = self.attempts[&id].state {
            let state = State::Stopping { why, stage: Signal::Kill, asked, started };
            self.change(id, state, Some(now.mono + STOP_GRACE));
            deps.stop(id, Signal::Kill);
        }
    }

    /// Time-outs, graces and the lease.
    fn enforce(&mut self, now: Now, deps: &mut impl Deps) {
        while let Some((at, id)) = self.deadlines.first().copied() {
            if at > now.mono {
                break;
            }
            match self.attempts[&id].state {
                State::Running { .. } => self.begin_stop(now, id, StopWhy::Timeout, deps),
                // Also when it was killed before: an engine that did not answer may answer now.
                State::Stopping { .. } => self.kill(now, id, deps),
                State::Storing { .. } => self.store_takes_too_long(id, deps),
                State::Waiting { .. } | State::Preparing | State::Ended { .. } => {
                    self.deadlines.pop_first();
                }
            }
        }
        self.stop_what_outstays(now, deps);
        if self.bound_to_lease.is_empty() || now.mono < self.lease.term_at() {
            return;
        }
        for id in self.bound_to_lease.clone() {
            if matches!(self.attempts[&id].state, State::Preparing | State::Running { .. }) {
                self.begin_stop(now, id, StopWhy::Disconnected, deps);
            }
            let termed = matches!(self.attempts[&id].state, State::Stopping { stage: Signal::Term, .. });
            if termed && now.mono >= self.lease.kill_at() {
                self.kill(now, id, deps);
            }
        }
    }

    // ---- State --------------------------------------------------------------------------------------------------------

    fn arm_timeout(&mut self, now: Now, id: AttemptId) {
        let a = &self.attempts[&id];
        if let (State::Running { started }, Some(timeout)) = (&a.state, a.needs.timeout) {
            let ran = now.wall - *started;
            let left = Millis(timeout.0.saturating_sub(ran.0));
            let state = a.state.clone();
            self.change(id, state, Some(now.mono + left));
        }
    }

    pub(crate) fn insert(&mut self, id: AttemptId, assigned_index: u64, needs: Needs, state: State) {
        let attempt = Attempt { assigned_index, needs, state, deadline: None, acked: Phase::Assigned };
        if attempt.holds() {
            self.in_use = self.in_use.plus(&needs.resources);
            if needs.stop_on_disconnect {
                self.bound_to_lease.insert(id);
            }
        }
        if attempt.phase() > Phase::Assigned {
            self.outbox.mark(id);
        }
        let before = self.attempts.insert(id, attempt);
        debug_assert!(before.is_none(), "{id} was there already");
    }

    /// The only way to change an attempt: keeps the sums, the deadlines and the outbox true.
    pub(crate) fn change(&mut self, id: AttemptId, to: State, deadline: Option<Timestamp>) {
        let a = self.attempts.get_mut(&id).expect("the caller has just looked it up");
        let (held, before) = (a.holds(), a.phase());
        a.advance(to);
        if let Some(at) = std::mem::replace(&mut a.deadline, deadline) {
            self.deadlines.remove(&(at, id));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, id));
        }
        if a.phase() != before {
            self.outbox.mark(id);
        }
        match (held, a.holds()) {
            (false, true) => {
                self.in_use = self.in_use.plus(&a.needs.resources);
                if a.needs.stop_on_disconnect {
                    self.bound_to_lease.insert(id);
                }
            }
            (true, false) => {
                self.in_use = self.in_use.minus(&a.needs.resources);
                self.bound_to_lease.remove(&id);
            }
            (true, true) | (false, false) => {}
        }
    }
}
