//! How a task that waits comes to its start without any change. Comes in: what [`crate::explain()`] has found in its way; for its room the view.
//! Goes out: what an estimate of its start looks at. How many were started lately is the caller's to know.

use cloudai_core::Hot;
use cloudai_core::hot::{Shape, Worker};
use cloudai_types::limits;

use crate::estimate::{Estimate, RoomBy, estimate};
use crate::explain::Ahead;
use crate::filter::{self, ready};
use crate::pace::Lately;
use crate::reserve::{self, Reservation};
use crate::withheld::Turn;

/// How a task comes to its start without any change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Prospect {
    /// It does not, or a worker is kept for it, which the smallest change tells; or it does not wait.
    #[default]
    Unknown,
    /// Nothing is in its way but who comes first.
    Turn,
    /// Others have to end. Where it is known: a worker that has room by the time limits of what runs there.
    Room(Option<RoomBy>),
}

impl Prospect {
    /// When it starts, about, behind so many. `None`: at once, or nobody can say that it does.
    pub fn start(&self, ahead: Ahead, turn: Option<Turn>, lately: Lately) -> Option<Estimate> {
        match self {
            Prospect::Unknown => None,
            Prospect::Turn if ahead == Ahead::default() && turn.is_none_or(|turn| turn.before == 0) => None,
            Prospect::Turn => Some(estimate(ahead, lately, None)),
            Prospect::Room(room) => Some(estimate(ahead, lately, room.clone())),
        }
    }
}

/// Of the workers that nobody has kept: the first that has room, when all limits there have ended that must.
pub(crate) fn room_by(view: &Hot, reserved: &[Reservation], shape: &Shape) -> Option<RoomBy> {
    let [cpu, memory, storage, gpus] = shape.resources.dimensions();
    let takes = filter::members(view).filter(|(id, worker)| {
        ready::check(worker).is_none() && shape.accepts(worker) && reserved.iter().all(|r| r.worker != *id)
    });
    let by_ms = |worker: &Worker| {
        let running = reserve::running_on(view, worker, u64::MAX);
        reserve::hold(&reserve::capacity_of(&worker.capacity), &[cpu, memory, storage, gpus, 1], &running)?.by_ms
    };
    let rooms = takes.take(limits::ESTIMATE_WORKERS_MAX).filter_map(|(_, worker)| Some((by_ms(worker)?, worker)));
    let (by_ms, worker) = rooms.min_by_key(|(by_ms, _)| *by_ms)?;
    Some(RoomBy { worker: worker.name.clone(), in_ms: by_ms.saturating_sub(view.clock_ms) })
}
