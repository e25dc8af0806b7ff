//! Which container ended, and how. Comes in: one stream of the engine's events for all of this worker's containers. Goes out: to
//! whoever watches an attempt, its ending, once.
//!
//! When the stream breaks (the engine restarts) it is opened again, and every container that is watched is compared with what the
//! engine has: an event that was missed is found that way. An engine without live restore takes its containers with it: whatever ended
//! while such a one was away did not end by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::{ContainerState, EventMessage};
use bollard::query_parameters::EventsOptions;
use cloudai_types::{AttemptId, Millis, Timestamp, limits};
use futures::StreamExt;
use tokio::sync::oneshot;

use super::{Shared, UNPOISONED, engine, labels};
use crate::clock;

const RECONNECT_FIRST: Millis = Millis(100);
const RECONNECT_MAX: Millis = Millis(2_000);
/// Endings of containers that nobody watches yet; more are found by asking.
const EARLY_MAX: usize = 10_000;
/// An engine that stops may end containers this long before its event stream breaks.
const GAP_SLACK: Millis = Millis(1_000);
/// Silence after which the stream is checked by asking the engine, should it have died unnoticed.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Debug)]
pub struct Died {
    /// `None`: the container is not there any more.
    pub exit_code: Option<i32>,
    pub out_of_memory: bool,
    pub at: Timestamp,
    /// Who else had a hand in it; this worker's own signals are among these.
    pub outside: Option<Outside>,
}

/// What came to a container from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outside {
    /// The engine sent it this signal: for this worker, for a person, or because the engine itself was stopped.
    Signal(u32),
    /// It ended while an engine was away that takes its containers with it.
    EngineAway,
}

impl Died {
    pub fn of_state(state: &ContainerState) -> Died {
        let at = engine::timestamp(state.finished_at.as_deref());
        Died {
            exit_code: Some(state.exit_code.unwrap_or(0) as i32),
            out_of_memory: state.oom_killed == Some(true),
            at: if at.0 == 0 { clock::wall() } else { at },
            outside: None,
        }
    }

    /// The container is not there any more.
    pub fn vanished() -> Died {
        Died { exit_code: None, out_of_memory: false, at: clock::wall(), outside: None }
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
    /// The last signal that the engine sent to each.
    signals: BTreeMap<AttemptId, u32>,
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
        table.signals.remove(&attempt);
    }

    fn on_signal(&self, attempt: AttemptId, signal: u32) {
        let mut table = self.0.lock().expect(UNPOISONED);
        if table.watched.contains_key(&attempt) {
            table.signals.insert(attempt, signal);
        }
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
        died.outside = table.signals.remove(&attempt).map(Outside::Signal).or(died.outside);
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
        // Since when the engine is away; `None`: it is not known to be.
        let mut away: Option<Timestamp> = None;
        let mut live_restore = weak.upgrade().is_some_and(|s| s.engine.live_restore);
        loop {
            let Some(shared) = weak.upgrade() else { return };
            let mut stream = Box::pin(shared.engine.docker.events(Some(options(&shared, since))));
            if let Some(from) = away {
                let gap = Gap { from, takes_containers: !live_restore };
                match reconcile(&shared, Some(gap)).await {
                    Ok(()) => {
                        backoff.reset();
                        away = None;
                        shared.say_trouble(String::new());
                        live_restore = shared.engine.has_live_restore().await.unwrap_or(live_restore);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the container engine does not answer; tasks go on as they are");
                        shared.say_trouble(error.to_string());
                    }
                }
            }
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
                        if let Err(error) = reconcile(&shared, None).await {
                            tracing::warn!(%error, "the container engine does not answer");
                            shared.say_trouble(error.to_string());
                            break;
                        }
                    }
                }
            }
            away.get_or_insert_with(clock::wall);
            tokio::time::sleep(backoff.next(rand::random()).as_duration()).await;
        }
    });
}

impl Shared {
    fn say_trouble(&self, mut why: String) {
        why.truncate(why.floor_char_boundary(limits::ENGINE_TROUBLE_BYTES_MAX));
        *self.trouble.lock().expect(UNPOISONED) = why;
    }
}

/// A time in which the engine was away.
#[derive(Clone, Copy)]
struct Gap {
    from: Timestamp,
    /// It has no live restore: when it stops, and when it comes back after a crash, it ends what runs.
    takes_containers: bool,
}

fn options(shared: &Shared, since: u64) -> EventsOptions {
    let mut filters = engine::label_filter(&shared.options.cluster, &shared.options.worker);
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    filters.insert("event".to_owned(), ["die", "oom", "kill"].map(str::to_owned).to_vec());
    EventsOptions { since: Some(since.to_string()), until: None, filters: Some(filters) }
}

fn on_event(shared: &Shared, event: &EventMessage) {
    let none = HashMap::new();
    let attributes = event.actor.as_ref().and_then(|a| a.attributes.as_ref()).unwrap_or(&none);
    let Some(attempt) = attributes.get(labels::ATTEMPT).and_then(|a| a.parse().ok()) else { return };
    match event.action.as_deref() {
        Some("oom") => shared.endings.on_out_of_memory(attempt),
        Some("kill") => {
            if let Some(signal) = attributes.get("signal").and_then(|s| s.parse().ok()) {
                shared.endings.on_signal(attempt, signal);
            }
        }
        Some("die") => {
            let exit_code = attributes.get("exitCode").and_then(|c| c.parse().ok());
            let nanos = event.time_nano.and_then(|n| u64::try_from(n).ok());
            let at = nanos.map_or_else(clock::wall, |n| Timestamp(n / 1_000_000));
            let exit_code = Some(exit_code.unwrap_or(-1));
            shared.endings.on_died(attempt, Died { exit_code, out_of_memory: false, at, outside: None });
        }
        Some(_) | None => {}
    }
}

/// Finds what ended while nobody listened.
async fn reconcile(shared: &Shared, gap: Option<Gap>) -> Result<(), bollard::errors::Error> {
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
            shared.endings.on_died(attempt, Died::vanished());
            continue;
        };
        let state = shared.engine.inspect(id).await?.state.unwrap_or_default();
        let has_run = engine::timestamp(state.started_at.as_deref()).0 > 0;
        let runs = state.running == Some(true) || state.paused == Some(true);
        if has_run && !runs {
            let mut died = Died::of_state(&state);
            if gap.is_some_and(|gap| gap.takes_containers && died.at.0 + GAP_SLACK.0 >= gap.from.0) {
                died.outside = Some(Outside::EngineAway);
            }
            shared.endings.on_died(attempt, died);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    fn died(code: i32) -> Died {
        Died { exit_code: Some(code), out_of_memory: false, at: Timestamp(1), outside: None }
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
        endings.on_signal(id(1), 15);
        endings.on_died(id(1), died(3));
        assert_eq!(endings.watch(id(1)).await.unwrap(), died(3));
        let killed = endings.watch(id(3));
        endings.on_signal(id(3), 15);
        endings.on_signal(id(3), 9);
        endings.on_died(id(3), died(137));
        assert_eq!(killed.await.unwrap(), Died { outside: Some(Outside::Signal(9)), ..died(137) });
        let given_up = endings.watch(id(2));
        endings.forget(id(2));
        assert!(given_up.await.is_err());
    }
}
