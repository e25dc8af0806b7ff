//! A client and its submit.

use super::action::Action;
use super::model::Protocol;
use super::mutation::Mutation;
use super::state::{State, Submit};

impl Protocol {
    pub(super) fn client_actions(&self, state: &State, out: &mut Vec<Action>) {
        for (t, task) in state.tasks.iter().enumerate().take(self.bounds.tasks) {
            match task.submit {
                Submit::No if state.leader.leads() => out.push(Action::ProposeSubmit(t)),
                Submit::Proposed => {
                    out.push(Action::CommitSubmit(t));
                    if self.is(Mutation::AckBeforeCommit) && !task.acked {
                        out.push(Action::AckSubmit(t));
                    }
                }
                Submit::Committed if !task.acked => out.push(Action::AckSubmit(t)),
                Submit::No | Submit::Committed => {}
            }
        }
    }

    /// A crash loses what no majority has. What one has is the same as a commit before the crash.
    pub(super) fn lose_proposals(&self, state: &mut State) {
        for task in &mut state.tasks {
            if task.submit == Submit::Proposed {
                task.submit = Submit::No;
            }
        }
        for worker in &mut state.workers {
            worker.losing = false;
        }
    }
}
