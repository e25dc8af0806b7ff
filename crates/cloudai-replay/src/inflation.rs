//! Fills a GPU cluster until nothing fits, and tells how much of its GPUs is allocated: the experiment of Weng et al. (ATC'23).
//! Comes in: empty nodes, pods, a policy, a seed. Goes out: [`Allocation`]. Pods arrive and stay; time is deliberately not known here.
//!
//! Arrivals are the trace's pods, shuffled, and then uniform resamples of them until what was asked for is 130 % of all GPUs. A pod
//! that fits nowhere is turned away. The nodes are shuffled too, once: of equally good nodes the first is taken, and in the file nodes of
//! one kind stand together.

use std::collections::BTreeMap;

use cloudai_scheduler::placement::best_fit::BestFit;
use cloudai_scheduler::placement::fgd::Fgd;
use cloudai_scheduler::placement::{Demand, GPU_MILLI, GpuSet, NodeFree, Placement};
use serde::Serialize;

use crate::seeded::Seeded;

/// Arrivals end when they have asked for this part of all GPUs, in per cent.
const ARRIVALS_PERCENT: u64 = 130;
/// Arrivals between two points of a curve.
const CURVE_STEP_PERCENT: f64 = 5.0;
/// The usual tasks: the most frequent kinds that make up this part of all, in per cent.
const TYPICAL_PERCENT: usize = 95;

/// How a pod's node is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlacementPolicy {
    /// Any node that fits, each with the same chance.
    Random,
    BestFit,
    /// Fragmentation gradient descent.
    Fgd,
}

impl PlacementPolicy {
    pub const ALL: [PlacementPolicy; 3] = [PlacementPolicy::Random, PlacementPolicy::BestFit, PlacementPolicy::Fgd];

    /// The word in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            PlacementPolicy::Random => "random",
            PlacementPolicy::BestFit => "bestfit",
            PlacementPolicy::Fgd => "fgd",
        }
    }
}

/// GPU that is allocated, in per cent of all, when arrivals have asked for 100 % and for 130 % of it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Allocation {
    pub at_100: f64,
    pub at_130: f64,
    /// The same of GPU that is fragmented.
    pub fragmentation_at_100: f64,
    pub fragmentation_at_130: f64,
    pub placed: u64,
    pub turned_away: u64,
    /// How it came about, in steps of [`CURVE_STEP_PERCENT`].
    #[serde(skip)]
    pub curve: Vec<Point>,
}

/// One moment of a cluster that fills, in per cent of all its GPUs.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Point {
    /// By all arrivals so far.
    pub asked: f64,
    pub allocated: f64,
    /// Free, and of no use to a usual task that is drawn at random.
    pub fragmented: f64,
}

/// Runs the experiment once.
pub fn inflate(nodes: &[NodeFree], pods: &[Demand], policy: PlacementPolicy, seed: u64) -> Allocation {
    let mut seeded = Seeded::new(seed);
    let total: u64 = nodes.iter().map(NodeFree::gpu_sum_milli).sum();
    let arrivals = arrivals(pods, total, &mut seeded);
    let mut nodes = nodes.to_vec();
    seeded.shuffle(&mut nodes);
    let mut cluster = Cluster::new(&nodes, policy, pods);
    let (mut asked, mut allocated, mut at_100) = (0, 0, None);
    let (mut placed, mut turned_away) = (0, 0);
    let percent = |milli: u64| 100.0 * milli as f64 / total.max(1) as f64;
    // Whatever the policy is: the usual tasks are those of the trace.
    let usual = Fgd::of(&typical(pods));
    let point = |asked: u64, allocated: u64, cluster: &Cluster| {
        let fragmented: f64 = cluster.free.iter().map(|node| usual.fragmentation(node)).sum();
        let fragmented = 100.0 * fragmented / total.max(1) as f64;
        Point { asked: percent(asked), allocated: percent(allocated), fragmented }
    };
    let mut curve = vec![point(0, 0, &cluster)];
    for demand in &arrivals {
        asked += gpu_milli(demand);
        match cluster.place(demand, &mut seeded) {
            true => (allocated, placed) = (allocated + gpu_milli(demand), placed + 1),
            false => turned_away += 1,
        }
        if asked >= total && at_100.is_none() {
            at_100 = Some(point(asked, allocated, &cluster));
        }
        if curve.last().is_some_and(|last| percent(asked) >= last.asked + CURVE_STEP_PERCENT) {
            curve.push(point(asked, allocated, &cluster));
        }
    }
    let at_130 = point(asked, allocated, &cluster);
    let at_100 = at_100.unwrap_or(at_130);
    curve.push(at_130);
    Allocation {
        at_100: at_100.allocated,
        at_130: at_130.allocated,
        fragmentation_at_100: at_100.fragmented,
        fragmentation_at_130: at_130.fragmented,
        placed,
        turned_away,
        curve,
    }
}

