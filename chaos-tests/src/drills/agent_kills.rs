//! The worker's agent is killed at random moments of tasks that prepare, run, print and store: no task runs twice, no line of a log
//! and no byte of a result is missing.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Size, Verdict, lines, needs_docker};
use crate::check;
use crate::cluster::{Cluster, Options};
use crate::engine::{self, Starts};
use crate::transcript::say;

const LIMIT: Duration = Duration::from_secs(300);
const LINES: u32 = 40;
/// Bytes of each result, so that storing it takes a while.
const RESULT_MIB: u64 = 24;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let (tasks, kills) = if size == Size::Full { (20, 20) } else { (6, 5) };
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    say(format!("{tasks} tasks, {kills} kills, seed {seed}"));
    let cluster = Cluster::start(&Options::docker(3, 1))?;
    let id = cluster.id()?;
    let starts = Starts::watch(&id)?;
    let array = format!("0-{}", tasks - 1);
    // It writes, prints, and says last what it has written.
    let script = format!(
        "dd if=/dev/urandom of=/cloudai/out/data bs=1M count={RESULT_MIB} 2>/dev/null; {}; sha256sum </cloudai/out/data >/cloudai/out/sum",
        lines::script(LINES, "0.1")
    );
    let flags =
        ["--name", "killed", "--array", &array, "--cpu", "0.5", "--memory", "64m", "--results", "cloudai/busybox"];
    let job = cluster.cli.submit(&[&flags[..], &["--", "sh", "-c", &script]].concat())?;
    let mut during = std::collections::BTreeMap::new();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(random.random_range(50..=3_000)));
        let shown = cluster.cli.job(&job)?;
        for attempt in shown.tasks.iter().filter_map(|t| t.attempts.last()) {
            *during.entry(attempt.state.clone()).or_insert(0) += 1;
        }
        cluster.kill("worker-1")?;
        std::thread::sleep(Duration::from_millis(random.random_range(0..=1_500)));
        cluster.start_one("worker-1")?;
    }
    say(format!("killed {kills} times; attempts by state at those moments: {during:?}"));
    let shown = cluster.cli.ended(&job, LIMIT)?;
    let mut wrong = check::every_task_succeeded_once(&shown, tasks);
    wrong.extend(check::no_task_ran_twice(&shown));
    let started = starts.so_far();
    wrong.extend(
        started.iter().filter(|(_, n)| **n != 1).map(|(name, n)| format!("container {name} was started {n} times")),
    );
    if started.len() != tasks {
        wrong.push(format!("{} containers were started for {tasks} tasks", started.len()));
    }
    let to = tempfile::Builder::new().prefix("cloudai-results-").tempdir().context("no temporary folder")?;
    let dir = to.path().display().to_string();
    cluster.cli.ok(&["job", "download", &job, "--dir", &dir])?;
    for index in 0..tasks {
        wrong.extend(lines::of(&cluster, &format!("{job}/{index}"), LINES)?);
        let folder = to.path().join(index.to_string());
        if let Err(error) = is_whole(&folder) {
            wrong.push(format!("the result of {job}/{index}: {error:#}"));
        }
    }
    check::none("after the kills", &wrong)?;
    say(format!("{tasks} tasks ran once each; all {LINES} lines and {RESULT_MIB} MiB of each are there"));
    let left = engine::containers(&[&format!("cloudai.cluster={id}"), "cloudai.attempt"], false)?;
    ensure!(left.is_empty(), "containers are left although all tasks have ended: {left:?}");
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// What the task said about its data is so.
fn is_whole(folder: &std::path::Path) -> anyhow::Result<()> {
    let data = folder.join("data");
    let size = fs::metadata(&data).context("there is no data")?.len();
    ensure!(size == RESULT_MIB << 20, "it has {size} bytes");
    let said = fs::read_to_string(folder.join("sum")).context("there is no sum")?;
    let is = crate::command::run(std::process::Command::new("sha256sum").arg(&data), LIMIT)?.ok("sha256sum")?;
    let word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    ensure!(!word(&said).is_empty() && word(&said) == word(&is.stdout), "its sum is {}, not {said}", is.stdout);
    Ok(())
}
