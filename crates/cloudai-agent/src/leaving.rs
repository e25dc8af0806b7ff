//! A worker that is about to end. Comes in: that it is, and how long what runs may go on. Goes out: nothing new starts, what waits is given
//! back, what outstays is stopped as any attempt is; endings are reported and acknowledged as ever. When the process ends is the shell's to
//! decide: [`Agent::is_empty`] tells it when nothing is left.

use cloudai_types::{AttemptId, EndReason, Millis, ReasonKind, Timestamp};

use crate::agent::Agent;
use crate::attempt::{DRAINED, State, StopWhy};
use crate::deps::Deps;
use crate::input::Now;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leaving {
    /// On the monotonic clock; `None`: what runs may finish.
    deadline: Option<Timestamp>,
}

impl Agent {
    /// True from the first [`crate::Input::Leave`] on.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// No attempt of any kind is left: each one's ending was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    pub(crate) fn on_leave(&mut self, now: Now, after: Option<Millis>) {
        let before = self.leaving.and_then(|leaving| leaving.deadline);
        let asked = after.map(|after| now.mono + after);
        self.leaving = Some(Leaving { deadline: before.into_iter().chain(asked).min() });
        self.give_back_what_waits(now);
    }

    /// What was not started here goes elsewhere.
    pub(crate) fn give_back_what_waits(&mut self, now: Now) {
        while let Some(id) = self.waiting.pop_front() {
            if self.attempts.get(&id).is_some_and(|a| matches!(a.state, State::Waiting { .. })) {
                self.end_without_running(now, id, EndReason::new(ReasonKind::Preempted, DRAINED));
            }
        }
    }

    /// When what still runs is stopped; `None`: it need not be.
    pub(crate) fn leaves_at(&self) -> Option<Timestamp> {
        let deadline = self.leaving?.deadline?;
        self.attempts.values().any(may_outstay).then_some(deadline)
    }

    pub(crate) fn stop_what_outstays(&mut self, now: Now, deps: &mut impl Deps) {
        let Some(deadline) = self.leaving.and_then(|leaving| leaving.deadline) else { return };
        if now.mono < deadline {
            return;
        }
        let late = self.attempts.iter().filter(|(_, attempt)| may_outstay(attempt)).map(|(id, _)| *id);
        for id in late.collect::<Vec<AttemptId>>() {
            self.begin_stop(now, id, StopWhy::Preempted, deps);
        }
    }
}

/// What only stores its results has succeeded, and holds nothing.
fn may_outstay(attempt: &crate::attempt::Attempt) -> bool {
    matches!(attempt.state, State::Preparing | State::Running { .. })
}
