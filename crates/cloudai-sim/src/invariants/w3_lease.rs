//! W3: an `on_disconnect: stop` container without a lease is stopped in time, and so two attempts of its task never overlap.
//!
//! Not promised, and not checked here: a worker whose agent is itself down or paused (the product has no supervisor beside the
//! agent yet).

use std::collections::BTreeMap;

use cloudai_types::limits;

use super::{Invariant, Verdict, View};

/// What an agent that comes back has to do first.
const AWAKE_MS: u64 = 1_000;
/// A signal takes effect, a step has a length.
const SLACK_MS: u64 = 100;

#[derive(Default)]
pub struct StopsInTime;

impl Invariant for StopsInTime {
    fn name(&self) -> &'static str {
        "W3"
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        let mut running = BTreeMap::new();
        for worker in view.workers.iter().filter(|w| w.acts_for(view.now_ms, AWAKE_MS)) {
            let stops: Vec<_> =
                worker.engine.containers().into_iter().filter(|(_, c)| c.needs.stop_on_disconnect).collect();
            if stops.is_empty() {
                continue;
            }
            let until = worker.belief().renewed.map_or(0, |r| r.0) + limits::STOP_KILL_AFTER.0 + SLACK_MS;
            for (attempt, _) in stops.into_iter().filter(|(_, c)| c.is_running()) {
                if view.now_ms > until {
                    let late = view.now_ms - until;
                    return Err(format!("{attempt} still runs on {}, {late} ms after its lease", worker.name));
                }
                if let Some((other, on)) = running.insert(attempt.task, (attempt, &worker.name)) {
                    return Err(format!("{other} on {on} and {attempt} on {} run at the same time", worker.name));
                }
            }
        }
        Ok(())
    }
}
