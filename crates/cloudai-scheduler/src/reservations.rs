//! Which workers are reserved, from pass to pass. Comes in: what a pass found blocked, in order, and whether anybody passed it. Goes out: holds
//! that count while the pass goes on, and reservations for the next one. How long a hold lasts is [`crate::reserve`]'s to say.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use cloudai_core::Hot;
use cloudai_core::command::PreemptTasks;
use cloudai_core::hot::ShapeId;
use cloudai_core::nearby::{Beside, Nearby};
use cloudai_types::{JobId, WorkerId, limits};

use crate::index::Room;
use crate::plan::slots;
use crate::preempt;
use crate::reserve::{self, Hold, Reservation, Running};
use crate::roster::{Ask, PlanState, room_of};
use crate::score::share;

/// Workers that one choice of a reservation looks at closely: those that lack least. Each look is one at all that runs there, in jobs that
/// lie far from each other in memory: 64 of them took 30 ms with 300 attempts on each.
const NEAREST_MAX: usize = 8;
/// Choices of one pass; each looks at every worker once.
const CHOICES_MAX: usize = 1;
/// Shapes of one pass that are looked at for a choice and have none: what fits on no worker at all must not keep others from having one.
const VAIN_CHOICES_MAX: usize = 4;
/// So many passes later such a shape is looked at again: a worker may have joined, or one that was kept for another.
const VAIN_FOR_PASSES: usize = 64;

/// A shape that fitted nowhere when its turn came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocked {
    pub shape: ShapeId,
    pub job: JobId,
    pub ask: Ask,
    /// So many start together; 1 but for a gang.
    pub tasks: u32,
    /// What the pass had placed before.
    pub placed_before: u32,
}

impl PlanState {
    /// Its turn has come and it fits nowhere: from now on nobody in this pass is in its way, if it has workers. False: it has
    /// none.
    pub(crate) fn hold_for(&mut self, view: &Hot, blocked: &Blocked) -> bool {
        let own = |r: &Reservation| r.shape == blocked.shape;
        if !self.reservations.iter().any(own) {
            return false;
        }
        if self
            .reservations
            .iter()
            .filter(|r| own(r))
            .any(|r| self.seat_of(r.worker).is_some_and(|seat| self.is_held(seat)))
        {
            // For one of the same shape, which came first.
            return true;
        }
        if blocked.ask.is_gang() {
            // One of another size needs others: what is kept is kept for this very gang, as it is.
            let kept = self.reservations.iter().filter(|r| own(r));
            if kept.clone().any(|r| r.job != blocked.job) || kept.map(|r| r.tasks).sum::<u32>() != blocked.tasks {
                self.reservations.retain(|r| !own(r));
            }
        }
        let mut holds = vec![];
        for at in 0..self.reservations.len() {
            if !own(&self.reservations[at]) {
                continue;
            }
            if self.reservations[at].since_ms == 0 {
                self.reservations[at].since_ms = view.clock_ms.max(1);
            }
            let reservation = self.reservations[at];
            let hold = self.hold_of(view, &reservation, &blocked.ask);
            let Some((hold, seat)) = hold.zip(self.seat_of(reservation.worker)) else {
                self.reservations.retain(|r| !own(r));
                return false;
            };
            holds.push((at, seat, hold));
        }
        // A gang starts when the last of its workers has room.
        let by_ms =
            holds.iter().map(|(_, _, hold)| hold.by_ms).try_fold(0, |latest, by_ms| by_ms.map(|ms| ms.max(latest)));
        for (at, seat, hold) in holds {
            (self.reservations[at].job, self.reservations[at].by_ms) = (blocked.job, by_ms);
            self.hold(seat, &Hold { by_ms, ..hold });
        }
        true
    }

    fn hold_of(&self, view: &Hot, reservation: &Reservation, ask: &Ask) -> Option<Hold> {
        let worker = view.workers.get(&reservation.worker).filter(|worker| worker.is_schedulable())?;
        let seat = self.seat_of(reservation.worker)?;
        let need = reservation.need(ask.room());
        let mut running = self.running_on(view, reservation.worker, worker, reservation.since_ms);
        let capacity = reserve::capacity_of(&worker.capacity);
        let before = reserve::hold(&capacity, &need, &running)?;
        // Who was ahead of it in this very pass is there as well.
        let (was_free, free) = (room_of(worker), self.free(seat));
        let taken: Room = std::array::from_fn(|d| was_free[d].saturating_sub(free[d]));
        if taken == Room::default() {
            return Some(before);
        }
        running.push(Running { holds: taken, ends_ms: None, is_later: true });
        Some(reserve::hold(&capacity, &need, &running).unwrap_or(Hold { by_ms: None, beside: Room::default() }))
    }

