//! Workers: whether any can be used, who is lost, whose engine is away.

use cloudai_proto::v1::{WorkerCheck, WorkerState};

use super::{Facts, Report};
use crate::output::count;

pub(super) fn look(facts: &Facts, report: &mut Report) {
    let workers = match &facts.workers {
        Ok(workers) => workers,
        Err(why) => {
            report.saw("workers", format!("not known: {why}"));
            return;
        }
    };
    let members = || workers.iter().filter(|w| matches!(w.state(), WorkerState::Ready | WorkerState::Lost));
    let usable = |w: &&WorkerCheck| w.state() == WorkerState::Ready && !w.draining && !engine_is_away(w);
    let (ready, all) = (members().filter(|w| w.state() == WorkerState::Ready).count(), members().count());
    report.saw("workers", format!("{ready} of {all} ready"));
    let lost: Vec<&str> = members().filter(|w| w.state() == WorkerState::Lost).map(|w| w.name.as_str()).collect();
    if !lost.is_empty() {
        report.problem(
            "workers_lost",
            format!("{} not heard of any more: {}", count(lost.len() as u64, "worker"), first_of(&lost)),
            "their tasks were given to others, or wait for room",
            "look at their machines and at the way to port 7601; one that is gone for good: `cloudai worker revoke NAME`",
        );
    }
    for worker in members().filter(|w| engine_is_away(w)) {
        let trouble = worker.condition.as_ref().map_or("", |c| c.engine_trouble.as_str());
        report.problem(
            "engine_away",
            format!("the container engine of worker {} does not answer", worker.name),
            format!("{trouble}; what is assigned there waits for it"),
            "start it on that machine: `systemctl status docker`",
        );
    }
    if members().next().is_none() {
        report.warning(
            "no_workers",
            "there is no worker".to_owned(),
            "nothing can run before one has joined",
            "`cloudai worker authorize NAME`, then start it there: docs/getting-started.md",
        );
    } else if !members().any(|w| usable(&w)) {
        report.problem(
            "no_usable_worker",
            "no worker can take tasks".to_owned(),
            "each is lost, draining, or without its engine",
            "`cloudai worker list` says which is which; `cloudai worker resume NAME` ends a drain",
        );
    }
}

fn engine_is_away(worker: &WorkerCheck) -> bool {
    worker.state() == WorkerState::Ready && worker.condition.as_ref().is_some_and(|c| !c.engine_trouble.is_empty())
}

/// Some of many names.
fn first_of(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", names[..names.len() - more].join(", "))
}
