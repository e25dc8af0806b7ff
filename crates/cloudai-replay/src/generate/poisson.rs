//! M/M/c: independent arrivals, independent run times, one processor each (Erlang 1917). At 70 % load, so that a queue forms now
//! and then and ends again.

use super::Made;
use crate::seeded::Seeded;

pub(super) const MEAN_RUN_S: f64 = 3_600.0;
pub(super) const LOAD: f64 = 0.7;

pub(super) fn jobs(count: usize, nodes: u32, seeded: &mut Seeded) -> Vec<Made> {
    let gap_s = MEAN_RUN_S / (LOAD * f64::from(nodes));
    let mut submit_s = 0.0;
    let jobs = (0..count).map(|_| {
        submit_s += seeded.exponential(gap_s);
        Made { submit_s, run_s: seeded.exponential(MEAN_RUN_S).round().max(1.0) as u64, processors: 1 }
    });
    jobs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_run_times_are_exponential_with_their_means() {
        let (count, nodes) = (100_000, 8);
        let jobs = jobs(count, nodes, &mut Seeded::new(1));
        let n = count as f64;
        let run_s = jobs.iter().map(|job| job.run_s as f64).sum::<f64>() / n;
        assert!((run_s / MEAN_RUN_S - 1.0).abs() < 0.02, "{run_s}");
        let gap_s = jobs[count - 1].submit_s / n;
        assert!((gap_s * LOAD * f64::from(nodes) / MEAN_RUN_S - 1.0).abs() < 0.02, "{gap_s}");
        // An exponential distribution has 1/e of its values above its mean.
        let above = jobs.iter().filter(|job| job.run_s as f64 > MEAN_RUN_S).count() as f64 / n;
        assert!((above - (-1.0f64).exp()).abs() < 0.01, "{above}");
        assert!(jobs.iter().all(|job| job.processors == 1 && job.run_s >= 1));
    }
}
