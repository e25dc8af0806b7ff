//! Who wants to hear what `apply` changed. Comes in: events after each commit. Goes out: wake-ups for the scheduler, deltas
//! to worker sessions, nudges to those who watch a job, and an order to cut connections. Holds no truth: whoever is
//! woken looks at the state again, so a lost or doubled wake-up costs a look and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};

use cloudai_core::Event;
use cloudai_core::command::MemberRole;
use cloudai_types::{AttemptId, JobId, WorkerId};
use tokio::sync::{Notify, mpsc};

use crate::events::Events;

/// What a worker's session has to send.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    Assigned {
        index: u64,
        attempts: Vec<AttemptId>,
    },
    Withdrawn {
        index: u64,
        attempts: Vec<AttemptId>,
    },
    /// Somebody wants something of this worker: an `OpenLog`, an `OpenHistory` or a `SetLogLevel`.
    Open(cloudai_proto::v1::leader_message::Kind),
    /// The worker was lost, revoked or registered by a newer session: this session is over.
    Superseded,
}

type CutFn = dyn Fn(MemberRole, &str) + Send + Sync;

#[derive(Default)]
struct Listeners {
    sessions: BTreeMap<WorkerId, (u64, mpsc::UnboundedSender<SessionEvent>)>,
    jobs: BTreeMap<JobId, Vec<Arc<Notify>>>,
    cut: Option<Arc<CutFn>>,
}

/// One per master. The session channels are unbounded in type and bounded in fact: a worker holds at most
/// `WORKER_ATTEMPTS_MAX` attempts, and each is assigned and withdrawn at most once.
#[derive(Default)]
pub struct Hub {
    listeners: Mutex<Listeners>,
    /// The scheduler may find something to do.
    pub schedule: Notify,
    /// Workers, masters or configuration changed.
    pub members: Notify,
    /// A worker may have other labels than the scheduler remembers. Taken by each pass.
    pub workers_changed: AtomicBool,
    /// What happened, for people.
    pub events: Events,
    /// This master leads: what it applies is counted. Written by [`crate::node::Node::set_leading`] only.
    pub leads: AtomicBool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().expect("no listener panics under the lock")
    }

    pub fn publish(&self, index: u64, events: Vec<Event>) {
        let mut schedule = false;
        let mut listeners = self.lock();
        for event in events {
            match event {
                Event::Assigned { worker, attempts } => {
                    listeners.tell_session(worker, SessionEvent::Assigned { index, attempts });
                }
                Event::Withdrawn { worker, attempts } => {
                    listeners.tell_session(worker, SessionEvent::Withdrawn { index, attempts });
                }
                Event::WorkerLost { worker } => {
                    listeners.tell_session(worker, SessionEvent::Superseded);
                    schedule = true;
                }
                Event::JobSubmitted { .. } => {}
                Event::JobChanged { job } => listeners.nudge(job),
                Event::JobEnded { job } => listeners.nudge(job),
                Event::CapacityChanged | Event::TasksReady | Event::ConfigChanged => schedule = true,
                Event::WorkerChanged { .. } => {
                    schedule = true;
                    self.workers_changed.store(true, Relaxed);
                    self.members.notify_waiters();
                }
                Event::MasterChanged { .. } => self.members.notify_waiters(),
                Event::Revoked { role, name } => {
                    if let Some(cut) = listeners.cut.clone() {
                        cut(role, &name);
                    }
                }
            }
        }
        drop(listeners);
        if schedule {
            self.schedule.notify_one();
        }
    }

    /// A snapshot replaced the state: every session starts over, every watcher looks again.
    pub fn reset(&self) {
        let mut listeners = self.lock();
        for (_, sender) in listeners.sessions.values() {
            let _ = sender.send(SessionEvent::Superseded);
        }
        listeners.sessions.clear();
        for waiting in listeners.jobs.values() {
            waiting.iter().for_each(|n| n.notify_one());
        }
        drop(listeners);
        self.schedule.notify_one();
        self.members.notify_waiters();
    }

    /// Events of this worker go to the new session from now on; an older one hears that it is over.
    pub fn open_session(&self, worker: WorkerId, session: u64) -> mpsc::UnboundedReceiver<SessionEvent> {
        let (tx, rx) = mpsc::unbounded_channel();
        if let Some((_, old)) = self.lock().sessions.insert(worker, (session, tx)) {
            let _ = old.send(SessionEvent::Superseded);
        }
        rx
    }

    /// False when the worker has no session here.
    pub fn open(&self, worker: WorkerId, open: cloudai_proto::v1::leader_message::Kind) -> bool {
        let listeners = self.lock();
        listeners.sessions.get(&worker).is_some_and(|(_, sender)| sender.send(SessionEvent::Open(open)).is_ok())
    }

    pub fn has_session(&self, worker: WorkerId) -> bool {
        self.lock().sessions.contains_key(&worker)
    }

    /// Workers that have a session here.
    pub fn sessions(&self) -> usize {
        self.lock().sessions.len()
    }

    /// No change when a newer session has taken the place.
    pub fn close_session(&self, worker: WorkerId, session: u64) {
        let mut listeners = self.lock();
        if listeners.sessions.get(&worker).is_some_and(|(s, _)| *s == session) {
            listeners.sessions.remove(&worker);
        }
    }

    /// A nudge at each change of `job`, until the guard is dropped. Register first, then look at the state.
    pub fn watch_job(self: &Arc<Self>, job: JobId) -> JobWatch {
        let notify = Arc::new(Notify::new());
        self.lock().jobs.entry(job).or_default().push(notify.clone());
        JobWatch { hub: self.clone(), job, notify }
    }

    /// Called with each revoked member.
    pub fn on_revoked(&self, cut: impl Fn(MemberRole, &str) + Send + Sync + 'static) {
        self.lock().cut = Some(Arc::new(cut));
    }
}

impl Listeners {
    fn tell_session(&mut self, worker: WorkerId, event: SessionEvent) {
        if let Some((_, sender)) = self.sessions.get(&worker) {
            // A session that just ended does not matter: its successor starts with a full set.
            let _ = sender.send(event);
        }
    }
    fn nudge(&mut self, job: JobId) {
        if let Some(waiting) = self.jobs.get(&job) {
            waiting.iter().for_each(|n| n.notify_one());
        }
    }
}

/// A registered interest in one job.
pub struct JobWatch {
    hub: Arc<Hub>,
    job: JobId,
    notify: Arc<Notify>,
}

impl JobWatch {
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        let mut listeners = self.hub.lock();
        if let Some(waiting) = listeners.jobs.get_mut(&self.job) {
            waiting.retain(|n| !Arc::ptr_eq(n, &self.notify));
            if waiting.is_empty() {
                listeners.jobs.remove(&self.job);
            }
        }
    }
}
