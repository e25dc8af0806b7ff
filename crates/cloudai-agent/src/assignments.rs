//! Assignment sets: what this worker is to have, as of a log index. Comes in: full sets and deltas. Goes out: attempts that
//! wait, and attempts that stop.

use cloudai_types::{AttemptId, EndReason, ReasonKind};

use crate::agent::Agent;
use crate::attempt::{DRAINED, Phase, State, StopWhy};
use crate::deps::{Deps, Leave};
use crate::fence::Fence;
use crate::input::{Assignment, Needs, Now, WithdrawWhy, Withdrawal};

impl Agent {
    pub(crate) fn on_full_set(
        &mut self,
        now: Now,
        fence: Fence,
        assignments: Vec<Assignment>,
        stop: Vec<Withdrawal>,
        deps: &mut impl Deps,
    ) {
        if fence < self.fence {
            deps.leave_session(Leave::OlderSet { offered: fence, seen: self.fence });
            return;
        }
        self.raise_fence(fence, deps);
        let mut outside: std::collections::BTreeSet<AttemptId> = self.attempts.keys().copied().collect();
        outside.extend(&self.unstarted);
        for a in assignments {
            outside.remove(&a.attempt);
            self.assign(now, a, deps);
        }
        for w in stop {
            outside.remove(&w.attempt);
            self.withdraw(now, w, deps);
        }
        for id in outside {
            self.withdraw(now, Withdrawal { attempt: id, why: WithdrawWhy::Lost }, deps);
        }
        self.set = Some(fence);
        self.awaits_set = false;
        deps.acknowledge_set(fence);
        self.start_what_fits(now, deps);
    }

    pub(crate) fn on_delta(
        &mut self,
        now: Now,
        fence: Fence,
        add: Vec<Assignment>,
        stop: Vec<Withdrawal>,
        deps: &mut impl Deps,
    ) {
        // Without a full set a delta has nothing to change; one older than what was seen is a late repeat.
        let Some(set) = self.set else { return };
        if fence < self.fence {
            return;
        }
        self.raise_fence(fence, deps);
        for a in add {
            // The full set had it already, if it was still alive then.
            if a.assigned_index > set.index {
                self.assign(now, a, deps);
            }
        }
        for w in stop {
            self.withdraw(now, w, deps);
        }
        deps.acknowledge_set(fence);
        self.start_what_fits(now, deps);
    }

    fn raise_fence(&mut self, fence: Fence, deps: &mut impl Deps) {
        if fence > self.fence {
            self.fence = fence;
            self.forgotten.clear();
            deps.persist_fence(fence);
        }
    }

    fn assign(&mut self, now: Now, a: Assignment, deps: &mut impl Deps) {
        let id = a.attempt;
        if let Some(known) = self.attempts.get(&id) {
            if known.assigned_index != a.assigned_index && known.assigned_index != 0 {
                self.meet_other_history(now, id, deps);
            }
            return;
        }
        if self.forgotten.contains(&id) {
            return;
        }
        let needs = Needs::of(&a.spec);
        self.insert(id, a.assigned_index, needs, State::Waiting { spec: a.spec });
        if a.phase >= Phase::Running && !self.settings.volatile && !self.unstarted.contains(&id) {
            let gone =
                EndReason::new(ReasonKind::EngineError, "its container is gone: the worker found none after a restart");
            self.end_without_running(now, id, gone);
        } else if !needs.resources.fits(&self.settings.capacity) {
            let text = format!("asks for {}; this worker has {}", needs.resources, self.settings.capacity);
            self.end_without_running(now, id, EndReason::new(ReasonKind::EngineError, text));
        } else {
            self.waiting.push_back(id);
        }
    }

    /// A restore from an older state may give an attempt's id a second time. What is here belongs to the first: it ends, and
    /// the task is tried again under another number.
    fn meet_other_history(&mut self, now: Now, id: AttemptId, deps: &mut impl Deps) {
        let a = self.attempts.get_mut(&id).expect("the caller has just looked it up");
        match &mut a.state {
            State::Waiting { .. } => {
                let why = EndReason::new(ReasonKind::EngineError, "assigned twice under one number");
                self.end_without_running(now, id, why);
            }
            State::Preparing | State::Running { .. } => self.begin_stop(now, id, StopWhy::OtherFence, deps),
            State::Stopping { why, .. } => *why = StopWhy::OtherFence,
            State::Storing { .. } => {
                let text = "what another assignment left was in the way";
                self.give_up_storing(id, ReasonKind::EngineError, text, deps);
            }
            State::Ended { ending, .. } => {
                ending.reason =
                    EndReason::new(ReasonKind::EngineError, "an ending of another assignment was in the way");
                self.outbox.mark(id);
            }
        }
    }

    fn withdraw(&mut self, now: Now, w: Withdrawal, deps: &mut impl Deps) {
        let id = w.attempt;
        let never_ran = match w.why {
            WithdrawWhy::Cancelled | WithdrawWhy::Lost => {
                EndReason::new(ReasonKind::Cancelled, "it had not been started")
            }
            WithdrawWhy::Preempted => EndReason::new(ReasonKind::Preempted, DRAINED),
        };
        match self.attempts.get(&id).map(|a| &a.state) {
            None => match w.why {
                WithdrawWhy::Cancelled | WithdrawWhy::Preempted if !self.forgotten.contains(&id) => {
                    self.end_without_running(now, id, never_ran);
                }
                WithdrawWhy::Cancelled | WithdrawWhy::Lost | WithdrawWhy::Preempted => {
                    if self.unstarted.remove(&id) {
                        deps.remove(id);
                    }
                }
            },
            Some(State::Waiting { .. }) => self.end_without_running(now, id, never_ran),
            Some(State::Preparing | State::Running { .. }) => {
                let why = match w.why {
                    WithdrawWhy::Cancelled => StopWhy::Cancelled,
                    WithdrawWhy::Lost => StopWhy::Outside,
                    WithdrawWhy::Preempted => StopWhy::Preempted,
                };
                self.begin_stop(now, id, why, deps);
            }
            Some(State::Storing { .. }) => {
                let text = match w.why {
                    WithdrawWhy::Cancelled => "it had succeeded, and what it left was not stored yet",
                    WithdrawWhy::Lost => "no longer assigned to this worker",
                    // It holds nothing, and has succeeded: its results are worth the wait.
                    WithdrawWhy::Preempted => return,
                };
                self.give_up_storing(id, ReasonKind::Cancelled, text, deps);
            }
            Some(State::Stopping { .. } | State::Ended { .. }) => {}
        }
    }
}
