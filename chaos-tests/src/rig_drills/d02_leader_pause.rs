//! D02: the leader hangs (SIGSTOP) for longer than an election, then goes on as if nothing had happened. It must not answer from what it
//! believes, and must acknowledge nothing in its old term.

use std::time::Duration;

use super::d01_leader_kill::longest_silence;
use super::{Drill, Size, standard_load, standard_options};
use crate::rig::report::percentile;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(30);

pub const DRILL: Drill = Drill {
    id: "D02",
    name: "leader pause",
    injects: "SIGSTOP to the leader for 15 s, three times; SIGCONT",
    must_hold: "write gap ≤ 4 s; no stale linearizable read; no acknowledgement by the old term after it resumes",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    let (pauses, length) = match size {
        Size::Full => (3, Duration::from_secs(15)),
        Size::Short => (1, Duration::from_secs(5)),
    };
    let mut gaps = vec![];
    let mut after = vec![];
    for round in 0..pauses {
        rig.wait_caught_up(AGAIN)?;
        let rate = rig.load()?.gate(size)?;
        let (term, leader) = rig.leader_now().map_or_else(|| rig.leader().map(|l| (0, l)), Ok)?;
        let from_ns = clock::now_ns();
        let pause = rig.pause(&leader)?;
        std::thread::sleep(length);
        let resumed_ns = clock::now_ns();
        let gap = longest_silence(rig.load()?.acknowledged_since(from_ns)?, from_ns, resumed_ns);
        let (new_term, new_leader) = rig.leader_now().unwrap_or_default();
        pause.lift(rig)?;
        say(format!(
            "     {} of {pauses}: {leader} (term {term}) paused at {rate:.0}/s, gap {} ms, {new_leader} leads in term {new_term}",
            round + 1,
            gap / 1_000_000
        ));
        report.require("another master leads meanwhile", new_leader != leader && new_term > term, &new_leader, "yes");
        gaps.push(Duration::from_nanos(gap));
        std::thread::sleep(Duration::from_secs(1));
        after.push((leader, resumed_ns));
    }
    report.within("write gap, max", percentile(&gaps, 1.0), Duration::from_secs(4));
    // Acknowledged by an old leader means: acknowledged, and not in the log of the new one. That such jobs are missing, and that reads
    // were stale, is what the always-on checks look for; here only that there was something to look at.
    let history = rig.load()?.so_far()?;
    let operations = history.operations();
    let answered = operations.iter().filter(|o| {
        let (Some(master), Some((at, _))) = (o.master, o.outcome) else { return false };
        after.iter().any(|(leader, resumed_ns)| leader == master && o.invoked_ns < *resumed_ns && at >= *resumed_ns)
    });
    report.measured("operations that the old leader answered after its pause", answered.count());
    Ok(())
}
