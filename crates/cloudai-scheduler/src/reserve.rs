//! Big tasks do not starve: the first task of a shape that fits nowhere gets a worker reserved as soon as others pass it. Comes in: what the
//! worker has, what runs there and until when, what the task needs. Goes out: how much of the worker others may have meanwhile, and until
//! when they may have more. Which task comes first, and which worker is taken, is decided by the pass.
//!
//! EASY backfill ([`crate::backfill`]) on one machine and in several dimensions: who passes either has ended by the time at which the task
//! can start, or takes what is left beside it. Times are made from hard limits. An attempt without one ends sometime: if it ran before the
//! reservation was made, the reservation waits for it; if it came later, it counts as if it stayed for ever. So the task waits for no
//! attempt without a limit that began after it was first passed.

use cloudai_core::Hot;
use cloudai_core::hot::{ShapeId, Worker};
use cloudai_types::{JobId, Resources, TaskId, WorkerId, limits};

use crate::index::{DIMENSIONS, Room};

/// A worker kept for the first task of a shape; for a gang one of several. The leader's memory only: a new leader makes its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reservation {
    pub shape: ShapeId,
    /// Whose task was first when it was made, or is since.
    pub job: JobId,
    pub worker: WorkerId,
    /// So many tasks of the job are to have room there at once: more than one for a gang.
    pub tasks: u32,
    /// Others are kept for the same job, and it starts when all of them have room.
    pub is_for_gang: bool,
    /// Replicated time from which on others may not be in its way: of the pass after the one that made it, which sees what passed until then.
    /// 0: that has not come yet.
    pub since_ms: u64,
    /// When the task can start at the latest, by the limits of what runs there; a gang, by what runs on all its workers. `None`: something
    /// without a limit has to end first.
    pub by_ms: Option<u64>,
}

impl Reservation {
    /// What is to be free there.
    pub(crate) fn need(&self, each: &Room) -> Room {
        times(each, self.tasks)
    }
}

pub(crate) fn times(each: &Room, tasks: u32) -> Room {
    each.map(|n| n.saturating_mul(u64::from(tasks)))
}

/// An attempt as a reservation sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    pub holds: Room,
    /// Replicated time at which its limit ends. `None`: it has none.
    pub ends_ms: Option<u64>,
    /// It began after the reservation was made.
    pub is_later: bool,
}

/// What others may do on a reserved worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// As [`Reservation::by_ms`].
    pub by_ms: Option<u64>,
    /// What is left beside the task, whatever has ended by then.
    pub beside: Room,
}

/// For a task that needs `need` on a worker of this capacity. `None`: it would not fit if all that can end had ended.
pub fn hold(capacity: &Room, need: &Room, running: &[Running]) -> Option<Hold> {
    if running.iter().all(|attempt| attempt.ends_ms.is_none()) {
        return hold_until(
            capacity,
            need,
            running,
            |attempt| if attempt.is_later { Ends::Stays } else { Ends::Sometime },
        );
    }
    let by_limits = hold_until(capacity, need, running, |attempt| match attempt.ends_ms {
        Some(ms) => Ends::By(ms),
        None if attempt.is_later => Ends::Stays,
        None => Ends::Sometime,
    })?;
    if by_limits.by_ms.is_some() {
        return Some(by_limits);
    }
    // Nobody knows until when: a limit says nothing then, and who came later, one after the other, could be in the way for ever.
    hold_until(capacity, need, running, |attempt| if attempt.is_later { Ends::Stays } else { Ends::Sometime })
}

/// In the order in which room becomes free.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Ends {
    By(u64),
    Sometime,
    Stays,
}

