//! A worker's agent is paused, and killed for good, while it runs a task of `on_disconnect: stop`: the guard beside it ends the task before the
//! masters give it to another worker. The two never overlap, as the engine's own clock tells.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Size, Verdict, lines, needs_docker};
use crate::cluster::{Cluster, Options};
use crate::command::run as run_command;
use crate::engine;
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(120);
const LINES: u32 = 150;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let cluster = Cluster::start(&Options::docker(3, 2))?;
    let id = cluster.id()?;
    fenced(&cluster, &id, Harm::Pause)?;
    if size == Size::Full {
        fenced(&cluster, &id, Harm::Kill)?;
    }
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Harm {
    Pause,
    Kill,
}

fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    run_command(Command::new("kill").args([name, &pid.to_string()]), LIMIT)?.ok("kill")?;
    Ok(())
}

fn fenced(cluster: &Cluster, id: &str, harm: Harm) -> anyhow::Result<()> {
    let script = lines::script(LINES, "0.1");
    let flags = ["--name", "fenced", "--cpu", "0.1", "--memory", "16m", "--on-disconnect", "stop", "cloudai/busybox"];
    let job = cluster.cli.submit(&[&flags[..], &["--", "sh", "-c", &script]].concat())?;
    let label = format!("cloudai.cluster={id}");
    let container = |attempt: u32| -> anyhow::Result<Option<String>> {
        let of = format!("cloudai.attempt={job}/0.{attempt}");
        Ok(engine::containers(&[&label, &of], false)?.into_iter().next())
    };
    let worker = wait::until("it running", LIMIT, Duration::from_millis(100), || {
        let shown = cluster.cli.job(&job)?;
        let attempt = shown.tasks[0].attempts.first().filter(|a| a.state == "Running");
        Ok(attempt.and_then(|a| a.worker.clone()))
    })?;
    let first = container(1)?.context("its container is there")?;
    let pid = cluster.process(&worker)?.pid().context("the worker runs")?;
    match harm {
        Harm::Pause => signal(pid, "-STOP")?,
        Harm::Kill => cluster.kill(&worker)?,
    }
    let second = wait::until("a second attempt's container", LIMIT, Duration::from_millis(100), || container(2));
    // Before the first worker goes on, and removes it.
    let ended = second.and_then(|second| {
        let started = engine::inspect(&second, "{{.State.StartedAt}}")?;
        Ok((started, engine::inspect(&first, "{{.State.Running}} {{.State.FinishedAt}}")?))
    });
    match harm {
        Harm::Pause => signal(pid, "-CONT")?,
        Harm::Kill => cluster.start_one(&worker)?,
    }
    let (started, ended) = ended?;
    let finished = ended.strip_prefix("false ").with_context(|| format!("the first one still runs: {ended}"))?;
    // The engine writes both in UTC with a date first: as texts they are in order of time.
    ensure!(*finished < *started, "the first one ended at {finished}, and the second began at {started}: they overlap");
    let shown = cluster.cli.ended(&job, LIMIT)?;
    ensure!(shown.state == "Succeeded", "the job is {}", shown.state);
    let wrong = lines::of(cluster, &format!("{job}/0"), LINES)?;
    crate::check::none("the second attempt", &wrong)?;
    say(format!(
        "{harm:?} of {worker}: its task ended at {finished}; the next attempt began at {started}, and succeeded"
    ));
    Ok(())
}
