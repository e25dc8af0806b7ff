//! `sim replay --format openb`: fills a GPU cluster with the pods of a trace, policy by policy.

use cloudai_replay::inflation::{Allocation, PlacementPolicy, inflate};
use cloudai_replay::trace::openb;

use crate::commands::sim_progress::Progress;
use crate::commands::sim_replay::ReplayArgs;
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
    if args.plot.is_some() || args.report.is_some() {
        return Err(Failure::invalid("a cluster that only fills has neither waits nor a time to draw")
            .next("leave out --plot and --report; use -o csv or -o json"));
    }
    let trace = args.workload.file()?;
    let node_list = args.node_list.clone().unwrap_or_else(|| trace.with_file_name(NODE_LIST));
    let nodes = openb::nodes(&node_list)
        .map_err(|e| unreadable(&node_list, e).next("name the list of nodes with --node-list FILE"))?;
    let pods = openb::pods(trace).map_err(|e| unreadable(trace, e))?;
    let seeds = args.workload.seed..args.workload.seed + args.workload.seeds;
    let mut progress = Progress::of(args.workload.seeds.saturating_mul(policies.len() as u64), "clusters");
    let mut rows = vec![];
    for policy in policies {
        progress.on(policy.name());
        let runs = seeds.clone().map(|seed| {
            let run = inflate(&nodes, &pods, policy, seed);
            progress.step();
            progress.flush();
            run
        });
        let runs: Vec<Allocation> = runs.collect();
        rows.push(AllocationRow::of(policy.name(), &runs));
    }
    drop(progress);
    show(settings.format, &AllocationRows(rows))
}

fn policy(name: &str) -> Result<PlacementPolicy, Failure> {
    PlacementPolicy::ALL.into_iter().find(|policy| policy.name() == name).ok_or_else(|| {
        Failure::invalid(format!("'{name}' does not place on GPUs")).next("choose from random, bestfit, fgd")
    })
}
