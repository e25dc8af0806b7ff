//! Which workers are reserved, from pass to pass. Comes in: what a pass found blocked, in order, and whether anybody passed it. Goes out: holds
//! that count while the pass goes on, and reservations for the next one. How long a hold lasts is [`crate::reserve`]'s to say.

use cloudai_core::Hot;
use cloudai_core::hot::ShapeId;
use cloudai_types::{JobId, WorkerId, limits};

use crate::index::Room;
use crate::reserve::{self, Hold, Reservation, Running};
use crate::roster::{Ask, PlanState, room_of};
use crate::score::share;

/// Workers that one choice of a reservation looks at closely: those that lack least. Each look is one at all that runs there, in jobs that
/// lie far from each other in memory: 64 of them took 30 ms with 300 attempts on each.
const NEAREST_MAX: usize = 8;
/// Choices of one pass; each looks at every worker once.
const CHOICES_MAX: usize = 1;

/// A shape that fitted nowhere when its turn came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocked {
    pub shape: ShapeId,
    pub job: JobId,
    pub ask: Ask,
    /// What the pass had placed before.
    pub placed_before: u32,
}

impl PlanState {
    /// Its turn has come and it fits nowhere: from now on nobody in this pass is in its way, if it has a worker.
    pub(crate) fn hold_for(&mut self, view: &Hot, blocked: &Blocked) {
        let Some(at) = self.reservations.iter().position(|r| r.shape == blocked.shape) else { return };
        if self.seat_of(self.reservations[at].worker).is_some_and(|seat| self.is_held(seat)) {
            // For one of the same shape, which came first.
            return;
        }
        if self.reservations[at].since_ms == 0 {
            self.reservations[at].since_ms = view.clock_ms.max(1);
        }
        let reservation = self.reservations[at];
        let hold = self.hold_of(view, &reservation, &blocked.ask);
        let seat = self.seat_of(reservation.worker);
        match (hold, seat) {
            (Some(hold), Some(seat)) => {
                self.reservations[at].job = blocked.job;
                self.reservations[at].by_ms = hold.by_ms;
                self.hold(seat, &hold);
            }
            _ => {
                self.reservations.remove(at);
            }
        }
    }

    fn hold_of(&self, view: &Hot, reservation: &Reservation, ask: &Ask) -> Option<Hold> {
        let worker = view.workers.get(&reservation.worker).filter(|worker| worker.is_schedulable())?;
        let seat = self.seat_of(reservation.worker)?;
        let mut running = reserve::running_on(view, worker, reservation.since_ms);
        let capacity = reserve::capacity_of(&worker.capacity);
        let before = reserve::hold(&capacity, ask.room(), &running)?;
        // Who was ahead of it in this very pass is there as well.
        let (was_free, free) = (room_of(worker), self.free(seat));
        let taken: Room = std::array::from_fn(|d| was_free[d].saturating_sub(free[d]));
        if taken == Room::default() {
            return Some(before);
        }
        running.push(Running { holds: taken, ends_ms: None, is_later: true });
        Some(reserve::hold(&capacity, ask.room(), &running).unwrap_or(Hold { by_ms: None, beside: Room::default() }))
    }

    /// After a pass. `blocked`: in the order of the queue; `complete`: the pass saw all of it. True when a worker was given up that the pass
    /// kept from others: there may be something for them.
    #[must_use]
    pub(crate) fn renew_reservations(&mut self, view: &Hot, blocked: &[Blocked], placed: u32, complete: bool) -> bool {
        let place = |shape| blocked.iter().position(|b| b.shape == shape);
        if !self.reservations.is_empty() {
            self.reservations.retain(|r| !complete || place(r.shape).is_some());
            self.reservations.sort_by_key(|r| place(r.shape).unwrap_or(usize::MAX));
        }
        let most = (self.schedulable() / limits::RESERVED_WORKERS_PART).clamp(1, limits::RESERVATIONS_MAX);
        let (mut choices, mut gave_up) = (0, false);
        for (at, b) in blocked.iter().enumerate() {
            if choices == CHOICES_MAX || placed == b.placed_before {
                // Nobody passed it, nor those behind it.
                break;
            }
            if self.reservations.iter().any(|r| r.shape == b.shape) {
                continue;
            }
            if self.reservations.len() >= most {
                // The first in the queue have them.
                let last = self.reservations.last().and_then(|r| place(r.shape));
                if last.is_none_or(|last| last < at) {
                    break;
                }
                self.reservations.pop();
                gave_up = true;
            }
            choices += 1;
            if let Some(reservation) = self.reserve(view, b) {
                let earlier = self.reservations.iter().take_while(|r| place(r.shape).is_some_and(|p| p < at)).count();
                self.reservations.insert(earlier, reservation);
            }
        }
        gave_up
    }

    /// The worker on which it can start first, as far as limits tell; where they do not, the one that lacks least.
    fn reserve(&self, view: &Hot, blocked: &Blocked) -> Option<Reservation> {
        let need = blocked.ask.room();
        let mut nearest: Vec<(u32, WorkerId)> = vec![];
        for seat in self.seats_that_could(&blocked.ask) {
            let worker_id = self.worker(seat);
            if self.reservations.iter().any(|r| r.worker == worker_id) {
                continue;
            }
            let (capacity, free) = (self.capacity(seat), self.free(seat));
            let lacks = |d: usize| share(need[d].saturating_sub(free[d]), capacity[d]);
            if (0..need.len()).all(|d| need[d] <= capacity[d]) {
                nearest.push(((0..need.len()).map(lacks).max().unwrap_or(0), worker_id));
            }
        }
        if nearest.len() > NEAREST_MAX {
            nearest.select_nth_unstable(NEAREST_MAX);
            nearest.truncate(NEAREST_MAX);
        }
        if view.time_limits.is_empty() {
            // Nobody knows when anything ends.
            let (_, worker) = nearest.into_iter().min()?;
            return Some(Reservation { shape: blocked.shape, job: blocked.job, worker, since_ms: 0, by_ms: None });
        }
        let holds = nearest.into_iter().filter_map(|(lacks, worker)| {
            let at = view.workers.get(&worker)?;
            let running = reserve::running_on(view, at, u64::MAX);
            let hold = reserve::hold(&reserve::capacity_of(&at.capacity), need, &running)?;
            Some((hold.by_ms.unwrap_or(u64::MAX), lacks, worker, hold.by_ms))
        });
        let (_, _, worker, by_ms) = holds.min_by_key(|(by, lacks, worker, _)| (*by, *lacks, *worker))?;
        Some(Reservation { shape: blocked.shape, job: blocked.job, worker, since_ms: 0, by_ms })
    }
}
