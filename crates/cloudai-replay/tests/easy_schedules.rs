//! Job by job against published schedules: EASY with user limits, of Gaussier et al. (SC'15). Column 3 of their files is the
//! simulated wait.

#![allow(clippy::unwrap_used)]

mod traces;

use std::collections::BTreeMap;

use cloudai_replay::{Metrics, Run, Setup, Trace, replay};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order;
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;

fn easy(trace: &Trace, capacity: u32) -> Run {
    let setup = Setup { capacity, order: order::by_name("fcfs").unwrap(), backfill: Backfill::Easy, predict: false };
    replay(&trace.jobs, &setup).unwrap()
}

/// Job id → simulated wait in seconds.
fn published(path: &Path) -> BTreeMap<u64, u64> {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with(';'));
    rows.map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        (columns[0].parse().unwrap(), columns[2].parse().unwrap())
    })
    .collect()
}

/// Share of jobs that start at the published second, and our mean bounded slowdown.
fn agreement(log: &str, reference: &str, capacity: u32, bounded_slowdown: f64) {
    let Some(folder) = traces::folder(log) else { return };
    let trace = traces::swf(&folder, &format!("swf/{log}.swf.gz"));
    let published =
        published(&folder.join(format!("swf_reference/{reference}.easy_backfill_scheduler_None_None.swf.gz")));
    assert_eq!(trace.jobs.len(), published.len(), "the same jobs take part");
    let run = easy(&trace, capacity);
    let same =
        trace.jobs.iter().zip(&run.start_s).filter(|(job, start_s)| published[&job.id] == **start_s - job.submit_s);
    let share = same.count() as f64 / published.len() as f64;
    let ours = Metrics::of(&[(&trace.jobs, &run)]).bounded_slowdown.mean;
    eprintln!("{log}: {:.4} % of the starts are the published ones, bounded slowdown {ours:.4}", 100.0 * share);
    assert!(share >= 0.999, "{log}: only {share}");
    assert!((ours - bounded_slowdown).abs() < 0.02, "{log}: {ours} instead of {bounded_slowdown}");
    assert_eq!(easy(&trace, capacity).start_s, run.start_s, "a second run is the same");
}

#[test]
fn kth_sp2_starts_when_it_was_published_to() {
    agreement("KTH-SP2-1996", "KTH-SP2", 100, 92.5765);
}

#[test]
fn sdsc_sp2_starts_when_it_was_published_to() {
    agreement("SDSC-SP2-filtered", "SDSC-SP2", 128, 87.870);
}
