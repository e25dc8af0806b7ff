//! An image that the registry does not have, and a command that the image does not have.

use std::time::Duration;

use anyhow::ensure;

use super::super::{Verdict, needs_docker};
use super::registry;
use crate::cluster::{Cluster, Options};
use crate::transcript::say;

pub fn run() -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let cluster = Cluster::start(&Options::docker(1, 1))?;
    let unknown = format!("{}/no-such-image:1", registry::start()?);
    for (what, image, command, kind) in [
        ("an unknown image", unknown.as_str(), "true", "image_not_found"),
        ("a command that the image has not", "cloudai/busybox", "/no/such/program", "start_failed"),
    ] {
        let arguments = ["--cpu", "0.1", "--memory", "32m", image, "--", command];
        let job = cluster.cli.submit(&arguments)?;
        let ended = cluster.cli.ended(&job, Duration::from_secs(90))?;
        let reason = ended.tasks.first().and_then(|t| t.attempts.last()).and_then(|a| a.reason.clone());
        ensure!(ended.state == "Failed", "{what}: the job is {}", ended.state);
        ensure!(reason.as_ref().is_some_and(|r| r.kind == kind), "{what}: the reason is {reason:?}, not {kind}");
        let mut all = vec!["run"];
        all.extend(arguments);
        let done = cluster.cli.run(&all)?;
        ensure!(done.code != 0, "{what}: run ended with success");
        ensure!(!done.stderr.trim().is_empty(), "{what}: run says nothing");
        say(format!("{what}: {kind}; run gives {}: {}", done.code, done.stderr.lines().last().unwrap_or_default()));
    }
    let job = cluster.cli.submit(&["--cpu", "0.1", "--memory", "32m", "cloudai/busybox", "--", "true"])?;
    ensure!(cluster.cli.ended(&job, Duration::from_secs(60))?.state == "Succeeded", "other work did not go on");
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}
