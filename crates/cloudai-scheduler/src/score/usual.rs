//! The usual tasks: which GPU tasks wait and run now. Comes in: the view, once per pass, where a policy asks for it. Goes out: what they ask for, each
//! with its weight. Which job they are of, and when they come, is not known here.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_types::limits;

/// Weights are in so many parts of all usual tasks, so that one more task among many changes none.
const PARTS: u128 = 256;
const EIGHTH_OF_CPU_MILLI: u64 = 125;

/// The most frequent kinds of GPU tasks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Usual {
    kinds: Vec<(Kind, u32)>,
    /// Some of them ask for this dimension.
    ask_for: [bool; 4],
}

/// What such a task asks for, in the order of `Resources::dimensions`.
pub type Kind = [u64; 4];

impl Usual {
    /// Those that wait or run in this state.
    pub fn of(view: &Hot) -> Usual {
        let shape = |(id, tasks)| view.shapes.get(id).map(|shape| (shape.resources.dimensions(), tasks));
        Usual::from_tasks(view.backlog.by_shape().filter_map(shape))
    }

    /// From what tasks ask for, and how many of them do. Those without GPUs have no part: none of them uses a GPU, wherever the others go.
    pub fn from_tasks(tasks: impl IntoIterator<Item = ([u64; 4], u64)>) -> Usual {
        let mut kinds: BTreeMap<Kind, u128> = BTreeMap::new();
        for (asked, tasks) in tasks.into_iter().filter(|([.., gpus], tasks)| *gpus > 0 && *tasks > 0) {
            *kinds.entry(asked).or_default() += u128::from(tasks);
        }
        let mut kinds: Vec<(Kind, u128)> = kinds.into_iter().collect();
        kinds.sort_unstable_by_key(|(kind, tasks)| (Reverse(*tasks), *kind));
        kinds.truncate(limits::USUAL_TASKS_MAX);
        let all: u128 = kinds.iter().map(|(_, tasks)| tasks).sum();
        // Rounded up: the rarest of them counts as well.
        let ask_for = std::array::from_fn(|d| kinds.iter().any(|(kind, _)| kind[d] > 0));
        let weigh = |(kind, tasks): (Kind, u128)| (kind, (tasks * PARTS).div_ceil(all) as u32);
        Usual { kinds: kinds.into_iter().map(weigh).collect(), ask_for }
    }

    /// Of all weights.
    pub fn weight(&self) -> u64 {
        self.kinds.iter().map(|(_, weight)| u64::from(*weight)).sum()
    }

    /// What of a request may be in their way: rounded up to three bits, so that few requests are told apart, and without what none of them asks
    /// for. CPUs count in eighths: whole ones, and most of what people ask for, stay as they are. GPUs are exact.
    pub fn concerned(&self, asked: &[u64; 4]) -> Kind {
        let [cpu, memory, storage, gpus] = *asked;
        let cpu = coarse(cpu.div_ceil(EIGHTH_OF_CPU_MILLI)).saturating_mul(EIGHTH_OF_CPU_MILLI);
        let coarse = [cpu, coarse(memory), coarse(storage), gpus];
        std::array::from_fn(|d| if self.ask_for[d] { coarse[d] } else { 0 })
    }

    /// How many free GPUs are of no use to a usual task, summed over all of them by their weights: a task that does not fit can use none of them.
    pub fn useless(&self, free: &[u64; 4]) -> u64 {
        let [.., gpus] = *free;
        if gpus == 0 {
            return 0;
        }
        let fits = |kind: &Kind| kind.iter().zip(free).all(|(asked, free)| asked <= free);
        let weight: u64 = self.kinds.iter().filter(|(kind, _)| !fits(kind)).map(|(_, weight)| u64::from(*weight)).sum();
        gpus.saturating_mul(weight)
    }
}

/// Rounded up to three bits.
fn coarse(n: u64) -> u64 {
    let low = (u64::BITS - n.leading_zeros()).saturating_sub(3);
    n.div_ceil(1 << low).checked_mul(1 << low).unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_the_same_is_the_same_and_never_less_than_was_asked() {
        let all = Usual::from_tasks([([1; 4], 1)]);
        for asked in [[1_000, 7, 8, 3], [12_000, 1, 1 << 30, 17], [64_000, 5 << 30, 6, 0]] {
            assert_eq!(all.concerned(&asked), asked, "nothing to round");
        }
        assert_eq!(all.concerned(&[300, 9, 33, 0]), [375, 10, 40, 0]);
        assert_eq!(all.concerned(&[36_000, 31, 0, 0]), [40_000, 32, 0, 0]);
        assert_eq!(all.concerned(&[u64::MAX; 4]), [u64::MAX; 4]);
    }

    #[test]
    fn weights_are_parts_of_those_that_ask_for_gpus() {
        let (one, four) = ([1_000, 1, 0, 1], [4_000, 1, 0, 4]);
        let usual = Usual::from_tasks([(one, 300), (four, 100), ([500, 1, 0, 0], 9_000), (four, 0)]);
        assert_eq!(usual.kinds, [(one, 192), (four, 64)]);
        assert_eq!(usual.useless(&[64_000, 9, 0, 3]), 3 * 64, "three are too few for those of four");
        assert_eq!(usual.useless(&[2_000, 9, 0, 8]), 8 * 64, "and so is the CPU");
        assert_eq!(usual.useless(&[500, 9, 0, 8]), 8 * 256, "for all of them");
        assert_eq!(usual.concerned(&[4_000, 8, 99, 0]), [4_000, 8, 0, 0], "none of them asks for storage");
        assert_eq!(Usual::default().concerned(&[4_000, 8, 99, 1]), [0; 4], "nobody is in anybody's way");
        assert_eq!((usual.useless(&[500, 9, 0, 0]), Usual::default().useless(&[0, 0, 0, 8])), (0, 0));
    }

    #[test]
    fn only_the_most_frequent_are_kept() {
        let many = (1..100u64).map(|gpus| ([0, 0, 0, gpus], gpus));
        let usual = Usual::from_tasks(many);
        assert_eq!(usual.kinds.len(), limits::USUAL_TASKS_MAX);
        assert!(usual.kinds.iter().all(|([.., gpus], _)| *gpus > 99 - limits::USUAL_TASKS_MAX as u64));
    }
}
