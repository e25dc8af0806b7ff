//! Seven clusters that are broken in one way each: `cluster doctor` names the fault and whose it is, and nothing else; mended, it finds nothing.
//! A master is gone; a majority is gone; a worker is gone; an engine is stopped; a disk is nearly full; a certificate is about to end; a
//! clock is wrong.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use cloudai_net::{CertificateAuthority, IdentityFiles, Role};
use cloudai_types::{Millis, Timestamp};
use serde::Deserialize;

use super::{Size, Verdict, needs_docker};
use crate::cluster::{Cluster, Options};
use crate::command::run as run_command;
use crate::own_engine::{self, OwnEngine};
use crate::rig::preflight::{self, FAKETIME, Need};
use crate::rig::storage::Disk;
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
pub(super) const TWO_DAYS: Millis = Millis::from_secs(2 * 24 * 3600);
const DISK_MIB: u32 = 2_048;
/// Hundredths of it; the doctor calls less than three a problem.
const LEFT_PERCENT: u64 = 2;

#[derive(Deserialize)]
struct Found {
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    severity: String,
    code: String,
    what: String,
    why: String,
    next: String,
}

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    if let Some(why) = own_engine::why_not() {
        return Ok(Verdict::NotRun(why));
    }
    let missing = preflight::missing(&[Need::FakeTime]);
    if !missing.is_empty() {
        return Ok(Verdict::NotRun(missing.join("; ")));
    }
    let dir = tempfile::Builder::new().prefix("cloudai-doc-").tempdir()?;
    let mut engine = OwnEngine::start(dir.path(), true)?;
    let mut options = Options::docker(3, 1);
    options.flags = vec!["--docker-socket".into(), engine.socket().display().to_string()];
    let cluster = Cluster::start(&options)?;
    finds(&cluster, "as it was started", &[])?;

    cluster.kill("master-3")?;
    finds(&cluster, "a master is gone", &[("master_unreachable", "master-3"), ("no_spare", "")])?;
    cluster.kill("master-2")?;
    let gone = [("master_unreachable", "master-2"), ("master_unreachable", "master-3"), ("no_quorum", "1 of 3")];
    finds(&cluster, "a majority is gone", &gone)?;
    cluster.start_all()?;
    finds(&cluster, "they are back", &[])?;

    engine.stop()?;
    finds(&cluster, "the engine is stopped", &[("engine_away", "worker-1"), ("no_usable_worker", "")])?;
    engine.start_again(true)?;
    finds(&cluster, "the engine is back", &[])?;

    cluster.kill("worker-1")?;
    finds(&cluster, "the worker is gone", &[("workers_lost", "worker-1"), ("no_usable_worker", "")])?;
    cluster.start_one("worker-1")?;
    finds(&cluster, "the worker is back", &[])?;

    full_disk(&cluster, dir.path())?;
    certificate(&cluster)?;
    clock(&cluster)?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// Waits until the doctor says these and nothing else: codes, and what each must name. Its exit code must say the same.
fn finds(cluster: &Cluster, when: &str, expected: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut last = String::new();
    let shown = wait::until(&format!("the doctor's word when {when}"), LIMIT, LOOK_EVERY, || {
        let done = cluster.cli.run(&["cluster", "doctor", "-o", "json"])?;
        let found: Found = serde_json::from_str(&done.stdout)
            .with_context(|| format!("cluster doctor printed no such JSON: {}{}", done.stdout, done.stderr))?;
        let has_problem = found.findings.iter().any(|f| f.severity == "problem");
        ensure!(done.code == i32::from(has_problem), "it ended with {} and said {}", done.code, done.stdout);
        let is_whole = |f: &Finding| !f.why.is_empty() && !f.next.is_empty();
        ensure!(found.findings.iter().all(is_whole), "a finding without a remedy: {}", done.stdout);
        last = found.findings.iter().map(|f| format!("{}: {}; ", f.code, f.what)).collect();
        let mut codes: Vec<&str> = found.findings.iter().map(|f| f.code.as_str()).collect();
        let mut wanted: Vec<&str> = expected.iter().map(|(code, _)| *code).collect();
        codes.sort_unstable();
        wanted.sort_unstable();
        let named = expected
            .iter()
            .all(|(code, whose)| found.findings.iter().any(|f| f.code == *code && f.what.contains(whose)));
        Ok((codes == wanted && named).then(|| last.clone()))
    })
    .with_context(|| format!("last it said '{last}'"))?;
    say(format!("{when}: {}", if shown.is_empty() { "nothing is wrong" } else { shown.trim_end_matches("; ") }));
    Ok(())
}

