//! W2: a container outside the assignment set is stopped, once its agent acts and knows the set, within the grace.

use std::collections::BTreeMap;

use cloudai_types::{AttemptId, limits};

use super::{Invariant, Verdict, View};

/// Sets travel, signals take effect.
const SLACK_MS: u64 = 4_000;

#[derive(Default)]
pub struct Outside {
    since: BTreeMap<(String, AttemptId), u64>,
}

impl Invariant for Outside {
    fn name(&self) -> &'static str {
        "W2"
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        let mut outside = BTreeMap::new();
        let running: Vec<_> = view
            .workers
            .iter()
            .filter(|w| w.acting_since_ms.is_some())
            .flat_map(|w| {
                let running = w.engine.containers().into_iter().filter(|(_, c)| c.is_running());
                running.map(move |(a, c)| (w, a, c.needs.grace.unwrap_or(limits::STOP_GRACE)))
            })
            .collect();
        if running.is_empty() {
            self.since.clear();
            return Ok(());
        }
        let Some(node) = view.furthest() else { return Ok(()) };
        let state = node.shared.read();
        for (worker, attempt, grace) in running {
            let live = state.hot.attempt(attempt.task).is_some_and(|a| {
                let on = state.hot.workers.get(&a.worker).is_some_and(|w| w.name == worker.name);
                a.number == attempt.number && on
            });
            if live || worker.belief().settled_since_ms.is_none() {
                continue;
            }
            outside.insert((worker.name.clone(), attempt), grace);
        }
        self.since.retain(|key, _| outside.contains_key(key));
        for (key, grace) in outside {
            let since = *self.since.entry(key.clone()).or_insert(view.now_ms);
            if view.now_ms > since + grace.0 + SLACK_MS {
                return Err(format!("{} runs on {} since {since} ms, and is not assigned to it", key.1, key.0));
            }
        }
        Ok(())
    }
}
