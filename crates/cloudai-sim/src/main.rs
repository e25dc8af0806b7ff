//! The simulation's command. Comes in: a verb and seeds. Goes out: verdicts on stdout; exit code 1 when an invariant was broken.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod mutants;
mod sweep;

#[derive(Parser)]
#[command(name = "cloudai-sim", about = "CloudAI under faults, in one process, the same each time")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// One seed.
    Run {
        #[arg(long)]
        seed: u64,
        /// Print every event.
        #[arg(long)]
        events: bool,
        /// Print the plan first.
        #[arg(long)]
        plan: bool,
        /// Let the masters' own log through to stderr; RUST_LOG chooses.
        #[arg(long)]
        trace: bool,
    },
    /// Many seeds, each in a process of its own.
    Sweep(sweep::Sweep),
    /// Proves that the invariants see: builds a copy of the tree with each fault in crates/cloudai-sim/mutants, and looks for a
    /// seed that notices.
    Mutants(mutants::Mutants),
}

fn main() -> ExitCode {
    match Args::parse().verb {
        Verb::Run { seed, events, plan, trace } => one(seed, events, plan, trace),
        Verb::Sweep(sweep) => sweep.carry_out(),
        Verb::Mutants(mutants) => mutants.carry_out(),
    }
}

/// Lines of the event log that a violation shows.
const TAIL: usize = 60;

fn one(seed: u64, events: bool, plan: bool, trace: bool) -> ExitCode {
    if plan {
        println!("{:#?}", cloudai_sim::plan_of(seed));
    }
    if trace {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .init();
    }
    let report = cloudai_sim::run(seed);
    let text = report.events.text();
    if events {
        print!("{text}");
    }
    let cloudai_sim::Report { simulated_ms, acknowledged, unknown, leaderships, messages, faults, seen, .. } = report;
    let seconds = simulated_ms / 1_000;
    let summary = format!(
        "{seconds} s simulated, {faults} faults, {leaderships} leaderships, {messages} messages, {acknowledged} submits acknowledged, {unknown} unknown"
    );
    let Some(violation) = report.violation else {
        println!("seed {seed}: holds ({summary})\n{seen}");
        return ExitCode::SUCCESS;
    };
    if !events {
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
            println!("{line}");
        }
    }
    println!("seed {seed}: VIOLATED {}: {}", violation.invariant, violation.what);
    println!("  {summary}\n{seen}");
    println!("  again: cargo run --bin cloudai-sim -- run --seed {seed} --events");
    ExitCode::FAILURE
}
