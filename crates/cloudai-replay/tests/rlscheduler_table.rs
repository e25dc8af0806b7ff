//! The published cells of RLScheduler (SC'20, table V) for Lublin-1, to two decimals: ten windows of 1,024 jobs, mean bounded
//! slowdown. WFP3 and UNICEP are compared with what they give when the wait is computed as their authors meant it; F2, F3, F4
//! and SAF with an independent program for the same protocol.

#![allow(clippy::unwrap_used)]

mod traces;

use cloudai_replay::{Metrics, Setup, replay_window};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order;

const STARTS: [usize; 10] = [1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085];
const LENGTH: usize = 1024;
const PROCESSORS: u32 = 256;

/// Policy, without backfill, with it.
const TABLE: [(&str, f64, f64); 9] = [
    ("fcfs", 7273.77, 235.82),
    ("sjf", 277.35, 73.31),
    ("f1", 258.37, 75.07),
    ("f2", 268.47, 58.24),
    ("f3", 341.77, 58.49),
    ("f4", 289.57, 53.64),
    ("saf", 292.88, 54.00),
    ("wfp3", 337.34, 126.50),
    ("unicep", 381.71, 103.10),
];

#[test]
fn lublin_1_to_two_decimals() {
    let Some(folder) = traces::folder("lublin_1_to_two_decimals") else { return };
    let trace = traces::swf(&folder, "swf/lublin_1.swf.gz");
    assert_eq!((trace.jobs.len(), trace.processors, trace.clamped), (10_000, Some(PROCESSORS), 0));
    let mut wrong = vec![];
    for (policy, without, with) in TABLE {
        for (backfill, published) in [(Backfill::None, without), (Backfill::RlScheduler, with)] {
            let setup =
                Setup { capacity: PROCESSORS, order: order::by_name(policy).unwrap(), backfill, predict: false };
            let runs: Vec<_> =
                STARTS.iter().map(|start| replay_window(&trace.jobs, *start, LENGTH, &setup).unwrap()).collect();
            let windows: Vec<_> =
                STARTS.iter().zip(&runs).map(|(start, run)| (&trace.jobs[*start..start + LENGTH], run)).collect();
            let ours = Metrics::of(&windows).bounded_slowdown.mean;
            if format!("{ours:.2}") != format!("{published:.2}") {
                wrong.push(format!("{policy} with backfill {}: {ours:.2} instead of {published:.2}", backfill.name()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