fn hold_until(capacity: &Room, need: &Room, running: &[Running], ends: impl Fn(&Running) -> Ends) -> Option<Hold> {
    let mut order: Vec<(Ends, Room)> = running.iter().map(|attempt| (ends(attempt), attempt.holds)).collect();
    order.sort_unstable_by_key(|(ends, _)| *ends);
    // From the back: who may stay, until one of them would be in the task's way.
    let mut left = *capacity;
    let mut awaited = order.len();
    while let Some((_, holds)) = awaited.checked_sub(1).and_then(|at| order.get(at)) {
        match without(&left, holds).filter(|less| covers(less, need)) {
            Some(less) => (left, awaited) = (less, awaited - 1),
            None => break,
        }
    }
    let by = awaited.checked_sub(1).and_then(|at| order.get(at)).map(|(ends, _)| *ends);
    let by_ms = match by {
        None => Some(0),
        Some(Ends::By(ms)) => Some(ms),
        Some(Ends::Sometime) => None,
        Some(Ends::Stays) => return None,
    };
    // Whoever ends at that very time is out of the way as well.
    for (_, holds) in order.iter().skip(awaited).take_while(|(ends, _)| Some(*ends) == by) {
        left.iter_mut().zip(holds).for_each(|(left, held)| *left = left.saturating_add(*held));
    }
    Some(Hold { by_ms, beside: without(&left, need)? })
}

fn covers(room: &Room, need: &Room) -> bool {
    (0..DIMENSIONS).all(|d| room[d] >= need[d])
}

fn without(room: &Room, held: &Room) -> Option<Room> {
    covers(room, held).then(|| std::array::from_fn(|d| room[d] - held[d]))
}

/// What a worker has when it is empty.
pub(crate) fn capacity_of(capacity: &Resources) -> Room {
    let [cpu, memory, storage, gpus] = capacity.dimensions();
    [cpu, memory, storage, gpus, limits::WORKER_ATTEMPTS_MAX as u64]
}

/// An attempt, whenever a reservation was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attempt {
    pub holds: Room,
    assigned_ms: u64,
    ends_ms: Option<u64>,
    /// Neither of these will be another one: it has no limit, or has started, which is what the limit counts from; and it makes room for nobody.
    pub is_settled: bool,
}

impl Attempt {
    pub fn seen_since(&self, since_ms: u64) -> Running {
        Running { holds: self.holds, ends_ms: self.ends_ms, is_later: self.assigned_ms > since_ms }
    }
}

/// The live attempt of a task.
pub(crate) fn attempt(view: &Hot, task: TaskId) -> Option<Attempt> {
    let job = view.jobs.get(&task.job)?;
    let attempt = job.active.get(&task.index)?;
    let [cpu, memory, storage, gpus] =
        if attempt.released { [0; 4] } else { view.needs(job, attempt.memory_mib).dimensions() };
    // What it prepares before it starts has no limit of its own.
    let began_ms = attempt.started_ms.max(attempt.assigned_ms);
    let limit_ms = view.time_limit_ms(task.job);
    // Who makes room for another has as good as ended.
    let ends_ms = if attempt.preempted { Some(0) } else { (limit_ms > 0).then(|| began_ms.saturating_add(limit_ms)) };
    Some(Attempt {
        holds: [cpu, memory, storage, gpus, 1],
        assigned_ms: attempt.assigned_ms,
        ends_ms,
        is_settled: (limit_ms == 0 || attempt.started_ms > 0) && !view.preemptible.contains(&task.job),
    })
}

