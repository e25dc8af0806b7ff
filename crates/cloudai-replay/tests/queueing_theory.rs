//! Against a closed formula: Poisson arrivals, exponential run times, c processors, first come first served. Erlang C says how
//! many have to wait and how long (Erlang 1917; Kleinrock, Queueing Systems, 1975). A simulated second is a thousandth of the mean
//! run time here, so that whole seconds do not matter.

#![allow(clippy::unwrap_used)]

use cloudai_replay::seeded::Seeded;
use cloudai_replay::{Job, Metrics, Setup, replay};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order;

const MEAN_RUN_S: f64 = 100_000.0;
const JOBS: usize = 400_000;

fn jobs(seed: u64, servers: u32, load: f64) -> Vec<Job> {
    let mut seeded = Seeded::new(seed);
    let mut at_s = 0.0;
    let gap_s = MEAN_RUN_S / (load * f64::from(servers));
    (0..JOBS as u64)
        .map(|id| {
            at_s += seeded.exponential(gap_s);
            let run_s = seeded.exponential(MEAN_RUN_S).round().max(1.0) as u64;
            Job {
                id,
                submit_s: at_s as u64,
                run_s,
                requested_s: run_s,
                processors: 1,
                user: 0,
                deadline_s: None,
                parents: vec![],
            }
        })
        .collect()
}

/// The probability of waiting, and the mean wait in units of the mean run time.
fn erlang_c(servers: u32, load: f64) -> (f64, f64) {
    let offered = load * f64::from(servers);
    // Erlang B by its recursion, then C from B.
    let b = (1..=servers).fold(1.0, |b, k| offered * b / (f64::from(k) + offered * b));
    let c = b / (1.0 - load * (1.0 - b));
    (c, c / (f64::from(servers) * (1.0 - load)))
}

#[test]
fn the_formula_itself_is_right() {
    // One server: P(wait) = ρ, mean wait = ρ / (1 − ρ). Two at ρ = 1/2: P(wait) = 1/3.
    let (p, w) = erlang_c(1, 0.5);
    assert!((p - 0.5).abs() < 1e-12 && (w - 1.0).abs() < 1e-12);
    assert!((erlang_c(2, 0.5).0 - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn waits_are_those_of_erlang_c_within_one_per_cent() {
    for (servers, load) in [(2, 0.5), (8, 0.7)] {
        let setup = Setup {
            capacity: servers,
            order: order::by_name("fcfs").unwrap(),
            backfill: Backfill::Easy,
            predict: false,
        };
        let (mut waited, mut wait, seeds) = (0.0, 0.0, 1..=3);
        for seed in seeds.clone() {
            let jobs = jobs(seed, servers, load);
            let run = replay(&jobs, &setup).unwrap();
            let late = jobs.iter().zip(&run.start_s).filter(|(job, start_s)| **start_s > job.submit_s);
            waited += late.count() as f64 / JOBS as f64 / 3.0;
            wait += Metrics::of(&[(&jobs, &run)]).wait_s.mean / MEAN_RUN_S / 3.0;
        }
        let (expected_waited, expected_wait) = erlang_c(servers, load);
        let off = |a: f64, b: f64| (a / b - 1.0).abs();
        eprintln!(
            "M/M/{servers} at {load}: P(wait) {waited:.5} of {expected_waited:.5}, wait {wait:.5} of {expected_wait:.5}"
        );
        assert!(off(waited, expected_waited) < 0.01, "M/M/{servers}: {waited} of {expected_waited} wait");
        assert!(off(wait, expected_wait) < 0.01, "M/M/{servers}: a mean wait of {wait} instead of {expected_wait}");
    }
}
