//! Measures CloudAI. Each figure of `docs/benchmarks.md` is one file and one subcommand; each prints a table, or JSON with
//! `-o json`. Numbers come from the machine that runs them, so compare them with others of the same run only: wherever it can be, a
//! figure stands beside a peer or the machine's own ceiling, measured in turns with it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod closed_loop;
mod cluster;
mod containers;
mod disk;
mod etcd;
mod figure;
mod lifecycles;
mod machine;
mod scheduler;
mod submit;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::figure::Figure;

#[derive(Parser)]
#[command(name = "cloudai-bench", about = "Measures CloudAI: one figure per subcommand", version)]
struct Args {
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    run: RunOptions,
    #[command(subcommand)]
    figure: Which,
}

/// What all figures with a cluster need.
#[derive(Clone, clap::Args)]
pub struct RunOptions {
    /// Rounds; the figure is their median, spread and all rounds are in the JSON
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measured seconds of one round, after one second to warm up
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Where clusters keep their data while they are measured: on the disk in question, not in memory
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The program to measure; default: `cloudai` beside this program
    #[arg(long, global = true, value_name = "PATH")]
    cloudai: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Subcommand)]
enum Which {
    /// Durable submits per second, each acknowledged alone, 64 callers; beside etcd and the disk.
    #[command(name = "submit-64")]
    Submit64,
    /// The same with 256 callers.
    #[command(name = "submit-256")]
    Submit256,
    /// Whole no-op life cycles per second: an array on hollow workers, from its submit to its end.
    Lifecycles(lifecycles::Options),
    /// Real containers per second, beside a bare client of the same engine.
    Containers(containers::Options),
    /// Placements per second, time of a pass, memory per queued task; in this process, without a cluster.
    Scheduler(scheduler::Options),
    /// All of them, one after the other.
    All,
}

fn main() -> anyhow::Result<()> {
    cloudai_net::install_crypto_provider();
    let args = Args::parse();
    // As the masters do: on a small machine threads cost more than they give.
    let mut builder = match machine::cores() {
        ..=4 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let figures = runtime.block_on(async {
        tokio::select! {
            figures = measure(&args) => figures,
            // What was started is stopped by the drops on the way out.
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    })?;
    match args.output {
        Output::Table => print!("{}", figure::Table(&figures)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&figures)?),
    }
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Vec<Figure>> {
    let run = &args.run;
    Ok(match &args.figure {
        Which::Submit64 => vec![submit::run(run, 64).await?],
        Which::Submit256 => vec![submit::run(run, 256).await?],
        Which::Lifecycles(options) => vec![lifecycles::run(run, options).await?],
        Which::Containers(options) => vec![containers::run(run, options).await?],
        Which::Scheduler(options) => scheduler_figures(args.output, options)?,
        Which::All => {
            let mut all = vec![submit::run(run, 64).await?, submit::run(run, 256).await?];
            all.push(lifecycles::run(run, &defaults()).await?);
            all.push(containers::run(run, &defaults()).await?);
            all.extend(scheduler_figures(args.output, &defaults())?);
            all
        }
    })
}

/// A subcommand's options as they are when none is given.
fn defaults<O: clap::Args>() -> O {
    let matches = O::augment_args(clap::Command::new("defaults")).get_matches_from(["defaults"]);
    O::from_arg_matches(&matches).expect("every option has a default")
}

/// The scheduler's own table goes to stderr beside the figures; in JSON it is their detail.
fn scheduler_figures(output: Output, options: &scheduler::Options) -> anyhow::Result<Vec<Figure>> {
    let report = scheduler::run(options)?;
    if output == Output::Table {
        eprintln!("{report}");
    }
    Ok(report.figures())
}
