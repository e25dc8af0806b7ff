//! Replays of one trace, policy by policy. The JSON is an array in the order in which the policies were named.

use std::io::{self, Write};

use cloudai_replay::{Interval, Report};
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{Columns, View};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Reports(pub Vec<Report>);

const HEADER: [&str; 14] = [
    "POLICY", "BACKFILL", "JOBS", "SLOWDOWN", "P50", "P99", "WAIT", "P99", "MAX", "MAKESPAN", "USED", "FRAG", "JAIN",
    "STARVED",
];

impl View for Reports {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&HEADER);
        for report in &self.0 {
            let m = &report.metrics;
            columns.row([
                report.policy.clone(),
                report.backfill.to_owned(),
                m.jobs.to_string(),
                sure(report, "bounded_slowdown_mean", |v| format!("{v:.2}"), m.bounded_slowdown.mean),
                format!("{:.2}", m.bounded_slowdown.p50),
                format!("{:.2}", m.bounded_slowdown.p99),
                sure(report, "wait_s_mean", seconds, m.wait_s.mean),
                seconds(m.wait_s.p99),
                seconds(m.wait_s.max),
                seconds(m.makespan_s),
                format!("{:.1} %", 100.0 * m.utilisation.to_last_start),
                format!("{:.1} %", 100.0 * m.fragmentation),
                format!("{:.3}", m.jain_index),
                m.starved.to_string(),
            ]);
        }
        columns.write(out)?;
        for Report { policy, metrics: m, .. } in self.0.iter().filter(|report| report.metrics.deadlines > 0) {
            writeln!(out, "{policy}: {} of {} deadlines were missed", m.deadline_misses, m.deadlines)?;
        }
        for report in &self.0 {
            let Some(cost) = report.metrics.cost else { continue };
            let total = sure(report, "cost_total", |v| format!("{v:.2}"), cost.total);
            let per_job = sure(report, "cost_per_job", |v| format!("{v:.4}"), cost.per_job);
            writeln!(out, "{}: costs {total}, {per_job} per job", report.policy)?;
        }
        Ok(())
    }

    fn csv(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let figures: Vec<&str> = first.metrics.figures().into_iter().map(|(name, _)| name).collect();
        // With seeds, each figure's mean over them and half of its interval follow; without, there is nothing to say.
        let has_seeds = self.0.iter().any(|report| report.seeds > 1);
        let over = figures.iter().map(|name| format!(",{name}_over_seeds,{name}_ci95"));
        let over: String = over.filter(|_| has_seeds).collect();
        writeln!(out, "policy,backfill,windows,nodes,seeds,{}{over}", figures.join(","))?;
        for report in &self.0 {
            let Report { policy, backfill, windows, nodes, seeds, metrics, over_seeds, .. } = report;
            let values: Vec<String> = metrics.figures().into_iter().map(|(_, value)| value.to_string()).collect();
            let over = figures.iter().filter_map(|name| over_seeds.get(name));
            let over: String = over.map(|i| format!(",{},{}", i.mean, i.ci95.unwrap_or_default())).collect();
            writeln!(out, "{policy},{backfill},{windows},{nodes},{seeds},{}{over}", values.join(","))?;
        }
        Ok(())
    }
}

/// The mean over the seeds and its interval, where there are seeds.
fn sure(report: &Report, name: &str, text: fn(f64) -> String, alone: f64) -> String {
    match report.over_seeds.get(name) {
        Some(Interval { mean, ci95: Some(ci95) }) => format!("{} ± {}", text(*mean), text(*ci95)),
        Some(Interval { mean, ci95: None }) => text(*mean),
        None => text(alone),
    }
}

fn seconds(s: f64) -> String {
    format!("{s:.0} s")
}
