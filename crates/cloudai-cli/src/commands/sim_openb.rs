//! `sim replay --format openb`: fills a GPU cluster with the pods of a trace, policy by policy.

use cloudai_replay::inflation::{Allocation, PlacementPolicy, inflate};
use cloudai_replay::trace::openb;

use crate::commands::sim_replay::{ReplayArgs, unreadable};
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
    let node_list = args.node_list.clone().unwrap_or_else(|| args.trace.with_file_name(NODE_LIST));
    let nodes = openb::nodes(&node_list)
        .map_err(|e| unreadable(&node_list, e).next("name the list of nodes with --node-list FILE"))?;
    let pods = openb::pods(&args.trace).map_err(|e| unreadable(&args.trace, e))?;
    let rows = policies.into_iter().map(|policy| {
        let runs: Vec<Allocation> = (1..=args.seeds).map(|seed| inflate(&nodes, &pods, policy, seed)).collect();
        AllocationRow::of(policy.name(), &runs)
    });
    show(settings.format, &AllocationRows(rows.collect()))
}

fn policy(name: &str) -> Result<PlacementPolicy, Failure> {
    PlacementPolicy::ALL.into_iter().find(|policy| policy.name() == name).ok_or_else(|| {
        Failure::invalid(format!("'{name}' does not place on GPUs")).next("choose from random, bestfit, fgd")
    })
}
