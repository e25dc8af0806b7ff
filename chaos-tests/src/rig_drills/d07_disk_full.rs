//! D07: a master's disk is full to the last block, the leader's first, then a follower's. Nothing is acknowledged that is not on a
//! majority's disks, another master leads soon, the log says why in words, and with room again the master comes back.

use std::time::{Duration, Instant};

use super::{Drill, Size, standard_load, standard_options};
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;
use crate::wait;

const AGAIN: Duration = Duration::from_secs(30);
const FULL_FOR_FULL: Duration = Duration::from_secs(20);
const FULL_FOR_SHORT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub const DRILL: Drill = Drill {
    id: "D07",
    name: "disk full",
    injects: "the leader's disk is filled to the last block for 20 s, then a follower's",
    must_hold: "leadership moves ≤ 5 s; the log says that the disk is full; back ≤ 30 s after there is room; nothing acknowledged lost",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    one(rig, report, size, &leader, true)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let follower = rig.followers(&leader).remove(0);
    one(rig, report, size, &follower, false)
}

fn one(rig: &mut Rig, report: &mut Report, size: Size, master: &str, leads: bool) -> anyhow::Result<()> {
    let who = if leads { "leader" } else { "follower" };
    let before = rig.machine(master)?.said().len();
    let began = Instant::now();
    let from_ns = clock::now_ns();
    let full = rig.fill_disk(master)?;
    let full_ns = clock::now_ns();
    if leads {
        wait::until("another leader", AGAIN, LOOK_EVERY, || Ok(rig.leader_now().filter(|(_, now)| now != master)))?;
        report.within(
            "leader: full → another master leads",
            Duration::from_nanos(clock::now_ns() - full_ns),
            Duration::from_secs(5),
        );
    }
    let full_for = if size == Size::Full { FULL_FOR_FULL } else { FULL_FOR_SHORT };
    while began.elapsed() < full_for {
        // Whoever looks after a process starts it again, again and again.
        let ended = rig.machine(master)?.ended()?;
        if let Some(code) = ended {
            say(format!("     {master} ended with {code} on its full disk; it is started again"));
        }
        std::thread::sleep(Duration::from_secs(1));
        if rig.machine(master)?.pid().is_none() {
            rig.start(master)?;
        }
    }
    let gap = rig.load()?.so_far()?.write_gap(from_ns, clock::now_ns());
    report.within(&format!("{who}: write gap"), Duration::from_nanos(gap), Duration::from_secs(5));
    let said = rig.machine(master)?.said();
    let alarm = said.get(before..).unwrap_or_default().lines().find(|l| {
        let line = l.to_lowercase();
        line.contains("no space left") || line.contains("disk is full") || line.contains("disk full")
    });
    say(format!("     {master}: {}", alarm.unwrap_or("its log says nothing about a full disk")));
    report.require(
        &format!("{who}: its log says so"),
        alarm.is_some(),
        if alarm.is_some() { "yes" } else { "no" },
        "yes",
    );
    full.lift(rig)?;
    let freed = Instant::now();
    wait::until("the master's return", AGAIN * 2, LOOK_EVERY, || {
        rig.machine(master)?.ended()?;
        if rig.machine(master)?.pid().is_none() {
            rig.start(master)?;
        }
        rig.wait_caught_up(Duration::from_millis(1_500)).map(Some)
    })?;
    report.within(&format!("{who}: room → back and caught up"), freed.elapsed(), Duration::from_secs(30));
    Ok(())
}
