//! Which states count as one. Comes in: a state. Goes out: the one that stands for all its equals. A mutant is explored without
//! any of this, the deep model with names only; the wide one needs all of it to be finite enough.

use super::state::{Attempt, Leader, Local, Logged, State, Submit, Task, WORKERS, Worker};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reduction {
    None,
    /// Tasks and workers have no names.
    Names,
    /// Also, what can no longer change the outcome of any property is forgotten. Holds for the sound protocol only.
    Past,
}

impl Reduction {
    pub(super) fn of(self, mut state: State, tasks: usize) -> State {
        match self {
            Reduction::None => return state,
            Reduction::Names => {}
            Reduction::Past => forget(&mut state, tasks),
        }
        unnamed(state, tasks)
    }
}

/// The smallest of the states that differ in names only.
fn unnamed(mut state: State, tasks: usize) -> State {
    let mut swapped = state.clone();
    swapped.workers.reverse();
    for attempt in swapped.tasks.iter_mut().flat_map(|t| &mut t.attempts) {
        if attempt.logged != Logged::No {
            attempt.worker = WORKERS as u8 - 1 - attempt.worker;
        }
    }
    if tasks > 1 {
        state.tasks[..tasks].sort_unstable();
        swapped.tasks[..tasks].sort_unstable();
    }
    state.min(swapped)
}

fn forget(state: &mut State, tasks: usize) {
    let safe = state.leader != Leader::First || state.faults_left.leader_crashes == 0;
    for task in &mut state.tasks {
        // Nobody is left to lose it, and waiting to commit is the same as waiting to propose.
        if safe && task.submit == Submit::Proposed {
            task.submit = Submit::Committed;
        }
        // An answer changes nothing but what may be demanded: demand it at once.
        task.acked = task.submit == Submit::Committed;
        for attempt in &mut task.attempts {
            forget_reports(attempt);
        }
        if closed(task) {
            for attempt in &mut task.attempts {
                *attempt = Attempt { logged: attempt.logged, ..Attempt::NONE };
                if attempt.logged != Logged::No {
                    attempt.local = Local::Gone;
                }
            }
        }
    }
    if state.tasks.iter().take(tasks).all(closed) {
        state.workers = [Worker::READY; WORKERS];
        state.leader = Leader::First;
        state.faults_left.leader_crashes = 0;
        state.faults_left.breaks = 0;
        state.faults_left.worker_restarts = 0;
    }
}

fn forget_reports(attempt: &mut Attempt) {
    // "It runs" changes what people see, and nothing else.
    if attempt.logged == Logged::Assigned && attempt.local >= Local::Running {
        attempt.logged = Logged::Running;
    }
    // It will be refused and acknowledged.
    if !attempt.live() && matches!(attempt.local, Local::Ended { .. }) {
        attempt.local = Local::Gone;
    }
}

/// Over, and with at most one attempt that might still run: no two can.
fn closed(task: &Task) -> bool {
    let may_run = |a: &&Attempt| match a.local {
        Local::Unknown => a.logged != Logged::No,
        Local::Waiting | Local::Running | Local::Stopping => true,
        Local::Ended { .. } | Local::Gone => false,
    };
    (task.succeeded() || task.dead()) && task.attempts.iter().filter(may_run).count() <= 1
}
