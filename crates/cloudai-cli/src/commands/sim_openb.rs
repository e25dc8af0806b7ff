//! `sim replay --format openb`: fills a GPU cluster with the pods of a trace, policy by policy.

use std::path::Path;

use cloudai_replay::inflation::{Allocation, PlacementPolicy, inflate};
use cloudai_replay::trace::openb;
use cloudai_replay::{html, plot_allocation};

use crate::commands::sim_progress::Progress;
use crate::commands::sim_replay::{ReplayArgs, write};
use crate::commands::sim_workload::unreadable;
use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::allocation::{AllocationRow, AllocationRows};

/// The name that the published list of nodes has.
const NODE_LIST: &str = "openb_node_list_gpu_node.csv.gz";

pub fn run(settings: &Settings, args: &ReplayArgs) -> Result<(), Failure> {
    let policies: Vec<PlacementPolicy> = match args.policies.as_slice() {
        [] => vec![PlacementPolicy::Fgd],
        names => names.iter().map(|name| policy(name)).collect::<Result<_, _>>()?,
    };
    if args.price_per_node_hour.is_some() {
        return Err(Failure::invalid("a cluster that only fills has no hours to pay for")
            .next("leave out --price-per-node-hour"));
    }
    let trace = args.workload.file()?;
    let node_list = args.node_list.clone().unwrap_or_else(|| trace.with_file_name(NODE_LIST));
    let nodes = openb::nodes(&node_list)
        .map_err(|e| unreadable(&node_list, e).next("name the list of nodes with --node-list FILE"))?;
    let pods = openb::pods(trace).map_err(|e| unreadable(trace, e))?;
    let seeds = args.workload.seed..args.workload.seed + args.workload.seeds;
    let mut progress = Progress::of(args.workload.seeds.saturating_mul(policies.len() as u64), "clusters");
    let mut all: Vec<(&str, Vec<Allocation>)> = vec![];
    for policy in policies {
        progress.on(policy.name());
        let runs = seeds.clone().map(|seed| {
            let run = inflate(&nodes, &pods, policy, seed);
            progress.step();
            progress.flush();
            run
        });
        let runs: Vec<Allocation> = runs.collect();
        all.push((policy.name(), runs));
    }
    drop(progress);
    write_files(args, trace, &all)?;
    let rows = all.iter().map(|(policy, runs)| AllocationRow::of(policy, runs)).collect();
    show(settings.format, &AllocationRows(rows))
}

fn write_files(args: &ReplayArgs, trace: &Path, all: &[(&str, Vec<Allocation>)]) -> Result<(), Failure> {
    let runs: Vec<(&str, &[Allocation])> = all.iter().map(|(policy, runs)| (*policy, runs.as_slice())).collect();
    let workload = trace.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let title = format!("{workload}: a GPU cluster that fills");
    if let Some(path) = &args.plot {
        write(path, &plot_allocation(&title, &runs))?;
    }
    if let Some(path) = &args.report {
        let facts =
            [("workload", workload), ("seeds", format!("{} from {} on", args.workload.seeds, args.workload.seed))];
        let page = html::Page { title: &title, facts: &facts, has_timings: false };
        write(path, &html::allocation_page(&page, &runs))?;
    }
    Ok(())
}

fn policy(name: &str) -> Result<PlacementPolicy, Failure> {
    PlacementPolicy::ALL.into_iter().find(|policy| policy.name() == name).ok_or_else(|| {
        Failure::invalid(format!("'{name}' does not place on GPUs")).next("choose from random, bestfit, fgd")
    })
}
