//! Best fit: the node that is left with the least, CPU and GPU weighted alike.

use super::{Demand, GpuSet, NodeFree, Placement, best};

/// The largest node of the published cluster: what is left is measured against it.
const CPU_MILLI: f64 = 128_000.0;
const GPU_MILLI: f64 = 8_000.0;

/// As the simulator of Weng et al., "Beware of fragmentation", ATC'23, scores it: 0 to 100.
#[derive(Clone, Copy, Debug)]
pub struct BestFit;

impl Placement for BestFit {
    fn name(&self) -> &'static str {
        "bestfit"
    }

    fn score(&self, node: &NodeFree, demand: &Demand) -> Option<(i64, GpuSet)> {
        let tightest = best(node.choices(demand).map(|set| {
            let left = node.gpus().iter().enumerate().find(|(place, _)| set & (1 << place) != 0);
            (-left.map_or(0, |(_, milli)| i64::from(*milli)), set)
        }));
        tightest.map(|(_, set)| {
            let left = node.less(demand, set);
            let cpu = left.cpu_milli as f64 / CPU_MILLI;
            let gpu = left.gpu_sum_milli() as f64 / GPU_MILLI;
            (((1.0 - (0.5 * cpu + 0.5 * gpu)) * 100.0) as i64, set)
        })
    }
}
