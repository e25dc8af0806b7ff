//! Must show 5 of the issue about real work: a task that prints a gigabyte as fast as it can hurts nobody. Its worker's memory stays bounded, its
//! last lines can be asked for while it prints and afterwards, the cut is marked, and a neighbour goes on. Afterwards its log is
//! there without its worker.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Size, Verdict, needs_docker};
use crate::cluster::{Cluster, Options};
use crate::engine;
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(240);
/// What a gigabyte of output may cost a worker in memory: buffers of some megabytes, whatever the task prints.
const GROWTH_MAX_MIB: u64 = 128;
/// Of one log on the worker, unless its operator says something else.
const LOG_BYTES_MAX: usize = 16 << 20;
/// The engine's own log of a container: two files of 20 MB, and what is written while it changes them.
const ENGINE_LOG_MAX: u64 = 60 << 20;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let bytes: u64 = if size == Size::Full { 1 << 30 } else { 200 << 20 };
    let cluster = Cluster::start(&Options::docker(3, 1))?;
    let id = cluster.id()?;
    let pid = cluster.process("worker-1")?.pid().context("worker-1 has no pid")?;
    let before = peak_mib(pid)?;
    let line = "a line of some length, as programs print them when they are left alone; ".repeat(8);
    let script = format!("yes '{line}' | head -c {bytes}; echo; echo the result");
    let loud = ["--name", "loud", "--cpu", "1", "--memory", "64m", "cloudai/busybox", "--", "sh", "-c", &script];
    let job = cluster.cli.submit(&loud)?;
    let quiet = ["--name", "quiet", "--cpu", "0.1", "--memory", "16m", "cloudai/busybox", "--", "echo", "still here"];
    let neighbour = cluster.cli.submit(&quiet)?;
    while_it_prints(&cluster, &id, &job)?;
    let ended = cluster.cli.ended(&neighbour, LIMIT)?;
    ensure!(ended.state == "Succeeded", "its neighbour is {}", ended.state);
    let ended = cluster.cli.ended(&job, LIMIT)?;
    ensure!(ended.state == "Succeeded", "the loud task is {}", ended.state);
    let after = peak_mib(pid)?;
    ensure!(
        after <= before + GROWTH_MAX_MIB,
        "the worker's memory peaked at {after} MiB, and at {before} MiB before the task"
    );
    say(format!("{} MiB were printed; the worker's memory peaked at {after} MiB, {before} MiB before", bytes >> 20));
    afterwards(&cluster, &job, bytes)?;
    without_its_worker(&cluster, &job)?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// The most that a process has ever had in memory.
fn peak_mib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the worker's status cannot be read")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("the kernel says no peak")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().context("the kernel's peak is no number")?;
    Ok(kib / 1024)
}

fn while_it_prints(cluster: &Cluster, id: &str, job: &str) -> anyhow::Result<()> {
    let task = format!("{job}/0");
    let is_running = || Ok::<_, anyhow::Error>(cluster.cli.job(job)?.state == "Running");
    // Answered while it runs, before and after: the last lines as they were.
    wait::until("the last lines of a task that prints", LIMIT, Duration::from_millis(100), || {
        let asked = cluster.cli.run(&["task", "logs", &task, "--tail", "10"])?;
        let is_full = asked.code == 0 && asked.stdout.lines().count() >= 9;
        Ok((is_full && is_running()?).then_some(()))
    })?;
    say("its last lines were there while it printed");
    let label = format!("cloudai.cluster={id}");
    let names = engine::containers(&[&label, &format!("cloudai.attempt={task}.1")], true)?;
    for name in &names {
        let bytes = engine::log_bytes(name)?;
        ensure!(bytes <= ENGINE_LOG_MAX, "the engine keeps {bytes} bytes of its output on the disk");
        say(format!("the engine's own log of it has {} MiB", bytes >> 20));
    }
    Ok(())
}

fn afterwards(cluster: &Cluster, job: &str, bytes: u64) -> anyhow::Result<()> {
    let task = format!("{job}/0");
    let tail = cluster.cli.ok(&["task", "logs", &task, "--tail", "10"])?;
    ensure!(tail.last_line() == "the result", "its last line is '{}'", tail.last_line());
    ensure!(tail.stdout.lines().count() <= 11, "ten lines were asked for, and {} came", tail.stdout.lines().count());
    let all = cluster.cli.ok(&["task", "logs", &task])?;
    ensure!(all.stdout.len() <= LOG_BYTES_MAX, "the log has {} bytes", all.stdout.len());
    ensure!(all.last_line() == "the result", "the end is missing");
    ensure!(all.stderr.contains("bytes are left out here"), "the cut is not marked: {}", all.stderr);
    say(format!("{} of {bytes} bytes are kept, beginning and end, and the cut is marked", all.stdout.len()));
    let only = cluster.cli.ok(&["task", "logs", &task, "--stderr"])?;
    ensure!(only.stdout.is_empty(), "nothing was written to stderr");
    let none = cluster.cli.ok(&["task", "logs", &task, "--since", "2100-01-01T00:00:00Z"])?;
    ensure!(none.stdout.is_empty(), "nothing was written in the future");
    Ok(())
}

/// The store has it, and the worker is not there any more.
fn without_its_worker(cluster: &Cluster, job: &str) -> anyhow::Result<()> {
    let stored = cluster.dir.join("results/.logs").join(job).join("0/1");
    wait::until("the log in the store", LIMIT, Duration::from_millis(100), || Ok(stored.exists().then_some(())))?;
    let task = format!("{job}/0");
    let before = cluster.cli.ok(&["task", "logs", &task])?;
    cluster.kill("worker-1")?;
    let after = wait::until("the log without its worker", LIMIT, Duration::from_millis(500), || {
        let asked = cluster.cli.run(&["task", "logs", &task])?;
        Ok((asked.code == 0).then_some(asked))
    })?;
    ensure!(before.stdout == after.stdout, "the stored log is another one");
    ensure!(after.stderr.contains("bytes are left out here"), "the cut is not marked in the store");
    let tail = cluster.cli.ok(&["task", "logs", &task, "--tail", "1"])?;
    ensure!(tail.stdout == "the result\n", "the last line of the stored log is '{}'", tail.stdout);
    say("its worker was killed, and the same log came from the store");
    Ok(())
}
