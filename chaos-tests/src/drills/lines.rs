//! A task whose output says whether it ran once and whole: numbered lines, one after the other. Comes in: how many, how fast. Goes out: its
//! script, and what is wrong with a log of it.

use anyhow::Context as _;

use crate::cluster::Cluster;

/// `count` lines, one every `seconds`.
pub fn script(count: u32, seconds: &str) -> String {
    format!("i=1; while [ $i -le {count} ]; do echo line $i; sleep {seconds}; i=$((i+1)); done")
}

/// Whether the log of this task has each line once, in order, and nothing is said to be missing.
pub fn of(cluster: &Cluster, task: &str, count: u32) -> anyhow::Result<Vec<String>> {
    let log = cluster.cli.ok(&["task", "logs", task]).with_context(|| format!("the log of {task}"))?;
    let expected: Vec<String> = (1..=count).map(|n| format!("line {n}")).collect();
    let found: Vec<&str> = log.stdout.lines().collect();
    let mut wrong = vec![];
    if found != expected {
        let first = expected.iter().zip(&found).position(|(a, b)| a != b).unwrap_or(expected.len().min(found.len()));
        let (wanted, got) = (expected.get(first), found.get(first));
        wrong.push(format!("{task}: {} lines, not {count}; from line {first} on {got:?}, not {wanted:?}", found.len()));
    }
    if log.stderr.contains("broke off") || log.stderr.contains("left out") {
        wrong.push(format!("{task}: its log says that something is missing: {}", log.stderr));
    }
    Ok(wrong)
}
