//! Room that is taken on trial: for all tasks of a gang, or for none. Comes in: a beginning, and then an end or a way back. Goes out: offers
//! as they were before. Who is tried is not known here.

use super::{Ask, PlanState};
use crate::index::Room;

#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Seat, what it offered, and what was free there in truth if it is held.
    pub before: Vec<(u32, Room, Option<Room>)>,
    turn: u32,
    only_held: Vec<Ask>,
}

impl PlanState {
    /// What is taken from now on may be given back.
    pub(crate) fn begin_trial(&mut self) {
        self.trial = Some(Trial { before: vec![], turn: self.turn, only_held: self.only_held.clone() });
    }

    /// It stays taken.
    pub(crate) fn end_trial(&mut self) {
        self.trial = None;
    }

    /// It was never taken.
    pub(crate) fn give_back(&mut self) {
        let Some(Trial { before, turn, only_held }) = self.trial.take() else { return };
        (self.turn, self.only_held) = (turn, only_held);
        for (seat, offered, free) in before.into_iter().rev() {
            self.offers[seat as usize].room = offered;
            if let (Some(free), Some(held)) = (free, self.holds.iter_mut().find(|held| held.seat == seat)) {
                held.free = free;
            }
            self.place_in_order(seat);
        }
    }
}
