//! Who was heard of lately. Comes in: renewals and the leader's clock, as arguments. Goes out: workers whose lease ran out,
//! for the leader to propose `LoseWorker`. It reads no clock, and it knows nothing of what the workers run.
//!
//! All of it is the leader's memory and dies with the leadership: a new leader counts one lease for everybody from its own
//! blank entry, and no more.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cloudai_types::{Millis, Timestamp, WorkerId, limits};

/// When at least so many workers are known and more than half of them vanish together, the leader suspects itself.
pub const MASS_LOSS_WORKERS_MIN: usize = 5;

/// Leases of the workers that have a session. A heartbeat touches one entry, whatever the cluster's size: they come by the thousands.
#[derive(Clone, Debug, Default)]
pub struct LeaseTable {
    leases: BTreeMap<WorkerId, Lease>,
    /// Nothing falls due before: most looks at the clock need not look at the leases.
    nothing_due_before: Timestamp,
    /// Set while a mass loss is held back: nobody is lost before.
    held_until: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lease {
    session: u64,
    ends: Timestamp,
    loss: Loss,
}

/// Once its loss has been proposed it may be in the log, and this session is never renewed again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loss {
    /// It is lost when its lease ends.
    None,
    /// Somebody waits for the outcome; the lease's end means nothing.
    Proposed,
    /// Without an outcome: to be proposed once more when the lease ends.
    ProposeAgain,
}

impl Lease {
    fn new(session: u64, now: Timestamp) -> Self {
        Lease { session, ends: now + limits::LEASE, loss: Loss::None }
    }

    /// When something is to be done about it.
    fn due(&self) -> Option<Timestamp> {
        (self.loss != Loss::Proposed).then_some(self.ends)
    }
}

/// What became of a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    Renewed,
    /// From a session that a newer one replaced: not acknowledged.
    StaleSession,
    /// Its loss is on its way to the log, and its tasks to other workers: not acknowledged.
    Losing,
}

/// What a look at the clock found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expiry {
    /// Workers to propose as lost, with the session that was lost, by worker id.
    pub lost: Vec<(WorkerId, u64)>,
    /// A mass loss was held back just now, for so many workers: worth a log line, because the leader itself may be the
    /// one that is cut off.
    pub held: usize,
}

impl LeaseTable {
    /// A new leader's table: everybody has one lease from the leader's own blank entry on.
    pub fn start(now: Timestamp, workers: impl IntoIterator<Item = (WorkerId, u64)>) -> Self {
        let leases = workers.into_iter().map(|(worker, session)| (worker, Lease::new(session, now))).collect();
        LeaseTable { leases, ..LeaseTable::default() }
    }

    /// The leader could acknowledge nothing for a while: everybody has one lease from now, but for those whose loss is proposed.
    pub fn start_over(&mut self, now: Timestamp) {
        for lease in self.leases.values_mut().filter(|lease| lease.loss == Loss::None) {
            *lease = Lease::new(lease.session, now);
        }
    }

    /// A heartbeat or a new session. The caller acknowledges only what was renewed, and only while its own quorum
    /// acknowledgement is fresh.
    pub fn renew(&mut self, worker: WorkerId, session: u64, now: Timestamp) -> Renewal {
        let renewed = Lease::new(session, now);
        match self.leases.entry(worker) {
            Entry::Occupied(known) if known.get().session > session => return Renewal::StaleSession,
            Entry::Occupied(known) if known.get().session == session && known.get().loss != Loss::None => {
                return Renewal::Losing;
            }
            Entry::Occupied(mut known) => *known.get_mut() = renewed,
            Entry::Vacant(place) => {
                place.insert(renewed);
            }
        }
        self.nothing_due_before = self.nothing_due_before.min(renewed.ends);
        Renewal::Renewed
    }

    /// The worker is lost, revoked or gone: there is nothing to watch any more.
    pub fn remove(&mut self, worker: WorkerId) {
        self.leases.remove(&worker);
    }

    /// The log has the loss, or has refused it.
    pub fn lost(&mut self, worker: WorkerId, session: u64) {
        if self.losing(worker, session).is_some() {
            self.remove(worker);
        }
    }

    /// Nobody knows what became of the proposed loss: it is due again after a while. It cannot be taken back.
    pub fn propose_again(&mut self, worker: WorkerId, session: u64, at: Timestamp) {
        if let Some(lease) = self.losing(worker, session) {
            *lease = Lease { session, ends: at, loss: Loss::ProposeAgain };
            self.nothing_due_before = self.nothing_due_before.min(at);
        }
    }

    fn losing(&mut self, worker: WorkerId, session: u64) -> Option<&mut Lease> {
        self.leases.get_mut(&worker).filter(|known| known.session == session && known.loss != Loss::None)
    }

