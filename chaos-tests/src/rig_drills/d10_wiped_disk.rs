//! D10: a master's disk is lost. What comes back under the old id must not vote, not even where its vote would make a majority; a new master
//! joins in its place, under load, and its vote counts.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cloudai_proto::v1::{AddMasterRequest, MemberRole, RemoveMasterRequest};

use super::{Drill, Size, standard_load, standard_options};
use crate::rig::outcome::valid;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;
use crate::wait;

const AGAIN: Duration = Duration::from_secs(30);
/// The refused master ends by itself.
const REFUSED: Duration = Duration::from_secs(30);
/// A leader that lost its quorum has answered what it had by then.
const OLD_ANSWERS: Duration = Duration::from_secs(2);
/// With the wiped master up and without a majority: nothing may be acknowledged for at least so long.
const SILENCE: Duration = Duration::from_secs(4);
const REPLACED: Duration = Duration::from_secs(60);
/// What stays on a machine whose disk was replaced: who it is, and how it is configured.
const KEPT: [&str; 3] = ["identity", "master.toml", "lost+found"];

pub const DRILL: Drill = Drill {
    id: "D10",
    name: "wiped disk",
    injects: "a master's data is deleted and it starts under its old id, first where its vote would make the majority; then a replacement joins under load",
    must_hold: "the old id never votes and stops by itself; nothing acknowledged without a real majority; replaced ≤ 60 s with a write gap ≤ 4 s",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let [other, victim] = <[String; 2]>::try_from(rig.followers(&leader)).ok().context("there are three masters")?;
    old_id_is_refused(rig, report, &victim, &other)?;
    rig.load()?.gate(size)?;
    let replaced = replace(rig, &victim)?;
    report.within("replaced by a new master that votes", replaced.took, REPLACED);
    report.within("write gap while it was replaced", replaced.gap, Duration::from_secs(4));
    its_vote_counts(rig, report, &victim)
}

fn old_id_is_refused(rig: &mut Rig, report: &mut Report, victim: &str, other: &str) -> anyhow::Result<()> {
    rig.kill(victim)?;
    let band = rig.timeline.begin(format!("{victim} wiped"));
    wipe(rig, victim)?;
    rig.timeline.prove(band, "its data is deleted");
    // One good master and the wiped one: its vote would make a majority.
    rig.kill(other)?;
    std::thread::sleep(OLD_ANSWERS);
    let from_ns = clock::now_ns();
    let before = rig.machine(victim)?.said().len();
    rig.start(victim)?;
    let began = Instant::now();
    let code = rig.machine(victim)?.wait_for_end(REFUSED).context("the wiped master goes on under its old id")?;
    let took = began.elapsed();
    std::thread::sleep(SILENCE.saturating_sub(took));
    let acknowledged = rig.load()?.acknowledged_since(from_ns)?.len();
    let said = rig.machine(victim)?.said();
    let new = said.get(before..).unwrap_or_default();
    let line = new.lines().find(|l| l.contains("refused")).map(str::to_owned);
    say(format!("     {victim} ended with {code} after {} ms: {}", took.as_millis(), line.clone().unwrap_or_default()));
    rig.timeline.end(band);
    report.require("the wiped master ends with an error", code != 0, code, "not 0");
    report.require("its log says that it is refused", line.is_some(), if line.is_some() { "yes" } else { "no" }, "yes");
    report.require("acknowledged with its vote", acknowledged == 0, acknowledged, 0);
    rig.start(other)?;
    rig.wait_serving(AGAIN)?;
    // Once more with a majority of good masters: refused as well, and nobody minds.
    rig.start(victim)?;
    let code = rig.machine(victim)?.wait_for_end(REFUSED).context("the wiped master goes on under its old id")?;
    report.require("refused a second time", code != 0, code, "not 0");
    Ok(())
}

/// Everything but who it is and how it is configured: a new disk in the same machine.
fn wipe(rig: &mut Rig, master: &str) -> anyhow::Result<()> {
    let mount = rig.machine(master)?.disk.clone().context("a master has a disk")?.mount;
    let mut removed = 0;
    for entry in fs::read_dir(&mount).with_context(|| format!("cannot list {}", mount.display()))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| KEPT.iter().any(|kept| name == *kept)) {
            continue;
        }
        if path.is_dir() {
            fs::remove_dir_all(&path)?
        } else {
            fs::remove_file(&path)?
        }
        removed += 1;
    }
    valid(removed > 0, || format!("there was nothing to wipe in {}", mount.display()))
}

/// A master that took the place of another one.
pub struct Replaced {
    pub took: Duration,
    pub gap: Duration,
}

/// On the machine of `victim`, which is down: its data goes, a new master joins from there, and the old one leaves the group.
pub fn replace(rig: &mut Rig, victim: &str) -> anyhow::Result<Replaced> {
    let began_ns = clock::now_ns();
    let client = rig.client(AGAIN)?;
    let successor = format!("{victim}-new");
    let token = rig.wait(client.add_master(AddMasterRequest { name: successor.clone() }));
    let token = token.context("a new master cannot be authorised")?.token;
    let mount = rig.machine(victim)?.disk.clone().context("a master has a disk")?.mount;
    // What the refused one left goes too, and who it was: the new one is somebody else.
    wipe(rig, victim)?;
    fs::remove_dir_all(mount.join("identity")).context("the old identity cannot be removed")?;
    let masters: Vec<String> = rig.masters().iter().filter(|m| *m != victim).map(|m| rig.machines[m].grpc()).collect();
    let host = rig.machines[victim].grpc().replace(":7601", "");
    let text = format!(
        "name = \"{successor}\"\ndata_dir = \"{}\"\nadvertise_host = \"{host}\"\n\n[join]\nmasters = {masters:?}\ntoken = \"{token}\"\n\n\
         [raft]\nsnapshot_every_entries = {}\n",
        mount.display(),
        rig.options.snapshot_every_entries
    );
    fs::write(rig.machine(victim)?.config.clone(), text).context("its configuration cannot be written")?;
    rig.start(victim)?;
    wait::until("the new master's vote", REPLACED, Duration::from_millis(50), || {
        rig.machine(victim)?.ended()?;
        let status = rig.status(AGAIN)?;
        Ok(status.members.iter().any(|m| m.name == successor && m.role() == MemberRole::Voter).then_some(()))
    })?;
    let removed = rig.wait(client.remove_master(RemoveMasterRequest { master: victim.to_owned() }));
    removed.context("the old master cannot be removed")?;
    rig.wait_caught_up(REPLACED)?;
    let took = Duration::from_nanos(clock::now_ns() - began_ns);
    let gap = Duration::from_nanos(rig.load()?.so_far()?.write_gap(began_ns, clock::now_ns()));
    Ok(Replaced { took, gap })
}

fn its_vote_counts(rig: &mut Rig, report: &mut Report, victim: &str) -> anyhow::Result<()> {
    // With one of the two old ones down a majority needs the new one.
    let leader = rig.leader()?;
    let old = rig.masters().into_iter().find(|m| m != victim && *m != leader);
    let old = match old {
        Some(old) => old,
        None => leader,
    };
    rig.kill(&old)?;
    let killed_ns = clock::now_ns();
    let first_ns =
        rig.load()?.acknowledged_after(killed_ns, 20, AGAIN).context("the new master's vote does not count")?;
    ensure!(first_ns > killed_ns, "acknowledgements after {old} died come after its death");
    report.require("writes with the new vote", true, "acknowledged", "acknowledged");
    rig.start(&old)?;
    rig.wait_caught_up(AGAIN)
}
