//! Measures CloudAI. Each figure of `docs/benchmarks.md` is one file and one subcommand; each prints a table, or JSON with
//! `-o json`. Numbers come from the machine that runs them, so compare them with others of the same run only.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod scheduler;

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(name = "cloudai-bench", about = "Measures CloudAI: one figure per subcommand", version)]
struct Args {
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Subcommand)]
enum Figure {
    /// Placements per second, time of a pass, memory per queued task; in this process, without a cluster.
    Scheduler(scheduler::Options),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.figure {
        Figure::Scheduler(options) => print(args.output, &scheduler::run(&options)?),
    }
}

/// Data goes to stdout, in the form that was asked for.
fn print<R: std::fmt::Display + serde::Serialize>(output: Output, report: &R) -> anyhow::Result<()> {
    match output {
        Output::Table => println!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(report)?),
    }
    Ok(())
}
