//! Fragmentation gradient descent: the node and GPU where placing the task makes the least GPU useless for the tasks that usually
//! come. Weng et al., "Beware of fragmentation: scheduling GPU-sharing workloads with fragmentation gradient descent", ATC'23.

use super::{Demand, GpuSet, NodeFree, Placement, best};

/// A change of fragmentation by one GPU, in the exponent of the score.
const GPU: f64 = 1000.0;

/// Knows the usual tasks.
#[derive(Clone, PartialEq, Debug)]
pub struct Fgd {
    /// Demand and its share of all tasks.
    typical: Vec<(Demand, f64)>,
}

impl Fgd {
    /// Demands with their shares of all tasks. Memory plays no part, as published.
    pub fn of(typical: &[(Demand, f64)]) -> Self {
        Fgd { typical: typical.to_vec() }
    }

    /// How much GPU (in thousandths) a usual task, drawn at random, finds here and cannot use.
    pub fn fragmentation(&self, node: &NodeFree) -> f64 {
        let sum = node.gpu_sum_milli() as f64;
        let unusable = |demand: &Demand| {
            // A task without GPUs uses none of them; nor does one for which there is no CPU, or not enough GPUs.
            if demand.gpus == 0 || demand.cpu_milli > node.cpu_milli || !node.has_gpus(demand) {
                return sum;
            }
            node.gpus().iter().filter(|left| **left < demand.gpu_milli).map(|left| f64::from(*left)).sum()
        };
        self.typical.iter().map(|(demand, share)| share * unusable(demand)).sum()
    }
}

impl Placement for Fgd {
    fn name(&self) -> &'static str {
        "fgd"
    }

    fn score(&self, node: &NodeFree, demand: &Demand) -> Option<(i64, GpuSet)> {
        let before = self.fragmentation(node);
        best(node.choices(demand).map(|set| {
            let change = before - self.fragmentation(&node.less(demand, set));
            // A sigmoid, cut to an integer: the resolution at which nodes count as equal is part of the policy.
            ((100.0 / (1.0 + (-change / GPU).exp())) as i64, set)
        }))
    }
}
