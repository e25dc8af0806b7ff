//! Urgent tasks take the room of those that may be restarted, while a leader is killed: each of both runs to its end exactly once, and the
//! victims pay nothing for it.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::wait;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let mut options = Options::noop(3, 2);
    options.capacity = Some("cpu=8,memory=64GiB".into());
    let cluster = Cluster::start(&options)?;
    cluster.cli.ok(&["quota", "set", "default", "--preempt", "on"])?;
    let rounds = match size {
        Size::Small => 2,
        Size::Full => 10,
    };
    for round in 0..rounds {
        let sweep = cluster.cli.submit(&[
            "--preemptible",
            "--priority",
            "-5",
            "--array",
            "0-15",
            "--cpu",
            "1",
            "--grace",
            "1s",
            "noop",
            "--",
            "sleep",
            "6",
        ])?;
        running(&cluster, &sweep, 16)?;
        let urgent: Vec<String> = (0..2)
            .map(|_| cluster.cli.submit(&["--priority", "50", "--cpu", "4", "noop", "--", "sleep", "0.2"]))
            .collect::<anyhow::Result<_>>()?;
        let before = wait::until("somebody makes room", Duration::from_secs(60), Duration::from_millis(20), || {
            let stopped = attempts(&cluster, &sweep)?.iter().filter(|a| a["reason"]["kind"] == "preempted").count();
            Ok((stopped > 0).then_some(stopped))
        })?;
        if round % 2 == 1 {
            let leader = cluster.leader()?.name;
            cluster.kill(&leader)?;
            say(format!("round {round}: killed the leader, {leader}, when {before} had made room"));
            cluster.start_one(&leader)?;
        }
        for job in &urgent {
            let ended = cluster.cli.ended(job, Duration::from_secs(120))?;
            ensure!(ended.state == "Succeeded", "an urgent task has ended as {}", ended.state);
        }
        let ended = cluster.cli.ended(&sweep, Duration::from_secs(120))?;
        ensure!(ended.state == "Succeeded", "the sweep has ended as {}", ended.state);
        let all = attempts(&cluster, &sweep)?;
        let preempted = all.iter().filter(|attempt| attempt["reason"]["kind"] == "preempted").count();
        say(format!("round {round}: {preempted} attempts of the sweep made room, and all 16 tasks have succeeded"));
        ensure!(all.len() == 16 + preempted, "{} attempts, and {preempted} of them made room", all.len());
        ensure!((4..=8).contains(&preempted), "two tasks of four CPUs took {preempted}");
    }
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn attempts(cluster: &Cluster, job: &str) -> anyhow::Result<Vec<Value>> {
    let tasks: Vec<Value> = cluster.cli.json(&["task", "list", job])?;
    Ok(tasks.iter().flat_map(|task| task["attempts"].as_array().cloned().unwrap_or_default()).collect())
}

fn running(cluster: &Cluster, job: &str, tasks: u64) -> anyhow::Result<()> {
    wait::until("all of it runs", Duration::from_secs(60), Duration::from_millis(50), || {
        Ok((cluster.cli.job(job)?.counts.get("active") == Some(&tasks)).then_some(()))
    })
}
