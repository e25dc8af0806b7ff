//! Three namespaces with the weights 3, 2 and 1 on a full cluster get their parts, and a quota holds only its own back.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::wait;

/// Namespace and weight.
const OF: [(&str, u64); 3] = [("team-a", 3), ("team-b", 2), ("team-c", 1)];
/// All CPUs of the cluster: each task asks for one.
const CPUS: u64 = 24;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let mut options = Options::noop(3, 2);
    options.capacity = Some(format!("cpu={},memory=64GiB", CPUS / 2));
    let cluster = Cluster::start(&options)?;
    for (name, weight) in OF {
        cluster.cli.ok(&["quota", "set", name, "--weight", &weight.to_string()])?;
    }
    let (samples, tasks) = match size {
        Size::Small => (150, "0-2999"),
        Size::Full => (600, "0-9999"),
    };
    // The one that may have least comes first: what counts is not who was there before.
    for (name, _) in OF.iter().rev() {
        cluster.cli.submit(&["-n", name, "--array", tasks, "--cpu", "1", "noop", "--", "sleep", "0.4"])?;
    }
    wait::until("a full cluster, and all three in it", Duration::from_secs(60), Duration::from_millis(100), || {
        let now = held(&cluster)?;
        let all_there = OF.iter().all(|(name, _)| now.get(*name).is_some_and(|cpus| *cpus > 0));
        Ok((all_there && now.values().sum::<u64>() == CPUS).then_some(()))
    })?;
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..samples {
        for (name, cpus) in held(&cluster)? {
            *sums.entry(name).or_default() += cpus;
        }
        sleep(Duration::from_millis(50));
    }
    let all: u64 = sums.values().sum();
    let weights: u64 = OF.iter().map(|(_, weight)| weight).sum();
    for (name, weight) in OF {
        let share = sums.get(name).copied().unwrap_or(0) as f64 / all as f64;
        let wanted = weight as f64 / weights as f64;
        say(format!(
            "{name}: weight {weight}, {:.2} % of what was held, {:.2} % wanted",
            share * 100.0,
            wanted * 100.0
        ));
        ensure!((share / wanted - 1.0).abs() <= 0.05, "{name} had {share:.4} instead of {wanted:.4}");
    }
    // A quota: nobody is stopped, and nothing more starts above it.
    cluster.cli.ok(&["quota", "set", "team-a", "--cpu", "3", "--tasks", "2"])?;
    wait::until("team-a is down to its quota", Duration::from_secs(60), Duration::from_millis(100), || {
        Ok((held(&cluster)?.get("team-a") == Some(&2)).then_some(()))
    })?;
    for _ in 0..samples / 10 {
        let now = held(&cluster)?;
        ensure!(now.get("team-a").is_some_and(|cpus| *cpus <= 2), "team-a is over its quota: {now:?}");
        sleep(Duration::from_millis(50));
    }
    let job = cluster.cli.submit(&["-n", "team-a", "--cpu", "4", "noop", "--", "true"])?;
    let answer: Value = cluster.cli.json(&["-n", "team-a", "task", "explain", &format!("{job}/0")])?;
    let quota = answer["quota"].as_str().unwrap_or_default();
    say(format!("explain: {quota}"));
    ensure!(quota.contains("team-a runs 2 of 2 tasks"), "explain does not tell of the quota: {answer}");
    wait::until("the others have what team-a may not", Duration::from_secs(60), Duration::from_millis(50), || {
        let now = held(&cluster)?;
        Ok((now.get("team-b") > Some(&10) && now.get("team-c") > Some(&5)).then_some(()))
    })?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// CPUs that the running tasks of each namespace hold now.
fn held(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, u64>> {
    let all: Vec<Value> = cluster.cli.json(&["quota", "show"])?;
    let of = all
        .iter()
        .filter_map(|n| Some((n["namespace"].as_str()?.to_owned(), n["used"]["cpu"].as_f64()?.round() as u64)));
    Ok(of.collect())
}
