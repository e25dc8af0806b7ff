//! The stream of what happens in the cluster. Comes in: requests whose caller is admitted: from where on, and what is wanted. Goes out: events in the
//! order of the log, each once, from what this master keeps in memory. Every master has the same at the same positions, so a stream that breaks
//! goes on at any of them. What is kept no more is an error that says so, never a gap.

use std::sync::Arc;

use cloudai_core::Hot;
use cloudai_core::news::{News, What};
use cloudai_proto::v1 as pb;
use cloudai_types::placement::taint_text;
use cloudai_types::{EndReason, EventKind, JobId, NodeId, WorkerId, limits};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

use super::errors;
use crate::event_ring::{Position, Told, TooOld};
use crate::events::Leaders;
use crate::node::Node;
use crate::state_store::StateStore;

type Replies = mpsc::Sender<Result<pb::WatchEventsReply, Status>>;

/// What a watcher wants to hear of.
struct Wanted {
    /// Looked up at each look: a namespace may begin meanwhile. Empty: all.
    namespace: String,
    job: Option<JobId>,
    worker: Option<WorkerId>,
    /// Empty: all.
    kinds: Vec<EventKind>,
}

impl Wanted {
    fn of<S: StateStore>(node: &Node<S>, request: &pb::WatchEventsRequest) -> Result<Self, Status> {
        let state = node.shared.read();
        let namespace = if request.namespace == "*" { String::new() } else { request.namespace.clone() };
        let job = match request.job.as_str() {
            "" => None,
            job => Some(node.find_job(&state, &namespace, job)?.1),
        };
        let worker = match request.worker.as_str() {
            "" => None,
            name => Some(state.hot.worker_named(name).map(|(id, _)| id).ok_or_else(|| {
                errors::not_found(format!("no worker is named '{name}'"), "list the workers with `cloudai worker list`")
            })?),
        };
        Ok(Wanted { namespace, job, worker, kinds: request.kinds().collect() })
    }

    /// In this state.
    fn filter(&self, hot: &Hot) -> impl Fn(&News) -> bool {
        let namespace = hot.namespaces.get(&self.namespace).copied();
        move |news| {
            (self.namespace.is_empty() || namespace.is_some() && news.namespace == namespace)
                && self.job.is_none_or(|job| news.job == Some(job))
                && self.worker.is_none_or(|worker| news.worker == Some(worker))
                && (self.kinds.is_empty() || self.kinds.contains(&news.kind()))
        }
    }
}

pub async fn watch<S: StateStore>(
    node: Arc<Node<S>>,
    request: pb::WatchEventsRequest,
) -> Result<mpsc::Receiver<Result<pb::WatchEventsReply, Status>>, Status> {
    // Whatever was acknowledged before the question is in the ring then: it is filled with the commit.
    let read = node.read_point(pb::Consistency::Linearizable).await?;
    let place = node.hub.events.place().ok_or_else(too_many)?;
    let wanted = Wanted::of(&node, &request)?;
    let from = match request.after {
        Some(after) => {
            let after = Position { index: after.index, number: after.number };
            if after.index > read.index {
                return Err(beyond(after, read.index));
            }
            node.hub
                .events
                .look(|ring| ring.after(after, 0).map(|_| after))
                .map_err(|old| too_old(after, old.kept_after))?
        }
        None => {
            let tail = if request.tail == 0 { limits::EVENTS_TAIL_DEFAULT } else { request.tail };
            let state = node.shared.read();
            let filter = wanted.filter(&state.hot);
            node.hub.events.look(|ring| ring.tail(tail as usize, filter))
        }
    };
    let (out, replies) = mpsc::channel(limits::EVENT_MESSAGES_MAX);
    tokio::spawn(async move {
        tell(&node, &wanted, from, request.follow, &out, place).await;
    });
    Ok(replies)
}

/// Until everything was told and nobody follows, the watcher has gone, or it takes nothing any more.
async fn tell<S: StateStore>(
    node: &Node<S>,
    wanted: &Wanted,
    from: Position,
    follow: bool,
    out: &Replies,
    _place: OwnedSemaphorePermit,
) {
    let mut heard = node.hub.events.heard();
    let mut reached = from;
    // The first message says where the stream begins, so that it can be taken up elsewhere before anything has happened.
    let mut is_due = true;
    let mut untold = 0;
    loop {
        heard.mark_unchanged();
        let (events, looked_at) = match next(node, wanted, reached) {
            Ok(next) => next,
            Err(status) => {
                // A watcher that has gone does not need to hear it.
                let _ = out.send(Err(status)).await;
                return;
            }
        };
        let is_over = looked_at.is_none();
        reached = looked_at.map_or(reached, |(at, seen)| {
            untold += seen;
            at
        });
        let complete = is_over && !follow;
        if is_due || complete || !events.is_empty() || untold >= limits::EVENTS_UNTOLD_MAX {
            (is_due, untold) = (false, 0);
            let reply = pb::WatchEventsReply { events, reached: Some(wire(reached)), complete };
            // One who takes nothing is cut: it goes on from what it has got, here or elsewhere.
            if out.send_timeout(Ok(reply), limits::EVENT_WATCHER_STALLED.as_duration()).await.is_err() || complete {
                return;
            }
        } else {
            tokio::task::yield_now().await;
        }
        if is_over {
            tokio::select! {
                changed = heard.changed() => if changed.is_err() { return },
                () = out.closed() => return,
            }
            tokio::time::sleep(limits::EVENT_GATHER.as_duration()).await;
        }
    }
}

/// What of a part is wanted, how far the part goes, and how many events it has. `None`: there is no more yet.
type Part = (Vec<pb::Event>, Option<(Position, usize)>);

