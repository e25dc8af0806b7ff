//! A task that needs nearly a whole worker starts among a flood of small ones that came after it, and so does a gang that needs more than one
//! worker, all of it at once: workers are kept for them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::wait;

/// More than one worker has room for.
const GANG: &str = "0-39";

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let mut options = Options::noop(3, 2);
    options.capacity = Some("cpu=32,memory=64GiB".into());
    let cluster = Cluster::start(&options)?;
    // No two kinds end at the same time, so that there is hardly ever room for a big one by chance.
    let small = |tasks: &str, seconds: [&str; 4]| -> anyhow::Result<Vec<String>> {
        let one = |s: &&str| {
            cluster.cli.submit(&["--array", tasks, "--timeout", "60s", "--cpu", "1", "noop", "--", "sleep", s])
        };
        seconds.iter().map(one).collect()
    };
    let rounds = match size {
        Size::Small => 2,
        Size::Full => 10,
    };
    let flood = 4 * 5_000;
    // Of the task, and of the gang.
    let mut told_of_it = [0; 2];
    for round in 0..rounds {
        small("0-15", ["2.0", "2.4", "2.8", "3.2"])?;
        wait::until("a full cluster", Duration::from_secs(60), Duration::from_millis(50), || {
            let all: Vec<Value> = cluster.cli.json(&["quota", "show"])?;
            Ok((all.iter().filter_map(|n| n["used"]["cpu"].as_f64()).sum::<f64>() == 64.0).then_some(()))
        })?;
        let is_gang = round % 2 == 1;
        let big = if is_gang {
            cluster.cli.submit(&["--name", "gang", "--gang", "--array", GANG, "--cpu", "1", "noop", "--", "true"])?
        } else {
            cluster.cli.submit(&["--name", "big", "--cpu", "30", "noop", "--", "true"])?
        };
        let after = small("0-4999", ["0.5", "0.6", "0.7", "0.8"])?;
        let told =
            wait::until("it starts, or a worker is kept", Duration::from_secs(60), Duration::from_millis(50), || {
                let answer: Value = cluster.cli.json(&["task", "explain", &format!("{big}/0")])?;
                let change = answer["smallest_change"].as_str().unwrap_or_default().to_owned();
                Ok((change.contains("kept for it") || answer["state"] != "Queued").then_some(change))
            })?;
        told_of_it[usize::from(is_gang)] += u32::from(told.contains("kept for it"));
        say(format!("round {round}: {told}"));
        let ended = cluster.cli.ended(&big, Duration::from_secs(120))?;
        ensure!(ended.state == "Succeeded", "the big one has ended as {}", ended.state);
        if is_gang {
            started_together(&cluster, &big)?;
        }
        // Far more of the flood could run meanwhile than what was still to end on its worker.
        let mut passed = flood;
        for job in &after {
            passed -= cluster.cli.job(job)?.counts.get("queued").copied().unwrap_or(0);
        }
        say(format!("round {round}: {passed} of {flood} small ones that came later had started when it had ended"));
        ensure!(passed < flood / 20, "{passed} small tasks were started before it");
        for job in &after {
            cluster.cli.ok(&["job", "cancel", job])?;
        }
        wait::until("an empty cluster", Duration::from_secs(60), Duration::from_millis(50), || {
            let all: Vec<Value> = cluster.cli.json(&["quota", "show"])?;
            Ok(all.iter().all(|n| n["tasks"] == 0).then_some(()))
        })?;
    }
    ensure!(told_of_it.iter().all(|rounds| *rounds > 0), "explain told of kept workers so often: {told_of_it:?}");
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// All of it was assigned at the same moment, in one entry of the log, and ran once.
fn started_together(cluster: &Cluster, gang: &str) -> anyhow::Result<()> {
    let tasks: Vec<Value> = cluster.cli.json(&["task", "list", gang])?;
    let attempts = |task: &Value| task["attempts"].as_array().cloned().unwrap_or_default();
    let first: Vec<Value> = tasks.iter().flat_map(attempts).collect();
    let moments: BTreeSet<&str> = first.iter().filter_map(|attempt| attempt["assigned_at"].as_str()).collect();
    let workers: BTreeSet<&str> = first.iter().filter_map(|attempt| attempt["worker"].as_str()).collect();
    say(format!("its {} tasks were assigned at {moments:?}, to {workers:?}", tasks.len()));
    ensure!(tasks.len() == 40 && first.len() == 40, "{} tasks, {} attempts", tasks.len(), first.len());
    ensure!(moments.len() == 1 && workers.len() == 2, "it did not start together on two workers");
    Ok(())
}