    /// Who is to stop for those that are blocked, where their namespaces allow that. The worker is kept for the task until it starts, or until
    /// it waits no more. While somebody stops for a task, nobody else does.
    pub(crate) fn make_room(&mut self, view: &Hot, blocked: &[Blocked]) -> Vec<PreemptTasks> {
        let mut all = vec![];
        if view.preemptible.is_empty() {
            return all;
        }
        let place = |shape| blocked.iter().position(|b| b.shape == shape);
        for (at, b) in blocked.iter().enumerate() {
            // Of one shape the first has its turn, and gets the room: whoever made it for another would have made it in vain.
            if b.ask.is_gang() || place(b.shape) != Some(at) {
                continue;
            }
            if all.len() == limits::PREEMPT_SEARCHES_MAX {
                break;
            }
            let own = self.reservations.iter().position(|r| r.shape == b.shape);
            if own.is_some_and(|at| makes_room(view, self.reservations[at].worker)) {
                continue;
            }
            // What is kept for those behind it may be taken.
            let is_ahead =
                |r: &&Reservation| r.shape != b.shape && (r.is_for_gang || place(r.shape).is_some_and(|p| p < at));
            let others: Vec<WorkerId> = self.reservations.iter().filter(is_ahead).map(|r| r.worker).collect();
            let beside = Nearby::default().of_job(view, b.job);
            let may_take = |worker: WorkerId| {
                let seat = self.seat_of(worker).filter(|_| !others.contains(&worker));
                // Nobody stops where other jobs would keep the task away all the same.
                let is_barred =
                    |beside: &Beside| view.workers.get(&worker).and_then(|w| beside.forbid(worker, w)).is_some();
                seat.is_some_and(|seat| self.could(&b.ask, seat)) && !beside.as_ref().is_some_and(is_barred)
            };
            let Some((worker, preempt)) = preempt::make_room(view, b.job, b.ask.room(), may_take) else { continue };
            self.reservations.retain(|r| r.shape != b.shape && r.worker != worker);
            self.reservations.push(Reservation::of(b, worker, 1, None));
            all.push(preempt);
        }
        all
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
        let (mut choices, mut vain, mut gave_up) = (0, 0, false);
        let passes = self.passes;
        self.vain_choices.retain(|_, pass| passes.wrapping_sub(*pass) < VAIN_FOR_PASSES);
        for (at, b) in blocked.iter().enumerate() {
            if choices == CHOICES_MAX || vain == VAIN_CHOICES_MAX || placed == b.placed_before {
                // Nobody passed it, nor those behind it.
                break;
            }
            if self.reservations.iter().any(|r| r.shape == b.shape) || self.vain_choices.contains_key(&b.shape) {
                continue;
            }
            let kept_for_gang = self.reservations.iter().filter(|r| r.is_for_gang).count();
            if b.ask.is_gang() {
                // One at a time, and whoever has workers keeps them: what two take turns in waiting for, neither gets.
                if kept_for_gang == 0 {
                    let is_ahead = |r: &Reservation| place(r.shape).is_some_and(|place| place < at);
                    let reserved = self.reserve_for_gang(b, is_ahead);
                    let before = self.reservations.len();
                    self.reservations.retain(|r| reserved.iter().all(|own| own.worker != r.worker));
                    gave_up |= self.reservations.len() < before;
                    *(if reserved.is_empty() { &mut vain } else { &mut choices }) += 1;
                    self.note_choice(b.shape, reserved.is_empty());
                    self.insert_reservations(at, reserved, &place);
                }
                continue;
            }
            let mut last = None;
            if self.reservations.len() - kept_for_gang >= most {
                // The first in the queue have them.
                let behind = |r: &Reservation| place(r.shape).is_none_or(|place| place > at);
                let taken = self.reservations.iter().rposition(|r| !r.is_for_gang);
                let Some(taken) = taken.filter(|last| behind(&self.reservations[*last])) else { break };
                last = Some((taken, self.reservations.remove(taken)));
            }
            let reserved = self.reserve(view, b);
            *(if reserved.is_none() { &mut vain } else { &mut choices }) += 1;
            self.note_choice(b.shape, reserved.is_none());
            if let Some((taken, last)) = last {
                match reserved {
                    Some(_) => gave_up = true,
                    None => self.reservations.insert(taken, last),
                }
            }
            self.insert_reservations(at, reserved, &place);
        }
        gave_up
    }

