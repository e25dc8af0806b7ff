//! `sim replay`: a workload trace under one or more policies, in virtual time, without a cluster. What the figures mean:
//! docs/scheduling-simulator.md.

use std::path::{Path, PathBuf};

use cloudai_replay::{Format, Plan, ReadError, ReplayError, Report, Trace, report};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order::{self, Order};
use cloudai_types::limits;

use crate::commands::sim_openb;
use crate::exit::Failure;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::replay::Reports;

#[derive(Debug, Clone, clap::Args)]
pub struct ReplayArgs {
    /// The trace, plain or gzip
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// How it is written
    #[arg(long, value_enum, default_value_t = FormatFlag::Swf)]
    format: FormatFlag,
    /// Orders of the queue to compare: aged_area, fcfs, sjf, saf, f1, f2, f3, f4, wfp3, unicep; for openb placements: random,
    /// bestfit, fgd. Default: aged_area, or fgd
    #[arg(long = "policy", value_name = "P,…", value_delimiter = ',')]
    pub policies: Vec<String>,
    /// Who may pass the first task that does not fit
    #[arg(long, value_enum, default_value_t = BackfillFlag::Easy)]
    backfill: BackfillFlag,
    /// Processors of the machine; default: what the trace says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// First jobs (from 0) of windows that are replayed alone, in RLScheduler's event order
    #[arg(long, value_name = "START,…", value_delimiter = ',', requires = "window_length")]
    windows: Vec<usize>,
    /// Jobs of each window
    #[arg(long, value_name = "N", requires = "windows")]
    window_length: Option<usize>,
    /// Order by limits only, and not by how long similar jobs ran before
    #[arg(long)]
    no_predictions: bool,
    /// Also tell how long decisions took: these figures differ from run to run
    #[arg(long)]
    timings: bool,
    /// openb: the nodes; default: openb_node_list_gpu_node.csv.gz beside the trace
    #[arg(long, value_name = "FILE")]
    pub node_list: Option<PathBuf>,
    /// openb: how many shuffles of the pods are averaged
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=limits::REPLAY_SEEDS_MAX))]
    pub seeds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatFlag {
    /// Standard Workload Format
    Swf,
    /// One JSON object per job
    Jsonl,
    /// Pods of a GPU cluster, to fill it with
    Openb,
    /// A workflow's run, WfFormat 1.5
    Wfcommons,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BackfillFlag {
    /// Nobody
    None,
    /// Who does not delay its reservation
    Easy,
    /// Who ends before its reservation
    Rlscheduler,
}

pub fn run(settings: &Settings, args: &ReplayArgs) -> Result<(), Failure> {
    let format = match args.format {
        FormatFlag::Swf => Format::Swf,
        FormatFlag::Jsonl => Format::Jsonl,
        FormatFlag::Wfcommons => Format::WfCommons,
        FormatFlag::Openb => return sim_openb::run(settings, args),
    };
    let orders: Vec<_> = match args.policies.as_slice() {
        [] => vec![order::ALL[0]],
        names => names.iter().map(|name| policy(name)).collect::<Result<_, _>>()?,
    };
    if args.windows.len() > limits::REPLAY_WINDOWS_MAX {
        return Err(Failure::invalid(format!("{} windows are too many", args.windows.len()))
            .why(format!("one replay takes at most {}", limits::REPLAY_WINDOWS_MAX)));
    }
    let trace = Trace::read(&args.trace, format).map_err(|e| unreadable(&args.trace, e))?;
    if trace.dropped + trace.clamped > 0 {
        say(format_args!(
            "of {} jobs {} never ran and are left out, {} ran past their limit and are cut there",
            trace.jobs.len() as u64 + trace.dropped,
            trace.dropped,
            trace.clamped
        ));
    }
    let capacity = args.nodes.or(trace.processors).ok_or_else(|| {
        Failure::invalid("the trace does not say how large its machine was").next("say it with --nodes N")
    })?;
    let plan = Plan {
        capacity,
        backfill: match args.backfill {
            BackfillFlag::None => Backfill::None,
            BackfillFlag::Easy => Backfill::Easy,
            BackfillFlag::Rlscheduler => Backfill::RlScheduler,
        },
        predict: !args.no_predictions,
        windows: args.windows.clone(),
        window_length: args.window_length.unwrap_or(0),
        timings: args.timings,
    };
    let reports: Result<Vec<Report>, _> = orders.into_iter().map(|order| report(&trace, order, &plan)).collect();
    show(settings.format, &Reports(reports.map_err(impossible)?))
}

fn policy(name: &str) -> Result<&'static (dyn Order + Sync), Failure> {
    order::by_name(name).ok_or_else(|| {
        let known: Vec<&str> = order::ALL.iter().map(|order| order.name()).collect();
        Failure::invalid(format!("there is no policy '{name}'")).next(format!("choose from {}", known.join(", ")))
    })
}

pub fn unreadable(path: &Path, e: ReadError) -> Failure {
    let why = match &e {
        ReadError::Open { source, .. } | ReadError::Read { source, .. } => format!("{e}: {source}"),
        other => other.to_string(),
    };
    Failure::invalid(format!("the trace {} cannot be replayed", path.display()))
        .why(why)
        .next("check the file, and that --format names how it is written")
}

fn impossible(e: ReplayError) -> Failure {
    let failure = |next: &str| Failure::invalid("the trace cannot be replayed so").why(&e).next(next);
    match e {
        ReplayError::TooWide { .. } => failure("give the machine more processors with --nodes"),
        ReplayError::NoSuchWindow { .. } => failure("choose other --windows, or a shorter --window-length"),
        ReplayError::WindowOfWorkflow => failure("leave out --windows"),
        ReplayError::Broken(_) => Failure::failed("the simulator made a schedule that cannot be")
            .why(&e)
            .next("this is a mistake in cloudai: please report it with the trace and the command"),
    }
}