    /// The leases that have ended, each one once: the caller proposes the losses and says what became of each. When most of the
    /// workers vanish at once, none is given up for one more lease.
    pub fn expired(&mut self, now: Timestamp) -> Expiry {
        let mut expiry = Expiry::default();
        // What is overdue when a hold ends is lost: held once, not again.
        let hold_ends = self.held_until.take_if(|until| *until <= now).is_some();
        if now < self.nothing_due_before {
            return expiry;
        }
        if self.held_until.is_none() && !hold_ends && self.is_mass_loss(now) {
            self.held_until = Some(now + limits::LEASE);
            expiry.held = self.due_until(now + limits::HEARTBEAT_PERIOD_MAX);
        }
        for (worker, lease) in self.leases.iter_mut().filter(|(_, lease)| lease.due().is_some_and(|due| due <= now)) {
            match self.held_until {
                Some(until) if lease.loss == Loss::None => lease.ends = until,
                Some(_) | None => {
                    lease.loss = Loss::Proposed;
                    expiry.lost.push((*worker, lease.session));
                }
            }
        }
        self.nothing_due_before = self.next_due().unwrap_or(Timestamp(u64::MAX));
        expiry
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.leases.values().filter_map(Lease::due).min()
    }

    /// How long ago the worker was heard of. `None` for one without a lease.
    pub fn silence(&self, worker: WorkerId, now: Timestamp) -> Option<Millis> {
        let lease = self.leases.get(&worker)?;
        Some(now + limits::LEASE - lease.ends)
    }

    pub fn len(&self) -> usize {
        self.leases.len()
    }

    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// One lease has ended, and most workers have missed so many heartbeats that theirs end within the next period:
    /// workers that fell silent at the same moment end up to one period apart.
    fn is_mass_loss(&self, now: Timestamp) -> bool {
        let watched = self.due_until(Timestamp(u64::MAX));
        watched >= MASS_LOSS_WORKERS_MIN
            && self.due_until(now) > 0
            && self.due_until(now + limits::HEARTBEAT_PERIOD_MAX) * 2 > watched
    }

    fn due_until(&self, end: Timestamp) -> usize {
        self.leases.values().filter_map(Lease::due).filter(|due| *due <= end).count()
    }
}

