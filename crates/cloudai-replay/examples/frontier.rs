//! Searches the weights of the default order: replays logs under many settings and prints, for each, mean bounded slowdown and
//! p99 wait as shares of EASY's (first come, first served, on the same log). How the default was found: docs/scheduling-simulator.md.
//!
//! `cargo run --release -p cloudai-replay --example frontier -- LOG… < SETTINGS`, one setting per line of standard input:
//! run weight, width weight, smallest run time in s, ageing per day, longest wait in s (0: none).

use std::io::BufRead;
use std::path::PathBuf;

use anyhow::Context;
use cloudai_replay::{Format, Metrics, Setup, Trace, replay};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order::{AgedArea, Order, by_name};

fn main() -> anyhow::Result<()> {
    let mut logs = vec![];
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        let trace = Trace::read(&path, Format::Swf).with_context(|| path.display().to_string())?;
        let capacity = trace.processors.with_context(|| format!("{} does not say MaxProcs", path.display()))?;
        let fcfs = by_name("fcfs").context("fcfs is an order")?;
        let easy = metrics(&trace, capacity, fcfs)?;
        println!("{}: EASY {:.2}, p99 wait {} s", path.display(), easy.bounded_slowdown.mean, easy.wait_s.p99);
        logs.push((trace, capacity, easy));
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let numbers: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [run_weight, width_weight, run_min_s, ageing_per_day, wait_max_s] = numbers[..] else {
            anyhow::bail!("'{line}' is not five numbers");
        };
        let wait_max_s = if wait_max_s > 0.0 { wait_max_s as u64 } else { u64::MAX };
        let order = AgedArea { run_weight, width_weight, run_min_s: run_min_s as u64, ageing_per_day, wait_max_s };
        print!("{line:32}");
        for (trace, capacity, easy) in &logs {
            let ours = metrics(trace, *capacity, &order)?;
            print!(
                "  slowdown {:.4} p99 wait {:.4}",
                ours.bounded_slowdown.mean / easy.bounded_slowdown.mean,
                ours.wait_s.p99 / easy.wait_s.p99
            );
        }
        println!();
    }
    Ok(())
}

fn metrics(trace: &Trace, capacity: u32, order: &(dyn Order + Sync)) -> anyhow::Result<Metrics> {
    let setup = Setup { capacity, order, backfill: Backfill::Easy, predict: true };
    Ok(Metrics::of(&[(&trace.jobs, &replay(&trace.jobs, &setup)?)]))
}
