//! A task that needs nearly a whole worker starts among a flood of small ones that came after it: a worker is kept for it.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::wait;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let mut options = Options::noop(3, 2);
    options.capacity = Some("cpu=32,memory=64GiB".into());
    let cluster = Cluster::start(&options)?;
    let small = |tasks: &str| {
        let limit = ["--timeout", "60s", "--cpu", "1", "noop", "--", "sleep", "1"];
        cluster.cli.submit(&[&["--array", tasks][..], &limit[..]].concat())
    };
    let rounds = match size {
        Size::Small => 2,
        Size::Full => 10,
    };
    let flood = 20_000;
    let before = small("0-199")?;
    for round in 0..rounds {
        let big = cluster.cli.submit(&["--name", "big", "--cpu", "30", "noop", "--", "true"])?;
        let after = small(&format!("0-{}", flood - 1))?;
        let told = wait::until("a worker is kept for it", Duration::from_secs(60), Duration::from_millis(50), || {
            let answer: Value = cluster.cli.json(&["task", "explain", &format!("{big}/0")])?;
            let change = answer["smallest_change"].as_str().unwrap_or_default().to_owned();
            Ok((change.contains("is kept for it") || answer["state"] != "Queued").then_some(change))
        })?;
        say(format!("round {round}: {told}"));
        let ended = cluster.cli.ended(&big, Duration::from_secs(120))?;
        ensure!(ended.state == "Succeeded", "the big task has ended as {}", ended.state);
        // Far more of the flood could run meanwhile than what was still to end on its worker.
        let waiting = cluster.cli.job(&after)?.counts.get("queued").copied().unwrap_or(0);
        let passed = flood - waiting;
        say(format!("round {round}: {passed} of {flood} small ones that came later had started when it had ended"));
        ensure!(passed < flood / 20, "{passed} small tasks were started before it");
        cluster.cli.ok(&["job", "cancel", &after])?;
    }
    cluster.cli.ended(&before, Duration::from_secs(120))?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}
