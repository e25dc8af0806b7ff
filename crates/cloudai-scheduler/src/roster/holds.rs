//! Workers of which others may have only a part, while a pass goes on. Comes in: a hold for a seat, when the task that it is kept for has
//! come and fits nowhere. Goes out: offers that say what is left beside it, and who may take more by having ended in time.

use super::{Ask, Choice, Place, PlanState};
use crate::index::{Offer, Room};
use crate::reserve::Hold;

/// A seat of which others may have only what is left beside a reservation: its offer says so while the hold lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldSeat {
    pub seat: u32,
    /// What is free there in truth.
    pub free: Room,
    /// Who has ended by then may take more of it.
    pub by_ms: Option<u64>,
}

impl PlanState {
    /// Others get only what is left beside the reservation from now on.
    pub(crate) fn hold(&mut self, seat: u32, hold: &Hold) {
        let offered = &mut self.offers[seat as usize].room;
        self.holds.push(HeldSeat { seat, free: *offered, by_ms: hold.by_ms });
        *offered = lesser(offered, &hold.beside);
        self.place_in_order(seat);
    }

    pub(crate) fn is_held(&self, seat: u32) -> bool {
        self.holds.iter().any(|held| held.seat == seat)
    }

    /// The pass is over: offers are what is free.
    pub(crate) fn release_holds(&mut self) {
        self.only_held.clear();
        for held in std::mem::take(&mut self.holds) {
            self.offers[held.seat as usize].room = held.free;
            self.place_in_order(held.seat);
        }
    }

    /// What is free there, reserved or not.
    pub(crate) fn free(&self, seat: u32) -> Room {
        let held = self.holds.iter().find(|held| held.seat == seat);
        held.map_or(self.offers[seat as usize].room, |held| held.free)
    }

    /// On a worker that is reserved, by having ended before it is needed.
    pub(super) fn in_time(&self, ask: &Ask, but: &[Option<u32>], ends_ms: Option<u64>) -> Option<Choice> {
        let seat = self.in_time_where(ask, ends_ms, |seat| !but.contains(&Some(seat)))?;
        Some(Choice::Seat(Place { seat, in_time: true }))
    }

    /// The same, of some seats.
    pub(super) fn in_time_where(&self, ask: &Ask, ends_ms: Option<u64>, may: impl Fn(u32) -> bool) -> Option<u32> {
        let in_time = |held: &&HeldSeat| held.by_ms.zip(ends_ms).is_some_and(|(by_ms, ends_ms)| ends_ms <= by_ms);
        let mut held = self.holds.iter().filter(in_time);
        Some(held.find(|held| may(held.seat) && self.is_free_for(held, ask))?.seat)
    }

    /// For what fits nowhere else.
    pub(super) fn where_held(&self, ask: &Ask, but: &[Option<u32>], ends_ms: Option<u64>) -> Choice {
        let otherwise = if self.fits_where_held(ask) { Choice::HeldBack } else { Choice::FitsNowhere };
        self.in_time(ask, but, ends_ms).unwrap_or(otherwise)
    }

    /// The last moment by which somebody may have ended on a kept worker; `None`: nobody passes by ending.
    pub(crate) fn passes_until_ms(&self) -> Option<u64> {
        self.holds.iter().filter_map(|held| held.by_ms).max()
    }

    pub(super) fn fits_where_held(&self, ask: &Ask) -> bool {
        self.holds.iter().any(|held| self.is_free_for(held, ask))
    }

    fn is_free_for(&self, held: &HeldSeat, ask: &Ask) -> bool {
        let marks = self.offers[held.seat as usize].marks;
        Offer { room: held.free, marks }.admits(&ask.offer) && self.meets(ask, held.seat)
    }
}

pub(super) fn lesser(a: &Room, b: &Room) -> Room {
    std::array::from_fn(|d| a[d].min(b[d]))
}
