//! Masters: who answers, whether they are enough to go on, whom they follow, whether they keep up, how fast their disks are.

use cloudai_types::limits;

use super::{Facts, Report};
use crate::output::count;
use crate::times::duration;

pub(super) fn look(facts: &Facts, report: &mut Report) {
    reach(facts, report);
    quorum(facts, report);
    progress(facts, report);
    logs(facts, report);
}

fn reach(facts: &Facts, report: &mut Report) {
    let answer = facts.answers().count();
    let leader = facts.status.as_ref().filter(|status| status.leader_id > 0).map(|status| status.leader.as_str());
    let leads = leader.map_or("nobody leads".to_owned(), |leader| format!("{leader} leads"));
    report.saw("masters", format!("{answer} of {} answer; {leads}", facts.masters.len()));
    for master in &facts.masters {
        if let Err(why) = &master.answer {
            report.problem(
                "master_unreachable",
                format!("{} does not answer", master.called()),
                why,
                "start it, or open the way to it; if its machine is gone for good: `cloudai cluster remove`, then `cluster add` another",
            );
        }
    }
}

fn quorum(facts: &Facts, report: &mut Report) {
    let voters = facts.masters.iter().filter(|master| master.is_voter).count();
    let alive = facts.masters.iter().filter(|master| master.is_voter && master.answer.is_ok()).count();
    let majority = voters / 2 + 1;
    if voters == 0 {
        return;
    }
    if alive < majority {
        report.problem(
            "no_quorum",
            format!("{alive} of {} can be reached, and {majority} are needed", count(voters as u64, "voting master")),
            "without a majority nothing is accepted, scheduled or changed; what runs goes on",
            format!(
                "bring {} back; docs/operations.md says what to do when they are lost",
                count((majority - alive) as u64, "master")
            ),
        );
        return;
    }
    if facts.status.as_ref().is_none_or(|status| status.leader_id == 0) {
        report.problem(
            "no_leader",
            "the masters have no leader, though enough of them answer".to_owned(),
            "they may not reach each other on the port for masters (7602), or their disks may be too slow to vote",
            "look at their logs, and at the network between them",
        );
    }
    if alive == majority {
        let (why, next) = match voters {
            1 => ("it is the only one", "add two: `cloudai cluster add`"),
            2 => ("two masters need both of them", "add a third: `cloudai cluster add`"),
            _ if alive < voters => ("others are away already", "bring back those that do not answer"),
            _ => (
                "an even number of masters tolerates no more failures than one less",
                "add one more: `cloudai cluster add`",
            ),
        };
        if alive < voters || voters < 3 {
            report.warning("no_spare", "no master may fail now".to_owned(), why, next);
        }
    }
}

fn progress(facts: &Facts, report: &mut Report) {
    let leaders = facts.answers().map(|(_, a)| a.check.leader_id).filter(|id| *id > 0);
    let mut leaders: Vec<u64> = leaders.collect();
    leaders.sort_unstable();
    leaders.dedup();
    if leaders.len() > 1 {
        report.warning(
            "leaders_disagree",
            "the masters do not agree on who leads".to_owned(),
            "an election is on, or some of them do not hear the others",
            "ask again in a few seconds; if it stays so, look at the network between masters",
        );
    }
    let newest = facts.answers().map(|(_, a)| a.check.applied_index).max().unwrap_or(0);
    for (master, answer) in facts.answers() {
        let check = &answer.check;
        let behind = newest.saturating_sub(check.applied_index);
        if !check.has_state {
            report.warning(
                "no_state",
                format!("{} has no state of the cluster yet", master.called()),
                "it has just joined, or cannot fetch a snapshot from the leader",
                "wait a minute; if it stays so, look at its log",
            );
        } else if behind > limits::HEALTHY_LAG_MAX {
            report.warning(
                "behind",
                format!("{} is {behind} log entries behind", master.called()),
                "it has just come back, or its disk or network is too slow",
                "watch whether it catches up: `cloudai cluster members`",
            );
        }
        if !check.has_ca_key {
            report.warning(
                "no_ca_key",
                format!("{} has no usable CA key", master.called()),
                "while it leads, nobody can join and no certificate is renewed",
                "copy ca-key.pem and ca.pem from another master into its identity directory, readable by its user only",
            );
        }
    }
}

fn logs(facts: &Facts, report: &mut Report) {
    let slowest = facts.answers().max_by_key(|(_, a)| a.check.fsync_mean_us);
    if let Some((master, answer)) = slowest {
        let mean_us = answer.check.fsync_mean_us;
        report.saw("log disks", format!("one sync takes {} on average ({})", milliseconds(mean_us), master.name));
    }
    for (master, answer) in facts.answers() {
        let mean_us = answer.check.fsync_mean_us;
        if mean_us > limits::FSYNC_MEAN_MAX.0 * 1_000 {
            report.warning(
                "slow_disk",
                format!(
                    "the disk of {} is slow: a sync of the log takes {}",
                    master.called(),
                    duration(mean_us / 1_000)
                ),
                "each change waits for the disks of a majority",
                "give its data directory a disk of its own, an SSD with power-loss protection",
            );
        }
    }
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}
