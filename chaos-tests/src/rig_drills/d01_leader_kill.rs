//! D01: the leader is killed with SIGKILL again and again, each time restarted. Nothing acknowledged is lost, and assignments go on soon.

use std::time::Duration;

use anyhow::Context as _;
use cloudai_proto::v1::{Consistency, ListJobsRequest};

use super::{Drill, Size, standard_load, standard_options};
use crate::rig::report::percentile;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;
use crate::wait;

const KILLS_FULL: u32 = 200;
const KILLS_SHORT: u32 = 2;
/// A page of the newest jobs reaches back over what was submitted and waited during a gap.
const NEWEST: u32 = 1000;
const AGAIN: Duration = Duration::from_secs(30);
/// The killed master stays away until the others have taken over, and a moment longer.
const AWAY: Duration = Duration::from_millis(500);

pub const DRILL: Drill = Drill {
    id: "D01",
    name: "leader kill",
    injects: "SIGKILL to the leader, again and again (200 times in full size; CLOUDAI_DRILL_KILLS sets another number)",
    must_hold: "kill to next assignment p50 ≤ 1.5 s and p99 ≤ 2.5 s; write gap p50 ≤ 2.5 s, p99 ≤ 4 s, max ≤ 6 s; nothing acknowledged lost",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    let kills = if size == Size::Full { asked().unwrap_or(KILLS_FULL) } else { KILLS_SHORT };
    let (mut gaps, mut assignments) = (vec![], vec![]);
    for round in 0..kills {
        rig.wait_caught_up(AGAIN)?;
        rig.wait_workers(AGAIN)?;
        let rate = rig.load()?.gate(size)?;
        let kill = killed(rig)?;
        say(format!(
            "     {} of {kills}: {} killed at {rate:.0}/s, next acknowledgement after {} ms, next assignment after {} ms",
            round + 1,
            kill.leader,
            kill.gap.as_millis(),
            kill.assignment.as_millis()
        ));
        gaps.push(kill.gap);
        assignments.push(kill.assignment);
    }
    report.measured("kills", kills);
    report.within("kill → next assignment, p50", percentile(&assignments, 0.5), Duration::from_millis(1500));
    report.within("kill → next assignment, p99", percentile(&assignments, 0.99), Duration::from_millis(2500));
    report.measured("kill → next assignment, max", format!("{} ms", percentile(&assignments, 1.0).as_millis()));
    report.within("write gap, p50", percentile(&gaps, 0.5), Duration::from_millis(2500));
    report.within("write gap, p99", percentile(&gaps, 0.99), Duration::from_secs(4));
    report.within("write gap, max", percentile(&gaps, 1.0), Duration::from_secs(6));
    Ok(())
}

fn asked() -> Option<u32> {
    std::env::var("CLOUDAI_DRILL_KILLS").ok()?.parse().ok()
}

pub struct Kill {
    pub leader: String,
    /// Longest time without an acknowledged submit around the kill.
    pub gap: Duration,
    /// From the kill to the first assignment that a new leader made.
    pub assignment: Duration,
}

/// Kills the leader, measures, and starts it again.
pub fn killed(rig: &mut Rig) -> anyhow::Result<Kill> {
    let leader = rig.leader()?;
    let (asked_ns, asked_ms) = (clock::now_ns(), clock::wall_ms());
    rig.kill(&leader)?;
    let gone_ms = clock::wall_ms();
    let first_ns = rig.load()?.acknowledged_after(asked_ns, 20, AGAIN)?;
    let client = rig.client(AGAIN)?;
    // What the dead leader had assigned is stamped before its death.
    let assigned_ms = wait::until("an assignment by a new leader", AGAIN, Duration::from_millis(20), || {
        let request = ListJobsRequest {
            limit: NEWEST,
            consistency: Consistency::Linearizable as i32,
            ..ListJobsRequest::default()
        };
        let page = rig.wait(client.list_jobs(request)).context("jobs cannot be listed")?;
        Ok(page.jobs.iter().map(|j| j.started_ms).filter(|at| *at > gone_ms).min())
    })?;
    let to_ns = first_ns.max(clock::now_ns());
    let gap = Duration::from_nanos(longest_silence(rig.load()?.acknowledged_since(asked_ns)?, asked_ns, to_ns));
    std::thread::sleep(AWAY);
    rig.start(&leader)?;
    Ok(Kill { leader, gap, assignment: Duration::from_millis(assigned_ms - asked_ms) })
}

/// Between neighbours, from one moment to another.
pub fn longest_silence(acknowledged: &[u64], from_ns: u64, to_ns: u64) -> u64 {
    let inside = acknowledged.iter().copied().filter(|at| (from_ns..=to_ns).contains(at));
    let (longest, last) = inside.fold((0, from_ns), |(longest, last), at| (longest.max(at - last), at));
    longest.max(to_ns.saturating_sub(last))
}

#[cfg(test)]
mod tests {
    #[test]
    fn silence_counts_from_edge_to_edge() {
        assert_eq!(super::longest_silence(&[5, 12, 40, 44], 10, 50), 28);
        assert_eq!(super::longest_silence(&[], 10, 50), 40);
        assert_eq!(super::longest_silence(&[11, 12], 10, 50), 38);
    }
}
