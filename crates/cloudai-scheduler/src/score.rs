//! Scores: which of the workers that fit is taken. Comes in: what one worker has and has left, and what of the task's request a policy looks at.
//! Goes out: a rank, smallest first; equal ranks are taken in the order of worker ids. Integers only, so that every machine decides alike.
//!
//! For most policies a rank depends on the worker alone, so that one ordered index of workers serves every task: a task takes the same amount from
//! each worker that it fits. Where a policy looks at the task as well, tasks with an equal [`Wish`] share an index, and a policy says as little
//! in its wishes as it can: few of them are in use at a time. `docs/policies.md` says when to use which.

pub mod alignment;
pub mod balanced;
pub mod binpack;
pub mod cost;
pub mod direction;
pub mod fgd;
pub mod greedy;
pub mod round_robin;
pub mod usual;

use cloudai_core::Hot;
use cloudai_types::{HourlyPrice, ScorePolicy};

pub use usual::Usual;

/// One worker as a score sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// In the order of `Resources::dimensions`.
    pub capacity: [u64; 4],
    pub free: [u64; 4],
    /// Live attempts on it. Decides among equals, so that tasks that ask for nothing are spread (or packed) as well.
    pub attempts: u64,
    pub price: HourlyPrice,
}

/// The largest capacity of any worker in each dimension: the common measure of machines of different sizes.
pub type Largest = [u64; 4];

/// What of a task's request a rank depends on, in the order of `Resources::dimensions` and in units of the policy's own; all zero: on nothing of it.
pub type Wish = [u64; 4];

/// What ranks are measured against: the same for all workers and tasks of a pass.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Measure {
    pub largest: Largest,
    /// Of interest to some policies only; empty otherwise.
    pub usual: Usual,
}

impl Measure {
    /// Costs a look at each worker and at each shape.
    pub fn of(view: &Hot) -> Measure {
        Measure { largest: largest_of(view), usual: Usual::of(view) }
    }
}

pub(crate) fn largest_of(view: &Hot) -> Largest {
    let mut largest = [0; 4];
    for worker in view.workers.values() {
        for (most, here) in largest.iter_mut().zip(worker.capacity.dimensions()) {
            *most = here.max(*most);
        }
    }
    largest
}

/// One way to choose.
pub trait Score: Sync {
    /// What the rank looks at of a task that asks for so much.
    fn wish(&self, _asked: &[u64; 4], _measure: &Measure) -> Wish {
        Wish::default()
    }

    /// The worker's place; the smallest is taken first.
    fn rank(&self, load: &Load, wish: &Wish, measure: &Measure) -> u32;

    /// True when a worker that was just taken stays the first choice for the same task until it is full, because taking it does not raise its
    /// rank. Then many tasks are placed with one step.
    fn keeps_choice(&self) -> bool {
        false
    }

    /// How much worse than the first choice a worker may rank and still be taken because it has the task's image: a quarter of the scale, so
    /// that no worker fills up while others idle. `None`: the policy leaves no choice.
    fn image_slack(&self) -> Option<u32> {
        Some(0x4000 << 16)
    }

    /// Ranks depend on [`Measure::usual`].
    fn looks_at_usual(&self) -> bool {
        false
    }
}

/// The one that this policy names.
pub fn of(policy: ScorePolicy) -> &'static dyn Score {
    match policy {
        ScorePolicy::Balanced => &balanced::Balanced,
        ScorePolicy::RoundRobin => &round_robin::RoundRobin,
        ScorePolicy::Binpack => &binpack::Binpack,
        ScorePolicy::Greedy => &greedy::Greedy,
        ScorePolicy::Alignment => &alignment::Alignment,
        ScorePolicy::Fgd => &fgd::Fgd,
        ScorePolicy::Cost => &cost::Cost,
    }
}

/// All of it, in the unit of [`share`].
const FULL: u32 = u16::MAX as u32;

/// `part` of `whole` in 65,535ths; 0 of nothing is 0. Amounts above 2^48 lose their low 16 bits first.
pub(crate) fn share(part: u64, whole: u64) -> u32 {
    if whole == 0 {
        return 0;
    }
    if part >= whole {
        return FULL;
    }
    let (part, whole) = if part >> 48 == 0 { (part, whole) } else { (part >> 16, whole >> 16) };
    (part * u64::from(FULL) / whole) as u32
}

/// Attempts as the low half of a rank.
fn attempts_half(load: &Load) -> u32 {
    load.attempts.min(u64::from(u16::MAX)) as u32
}

