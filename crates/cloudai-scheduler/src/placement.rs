//! Which node a task that shares GPUs goes to. Comes in: what a node has left, what the task asks for. Goes out: a score, largest
//! first, and which GPUs it would take; equal scores go to the first node, which is worth one to two points of GPU allocation
//! against a random choice. Labels, leases and the order of the queue are deliberately not known here.
//!
//! Used by the simulator: the live scheduler gives whole GPUs, and has the same idea for those in [`crate::score::fgd`].

pub mod best_fit;
pub mod fgd;

/// GPUs of one node, at most.
pub const GPUS_MAX: usize = 8;
/// A whole GPU.
pub const GPU_MILLI: u32 = 1000;

/// What a node has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeFree {
    pub cpu_milli: u64,
    pub memory_mib: u64,
    /// Left of each GPU, in thousandths; the first `gpus` count.
    pub gpu_milli: [u32; GPUS_MAX],
    pub gpus: usize,
}

/// What a task asks for: a part of one GPU, or several whole ones, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Demand {
    pub cpu_milli: u64,
    pub memory_mib: u64,
    pub gpus: usize,
    /// Of each of them.
    pub gpu_milli: u32,
}

/// The GPUs that a task takes: bit i is GPU i.
pub type GpuSet = u8;

impl NodeFree {
    pub fn gpus(&self) -> &[u32] {
        &self.gpu_milli[..self.gpus]
    }

    /// Of all GPUs together.
    pub fn gpu_sum_milli(&self) -> u64 {
        self.gpus().iter().map(|milli| u64::from(*milli)).sum()
    }

    /// True when the task's CPU and memory fit.
    pub fn has_room(&self, demand: &Demand) -> bool {
        demand.cpu_milli <= self.cpu_milli && demand.memory_mib <= self.memory_mib
    }

    /// True when enough GPUs have enough left.
    pub fn has_gpus(&self, demand: &Demand) -> bool {
        self.gpus().iter().filter(|left| **left >= demand.gpu_milli).count() >= demand.gpus
    }

    /// The sets of GPUs between which a task has a choice: each one that fits for a task of one GPU, the first that fit for
    /// one of several. Empty: it does not fit.
    pub fn choices(&self, demand: &Demand) -> impl Iterator<Item = GpuSet> {
        let (left, fits) = (*self, self.has_room(demand) && self.has_gpus(demand));
        let (wanted, milli) = (demand.gpus, demand.gpu_milli);
        let fitting = move |place: &usize| left.gpu_milli[*place] >= milli;
        let several: GpuSet = (0..left.gpus).filter(fitting).take(wanted).map(|place| 1 << place).sum();
        let single = (0..left.gpus).filter(move |place| wanted == 1 && fitting(place)).map(|place| 1 << place);
        single.chain((wanted != 1).then_some(several)).filter(move |_| fits)
    }

    /// What is left after the task took its share of these GPUs. The task must fit.
    #[must_use]
    pub fn less(&self, demand: &Demand, set: GpuSet) -> NodeFree {
        let mut left = *self;
        left.cpu_milli -= demand.cpu_milli;
        left.memory_mib -= demand.memory_mib;
        for (place, milli) in left.gpu_milli.iter_mut().enumerate() {
            if set & (1 << place) != 0 {
                *milli -= demand.gpu_milli;
            }
        }
        left
    }
}

/// One way to score.
pub trait Placement {
    /// The word in flags and reports.
    fn name(&self) -> &'static str;

    /// The score of this node for this task and the GPUs that it would take; `None` where it does not fit.
    fn score(&self, node: &NodeFree, demand: &Demand) -> Option<(i64, GpuSet)>;
}

/// The best of several, the first among equals.
pub(crate) fn best(scored: impl Iterator<Item = (i64, GpuSet)>) -> Option<(i64, GpuSet)> {
    scored.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cpu_milli: u64, gpus: &[u32]) -> NodeFree {
        let mut gpu_milli = [0; GPUS_MAX];
        gpu_milli[..gpus.len()].copy_from_slice(gpus);
        NodeFree { cpu_milli, memory_mib: 1_000, gpu_milli, gpus: gpus.len() }
    }

    fn demand(cpu_milli: u64, gpus: usize, gpu_milli: u32) -> Demand {
        Demand { cpu_milli, memory_mib: 10, gpus, gpu_milli }
    }

    #[test]
    fn a_part_of_a_gpu_may_go_to_each_that_has_it_and_several_take_the_first() {
        let n = node(4_000, &[300, 1000, 500, 1000]);
        let choices = |d: Demand| n.choices(&d).collect::<Vec<_>>();
        assert_eq!(choices(demand(1_000, 1, 400)), [0b10, 0b100, 0b1000]);
        assert_eq!(choices(demand(1_000, 2, 1000)), [0b1010]);
        assert_eq!(choices(demand(1_000, 0, 0)), [0], "no GPU is one choice");
        assert_eq!(choices(demand(1_000, 3, 1000)), [0u8; 0]);
        assert_eq!(choices(demand(5_000, 0, 0)), [0u8; 0], "no CPU");
        assert_eq!(
            n.less(&demand(1_000, 2, 1000), 0b1010),
            NodeFree { memory_mib: 990, ..node(3_000, &[300, 0, 500, 0]) }
        );
    }

    #[test]
    fn best_fit_prefers_the_tighter_node_and_the_tighter_gpu() {
        let d = demand(1_000, 1, 400);
        let (tight, _) = best_fit::BestFit.score(&node(2_000, &[500, 0]), &d).expect("it fits");
        let (wide, _) = best_fit::BestFit.score(&node(64_000, &[1000; 4]), &d).expect("it fits");
        assert!(tight > wide, "{tight} {wide}");
        assert_eq!(best_fit::BestFit.score(&node(2_000, &[1000, 500, 450]), &d).map(|(_, set)| set), Some(0b100));
        assert_eq!(best_fit::BestFit.score(&node(2_000, &[300]), &d), None);
    }

    #[test]
    fn fgd_leaves_what_the_usual_tasks_can_use() {
        // Everybody else asks for half a GPU: a rest of 300 is of no use to them, a rest of 500 is.
        let fgd = fgd::Fgd::of(&[(demand(1_000, 1, 500), 1.0)]);
        let n = node(9_000, &[700, 1000]);
        assert_eq!(fgd.fragmentation(&n), 0.0);
        assert_eq!(fgd.fragmentation(&node(9_000, &[300, 1000])), 300.0);
        assert_eq!(fgd.fragmentation(&node(500, &[300, 1000])), 1300.0, "without CPU all of it is waste");
        // 200 of the first leaves 500 and 1000, of the second 700 and 800: both whole. 400 of the first leaves a waste of 300.
        assert_eq!(fgd.score(&n, &demand(1_000, 1, 700)).map(|(_, set)| set), Some(0b1), "700 fits without a rest");
        assert_eq!(fgd.score(&node(9_000, &[800, 900]), &demand(1_000, 1, 400)).map(|(_, set)| set), Some(0b10));
    }
}
