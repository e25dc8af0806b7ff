//! Leases of workers, in the leader's memory. Comes in: heartbeats from sessions, time. Goes out: `LoseWorker` proposals. The
//! decisions are the scheduler crate's [`LeaseTable`]; this is its loop and its lock.

use std::sync::{Mutex, MutexGuard};

use cloudai_core::command::{Kind, LoseWorker};
use cloudai_core::rows::WorkerState;
use cloudai_core::{Command, Hot};
use cloudai_scheduler::{LeaseTable, Renewal, heartbeat_period};
use cloudai_types::{Millis, Timestamp, WorkerId, limits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::state_store::StateStore;

/// How often leases are looked at: a small part of the lease, and no work unless one has run out.
const LOOK_EVERY: Millis = Millis(250);
/// A loss without an outcome waits so long before it is proposed once more.
const PROPOSE_AGAIN_AFTER: Millis = Millis(1_000);

/// Leases count on this process's monotonic clock, never on wall time.
pub struct Liveness {
    started: Instant,
    table: Mutex<LeaseTable>,
}

impl Default for Liveness {
    fn default() -> Self {
        Liveness { started: Instant::now(), table: Mutex::new(LeaseTable::default()) }
    }
}

impl Liveness {
    fn now(&self) -> Timestamp {
        Timestamp(self.started.elapsed().as_millis() as u64)
    }

    /// A new leader counts one lease from its own blank entry for every worker that was ready, and no more.
    pub fn begin(&self, hot: &Hot) {
        let ready = hot.workers.iter().filter(|(_, w)| w.state == WorkerState::Ready);
        *self.lock() = LeaseTable::start(self.now(), ready.map(|(id, w)| (*id, w.session)));
    }

    fn lock(&self) -> MutexGuard<'_, LeaseTable> {
        self.table.lock().expect("the lease table does not panic")
    }

    /// When the worker shall send its next heartbeat; `jitter` is any number, so that workers do not beat in step. `None` when a newer session
    /// has taken this one's place, or its loss is proposed: it must not be acknowledged.
    pub fn renew(&self, worker: WorkerId, session: u64, jitter: u32) -> Option<Millis> {
        let now = self.now();
        let mut table = self.lock();
        match table.renew(worker, session, now) {
            Renewal::Renewed => Some(heartbeat_period(table.len(), jitter)),
            Renewal::StaleSession | Renewal::Losing => None,
        }
    }

    /// How long ago a worker was heard of; leader only.
    pub fn silence(&self, worker: WorkerId) -> Option<Millis> {
        self.lock().silence(worker, self.now())
    }

    /// As [`Liveness::begin`], but a loss that is proposed may still take effect.
    fn start_over(&self) {
        self.lock().start_over(self.now());
    }

    fn lost(&self, worker: WorkerId, session: u64) {
        self.lock().lost(worker, session);
    }

    fn propose_again(&self, worker: WorkerId, session: u64) {
        self.lock().propose_again(worker, session, self.now() + PROPOSE_AGAIN_AFTER);
    }

    fn expired(&self) -> Vec<(WorkerId, u64)> {
        let expiry = self.lock().expired(self.now());
        if expiry.held > 0 {
            tracing::error!(
                workers = expiry.held,
                "most workers fell silent at once: this leader may be the one that is cut off, and waits one more lease"
            );
        }
        expiry.lost
    }
}

/// Runs while this master leads.
pub async fn run<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY.as_duration());
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut alone_since: Option<Instant> = None;
    loop {
        tokio::select! {
            () = leading.cancelled() => return,
            _ = look.tick() => {}
        }
        // A leader without a majority cannot lose anybody: it may itself be what is cut off.
        if !node.quorum_ack_is_fresh() {
            alone_since.get_or_insert_with(Instant::now);
            continue;
        }
        if alone_since.take().is_some_and(|since| since.elapsed() >= limits::HEARTBEAT_PERIOD_MAX.as_duration()) {
            // It has acknowledged no renewal all that time, however many came: everybody has one lease from now, as with a new leader.
            tracing::info!("a majority answers this leader again: leases start over");
            node.liveness.start_over();
        }
        for (worker, session) in node.liveness.expired() {
            tracing::warn!(%worker, session, "the worker was not heard of for its whole lease: it is lost");
            node.metrics.leader.leases_expired.inc();
            let lose = LoseWorker { worker: worker.0, session };
            // Refused when it has registered again. Without an outcome it may still take effect, and its tasks may run
            // elsewhere: until there is one, this session is not renewed, and the loss is proposed again.
            match node.proposer.propose(Command::new("leader", Kind::LoseWorker(lose))).await {
                Ok(_) => node.liveness.lost(worker, session),
                Err(error) => {
                    tracing::warn!(%worker, %error, "the loss of a worker has no outcome yet");
                    node.liveness.propose_again(worker, session);
                }
            }
        }
    }
}
