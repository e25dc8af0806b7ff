//! Measures CloudAI. Each figure of `docs/benchmarks.md` is one file and one subcommand; each prints a table, or JSON with
//! `-o json`. Numbers come from the machine that runs them, so compare them with others of the same run only: wherever it can be, a
//! figure stands beside a peer or the machine's own ceiling, measured in turns with it.
//!
//! `soak` is another kind of thing: a mixed load for a long time, and whether anything grows.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod catch_up;
mod closed_loop;
mod cluster;
mod container_start;
mod containers;
mod disk;
mod echo;
mod etcd;
mod figure;
mod heartbeats;
mod hollow;
mod lifecycles;
mod machine;
mod overhead;
mod pages;
mod queued;
mod receiver;
mod scheduler;
mod soak;
mod submit;
mod swarm;
mod telemetry;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

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
    /// Durable submits per second, each acknowledged alone, 64 callers; beside etcd, a bare echo and the disk.
    #[command(name = "submit-64")]
    Submit64,
    /// The same with 256 callers.
    #[command(name = "submit-256")]
    Submit256,
    /// Whole no-op life cycles per second: an array on hollow workers, from its submit to its end.
    Lifecycles(lifecycles::Options),
    /// Real containers per second, beside a bare client of the same engine and beside Docker Swarm.
    Containers(containers::Options),
    /// From a submit to a container that runs, one at a time, beside a bare client of the same engine.
    #[command(name = "container-start")]
    ContainerStart(container_start::Options),
    /// CPU of the leader for the heartbeats of very many hollow workers.
    Heartbeats(heartbeats::Options),
    /// Live telemetry to many WebSockets, some of which take nothing: rate, memory and CPU of the leader. Measured over --seconds, three times.
    Telemetry(telemetry::Options),
    /// No-op life cycles per second of a cluster that is watched in every way, beside one that nobody watches.
    Overhead(overhead::Options),
    /// Memory of the masters with a million queued tasks, and the time of a restart.
    Queued(queued::Options),
    /// Time until a new master votes under load, and what callers notice.
    #[command(name = "catch-up")]
    CatchUp(catch_up::Options),
    /// Placements per second, time of a pass, memory per queued task; in this process, without a cluster.
    Scheduler(scheduler::Options),
    /// All of them, one after the other.
    All,
    /// A mixed load with faults for some minutes; fails when memory, disk, files, threads or tasks grow.
    Soak(soak::Options),
    /// The server behind the submits' ceiling; started by them.
    #[command(hide = true)]
    Echo { identity: PathBuf },
}

fn main() -> anyhow::Result<ExitCode> {
    cloudai_net::install_crypto_provider();
    let args = Args::parse();
    // As the masters do: on a small machine threads cost more than they give.
    let mut builder = match machine::cores() {
        ..=4 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = run(&args) => done,
            // What was started is stopped by the drops on the way out.
            reason = asked_to_stop() => Err(anyhow::anyhow!("{reason}")),
        }
    });
    runtime.shutdown_background();
    done
}

/// Ctrl-C, or what `kill` and `timeout` send.
async fn asked_to_stop() -> &'static str {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return "SIGTERM cannot be listened for" };
    tokio::select! {
        _ = terminated.recv() => "terminated",
        _ = tokio::signal::ctrl_c() => "interrupted",
    }
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.figure {
        Which::Echo { identity } => {
            echo::serve(identity).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Which::Soak(options) => {
            let report = soak::run(&args.run, options).await?;
            match args.output {
                Output::Table => print!("{report}"),
                Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
            }
            return Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        _ => {}
    }
    let figures = measure(args).await?;
    match args.output {
        Output::Table => print!("{}", figure::Table(&figures)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&figures)?),
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &Args) -> anyhow::Result<Vec<Figure>> {
    let run = &args.run;
    Ok(match &args.figure {
        Which::Submit64 => submit::run(run, 64).await?,
        Which::Submit256 => submit::run(run, 256).await?,
        Which::Lifecycles(options) => vec![lifecycles::run(run, options).await?],
        Which::Containers(options) => containers::run(run, options).await?,
        Which::ContainerStart(options) => vec![container_start::run(run, options).await?],
        Which::Heartbeats(options) => vec![heartbeats::run(run, options).await?],
        Which::Telemetry(options) => vec![telemetry::run(run, options).await?],
        Which::Overhead(options) => vec![overhead::run(run, options).await?],
        Which::Queued(options) => queued::run(run, options).await?,
        Which::CatchUp(options) => vec![catch_up::run(run, options).await?],
        Which::Scheduler(options) => scheduler_figures(args.output, options).await?,
        Which::All => all(args).await,
        Which::Soak(_) | Which::Echo { .. } => vec![],
    })
}

/// One that fails is in the table as not run, with its reason, and the others go on.
async fn all(args: &Args) -> Vec<Figure> {
    let run = &args.run;
    let mut all = vec![];
    let mut add = |name: &str, measured: anyhow::Result<Vec<Figure>>| {
        let failed =
            |e: anyhow::Error| vec![Figure::new(name, "-", figure::Nature::BARE).not_run(format!("it failed: {e:#}"))];
        all.extend(measured.unwrap_or_else(failed));
        eprintln!("{name}: done");
    };
    let one = |measured: anyhow::Result<Figure>| measured.map(|figure| vec![figure]);
    add("submit-64", submit::run(run, 64).await);
    add("submit-256", submit::run(run, 256).await);
    add("lifecycles", one(lifecycles::run(run, &defaults()).await));
    add("containers", containers::run(run, &defaults()).await);
    add("container-start", one(container_start::run(run, &defaults()).await));
    add("heartbeats", one(heartbeats::run(run, &defaults()).await));
    add("telemetry", one(telemetry::run(run, &defaults()).await));
    add("overhead", one(overhead::run(run, &defaults()).await));
    add("queued", queued::run(run, &defaults()).await);
    add("catch-up", one(catch_up::run(run, &defaults()).await));
    add("scheduler", scheduler_figures(args.output, &defaults()).await);
    all
}

/// A subcommand's options as they are when none is given.
fn defaults<O: clap::Args>() -> O {
    let matches = O::augment_args(clap::Command::new("defaults")).get_matches_from(["defaults"]);
    O::from_arg_matches(&matches).expect("every option has a default")
}

/// The scheduler's own table goes to stderr beside the figures; in JSON it is their detail.
async fn scheduler_figures(output: Output, options: &scheduler::Options) -> anyhow::Result<Vec<Figure>> {
    let options = options.clone();
    // On a thread of its own, so that a signal is heard meanwhile.
    let report = tokio::task::spawn_blocking(move || scheduler::run(&options)).await??;
    if output == Output::Table {
        eprintln!("{report}");
    }
    Ok(report.figures())
}