/// The third master's data moves to a small disk of its own, and a file fills that.
fn full_disk(cluster: &Cluster, made: &std::path::Path) -> anyhow::Result<()> {
    let data = super::wiped_master::data_dir(cluster, "master-3")?;
    cluster.kill("master-3")?;
    let disk = Disk::make(made, "small", DISK_MIB)?;
    let (from, to) = (format!("{}/.", data.display()), disk.mount.display().to_string());
    command("cp", &["--archive", &from, &to])?;
    let aside = data.with_extension("aside");
    fs::rename(&data, &aside).context("the data cannot be put aside")?;
    std::os::unix::fs::symlink(&disk.mount, &data).context("no link to the small disk")?;
    let filler = disk.mount.join("filler");
    let (size, free) = room_mib(&to)?;
    let length = format!("{}MiB", free.saturating_sub(size * LEFT_PERCENT / 100));
    command("fallocate", &["--length", &length, &filler.display().to_string()])?;
    cluster.start_one("master-3")?;
    finds(cluster, "a disk is nearly full", &[("disk_full", "master-3")])?;
    fs::remove_file(&filler).context("the filler cannot be removed")?;
    finds(cluster, "there is room again", &[])?;
    cluster.kill("master-3")?;
    // Its newest log is on the small disk: back to where it was with all of it.
    fs::remove_file(&data).context("the link cannot be removed")?;
    fs::remove_dir_all(&aside).context("the old data cannot be removed")?;
    fs::create_dir(&data).context("no data folder")?;
    command("cp", &["--archive", &format!("{to}/."), &data.display().to_string()])?;
    disk.unmount()?;
    cluster.start_one("master-3")?;
    finds(cluster, "its data is back", &[])
}

/// One that ends in two days, as if nobody had renewed it.
fn certificate(cluster: &Cluster) -> anyhow::Result<()> {
    restart_with_certificate(cluster, "master-2", TWO_DAYS)?;
    finds(cluster, "a certificate is about to end", &[("certificate", "master-2")])?;
    restart_with_certificate(cluster, "master-2", cloudai_types::limits::LEAF_VALIDITY)?;
    finds(cluster, "it has a new one", &[])
}

/// A master that is valid for so long from now on.
pub(super) fn restart_with_certificate(cluster: &Cluster, master: &str, validity: Millis) -> anyhow::Result<()> {
    let ca = CertificateAuthority::load(&cluster.dir.join("ca")).context("the cluster's CA cannot be loaded")?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let files = IdentityFiles::new(super::wiped_master::data_dir(cluster, master)?.join("identity"));
    files
        .enroll(&ca, Role::Master, master, &[], validity, Timestamp(since.as_millis() as u64))
        .context("no certificate")?;
    cluster.kill(master)?;
    cluster.start_one(master)
}

fn clock(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.kill("master-1")?;
    let wrong = [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME", "+90s"),
    ];
    cluster.start_one_with("master-1", &wrong)?;
    finds(cluster, "a clock is wrong", &[("clock", "master-1")])?;
    cluster.kill("master-1")?;
    cluster.start_one("master-1")?;
    finds(cluster, "it is right again", &[])
}

/// What the disk has, and what is free of it.
pub(super) fn room_mib(path: &str) -> anyhow::Result<(u64, u64)> {
    let told = command("df", &["--block-size=1M", "--output=size,avail", path])?;
    let numbers: Vec<u64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [size, free] = numbers[..] else { anyhow::bail!("df says no such numbers: {told}") };
    Ok((size, free))
}

pub(super) fn command(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    Ok(run_command(std::process::Command::new(program).args(arguments), LIMIT)?.ok(program)?.stdout)
}
