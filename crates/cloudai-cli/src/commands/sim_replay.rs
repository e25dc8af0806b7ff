//! `sim replay`: a workload under one or more policies, in virtual time, without a cluster. What the figures mean:
//! docs/scheduling-simulator.md.

use std::path::{Path, PathBuf};

use cloudai_replay::{Format, Plan, Policy, PolicyError, ReplayError, Report, html, plot, policy, report};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order;
use cloudai_types::limits;

use crate::commands::sim_generate::unwritable;
use crate::commands::sim_openb;
use crate::commands::sim_progress::Progress;
use crate::commands::sim_workload::{Loaded, WorkloadArgs};
use crate::exit::Failure;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::replay::Reports;

#[derive(Debug, Clone, clap::Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// How the trace is written
    #[arg(long, value_enum, default_value_t = FormatFlag::Swf)]
    format: FormatFlag,
    /// Orders of the queue to compare: aged_area, fcfs, sjf, saf, f1, f2, f3, f4, wfp3, unicep; aged_area with other weights as
    /// aged_area:width=0.2:ageing=4; for openb placements: random, bestfit, fgd. Default: aged_area, or fgd
    #[arg(long = "policy", value_name = "P,…", value_delimiter = ',')]
    pub policies: Vec<String>,
    /// Who may pass the first task that does not fit
    #[arg(long, value_enum, default_value_t = BackfillFlag::Easy)]
    backfill: BackfillFlag,
    /// Processors of the machine; default: what the trace says, or 256 with --generate
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
    /// What one of the processors costs in an hour, busy or not: also tell what the work costs, in total and per job
    #[arg(long, value_name = "X", value_parser = price)]
    pub price_per_node_hour: Option<f64>,
    /// Also tell (on stderr and in the report) how long decisions took: these figures differ from run to run
    #[arg(long)]
    timings: bool,
    /// Draw the policies' slowdown against their waits, and utilisation over time (of openb: GPU allocated and fragmented), into this SVG file
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Write tables and pictures into this HTML file, which needs nothing else
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// openb: the nodes; default: openb_node_list_gpu_node.csv.gz beside the trace
    #[arg(long, value_name = "FILE")]
    pub node_list: Option<PathBuf>,
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
    let policies = args.policies()?;
    if args.windows.len() > limits::REPLAY_WINDOWS_MAX {
        return Err(Failure::invalid(format!("{} windows are too many", args.windows.len()))
            .why(format!("one replay takes at most {}", limits::REPLAY_WINDOWS_MAX)));
    }
    let loaded = args.workload.load(format, args.nodes)?;
    let plan = args.plan(loaded.capacity);
    let mut progress = Progress::of(plan.jobs(&loaded.traces).saturating_mul(policies.len() as u64), "jobs");
    let mut reports: Vec<Report> = vec![];
    for policy in &policies {
        progress.on(&policy.name);
        reports.push(report(&loaded.traces, policy, &plan, &mut || progress.step()).map_err(impossible)?);
        progress.flush();
    }
    drop(progress);
    args.write_files(&loaded, &reports)?;
    if args.timings {
        reports.iter().for_each(say_timings);
    }
    show(settings.format, &Reports(reports))
}

impl ReplayArgs {
    fn policies(&self) -> Result<Vec<Policy>, Failure> {
        if self.policies.len() > limits::REPLAY_POLICIES_MAX {
            return Err(Failure::invalid(format!("{} policies are too many", self.policies.len()))
                .why(format!("one comparison has at most {}", limits::REPLAY_POLICIES_MAX)));
        }
        match self.policies.as_slice() {
            [] => Ok(vec![Policy::default_order()]),
            names => names.iter().map(|name| Policy::parse(name).map_err(no_policy)).collect(),
        }
    }

    fn plan(&self, capacity: u32) -> Plan {
        Plan {
            capacity,
            backfill: match self.backfill {
                BackfillFlag::None => Backfill::None,
                BackfillFlag::Easy => Backfill::Easy,
                BackfillFlag::Rlscheduler => Backfill::RlScheduler,
            },
            predict: !self.no_predictions,
            windows: self.windows.clone(),
            window_length: self.window_length.unwrap_or(0),
            price_per_node_hour: self.price_per_node_hour,
        }
    }

    fn write_files(&self, loaded: &Loaded, reports: &[Report]) -> Result<(), Failure> {
        let backfill = reports.first().map_or("", |r| r.backfill);
        let title = format!("{}: {} processors, backfill {backfill}", loaded.name, loaded.capacity);
        if let Some(path) = &self.plot {
            write(path, &plot(&title, reports))?;
        }
        if let Some(path) = &self.report {
            let jobs: usize = loaded.traces.iter().map(|trace| trace.jobs.len()).sum();
            let facts = [
                ("workload", loaded.name.clone()),
                ("jobs", jobs.to_string()),
                ("processors", loaded.capacity.to_string()),
                ("backfill", backfill.to_owned()),
                (
                    "run times are expected",
                    if self.no_predictions { "to be the limits" } else { "from history" }.to_owned(),
                ),
                ("windows", if self.windows.is_empty() { "none".to_owned() } else { format!("{:?}", self.windows) }),
                ("seeds", self.workload.seeds_told()),
            ];
            let page = html::Page { title: &title, facts: &facts, has_timings: self.timings };
            write(path, &html::page(&page, reports))?;
        }
        Ok(())
    }
}

fn price(text: &str) -> Result<f64, String> {
    let price: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    if price.is_finite() && price >= 0.0 { Ok(price) } else { Err("a price is 0 or more".to_owned()) }
}

pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| unwritable(path, &e))
}

fn say_timings(report: &Report) {
    let us = |ns: f64| format!("{:.1}", ns / 1_000.0);
    let d = &report.decision_ns;
    let (p50, p99, max) = (us(d.p50), us(d.p99), us(d.max));
    say(format_args!("{}: a decision took {p50} µs (p50), {p99} µs (p99), {max} µs at most", report.policy));
}

fn no_policy(e: PolicyError) -> Failure {
    let next = match &e {
        PolicyError::Unknown(_) => {
            let known: Vec<&str> = order::ALL.iter().map(|order| order.name()).collect();
            format!("choose from {}", known.join(", "))
        }
        PolicyError::NoWeights(_) | PolicyError::UnknownWeight(_) | PolicyError::NoNumber { .. } => {
            format!("write aged_area:WEIGHT=NUMBER:…; the weights are {}", policy::WEIGHTS)
        }
    };
    Failure::invalid("a policy cannot be used").why(e).next(next)
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
