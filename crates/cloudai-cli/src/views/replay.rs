//! Replays of one trace, policy by policy. The JSON is an array in the order in which the policies were named.

use std::io::{self, Write};

use cloudai_replay::{Report, Summary};
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{Columns, View};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Reports(pub Vec<Report>);

const HEADER: [&str; 13] = [
    "POLICY", "BACKFILL", "JOBS", "SLOWDOWN", "P50", "P99", "WAIT", "P99", "MAX", "MAKESPAN", "USED", "JAIN", "STARVED",
];

impl View for Reports {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&HEADER);
        for Report { policy, backfill, metrics: m, .. } in &self.0 {
            columns.row([
                (*policy).to_owned(),
                (*backfill).to_owned(),
                m.jobs.to_string(),
                format!("{:.2}", m.bounded_slowdown.mean),
                format!("{:.2}", m.bounded_slowdown.p50),
                format!("{:.2}", m.bounded_slowdown.p99),
                seconds(m.wait_s.mean),
                seconds(m.wait_s.p99),
                seconds(m.wait_s.max),
                seconds(m.makespan_s),
                format!("{:.1} %", 100.0 * m.utilisation.to_last_start),
                format!("{:.3}", m.jain_index),
                m.starved.to_string(),
            ]);
        }
        columns.write(out)?;
        for report in &self.0 {
            if let Some(d) = &report.decision_ns {
                let us = |ns: f64| format!("{:.1}", ns / 1_000.0);
                let (p50, p99, max) = (us(d.p50), us(d.p99), us(d.max));
                writeln!(out, "{}: a decision took {p50} µs (p50), {p99} µs (p99), {max} µs at most", report.policy)?;
            }
        }
        Ok(())
    }

    fn csv(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let five = |name: &str| ["mean", "p50", "p95", "p99", "max"].map(|f| format!("{name}_{f}")).join(",");
        let (completion, wait, slowdown) = (five("completion_s"), five("wait_s"), five("bounded_slowdown"));
        writeln!(
            out,
            "policy,backfill,windows,nodes,jobs,makespan_s,throughput_per_hour,{completion},{wait},{slowdown},\
             utilisation_to_last_start,utilisation_to_last_finish,jain_index,starved,backfilled"
        )?;
        let five = |s: &Summary| [s.mean, s.p50, s.p95, s.p99, s.max].map(|v| v.to_string()).join(",");
        for Report { policy, backfill, windows, nodes, metrics: m, .. } in &self.0 {
            let (completion, wait, slowdown) = (five(&m.completion_s), five(&m.wait_s), five(&m.bounded_slowdown));
            writeln!(
                out,
                "{policy},{backfill},{windows},{nodes},{},{},{},{completion},{wait},{slowdown},{},{},{},{},{}",
                m.jobs,
                m.makespan_s,
                m.throughput_per_hour,
                m.utilisation.to_last_start,
                m.utilisation.to_last_finish,
                m.jain_index,
                m.starved,
                m.backfilled
            )?;
        }
        Ok(())
    }
}

fn seconds(s: f64) -> String {
    format!("{s:.0} s")
}
