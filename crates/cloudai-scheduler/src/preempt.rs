//! Who makes room for a task that fits nowhere. Comes in: the view, the task, and what its namespace allows. Goes out: a worker, and attempts
//! there that are to be stopped: of the same namespace, of a lower priority, of jobs that say they may be restarted. `apply` looks at each of
//! them again. Whether the room is kept for the task is not decided here.
//!
//! As little as possible is lost: first the worker whose highest victim is lowest, then the one with the fewest victims; among a worker's
//! attempts those of the lowest priority first, and of those the ones that began last.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::command::{AttemptKey, AttemptState, PreemptTasks};
use cloudai_types::{JobId, TaskId, WorkerId, limits};

use crate::index::{DIMENSIONS, Room};
use crate::roster::room_of;

/// An attempt that may be stopped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Victim {
    priority: i16,
    began_ms: Reverse<u64>,
    task: TaskId,
    number: u32,
    holds: Room,
}

/// Where a task of `job`, which asks for `need`, could start if others made room; only on a worker that `may_take` it. `None`: nowhere, it
/// may not, or somebody makes room for it already.
pub(crate) fn make_room(
    view: &Hot,
    job: JobId,
    need: &Room,
    may_take: impl Fn(WorkerId) -> bool,
) -> Option<(WorkerId, PreemptTasks)> {
    let first = view.jobs.get(&job)?;
    if !view.tenants.get(first.namespace)?.quota.preempt {
        return None;
    }
    let mut by_worker: BTreeMap<WorkerId, Vec<Victim>> = BTreeMap::new();
    let mut looks = limits::PREEMPT_LOOKS_MAX;
    for id in &view.preemptible {
        let Some(job) = view.jobs.get(id) else { continue };
        if job.namespace != first.namespace || job.priority >= first.priority || job.cancel_requested {
            continue;
        }
        for (index, attempt) in &job.active {
            if looks == 0 {
                break;
            }
            looks -= 1;
            if attempt.preempted || attempt.state >= AttemptState::Storing {
                continue;
            }
            let [cpu, memory, storage, gpus] = view.needs(job, attempt.memory_mib).dimensions();
            by_worker.entry(attempt.worker).or_default().push(Victim {
                priority: job.priority,
                began_ms: Reverse(attempt.assigned_ms),
                task: TaskId { job: *id, index: *index },
                number: attempt.number,
                holds: [cpu, memory, storage, gpus, 1],
            });
        }
    }
    let choices = by_worker.into_iter().filter(|(worker, _)| may_take(*worker)).filter_map(|(id, victims)| {
        let victims = enough(&room_of(view.workers.get(&id)?), need, victims)?;
        let highest = victims.iter().map(|victim| victim.priority).max()?;
        Some(((highest, victims.len(), id), victims))
    });
    let ((_, _, worker), victims) = choices.min_by_key(|(cost, _)| *cost)?;
    let victims = victims.iter().map(|v| AttemptKey { job: v.task.job.0, index: v.task.index, number: v.number });
    Some((worker, PreemptTasks { job: job.0, victims: victims.collect() }))
}

/// Those of them without whom there is not enough room. `None`: there is not even without all of them.
fn enough(free: &Room, need: &Room, mut victims: Vec<Victim>) -> Option<Vec<Victim>> {
    let covers = |room: &Room| (0..DIMENSIONS).all(|d| room[d] >= need[d]);
    let with =
        |room: &Room, victim: &Victim| -> Room { std::array::from_fn(|d| room[d].saturating_add(victim.holds[d])) };
    victims.sort_unstable();
    let mut room = *free;
    let taken = victims.iter().take_while(|victim| {
        let goes_on = !covers(&room);
        if goes_on {
            room = with(&room, victim);
        }
        goes_on
    });
    let taken = taken.count();
    if !covers(&room) {
        return None;
    }
    victims.truncate(taken);
    // From the highest priority down: who is not needed after all may stay.
    for at in (0..victims.len()).rev() {
        let without: Room = std::array::from_fn(|d| room[d] - victims[at].holds[d]);
        if covers(&without) {
            room = without;
            victims.remove(at);
        }
    }
    (!victims.is_empty()).then_some(victims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(priority: i16, began_ms: u64, cpu: u64) -> Victim {
        let task = TaskId { job: JobId(began_ms), index: 0 };
        Victim { priority, began_ms: Reverse(began_ms), task, number: 1, holds: [cpu, 0, 0, 0, 1] }
    }

    /// When those began that have to go.
    fn gone(free: u64, need: u64, victims: &[Victim]) -> Option<Vec<u64>> {
        let victims = enough(&[free, 0, 0, 0, 9], &[need, 0, 0, 0, 1], victims.to_vec())?;
        Some(victims.iter().map(|victim| victim.began_ms.0).collect())
    }

    #[test]
    fn the_lowest_priority_goes_first_and_who_began_last() {
        let all = [victim(3, 1, 2), victim(0, 2, 2), victim(0, 3, 2), victim(3, 4, 2)];
        assert_eq!(gone(0, 2, &all), Some(vec![3]));
        assert_eq!(gone(0, 4, &all), Some(vec![3, 2]));
        assert_eq!(gone(0, 6, &all), Some(vec![3, 2, 4]));
        assert_eq!(gone(1, 10, &all), None);
    }

    #[test]
    fn who_is_not_needed_stays() {
        let all = [victim(0, 3, 1), victim(0, 2, 8), victim(3, 1, 8)];
        assert_eq!(gone(0, 8, &all), Some(vec![2]), "the small one would not help");
        assert_eq!(gone(3, 3, &all), None, "it fits without anybody's leaving");
    }
}