/// What runs there, for a reservation that was made at `since_ms`.
pub(crate) fn running_on(view: &Hot, worker: &Worker, since_ms: u64) -> Vec<Running> {
    let attempts = worker.active.iter().filter_map(|task| attempt(view, *task));
    attempts.map(|attempt| attempt.seen_since(since_ms)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cpu(n: u64) -> Room {
        [n, 0, 0, 0, 1]
    }

    /// CPUs, and the end of the limit.
    type Attempt = (u64, Option<u64>);

    /// On 32 CPUs, with some that ran before and some that came later.
    fn held(need: u64, before: &[Attempt], later: &[Attempt]) -> Option<(Option<u64>, u64)> {
        let of = |of: &[Attempt], is_later| {
            let of = of.iter().map(|(n, ends_ms)| Running { holds: cpu(*n), ends_ms: *ends_ms, is_later });
            of.collect::<Vec<_>>()
        };
        let running = [of(before, false), of(later, true)].concat();
        let hold = hold(&[32, 0, 0, 0, 100], &cpu(need), &running)?;
        Some((hold.by_ms, hold.beside[0]))
    }

    #[test]
    fn the_task_starts_when_enough_limits_have_ended() {
        let four = [(8, Some(30)), (8, Some(10)), (8, Some(20)), (8, Some(20))];
        assert_eq!(held(8, &four, &[]), Some((Some(10), 0)));
        assert_eq!(held(10, &four, &[]), Some((Some(20), 14)), "both that end at 20 are gone then");
        assert_eq!(held(30, &four, &[]), Some((Some(30), 2)));
        assert_eq!(held(33, &four, &[]), None);
        assert_eq!(held(20, &[(8, Some(30))], &[]), Some((Some(0), 4)), "it could start now");
    }

    #[test]
    fn who_ran_before_ends_sometime_and_who_came_later_stays() {
        let (before, later) = ([(10, None), (6, Some(50))], [(4, None)]);
        assert_eq!(held(12, &before, &later), Some((Some(0), 0)), "12 of 32 are free");
        assert_eq!(held(18, &before, &later), Some((Some(50), 0)));
        assert_eq!(held(20, &before, &later), Some((None, 8)), "the 10 have to end, and the 6 are not counted on");
        assert_eq!(held(28, &before, &later), Some((None, 0)));
        assert_eq!(held(29, &before, &later), None, "the 4 are in its way for ever");
    }

    #[test]
    fn without_a_time_a_limit_lets_nobody_pass() {
        assert_eq!(held(30, &[(32, None)], &[]), Some((None, 2)));
        assert_eq!(held(30, &[(30, None)], &[(2, Some(9))]), Some((None, 0)), "what it took is not given twice");
    }

    proptest! {
        /// The promise: whoever passes, the task has its room at its time; without one, when those that ran before it have ended.
        #[test]
        fn who_passes_is_never_in_the_way(
            before in prop::collection::vec((1u64..9, prop::option::of(1u64..60)), 0..8),
            need in 1u64..33,
            passing in prop::collection::vec((1u64..9, prop::option::of(1u64..90)), 0..20),
        ) {
            let taken = |of: &[Attempt]| of.iter().map(|(n, _)| n).sum::<u64>();
            let mut there: Vec<Attempt> = vec![];
            for attempt in before {
                if taken(&there) + attempt.0 <= 32 {
                    there.push(attempt);
                }
            }
            let first = held(need, &there, &[]).expect("nothing stays for ever");
            let mut later = vec![];
            // Each look is a new one, as each pass of the scheduler is.
            for (n, limit) in passing {
                let (by_ms, beside) = held(need, &there, &later).expect("nobody that passes is in its way");
                let free = 32 - taken(&there) - taken(&later);
                let ends_in_time = limit.zip(by_ms).is_some_and(|(limit, by_ms)| limit <= by_ms);
                if n <= free && (ends_in_time || n <= beside) {
                    later.push((n, limit));
                }
            }
            let still_there = |of: &[Attempt], at: u64| {
                let of = of.iter().filter(|(_, ends_ms)| ends_ms.is_none_or(|ends_ms| ends_ms > at));
                of.map(|(n, _)| n).sum::<u64>()
            };
            let in_the_way = match first.0 {
                Some(by_ms) => still_there(&there, by_ms) + still_there(&later, by_ms),
                None => taken(&later),
            };
            prop_assert!(in_the_way + need <= 32, "{in_the_way} are in the way of {need}");
        }
    }
}
