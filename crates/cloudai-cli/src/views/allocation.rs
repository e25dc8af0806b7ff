//! How much of a cluster's GPUs each policy allocates: means over seeds. The JSON is an array in the order in which the policies were
//! named.

use std::io::{self, Write};

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
    /// The same when they have asked for 130 %.
    pub gpu_allocation_at_130: f64,
    pub placed: f64,
    pub turned_away: f64,
}

impl AllocationRow {
    pub fn of(policy: &'static str, runs: &[Allocation]) -> Self {
        let mean = |of: fn(&Allocation) -> f64| runs.iter().map(of).sum::<f64>() / runs.len().max(1) as f64;
        AllocationRow {
            policy,
            seeds: runs.len() as u64,
            gpu_allocation_at_100: mean(|a| a.at_100),
            gpu_allocation_at_130: mean(|a| a.at_130),
            placed: mean(|a| a.placed as f64),
            turned_away: mean(|a| a.turned_away as f64),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct AllocationRows(pub Vec<AllocationRow>);

impl View for AllocationRows {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["POLICY", "SEEDS", "GPU AT 100 %", "AT 130 %", "PLACED", "TURNED AWAY"]);
        for row in &self.0 {
            columns.row([
                row.policy.to_owned(),
                row.seeds.to_string(),
                format!("{:.2} %", row.gpu_allocation_at_100),
                format!("{:.2} %", row.gpu_allocation_at_130),
                format!("{:.0}", row.placed),
                format!("{:.0}", row.turned_away),
            ]);
        }
        columns.write(out)
    }

    fn csv(&self, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(out, "policy,seeds,gpu_allocation_at_100,gpu_allocation_at_130,placed,turned_away")?;
        for AllocationRow { policy, seeds, gpu_allocation_at_100, gpu_allocation_at_130, placed, turned_away } in
            &self.0
        {
            writeln!(out, "{policy},{seeds},{gpu_allocation_at_100},{gpu_allocation_at_130},{placed},{turned_away}")?;
        }
        Ok(())
    }
}
