//! Time passes for everybody at once.

use super::bounds::Policy;
use super::model::Protocol;
use super::mutation::Mutation;
use super::state::{Leader, Local, State};

impl Protocol {
    pub(super) fn tick(&self, state: &mut State) {
        let bounds = &self.bounds;
        if let Leader::Second { ticks } = &mut state.leader {
            *ticks = (*ticks + 1).min(bounds.deposed + 1);
        }
        if self.is(Mutation::InheritedLeaseClock) && state.leader == Leader::First {
            state.first_led = (state.first_led + 1).min(bounds.lease);
        }
        for worker in &mut state.workers {
            // Nobody counts for a worker that is lost, and a new leader starts at zero.
            if worker.ready && state.leader.leads() {
                worker.silence = (worker.silence + 1).min(bounds.lease);
            }
            worker.lease = (worker.lease + 1).min(bounds.kill);
            let useful = if self.is(Mutation::LeaseFromAck) { bounds.lease + 1 } else { bounds.kill };
            worker.ack = worker.ack.map(|age| age + 1).filter(|age| *age < useful);
        }
        if !self.is(Mutation::NoSupervisor) {
            for w in 0..state.workers.len() {
                self.enforce_lease(state, w);
            }
        }
    }

    /// True when the worker's lease is over and something of its own must die.
    pub(super) fn must_kill(&self, state: &State, w: usize) -> bool {
        self.policy == Policy::Stop
            && state.workers[w].lease >= self.bounds.kill
            && state.tasks.iter().flat_map(|t| &t.attempts).any(|a| usize::from(a.worker) == w && a.runs())
    }

    pub(super) fn enforce_lease(&self, state: &mut State, w: usize) {
        if !self.must_kill(state, w) {
            return;
        }
        for attempt in state.tasks.iter_mut().flat_map(|t| &mut t.attempts) {
            if usize::from(attempt.worker) == w && attempt.runs() {
                attempt.local = Local::Ended { success: false };
            }
        }
    }
}