    fn note_choice(&mut self, shape: ShapeId, was_vain: bool) {
        if was_vain {
            self.vain_choices.insert(shape, self.passes);
        }
    }

    /// In the order of the queue.
    fn insert_reservations(
        &mut self,
        at: usize,
        reserved: impl IntoIterator<Item = Reservation>,
        place: &impl Fn(ShapeId) -> Option<usize>,
    ) {
        let earlier = self.reservations.iter().take_while(|r| place(r.shape).is_some_and(|p| p < at)).count();
        self.reservations.splice(earlier..earlier, reserved);
    }

    /// Few workers, as empty as can be, with room for all of a gang when what runs there has ended. None, where even that is not enough. They
    /// may be kept for those behind it, and not for those that are ahead.
    fn reserve_for_gang(&self, blocked: &Blocked, is_ahead: impl Fn(&Reservation) -> bool) -> Vec<Reservation> {
        let each = blocked.ask.room();
        let others: BTreeSet<WorkerId> = self.reservations.iter().filter(|r| is_ahead(r)).map(|r| r.worker).collect();
        let could = self.seats_that_could(&blocked.ask).map(|seat| (self.worker(seat), seat));
        let could = could.filter(|(worker, _)| !others.contains(worker));
        let mut roomy: Vec<(Reverse<u64>, Reverse<u64>, WorkerId)> = could
            .map(|(worker, seat)| {
                let (empty, now) = (slots(&self.capacity(seat), each), slots(&self.free(seat), each));
                (Reverse(empty), Reverse(now), worker)
            })
            .collect();
        if roomy.len() > limits::GANG_WORKERS_KEPT_MAX {
            roomy.select_nth_unstable(limits::GANG_WORKERS_KEPT_MAX);
            roomy.truncate(limits::GANG_WORKERS_KEPT_MAX);
        }
        roomy.sort_unstable();
        let mut left = blocked.tasks;
        let mut reserved = vec![];
        for (Reverse(empty), _, worker) in roomy {
            let tasks = u32::try_from(empty).unwrap_or(u32::MAX).min(left);
            if tasks > 0 {
                left -= tasks;
                reserved.push(Reservation::of(blocked, worker, tasks, None));
            }
        }
        if left > 0 { vec![] } else { reserved }
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
            return Some(Reservation::of(blocked, worker, 1, None));
        }
        let holds = nearest.into_iter().filter_map(|(lacks, worker)| {
            let at = view.workers.get(&worker)?;
            let running = reserve::running_on(view, at, u64::MAX);
            let hold = reserve::hold(&reserve::capacity_of(&at.capacity), need, &running)?;
            Some((hold.by_ms.unwrap_or(u64::MAX), lacks, worker, hold.by_ms))
        });
        let (_, _, worker, by_ms) = holds.min_by_key(|(by, lacks, worker, _)| (*by, *lacks, *worker))?;
        Some(Reservation::of(blocked, worker, 1, by_ms))
    }
}

/// Somebody there is about to stop for another.
fn makes_room(view: &Hot, worker: WorkerId) -> bool {
    let active = view.workers.get(&worker).into_iter().flat_map(|worker| &worker.active);
    active.filter_map(|task| view.attempt(*task)).any(|attempt| attempt.preempted)
}

impl Reservation {
    fn of(blocked: &Blocked, worker: WorkerId, tasks: u32, by_ms: Option<u64>) -> Self {
        let is_for_gang = blocked.ask.is_gang();
        Reservation { shape: blocked.shape, job: blocked.job, worker, tasks, is_for_gang, since_ms: 0, by_ms }
    }
}
