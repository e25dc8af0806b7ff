//! Tasks and workers have no names: states that differ in names only are one state.

use super::state::{Logged, State, WORKERS};

/// The smallest of the equal states.
pub fn canonical(mut state: State, tasks: usize) -> State {
    if tasks > 1 {
        state.tasks[..tasks].sort_unstable();
    }
    let mut swapped = state.clone();
    swapped.workers.reverse();
    for task in &mut swapped.tasks {
        for attempt in &mut task.attempts {
            if attempt.logged != Logged::No {
                attempt.worker = WORKERS as u8 - 1 - attempt.worker;
            }
        }
    }
    if tasks > 1 {
        swapped.tasks[..tasks].sort_unstable();
    }
    state.min(swapped)
}
