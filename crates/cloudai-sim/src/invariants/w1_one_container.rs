//! W1: at most one container per attempt: none is started twice, and none runs in two places.

use std::collections::BTreeMap;

use super::{Invariant, Verdict, View};

#[derive(Default)]
pub struct OneContainer;

impl Invariant for OneContainer {
    fn name(&self) -> &'static str {
        "W1"
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        let mut places = BTreeMap::new();
        for worker in view.workers {
            if let Some(attempt) = worker.engine.started_twice() {
                return Err(format!("{} started {attempt} twice", worker.name));
            }
            for (attempt, c) in worker.engine.containers() {
                if c.holds()
                    && let Some(other) = places.insert(attempt, &worker.name)
                {
                    return Err(format!("{attempt} runs on {other} and on {}", worker.name));
                }
            }
        }
        Ok(())
    }
}
