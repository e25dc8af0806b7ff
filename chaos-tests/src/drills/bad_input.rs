//! Bad input of every kind: each gives a clear error with its own exit code, no panic, nothing lost, and the other work goes on.

mod full_disk;
mod garbage;
mod images;
mod no_quorum;
mod registry;
mod specs;
mod tokens;

use std::time::Duration;

use anyhow::ensure;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::command::Finished;
use crate::transcript::say;

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    let mut not_run = vec![];
    {
        let cluster = Cluster::start(&Options::noop(3, 1))?;
        specs::run(&cluster)?;
        tokens::run(&cluster)?;
        garbage::run(&cluster)?;
        no_quorum::run(&cluster)?;
        cluster.nobody_panicked()?;
        cluster.stop()?;
    }
    if let Verdict::NotRun(why) = full_disk::run()? {
        not_run.push(format!("full disk: {why}"));
    }
    if let Verdict::NotRun(why) = images::run()? {
        not_run.push(format!("images: {why}"));
    }
    for why in &not_run {
        say(format!("NOT RUN: {why}"));
    }
    Ok(Verdict::Passed)
}

/// A refusal as a user wants it: this exit code, and a message with these words.
fn refused(what: &str, done: &Finished, code: i32, words: &[&str]) -> anyhow::Result<()> {
    let said = done.stderr.trim();
    ensure!(done.code == code, "{what}: exit code {}, not {code}: {said}", done.code);
    for word in words {
        ensure!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "{what}: the message does not speak of '{word}': {said}"
        );
    }
    say(format!("{what}: exit code {code}: {}", headline(said)));
    Ok(())
}

/// What a person reads first: a server's log lines stand before it.
fn headline(said: &str) -> &str {
    said.lines().find(|l| l.starts_with("error")).or(said.lines().next()).unwrap_or_default()
}

/// A job of somebody else, while all this goes on.
fn other_work_goes_on(cluster: &Cluster) -> anyhow::Result<()> {
    let job = cluster.cli.submit(&["--name", "other-work", "noop", "--", "true"])?;
    let ended = cluster.cli.ended(&job, Duration::from_secs(60))?;
    ensure!(ended.state == "Succeeded", "the other work's job {job} is {}", ended.state);
    Ok(())
}
