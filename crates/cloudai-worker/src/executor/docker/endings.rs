//! Which container ended, and how. Comes in: one stream of the engine's events for all of this worker's containers. Goes out: to
//! whoever watches an attempt, its ending, once.
//!
//! When the stream breaks (the engine restarts) it is opened again, and every container that is watched is compared with what the
//! engine has: an event that was missed is found that way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::{ContainerState, EventMessage};
use bollard::query_parameters::EventsOptions;
use cloudai_types::{AttemptId, Millis, Timestamp};
use futures::StreamExt;
use tokio::sync::oneshot;

use super::{Shared, UNPOISONED, engine, labels};
use crate::clock;

const RECONNECT_FIRST: Millis = Millis(100);
const RECONNECT_MAX: Millis = Millis(2_000);
/// Endings of containers that nobody watches yet; more are found by asking.
const EARLY_MAX: usize = 10_000;
/// Silence after which the stream is checked by asking the engine, should it have died unnoticed.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Debug)]
pub struct Died {
    /// `None`: the container is not there any more.
    pub exit_code: Option<i32>,
    pub out_of_memory: bool,
    pub at: Timestamp,
}

impl Died {
    pub fn of_state(state: &ContainerState) -> Died {
        let at = engine::timestamp(state.finished_at.as_deref());
        Died {
            exit_code: Some(state.exit_code.unwrap_or(0) as i32),
            out_of_memory: state.oom_killed == Some(true),
            at: if at.0 == 0 { clock::wall() } else { at },
        }
    }
}

#[derive(Default)]
pub struct Endings(Mutex<Table>);

#[derive(Default)]
struct Table {
    watched: BTreeMap<AttemptId, oneshot::Sender<Died>>,
    /// What ended before it was watched.
    early: BTreeMap<AttemptId, Died>,
    /// Attempts of which a process was killed for memory.
    out_of_memory: BTreeSet<AttemptId>,
}

impl Endings {
    /// Watch before the start: nothing is missed then.
    pub fn watch(&self, attempt: AttemptId) -> oneshot::Receiver<Died> {
        let (tx, rx) = oneshot::channel();
        let mut table = self.0.lock().expect(UNPOISONED);
        match table.early.remove(&attempt) {
            // The receiver is in our hand, so this cannot fail.
            Some(died) => drop(tx.send(died)),
            None => drop(table.watched.insert(attempt, tx)),
        }
        rx
    }

    pub fn forget(&self, attempt: AttemptId) {
        let mut table = self.0.lock().expect(UNPOISONED);
        table.watched.remove(&attempt);
        table.early.remove(&attempt);
        table.out_of_memory.remove(&attempt);
    }

    fn on_out_of_memory(&self, attempt: AttemptId) {
        let mut table = self.0.lock().expect(UNPOISONED);
        if table.watched.contains_key(&attempt) {
            table.out_of_memory.insert(attempt);
        }
    }

    fn on_died(&self, attempt: AttemptId, mut died: Died) {
        let mut table = self.0.lock().expect(UNPOISONED);
        died.out_of_memory |= table.out_of_memory.remove(&attempt);
        match table.watched.remove(&attempt) {
            // Whoever watched may have given up: then nobody needs to know.
            Some(watcher) => drop(watcher.send(died)),
            None if table.early.len() < EARLY_MAX => drop(table.early.insert(attempt, died)),
            None => {}
        }
    }

    fn watched(&self) -> Vec<AttemptId> {
        self.0.lock().expect(UNPOISONED).watched.keys().copied().collect()
    }
}