/// The next part of what is kept.
fn next<S: StateStore>(node: &Node<S>, wanted: &Wanted, after: Position) -> Result<Part, Status> {
    let state = node.shared.read();
    let filter = wanted.filter(&state.hot);
    let looked = node.hub.events.look(|ring| -> Result<_, TooOld> {
        let (mut told, mut end) = (vec![], None);
        for (seen, next) in (1..).zip(ring.after(after, limits::EVENTS_BATCH_MAX)?) {
            end = Some((next.at, seen));
            if filter(&next.news) {
                told.push(next.clone());
            }
        }
        Ok((told, end))
    });
    let (told, end) = looked.map_err(|old| too_old(after, old.kept_after))?;
    let events = told.into_iter().map(|told| {
        let Told { at, at_ms, news } = told;
        pb::Event { at: Some(wire(at)), ..event(&state.hot, &node.leaders, at_ms, news) }
    });
    Ok((events.collect(), end))
}

fn wire(at: Position) -> pb::EventPosition {
    pb::EventPosition { index: at.index, number: at.number }
}

fn too_old(after: Position, kept_after: Position) -> Status {
    pb::ErrorInfo::new(pb::ErrorKind::TooOld, format!("the events after {after} are kept no more"))
        .why(format!("this master keeps what came after {kept_after}"))
        .next(format!(
            "begin there: `cloudai events --since {kept_after}`; what became of a job, `cloudai job events JOB` tells"
        ))
        .into_status()
}

fn beyond(after: Position, index: u64) -> Status {
    pb::ErrorInfo::new(pb::ErrorKind::Invalid, format!("nothing has happened at {after} yet"))
        .why(format!("the log has come to {index}"))
        .next("give the position of an event that you have seen; without --since the last ones are shown")
        .into_status()
}

fn too_many() -> Status {
    let why = format!("{} others watch already, the most that one master serves", limits::EVENT_WATCHERS_MAX);
    pb::ErrorInfo::new(pb::ErrorKind::TooBusy, "this master has no place for another watcher of events")
        .why(why)
        .next("ask another master, or end one of them")
        .into_status()
}

/// In words of the wire, with the names that ids have now. Where it stands in the stream is the caller's to say.
pub fn event(hot: &Hot, leaders: &Leaders, time_ms: u64, news: News) -> pb::Event {
    let kind = news.kind() as i32;
    let News { namespace, job, worker, run, what } = news;
    let namespace = namespace.and_then(|id| hot.tenants.get(id)).map(|tenant| tenant.name.clone()).unwrap_or_default();
    let worker = worker.map(|id| hot.workers.get(&id).map_or_else(|| id.to_string(), |worker| worker.name.clone()));
    let master = |node: NodeId| hot.masters.get(&node).map_or_else(|| format!("node {node}"), |m| m.name.clone());
    let mut event = pb::Event {
        time_ms,
        kind,
        namespace,
        job_id: job.map_or(0, |job| job.0),
        first_index: run.map(|run| run.first),
        tasks: run.map_or(0, |run| run.count),
        attempt: run.map_or(0, |run| run.attempt),
        worker: worker.unwrap_or_default(),
        ..pb::Event::default()
    };
    // A run says how many already.
    let so_many = |event: &mut pb::Event, tasks| {
        if event.first_index.is_none() {
            event.tasks = tasks;
        }
    };
    match what {
        What::Submitted { tasks, actor } => {
            so_many(&mut event, tasks);
            event.actor = actor;
        }
        What::Blocked
        | What::Released
        | What::Placed
        | What::Started
        | What::Dead
        | What::WorkerRegistered
        | What::WorkerLeaves => {}
        What::Waits(note) => {
            (event.cause, event.workers, event.workers_total) = (note.cause, note.workers, note.of);
            event.memory_bytes = u64::from(note.memory_mib) << 20;
        }
        What::Ended { lost: _, ending, state } => {
            event.reason =
                Some(EndReason { exit_code: ending.exit_code, ..EndReason::new(ending.kind, ending.detail) });
            event.task_state = state.map(|state| state as i32);
        }
        What::Retries { until_ms } => event.until_ms = until_ms,
        What::MemoryRaised { memory_mib } => event.memory_bytes = u64::from(memory_mib) << 20,
        What::Preempted { by } => event.by_job_id = by.map_or(0, |job| job.0),
        What::Replayed { tasks } | What::Expired { tasks } => so_many(&mut event, tasks),
        What::Cancelled { tasks, stopping, actor, unmet } => {
            so_many(&mut event, tasks);
            (event.attempts, event.actor) = (stopping, actor);
            event.why = unmet.map(|unmet| unmet.text()).unwrap_or_default();
        }
        What::Finished { state } => event.job_state = Some(state as i32),
        What::WorkerLost { attempts } | What::WorkerEvicted { attempts } => event.attempts = attempts,
        What::WorkerDrained { deadline_ms, actor } => (event.until_ms, event.actor) = (deadline_ms, actor),
        What::WorkerTainted { key, value, actor } => (event.taint, event.actor) = (taint_text(&key, &value), actor),
        What::WorkerUntainted { key, actor } => (event.taint, event.actor) = (key, actor),
        What::WorkerAuthorized { actor }
        | What::WorkerResumed { actor }
        | What::WorkerRevoked { actor }
        | What::ConfigChanged { actor }
        | What::QuotaChanged { actor } => event.actor = actor,
        What::LeaderChanged { term } => (event.term, event.master) = (term, leaders.of(term)),
        What::MasterChanged { node } => event.master = master(node),
        What::MasterRemoved { node, actor } => (event.master, event.actor) = (master(node), actor),
        What::FormatRaised { version } => event.format = version,
    }
    event
}
