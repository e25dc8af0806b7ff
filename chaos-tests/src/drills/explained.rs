//! Must show 8: `task explain` on a full cluster, a missing label, and more memory than any worker has.

use std::time::Duration;

use anyhow::ensure;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::wait;

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    let mut options = Options::noop(3, 2);
    options.capacity = Some("cpu=2,memory=4GiB".into());
    let cluster = Cluster::start(&options)?;
    let fill = cluster
        .cli
        .submit(&["--name", "fill", "--array", "0-3", "--cpu", "1", "--memory", "1g", "noop", "--", "sleep", "600"])?;
    wait::until("a full cluster", Duration::from_secs(60), Duration::from_millis(200), || {
        let tasks = cluster.cli.job(&fill)?.tasks;
        Ok(tasks.iter().all(|t| t.state == "Active").then_some(()))
    })?;
    // (name, flags, what the answer must speak of)
    let cases: [(&str, &[&str], &[&str]); 3] = [
        ("waits-for-room", &["--cpu", "1", "--memory", "1g"], &["cpu"]),
        ("waits-for-label", &["--cpu", "0.1", "--require", "zone=moon"], &["zone=moon"]),
        ("too-large", &["--cpu", "0.1", "--memory", "64g"], &["memory", "64"]),
    ];
    for (name, flags, words) in cases {
        let mut all = vec!["--name", name];
        all.extend(flags);
        all.extend(["noop", "--", "true"]);
        let task = format!("{}/0", cluster.cli.submit(&all)?);
        let text = cluster.cli.ok(&["task", "explain", &task])?.stdout;
        say(format!("{name}: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")));
        let answer: serde_json::Value = cluster.cli.json(&["task", "explain", &task])?;
        let reasons = answer["reasons"].as_array().cloned().unwrap_or_default();
        ensure!(!reasons.is_empty(), "{name}: no reason is given: {answer}");
        let counted: u64 = reasons.iter().filter_map(|r| r["workers"].as_u64()).sum();
        ensure!(counted >= 2, "{name}: the reasons count {counted} workers, and there are 2: {answer}");
        let change = answer["smallest_change"].as_str().unwrap_or_default();
        ensure!(!change.is_empty(), "{name}: no smallest change is named: {answer}");
        let said = answer.to_string();
        for word in words {
            ensure!(said.contains(word), "{name}: the answer does not speak of '{word}': {answer}");
        }
    }
    cluster.cli.ok(&["job", "cancel", &fill])?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}