/// The largest allocated share of any dimension, in 65,535ths.
fn dominant_share(load: &Load) -> u32 {
    (0..4).map(|d| share(load.capacity[d].saturating_sub(load.free[d]), load.capacity[d])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(cpu: u64, cpu_free: u64, memory: u64, memory_free: u64, attempts: u64) -> Load {
        Load {
            capacity: [cpu, memory, 0, 0],
            free: [cpu_free, memory_free, 0, 0],
            attempts,
            price: HourlyPrice::default(),
        }
    }

    fn rank(policy: ScorePolicy, load: &Load, largest: Largest) -> u32 {
        of(policy).rank(load, &Wish::default(), &Measure { largest, ..Measure::default() })
    }

    use ScorePolicy::{Alignment, Balanced, Binpack, Cost, Fgd, Greedy};

    #[test]
    fn balanced_takes_the_smaller_dominant_share_and_binpack_the_larger() {
        // Half of the CPU against a quarter of it but nearly all of the memory.
        let half_cpu = load(4000, 2000, 100, 90, 1);
        let much_memory = load(4000, 3000, 100, 10, 1);
        assert!(rank(Balanced, &half_cpu, [0; 4]) < rank(Balanced, &much_memory, [0; 4]));
        assert!(rank(Binpack, &much_memory, [0; 4]) < rank(Binpack, &half_cpu, [0; 4]));
    }

    #[test]
    fn greedy_takes_the_least_room_in_absolute_terms() {
        let largest = [16_000, 100, 0, 0];
        // An empty small machine has less room than a large one that is three quarters full.
        let small_empty = load(2_000, 2_000, 10, 10, 0);
        let large_busy = load(16_000, 4_000, 100, 25, 9);
        assert!(rank(Greedy, &small_empty, largest) < rank(Greedy, &large_busy, largest));
        assert!(rank(Binpack, &large_busy, largest) < rank(Binpack, &small_empty, largest));
    }

    #[test]
    fn tasks_that_ask_for_nothing_are_counted() {
        let idle = load(4000, 4000, 100, 100, 0);
        let three = load(4000, 4000, 100, 100, 3);
        let largest = [4000, 100, 0, 0];
        for (policy, takes_idle) in [(Balanced, true), (Alignment, true), (Binpack, false), (Greedy, false)] {
            let is_first = rank(policy, &idle, largest) < rank(policy, &three, largest);
            let is_last = rank(policy, &idle, largest) > rank(policy, &three, largest);
            assert_eq!((is_first, is_last), (takes_idle, !takes_idle), "{}", policy.name());
        }
    }

    proptest! {
        #[test]
        fn a_share_never_overflows_and_grows_with_its_part(a in any::<u64>(), b in any::<u64>(), whole in any::<u64>()) {
            let (low, high) = (a.min(b), a.max(b));
            // Dropping low bits at 2^48 may cost one step where the two are cut differently.
            prop_assert!(share(low, whole) <= share(high, whole) + 1);
            prop_assert!(share(high, whole) <= u32::from(u16::MAX));
        }

        #[test]
        fn taking_lowers_the_rank_where_the_choice_is_kept(
            capacity in prop::array::uniform4(0u64..1 << 40), taken in prop::array::uniform4(0u64..1 << 40),
            more in prop::array::uniform4(0u64..1 << 40), attempts in 0u64..9_000, price in 0u64..1 << 40,
        ) {
            let left = |used: [u64; 4]| std::array::from_fn(|d| capacity[d].saturating_sub(used[d]));
            let both = std::array::from_fn(|d| taken[d] + more[d]);
            let before = Load { capacity, free: left(taken), attempts, price: HourlyPrice(price) };
            let after = Load { free: left(both), attempts: attempts + 1, ..before };
            let measure = Measure { largest: capacity, ..Measure::default() };
            for policy in ScorePolicy::ALL.into_iter().filter(|p| of(*p).keeps_choice()) {
                let wish = of(policy).wish(&more, &measure);
                let rank = |load: &Load| of(policy).rank(load, &wish, &measure);
                // What costs the same and is as full keeps its place.
                let is_lower = if policy == Cost { rank(&after) <= rank(&before) } else { rank(&after) < rank(&before) };
                prop_assert!(is_lower, "{}", policy.name());
            }
        }

        /// No amount that a worker or a task may name panics a score.
        #[test]
        fn any_amounts_have_a_rank(
            capacity in prop::array::uniform4(any::<u64>()), free in prop::array::uniform4(any::<u64>()),
            asked in prop::array::uniform4(any::<u64>()), largest in prop::array::uniform4(any::<u64>()),
            attempts in any::<u64>(), price in any::<u64>(), tasks in any::<u64>(),
        ) {
            let load = Load { capacity, free, attempts, price: HourlyPrice(price) };
            let measure = Measure { largest, usual: Usual::from_tasks([(asked, tasks), (largest, 1)]) };
            for policy in ScorePolicy::ALL {
                let wish = of(policy).wish(&asked, &measure);
                of(policy).rank(&load, &wish, &measure);
            }
            prop_assert!(of(Fgd).looks_at_usual());
        }
    }
}