/// Listens for as long as the executor lives.
pub fn listen(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    shared.tasks.spawn(async move {
        let mut backoff = cloudai_net::Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        let mut since = clock::wall().0 / 1000;
        let mut is_first = true;
        loop {
            let Some(shared) = weak.upgrade() else { return };
            let mut stream = Box::pin(shared.engine.docker.events(Some(options(&shared, since))));
            if !is_first {
                match reconcile(&shared).await {
                    Ok(()) => backoff.reset(),
                    Err(error) => {
                        tracing::warn!(%error, "the container engine does not answer; tasks go on as they are")
                    }
                }
            }
            is_first = false;
            drop(shared);
            loop {
                let next = tokio::time::timeout(SILENCE, stream.next()).await;
                let Some(shared) = weak.upgrade() else { return };
                match next {
                    Ok(Some(Ok(event))) => {
                        since = event.time.and_then(|t| u64::try_from(t).ok()).unwrap_or(since);
                        on_event(&shared, &event);
                    }
                    Ok(Some(Err(error))) => {
                        tracing::debug!(%error, "the engine's event stream broke");
                        break;
                    }
                    Ok(None) => break,
                    Err(_) => {
                        if let Err(error) = reconcile(&shared).await {
                            tracing::warn!(%error, "the container engine does not answer");
                            break;
                        }
                    }
                }
            }
            tokio::time::sleep(backoff.next(rand::random()).as_duration()).await;
        }
    });
}

fn options(shared: &Shared, since: u64) -> EventsOptions {
    let mut filters = engine::label_filter(&shared.options.cluster, &shared.options.worker);
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    filters.insert("event".to_owned(), vec!["die".to_owned(), "oom".to_owned()]);
    EventsOptions { since: Some(since.to_string()), until: None, filters: Some(filters) }
}

fn on_event(shared: &Shared, event: &EventMessage) {
    let none = HashMap::new();
    let attributes = event.actor.as_ref().and_then(|a| a.attributes.as_ref()).unwrap_or(&none);
    let Some(attempt) = attributes.get(labels::ATTEMPT).and_then(|a| a.parse().ok()) else { return };
    match event.action.as_deref() {
        Some("oom") => shared.endings.on_out_of_memory(attempt),
        Some("die") => {
            let exit_code = attributes.get("exitCode").and_then(|c| c.parse().ok());
            let nanos = event.time_nano.and_then(|n| u64::try_from(n).ok());
            let at = nanos.map_or_else(clock::wall, |n| Timestamp(n / 1_000_000));
            shared
                .endings
                .on_died(attempt, Died { exit_code: Some(exit_code.unwrap_or(-1)), out_of_memory: false, at });
        }
        Some(_) | None => {}
    }
}

/// Finds what ended while nobody listened.
async fn reconcile(shared: &Shared) -> Result<(), bollard::errors::Error> {
    // First who is watched, then who is there: what is started in between is not taken for vanished.
    let watched = shared.endings.watched();
    let mut there = BTreeMap::new();
    for container in shared.engine.list(&shared.options.cluster, &shared.options.worker).await? {
        if let (Some(ours), Some(id)) = (container.labels.as_ref().and_then(labels::read), container.id) {
            there.insert(ours.attempt, id);
        }
    }
    for attempt in watched {
        let Some(id) = there.get(&attempt) else {
            shared.endings.on_died(attempt, Died { exit_code: None, out_of_memory: false, at: clock::wall() });
            continue;
        };
        let state = shared.engine.inspect(id).await?.state.unwrap_or_default();
        let has_run = engine::timestamp(state.started_at.as_deref()).0 > 0;
        let runs = state.running == Some(true) || state.paused == Some(true);
        if has_run && !runs {
            shared.endings.on_died(attempt, Died::of_state(&state));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    fn died(code: i32) -> Died {
        Died { exit_code: Some(code), out_of_memory: false, at: Timestamp(1) }
    }

    #[tokio::test]
    async fn an_ending_reaches_its_watcher_once_also_when_it_came_first() {
        let endings = Endings::default();
        let id = |n| AttemptId::new(JobId(1), n, 1);
        let late = endings.watch(id(0));
        endings.on_out_of_memory(id(0));
        endings.on_died(id(0), died(137));
        endings.on_died(id(0), died(1));
        assert_eq!(late.await.unwrap(), Died { out_of_memory: true, ..died(137) });
        endings.on_died(id(1), died(3));
        assert_eq!(endings.watch(id(1)).await.unwrap(), died(3));
        let given_up = endings.watch(id(2));
        endings.forget(id(2));
        assert!(given_up.await.is_err());
    }
}
