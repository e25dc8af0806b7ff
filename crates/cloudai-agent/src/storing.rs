//! Between a program's success and its ending: its log and its results are stored. Comes in: a success, and what came of storing what it
//! left. Goes out: an ending. It is a success only if the results are stored that the spec wants; one that leaves a log alone waits for
//! that for a time, and counts then: nobody's work is thrown away because a store is down that it does not write to.
//!
//! Nothing of this is persisted. An agent that comes after finds the container, which is removed only after its ending was
//! acknowledged, and asks to store again: whoever stores sees what is there already.

use cloudai_types::limits::{LOG_STORE_WAIT, RESULT_STORE_MAX};
use cloudai_types::{AttemptId, ReasonKind, Results};

use crate::agent::Agent;
use crate::attempt::{State, reason_of_unstored};
use crate::deps::{Deps, EndingRecord};
use crate::input::Now;

impl Agent {
    pub(crate) fn begin_storing(&mut self, now: Now, ending: EndingRecord, container: bool, deps: &mut impl Deps) {
        let id = ending.attempt;
        let results = self.leaves_results(id);
        let limit = if results { RESULT_STORE_MAX } else { LOG_STORE_WAIT };
        self.change(id, State::Storing { ending, container }, Some(now.mono + limit));
        deps.store(id, results);
    }

    fn leaves_results(&self, id: AttemptId) -> bool {
        self.attempts.get(&id).is_some_and(|a| a.needs.results)
    }

    pub(crate) fn on_stored(&mut self, id: AttemptId, stored: Result<Option<Results>, String>, deps: &mut impl Deps) {
        match stored {
            Ok(results) => {
                if let Some((mut ending, container)) = self.storing(id) {
                    ending.reason.results = results.map(Box::new);
                    self.settle(ending, container, deps);
                }
            }
            Err(why) => self.give_up_storing(id, ReasonKind::ResultStore, &why, deps),
        }
    }

    pub(crate) fn store_takes_too_long(&mut self, id: AttemptId, deps: &mut impl Deps) {
        if self.leaves_results(id) {
            let text = format!("its results were not stored within {} minutes", RESULT_STORE_MAX.0 / 60_000);
            self.give_up_storing(id, ReasonKind::ResultStore, &text, deps);
        } else {
            // Whoever keeps the log goes on trying.
            self.on_stored(id, Ok(None), deps);
        }
    }

    /// The success does not count. What is in the store already stays without a record of it.
    pub(crate) fn give_up_storing(&mut self, id: AttemptId, kind: ReasonKind, why: &str, deps: &mut impl Deps) {
        if let Some((mut ending, container)) = self.storing(id) {
            ending.reason = reason_of_unstored(kind, why, &ending.reason);
            self.settle(ending, container, deps);
        }
    }

    /// `None`: it is not being stored, so an answer comes late, or once more.
    fn storing(&self, id: AttemptId) -> Option<(EndingRecord, bool)> {
        match &self.attempts.get(&id)?.state {
            State::Storing { ending, container } => Some((ending.clone(), *container)),
            State::Waiting { .. }
            | State::Preparing
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Ended { .. } => None,
        }
    }
}
