//! A full disk under one master, the leader: it must not acknowledge what it could not write, the others go on, and it comes
//! back once there is room. Needs root: the disk is a small tmpfs.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::super::Verdict;
use crate::cluster::{Cluster, Options};
use crate::command::run as run_command;
use crate::load::{self, Load, Pace};
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(60);
const VICTIM: &str = "master-3";
const SIZE: &str = "size=96m";

pub fn run() -> anyhow::Result<Verdict> {
    let temporary = tempfile::Builder::new().prefix("cloudai-chaos-").tempdir().context("no temporary folder")?;
    let dir = temporary.path().join("dev");
    // Dropped after the cluster: it is declared before it.
    let disk = match SmallDisk::mount(&dir.join(VICTIM)) {
        Ok(disk) => disk,
        Err(error) => return Ok(Verdict::NotRun(format!("no small disk can be mounted: {error:#}"))),
    };
    let cluster = Cluster::start_in(&dir, &Options::noop(3, 1), None)?;
    filled(&cluster, &disk)?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn filled(cluster: &Cluster, disk: &SmallDisk) -> anyhow::Result<()> {
    cluster.cli.ok(&["cluster", "transfer-leader", VICTIM])?;
    disk.fill()?;
    say(format!("{VICTIM} leads, and its disk is full"));
    let pace = Pace { clients: 4, submits: 400, over: Duration::from_secs(4) };
    let tally = load::tally(&Load::start(&cluster.cli, pace, load::spec("full-disk", &["true"])).join()?);
    ensure!(tally.refused.is_empty(), "submits were refused: {:?}", tally.refused);
    say(format!("{} submits acknowledged, longest gap {} ms", tally.acknowledged.len(), tally.longest_gap.as_millis()));
    disk.free()?;
    if cluster.process(VICTIM)?.pid().is_none() {
        cluster.start_one(VICTIM)?;
    }
    load::each_exactly_once(&cluster.cli, &tally, LIMIT)?;
    let index = cluster.status()?.applied_index;
    wait::until(&format!("{VICTIM} having caught up"), LIMIT, Duration::from_millis(300), || {
        Ok((cluster.status_of(VICTIM)?.applied_index >= index).then_some(()))
    })?;
    say(format!("nothing acknowledged is lost, and {VICTIM} caught up once there was room"));
    cluster.nobody_panicked()
}

struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    fn mount(at: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(at).with_context(|| format!("cannot make {}", at.display()))?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", SIZE, "cloudai-small-disk"]).arg(at);
        run_command(&mut command, LIMIT)?.ok("mount")?;
        Ok(SmallDisk { at: at.to_owned() })
    }

    fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.at.join("ballast")).context("cannot make the ballast")?;
        let block = vec![0u8; 64 << 10];
        // Until the disk says no, then in small steps.
        while file.write_all(&block).is_ok() {}
        while file.write_all(&[0; 512]).is_ok() {}
        Ok(())
    }

    fn free(&self) -> anyhow::Result<()> {
        fs::remove_file(self.at.join("ballast")).context("cannot remove the ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that dies slowly must not keep the mount.
        let mut command = Command::new("umount");
        if let Err(error) = run_command(command.arg("--lazy").arg(&self.at), LIMIT) {
            println!("{} stays mounted: {error:#}", self.at.display());
        }
    }
}