fn gpu_milli(demand: &Demand) -> u64 {
    demand.gpus as u64 * u64::from(demand.gpu_milli)
}

fn arrivals(pods: &[Demand], total: u64, seeded: &mut Seeded) -> Vec<Demand> {
    let mut arrivals = pods.to_vec();
    seeded.shuffle(&mut arrivals);
    let mut asked: u64 = pods.iter().map(gpu_milli).sum();
    while asked > 0 && asked * 100 < total * ARRIVALS_PERCENT {
        let more = pods[seeded.below(pods.len())];
        asked += gpu_milli(&more);
        arrivals.push(more);
    }
    arrivals
}

/// The most frequent kinds of pods, with their shares of all that are kept. Memory does not tell kinds apart: it plays no part in
/// fragmentation. Of equally frequent kinds the larger comes first.
fn typical(pods: &[Demand]) -> Vec<(Demand, f64)> {
    let mut counts: BTreeMap<Demand, usize> = BTreeMap::new();
    for pod in pods {
        *counts.entry(Demand { memory_mib: 0, ..*pod }).or_default() += 1;
    }
    let mut kinds: Vec<(usize, Demand)> = counts.into_iter().map(|(demand, count)| (count, demand)).collect();
    kinds.sort_by_key(|(count, d)| std::cmp::Reverse((*count, d.cpu_milli, d.gpu_milli, d.gpus)));
    let mut covered = 0;
    let kept = kinds.iter().take_while(|(count, _)| {
        let is_wanted = covered * 100 < pods.len() * TYPICAL_PERCENT;
        covered += count;
        is_wanted
    });
    let kept: Vec<(usize, Demand)> = kept.copied().collect();
    let all: usize = kept.iter().map(|(count, _)| count).sum();
    kept.into_iter().map(|(count, demand)| (demand, count as f64 / all as f64)).collect()
}

/// Scores of one kind of pod on all nodes, and which of them may be old.
struct Scored {
    scores: Vec<Option<(i64, GpuSet)>>,
    /// Placements that had been made when the scores were computed.
    seen: usize,
}

struct Cluster {
    free: Vec<NodeFree>,
    /// `None`: at random.
    placement: Option<Box<dyn Placement>>,
    /// By kind of pod: only nodes that were taken since are scored anew.
    cache: BTreeMap<Demand, Scored>,
    /// The nodes of all placements so far.
    taken: Vec<usize>,
}

impl Cluster {
    fn new(nodes: &[NodeFree], policy: PlacementPolicy, pods: &[Demand]) -> Self {
        let placement: Option<Box<dyn Placement>> = match policy {
            PlacementPolicy::Random => None,
            PlacementPolicy::BestFit => Some(Box::new(BestFit)),
            PlacementPolicy::Fgd => Some(Box::new(Fgd::of(&typical(pods)))),
        };
        Cluster { free: nodes.to_vec(), placement, cache: BTreeMap::new(), taken: vec![] }
    }

    /// False: it fits nowhere.
    fn place(&mut self, demand: &Demand, seeded: &mut Seeded) -> bool {
        let chosen = match &self.placement {
            None => self.any(demand, seeded),
            Some(_) => self.best(demand),
        };
        let Some((node, set)) = chosen else { return false };
        self.free[node] = self.free[node].less(demand, set);
        debug_assert!(self.free[node].gpus().iter().all(|left| *left <= GPU_MILLI));
        self.taken.push(node);
        true
    }

    fn any(&self, demand: &Demand, seeded: &mut Seeded) -> Option<(usize, GpuSet)> {
        let fits = |node: &usize| self.free[*node].has_room(demand) && self.free[*node].has_gpus(demand);
        let fitting: Vec<usize> = (0..self.free.len()).filter(fits).collect();
        let node = *fitting.get(seeded.below(fitting.len()))?;
        let choices: Vec<GpuSet> = self.free[node].choices(demand).collect();
        Some((node, choices[seeded.below(choices.len())]))
    }

    fn best(&mut self, demand: &Demand) -> Option<(usize, GpuSet)> {
        let placement = self.placement.as_deref()?;
        let scored = self.cache.entry(*demand).or_insert_with(|| Scored {
            scores: self.free.iter().map(|node| placement.score(node, demand)).collect(),
            seen: self.taken.len(),
        });
        for node in &self.taken[scored.seen..] {
            scored.scores[*node] = placement.score(&self.free[*node], demand);
        }
        scored.seen = self.taken.len();
        let fitting = scored.scores.iter().enumerate().filter_map(|(node, score)| score.map(|(s, set)| (s, node, set)));
        fitting.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, node, set)| (node, set))
    }
}