/// How often a worker is told to send a heartbeat. Small clusters notice sooner; large ones cost the leader less. Up to a
/// twentieth is taken off by `jitter` (any number, for example random bits), so that workers do not beat in step.
pub fn heartbeat_period(workers: usize, jitter: u32) -> Millis {
    let by_size = 1_000 + (workers as u64).min(2_000);
    let period = by_size.min(limits::HEARTBEAT_PERIOD_MAX.0);
    Millis(period - period * u64::from(jitter % 1_000) / 20_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: u64 = limits::LEASE.0;

    fn table(workers: u32) -> LeaseTable {
        LeaseTable::start(Timestamp(0), (1..=workers).map(|w| (WorkerId(w), 7)))
    }

    fn lost(expiry: Expiry) -> Vec<u32> {
        expiry.lost.into_iter().map(|(w, _)| w.0).collect()
    }

    #[test]
    fn a_silent_worker_is_lost_once_after_one_lease() {
        let mut t = table(3);
        assert_eq!(t.renew(WorkerId(1), 7, Timestamp(5_000)), Renewal::Renewed);
        assert_eq!(t.renew(WorkerId(3), 7, Timestamp(5_000)), Renewal::Renewed);
        assert_eq!(t.expired(Timestamp(LEASE - 1)), Expiry::default());
        assert_eq!(t.next_due(), Some(Timestamp(LEASE)));
        assert_eq!(t.expired(Timestamp(LEASE)), Expiry { lost: vec![(WorkerId(2), 7)], held: 0 });
        assert_eq!(t.expired(Timestamp(LEASE)), Expiry::default());
        assert_eq!(t.next_due(), Some(Timestamp(5_000 + LEASE)));
    }

    #[test]
    fn an_older_session_renews_nothing_and_a_newer_one_takes_over() {
        let mut t = table(1);
        assert_eq!(t.renew(WorkerId(1), 9, Timestamp(1_000)), Renewal::Renewed);
        assert_eq!(t.renew(WorkerId(1), 7, Timestamp(11_000)), Renewal::StaleSession);
        assert_eq!(t.silence(WorkerId(1), Timestamp(4_000)), Some(Millis(3_000)));
        assert_eq!(t.expired(Timestamp(1_000 + LEASE)), Expiry { lost: vec![(WorkerId(1), 9)], held: 0 });
    }

    #[test]
    fn most_of_five_vanishing_within_a_period_are_held_once() {
        let mut t = table(5);
        for (worker, last) in [(1, 100), (2, 1_500), (3, 3_000)] {
            t.renew(WorkerId(worker), 7, Timestamp(last));
        }
        let beat = |t: &mut LeaseTable, now: u64| {
            for worker in [4, 5] {
                t.renew(WorkerId(worker), 7, Timestamp(now));
            }
        };
        beat(&mut t, 10_000);
        let first = t.expired(Timestamp(100 + LEASE));
        assert_eq!(first, Expiry { lost: vec![], held: 3 });
        beat(&mut t, 20_000);
        // Their own ends pass during the hold: still nothing.
        assert_eq!(t.expired(Timestamp(3_000 + LEASE)), Expiry::default());
        // One of them is back.
        t.renew(WorkerId(2), 7, Timestamp(22_000));
        assert_eq!(lost(t.expired(Timestamp(100 + 2 * LEASE))), [1, 3]);
        // And the table works as before.
        assert_eq!(lost(t.expired(Timestamp(20_000 + LEASE))), [4, 5]);
    }

    #[test]
    fn below_five_workers_or_half_of_them_nothing_is_held() {
        assert_eq!(lost(table(4).expired(Timestamp(LEASE))), [1, 2, 3, 4]);
        let mut six = table(6);
        for worker in [4, 5, 6] {
            six.renew(WorkerId(worker), 7, Timestamp(10_000));
        }
        assert_eq!(lost(six.expired(Timestamp(LEASE))), [1, 2, 3]);
    }

    #[test]
    fn a_removed_worker_is_not_lost_again() {
        let mut t = table(2);
        t.remove(WorkerId(1));
        t.remove(WorkerId(1));
        assert_eq!(lost(t.expired(Timestamp(LEASE))), [2]);
        t.lost(WorkerId(2), 7);
        assert!(t.is_empty());
    }

    #[test]
    fn what_is_being_lost_is_renewed_by_a_newer_session_only() {
        let mut t = table(1);
        assert_eq!(lost(t.expired(Timestamp(LEASE))), [1]);
        assert_eq!(t.renew(WorkerId(1), 7, Timestamp(LEASE)), Renewal::Losing);
        assert_eq!(t.expired(Timestamp(9 * LEASE)), Expiry::default(), "proposed once");
        t.propose_again(WorkerId(1), 7, Timestamp(10 * LEASE));
        assert_eq!(t.renew(WorkerId(1), 7, Timestamp(9 * LEASE)), Renewal::Losing, "it may be in the log all the same");
        t.start_over(Timestamp(9 * LEASE));
        assert_eq!(t.next_due(), Some(Timestamp(10 * LEASE)), "nor does it get a lease when all others do");
        assert_eq!(lost(t.expired(Timestamp(10 * LEASE))), [1]);
        assert_eq!(t.renew(WorkerId(1), 8, Timestamp(10 * LEASE)), Renewal::Renewed);
        t.lost(WorkerId(1), 7);
        t.propose_again(WorkerId(1), 7, Timestamp(0));
        assert_eq!(t.next_due(), Some(Timestamp(11 * LEASE)), "the newer session has a lease of its own");
    }

    proptest! {
        #[test]
        fn a_heartbeat_period_is_at_most_three_seconds_and_never_zero(workers in 0usize..200_000, jitter in any::<u32>()) {
            let period = heartbeat_period(workers, jitter);
            prop_assert!(period <= limits::HEARTBEAT_PERIOD_MAX && period >= Millis(950));
        }

        /// Whatever the renewals: nobody is lost earlier than one lease after its last one, nor later than two of them plus
        /// the time between looks.
        #[test]
        fn a_loss_comes_after_one_lease_and_before_a_third(
            beats in prop::collection::vec((1u32..12, 0u64..60_000), 0..200), workers in 1u32..12,
        ) {
            let mut t = table(workers);
            let mut last: BTreeMap<u32, u64> = (1..=workers).map(|w| (w, 0)).collect();
            let mut beats = beats;
            beats.sort_by_key(|(_, at)| *at);
            let mut next = beats.into_iter().filter(|(w, _)| *w <= workers).peekable();
            for now in (0..120_000u64).step_by(250) {
                while let Some((w, at)) = next.next_if(|(_, at)| *at <= now) {
                    if last.contains_key(&w) {
                        t.renew(WorkerId(w), 7, Timestamp(at));
                        last.insert(w, at);
                    }
                }
                for (w, session) in t.expired(Timestamp(now)).lost {
                    t.lost(w, session);
                    let silent = now - last.remove(&w.0).expect("it was alive");
                    prop_assert!((LEASE..=2 * LEASE + 500).contains(&silent), "{} silent for {}", w, silent);
                }
            }
            prop_assert!(last.is_empty() && t.is_empty());
        }
    }
}
