//! Why a gang waits: its tasks start together, and there is room for some of them. Comes in: the view, what a task asks for, how many start
//! together. Goes out: words for people. The pass decides by the same rules, and does not ask here.

use cloudai_core::Hot;
use cloudai_core::hot::Shape;
use cloudai_core::rows::WorkerState;

use crate::filter::members;
use crate::index::Room;
use crate::outlook::room;
use crate::plan::slots;
use crate::reserve::{self, Reservation};
use crate::withheld::Seeker;

/// There is not room for all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lacking {
    /// `30 tasks start together, and there is room for 12 of them now`.
    pub message: String,
    pub fix: String,
    /// Not even with nothing else on the workers.
    pub is_for_ever: bool,
}

/// `None`: so many fit, each with its siblings.
pub(crate) fn lacking(
    view: &Hot,
    reserved: &[Reservation],
    seeker: &Seeker<'_>,
    shape: &Shape,
    tasks: u32,
) -> Option<Lacking> {
    let now = room(view, reserved, seeker, shape, tasks);
    if now >= tasks {
        return None;
    }
    let message = format!("{tasks} tasks start together, and there is room for {now} of them now");
    let [cpu, memory, storage, gpus] = shape.resources.dimensions();
    let each: Room = [cpu, memory, storage, gpus, 1];
    let could = members(view).filter(|(_, w)| w.state == WorkerState::Ready && shape.accepts(w));
    let empty = could.map(|(_, worker)| slots(&reserve::capacity_of(&worker.capacity), &each)).sum::<u64>();
    let fix = if empty < u64::from(tasks) {
        format!(
            "even with nothing else on them, the workers that may take them have room for {empty} of the {tasks}: add workers, \
             or ask for fewer tasks (--array {empty}) or for less"
        )
    } else {
        format!(
            "room for {} more of its tasks: it starts when others have ended, or when a worker is added",
            tasks - now
        )
    };
    Some(Lacking { message, fix, is_for_ever: empty < u64::from(tasks) })
}
