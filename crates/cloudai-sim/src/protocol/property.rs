//! What must hold in every state, and what must be seen in some.

use stateright::Property;

use super::bounds::Policy;
use super::model::Protocol;
use super::state::{Attempt, Local, Logged, State, Submit, Task};

/// The properties' names, as tests and reports say them.
pub mod names {
    pub const SUBMIT_KEPT: &str = "an acknowledged submit is never lost";
    pub const ONE_RESULT: &str = "at most one result of a task is accepted";
    pub const CURRENT_RESULT: &str = "an accepted result is the current attempt's own";
    pub const LOST_FIRST: &str = "two containers of a task only after the older attempt is lost in the log";
    pub const NEVER_BACK: &str = "no state goes back";
    pub const LOSS_NOT_EARLY: &str = "a worker is lost only when its lease is over";
    pub const NO_OVERLAP: &str = "two attempts of a stop task never overlap";
    pub const SUCCEEDS_FIRST: &str = "a task succeeds at once";
    pub const SUCCEEDS_SECOND: &str = "a task succeeds after a loss";
    pub const DIES: &str = "a task uses up its attempts";
    pub const OVERLAPS: &str = "two attempts of a continue task overlap";
}

pub(super) fn all(policy: Policy) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(names::SUBMIT_KEPT, |_, s: &State| s.tasks.iter().all(|t| !t.acked || t.submit != Submit::No)),
        Property::always(names::ONE_RESULT, |_, s: &State| s.tasks.iter().all(|t| t.accepted <= 1)),
        Property::always(names::CURRENT_RESULT, |_, s: &State| !s.seen.foreign_result),
        Property::always(names::LOST_FIRST, |_, s: &State| {
            s.tasks.iter().all(|t| t.containers() < 2 || t.attempts[0].logged == Logged::Lost)
        }),
        Property::always(names::NEVER_BACK, |_, s: &State| !s.seen.step_back),
        Property::always(names::LOSS_NOT_EARLY, |_, s: &State| !s.seen.early_loss),
        Property::sometimes(names::SUCCEEDS_FIRST, |_, s: &State| {
            s.tasks.iter().any(|t| t.succeeded() && t.current() == Some(0))
        }),
        Property::sometimes(names::SUCCEEDS_SECOND, |_, s: &State| {
            s.tasks.iter().any(|t| t.succeeded() && t.attempts[0].logged == Logged::Lost)
        }),
        Property::sometimes(names::DIES, |_, s: &State| s.tasks.iter().any(Task::dead)),
    ];
    match policy {
        Policy::Stop => all.push(Property::always(names::NO_OVERLAP, |_, s: &State| !overlaps(s))),
        Policy::Continue => all.push(Property::sometimes(names::OVERLAPS, |_, s: &State| overlaps(s))),
    }
    all
}

fn overlaps(state: &State) -> bool {
    state.tasks.iter().any(|t| t.containers() > 1)
}

/// Every task is over.
pub(super) fn settled(state: &State, tasks: usize) -> bool {
    state.tasks.iter().take(tasks).all(|t| t.succeeded() || t.dead())
}

/// What is committed, started or ended stays so.
pub(super) fn steps_back(last: &State, next: &State) -> bool {
    let pairs = last.tasks.iter().zip(&next.tasks);
    pairs.into_iter().any(|(from, to)| {
        let uncommitted = from.submit == Submit::Committed && to.submit != Submit::Committed;
        let unended = (from.succeeded() && !to.succeeded()) || (from.dead() && !to.dead());
        uncommitted || unended || from.attempts.iter().zip(&to.attempts).any(|(f, t)| attempt_back(f, t))
    })
}

fn attempt_back(from: &Attempt, to: &Attempt) -> bool {
    let logged = match from.logged {
        Logged::Exited | Logged::Lost => to.logged != from.logged,
        Logged::No | Logged::Assigned | Logged::Running => to.logged < from.logged,
    };
    // What only waits may be forgotten by a restart: nothing has run.
    let local = from.local >= Local::Running && to.local < from.local;
    logged || local
}
