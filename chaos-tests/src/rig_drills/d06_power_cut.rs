//! D06: the power of masters' machines goes: their file systems stop without writing anything back. What was acknowledged had been fsynced on
//! a majority, and is there again.

use std::time::Duration;

use super::d01_leader_kill::longest_silence;
use super::{Drill, Size, standard_load, standard_options};
use crate::rig::report::percentile;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(30);

pub const DRILL: Drill = Drill {
    id: "D06",
    name: "power cut",
    injects: "EXT4_IOC_SHUTDOWN without log flush and SIGKILL: the leader five times, all masters at once three times",
    must_hold: "nothing acknowledged lost; the leader alone: gaps as in D01; all: serving ≤ 5 s after power is back",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    let (leaders, all) = if size == Size::Full { (5, 3) } else { (1, 1) };
    let mut gaps = vec![];
    for round in 0..leaders {
        rig.wait_caught_up(AGAIN)?;
        rig.load()?.gate(size)?;
        let leader = rig.leader()?;
        let from_ns = clock::now_ns();
        rig.cut_power(&[&leader])?;
        rig.load()?.acknowledged_after(from_ns, 20, AGAIN)?;
        let gap = longest_silence(rig.load()?.acknowledged_since(from_ns)?, from_ns, clock::now_ns());
        say(format!("     {} of {leaders}: {leader} without power, gap {} ms", round + 1, gap / 1_000_000));
        gaps.push(Duration::from_nanos(gap));
        rig.power_on(&leader)?;
    }
    report.within("leader: write gap, p50", percentile(&gaps, 0.5), Duration::from_millis(2500));
    report.within("leader: write gap, max", percentile(&gaps, 1.0), Duration::from_secs(4));
    let mut serving = vec![];
    for round in 0..all {
        rig.wait_caught_up(AGAIN)?;
        rig.load()?.gate(size)?;
        let masters = rig.masters();
        rig.cut_power(&masters.iter().map(String::as_str).collect::<Vec<_>>())?;
        std::thread::sleep(Duration::from_millis(500));
        let from_ns = clock::now_ns();
        for master in &masters {
            rig.power_on(master)?;
        }
        let first_ns = rig.load()?.acknowledged_after(from_ns, 1, AGAIN)?;
        let took = Duration::from_nanos(first_ns - from_ns);
        say(format!(
            "     {} of {all}: all without power, writes {} ms after it was back",
            round + 1,
            took.as_millis()
        ));
        serving.push(took);
    }
    report.within("all: power back → first write, max", percentile(&serving, 1.0), Duration::from_secs(5));
    Ok(())
}
