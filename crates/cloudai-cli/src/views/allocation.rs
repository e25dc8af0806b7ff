//! How much of a cluster's GPUs each policy allocates: means over seeds. The JSON is an array in the order in which the policies were
//! named.

use std::io::{self, Write};

use cloudai_replay::Interval;
use cloudai_replay::inflation::Allocation;
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{Columns, View};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AllocationRow {
    pub policy: &'static str,
    pub seeds: u64,
    /// GPU allocated, in per cent of all, when arrivals have asked for all of it.
    pub gpu_allocation_at_100: f64,
    /// Half of the 95 % interval of that mean; none with one seed.
    pub gpu_allocation_at_100_ci95: Option<f64>,
    /// The same when they have asked for 130 %.
    pub gpu_allocation_at_130: f64,
    pub gpu_allocation_at_130_ci95: Option<f64>,
    /// GPU that is free and of no use to a usual task, in per cent of all, at the same two moments.
    pub gpu_fragmentation_at_100: f64,
    pub gpu_fragmentation_at_130: f64,
    pub placed: f64,
    pub turned_away: f64,
}

impl AllocationRow {
    pub fn of(policy: &'static str, runs: &[Allocation]) -> Self {
        let over = |of: fn(&Allocation) -> f64| Interval::of(&runs.iter().map(of).collect::<Vec<_>>());
        let (at_100, at_130) = (over(|a| a.at_100), over(|a| a.at_130));
        AllocationRow {
            policy,
            seeds: runs.len() as u64,
            gpu_allocation_at_100: at_100.mean,
            gpu_allocation_at_100_ci95: at_100.ci95,
            gpu_allocation_at_130: at_130.mean,
            gpu_allocation_at_130_ci95: at_130.ci95,
            gpu_fragmentation_at_100: over(|a| a.fragmentation_at_100).mean,
            gpu_fragmentation_at_130: over(|a| a.fragmentation_at_130).mean,
            placed: over(|a| a.placed as f64).mean,
            turned_away: over(|a| a.turned_away as f64).mean,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct AllocationRows(pub Vec<AllocationRow>);

const HEADER: [&str; 8] =
    ["POLICY", "SEEDS", "GPU AT 100 %", "AT 130 %", "FRAGMENTED AT 100 %", "AT 130 %", "PLACED", "TURNED AWAY"];

impl View for AllocationRows {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&HEADER);
        for row in &self.0 {
            columns.row([
                row.policy.to_owned(),
                row.seeds.to_string(),
                percent(row.gpu_allocation_at_100, row.gpu_allocation_at_100_ci95),
                percent(row.gpu_allocation_at_130, row.gpu_allocation_at_130_ci95),
                percent(row.gpu_fragmentation_at_100, None),
                percent(row.gpu_fragmentation_at_130, None),
                format!("{:.0}", row.placed),
                format!("{:.0}", row.turned_away),
            ]);
        }
        columns.write(out)
    }

    fn csv(&self, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(
            out,
            "policy,seeds,gpu_allocation_at_100,gpu_allocation_at_100_ci95,gpu_allocation_at_130,\
             gpu_allocation_at_130_ci95,gpu_fragmentation_at_100,gpu_fragmentation_at_130,placed,turned_away"
        )?;
        for row in &self.0 {
            let half = |ci95: Option<f64>| ci95.map(|ci95| ci95.to_string()).unwrap_or_default();
            let (at_100, at_130) = (half(row.gpu_allocation_at_100_ci95), half(row.gpu_allocation_at_130_ci95));
            writeln!(
                out,
                "{},{},{},{at_100},{},{at_130},{},{},{},{}",
                row.policy,
                row.seeds,
                row.gpu_allocation_at_100,
                row.gpu_allocation_at_130,
                row.gpu_fragmentation_at_100,
                row.gpu_fragmentation_at_130,
                row.placed,
                row.turned_away
            )?;
        }
        Ok(())
    }
}

fn percent(mean: f64, ci95: Option<f64>) -> String {
    match ci95 {
        Some(ci95) => format!("{mean:.2} ± {ci95:.2} %"),
        None => format!("{mean:.2} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_tell_means_and_how_sure_they_are() {
        let run = |at_100, placed| Allocation {
            at_100,
            at_130: 50.0,
            fragmentation_at_100: 3.0,
            placed,
            turned_away: 1,
            ..Allocation::default()
        };
        let row = AllocationRow::of("fgd", &[run(90.0, 5), run(92.0, 6), run(94.0, 7)]);
        // Deviation 2; 4.303 · 2 / sqrt(3) = 4.9687.
        assert_eq!((row.gpu_allocation_at_100, row.placed, row.gpu_allocation_at_130_ci95), (92.0, 6.0, Some(0.0)));
        assert!((row.gpu_allocation_at_100_ci95.unwrap() - 4.9687).abs() < 1e-3, "{row:?}");
        let one = AllocationRow::of("fgd", &[run(90.0, 5)]);
        let mut out = vec![];
        AllocationRows(vec![one]).csv(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().ends_with("\nfgd,1,90,,50,,3,0,5,1\n"));
    }
}
