//! Scores: which of the workers that fit is taken. Comes in: what one worker has and has left. Goes out: a rank, smallest
//! first; equal ranks are taken in the order of worker ids. Integers only, so that every machine decides alike.
//!
//! A rank depends on the worker alone and not on the task. That is a choice: it lets one ordered index of workers serve
//! every shape, and nothing is lost by it, because a task takes the same amount from each worker that it fits.

pub mod balanced;
pub mod binpack;
pub mod greedy;
pub mod round_robin;

use cloudai_types::ScorePolicy;

/// One worker as a score sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// In the order of `Resources::dimensions`.
    pub capacity: [u64; 4],
    pub free: [u64; 4],
    /// Live attempts on it. Decides among equals, so that tasks that ask for nothing are spread (or packed) as well.
    pub attempts: u64,
}

/// The largest capacity of any worker in each dimension: the common measure of machines of different sizes.
pub type Largest = [u64; 4];

/// The worker's rank under the policy; the smallest is taken first.
pub fn rank(policy: ScorePolicy, load: &Load, largest: &Largest) -> u32 {
    match policy {
        ScorePolicy::Balanced => balanced::rank(load),
        ScorePolicy::RoundRobin => round_robin::rank(),
        ScorePolicy::Binpack => binpack::rank(load),
        ScorePolicy::Greedy => greedy::rank(load, largest),
    }
}

/// True when a worker that was just taken stays the first choice for the same shape until it is full, because taking it
/// lowers its rank. Then many tasks are placed with one step.
pub fn keeps_choice(policy: ScorePolicy) -> bool {
    match policy {
        ScorePolicy::Binpack | ScorePolicy::Greedy => true,
        ScorePolicy::Balanced | ScorePolicy::RoundRobin => false,
    }
}

/// How much worse than the first choice a worker may rank and still be taken because it has the task's image: a quarter of the scale, so
/// that no worker fills up while others idle. `None`: the policy leaves no choice.
pub fn image_slack(policy: ScorePolicy) -> Option<u32> {
    match policy {
        ScorePolicy::Balanced | ScorePolicy::Binpack | ScorePolicy::Greedy => Some(0x4000 << 16),
        ScorePolicy::RoundRobin => None,
    }
}

/// `part` of `whole` in 65,535ths; 0 of nothing is 0. Amounts above 2^48 lose their low 16 bits first.
pub(crate) fn share(part: u64, whole: u64) -> u32 {
    const FULL: u64 = u16::MAX as u64;
    if whole == 0 {
        return 0;
    }
    if part >= whole {
        return FULL as u32;
    }
    let (part, whole) = if part >> 48 == 0 { (part, whole) } else { (part >> 16, whole >> 16) };
    (part * FULL / whole) as u32
}

/// Attempts as the low half of a rank.
pub(crate) fn attempts_half(load: &Load) -> u32 {
    load.attempts.min(u64::from(u16::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(cpu: u64, cpu_free: u64, memory: u64, memory_free: u64, attempts: u64) -> Load {
        Load { capacity: [cpu, memory, 0, 0], free: [cpu_free, memory_free, 0, 0], attempts }
    }

    #[test]
    fn balanced_takes_the_smaller_dominant_share_and_binpack_the_larger() {
        // Half of the CPU against a quarter of it but nearly all of the memory.
        let half_cpu = load(4000, 2000, 100, 90, 1);
        let much_memory = load(4000, 3000, 100, 10, 1);
        assert!(balanced::rank(&half_cpu) < balanced::rank(&much_memory));
        assert!(binpack::rank(&much_memory) < binpack::rank(&half_cpu));
    }

    #[test]
    fn greedy_takes_the_least_room_in_absolute_terms() {
        let largest = [16_000, 100, 0, 0];
        // An empty small machine has less room than a large one that is three quarters full.
        let small_empty = load(2_000, 2_000, 10, 10, 0);
        let large_busy = load(16_000, 4_000, 100, 25, 9);
        assert!(greedy::rank(&small_empty, &largest) < greedy::rank(&large_busy, &largest));
        assert!(binpack::rank(&large_busy) < binpack::rank(&small_empty));
    }

    #[test]
    fn tasks_that_ask_for_nothing_are_counted() {
        let idle = load(4000, 4000, 100, 100, 0);
        let three = load(4000, 4000, 100, 100, 3);
        assert!(balanced::rank(&idle) < balanced::rank(&three));
        assert!(binpack::rank(&three) < binpack::rank(&idle));
        assert!(greedy::rank(&three, &[4000, 100, 0, 0]) < greedy::rank(&idle, &[4000, 100, 0, 0]));
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
            more in prop::array::uniform4(0u64..1 << 40), attempts in 0u64..9_000,
        ) {
            let left = |used: [u64; 4]| std::array::from_fn(|d| capacity[d].saturating_sub(used[d]));
            let both = std::array::from_fn(|d| taken[d] + more[d]);
            let before = Load { capacity, free: left(taken), attempts };
            let after = Load { capacity, free: left(both), attempts: attempts + 1 };
            for policy in ScorePolicy::ALL.into_iter().filter(|p| keeps_choice(*p)) {
                prop_assert!(rank(policy, &after, &capacity) < rank(policy, &before, &capacity), "{}", policy.name());
            }
        }
    }
}
