//! Packet filters between machines: two-way, one-way, between pairs. Each direction is dropped where it arrives. Proven by the counters of
//! the filters, which must have seen packets.

use std::process::Stdio;

use anyhow::{Context as _, bail};

use crate::rig::net;
use crate::rig::outcome::Invalid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

/// Packets from one machine to the other are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub from: String,
    pub to: String,
}

/// Both directions between each of `a` and each of `b`.
pub fn between(a: &[&str], b: &[&str]) -> Vec<Cut> {
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| (*x, *y)));
    pairs.flat_map(|(x, y)| [one_way(x, y), one_way(y, x)]).collect()
}

pub fn one_way(from: &str, to: &str) -> Cut {
    Cut { from: from.to_owned(), to: to.to_owned() }
}

/// Filters in force.
#[must_use = "a partition lasts until it is lifted"]
pub struct Partition {
    at: Vec<String>,
    band: BandId,
}

impl Rig {
    /// Drops everything that goes along these cuts. `what` is for people.
    pub fn partition(&mut self, what: &str, cuts: &[Cut]) -> anyhow::Result<Partition> {
        let band = self.timeline.begin(what);
        let at = filter(self, cuts, "counter drop")?;
        Ok(Partition { at, band })
    }
}

impl Partition {
    /// Every filter must have dropped something.
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<u64> {
        let counted = lift(rig, &self.at, self.band)?;
        if let Some((machine, _)) = counted.iter().find(|(_, packets)| *packets == 0) {
            return Err(Invalid(format!("a filter at {machine} dropped no packet")).into());
        }
        Ok(counted.iter().map(|(_, packets)| packets).sum())
    }
}

/// Installs `ip saddr FROM VERDICT` at every `to`; gives the machines with filters.
pub(super) fn filter(rig: &mut Rig, cuts: &[Cut], verdict: &str) -> anyhow::Result<Vec<String>> {
    let mut at: Vec<String> = cuts.iter().map(|c| c.to.clone()).collect();
    at.sort_unstable();
    at.dedup();
    for machine in &at {
        if rig.faults.filtered.contains(machine) {
            bail!("{machine} has filters of another fault: lift that one first");
        }
        let rules: String = cuts
            .iter()
            .filter(|c| c.to == *machine)
            .map(|c| format!("ip saddr {} {verdict}\n", net::address(&c.from)))
            .collect();
        let table = format!("table ip rig {{\nchain arriving {{\ntype filter hook input priority 0;\n{rules}}}\n}}\n");
        rig.faults.filtered.push(machine.clone());
        nft(rig, machine, &table)?;
    }
    Ok(at)
}

/// Takes the filters away and gives what each counted.
pub(super) fn lift(rig: &mut Rig, at: &[String], band: BandId) -> anyhow::Result<Vec<(String, u64)>> {
    let mut counted = vec![];
    for machine in at {
        let listed = net::run_inside(&rig.ours, machine, "nft", &["list", "table", "ip", "rig"])?;
        counted.extend(counters(&listed).into_iter().map(|packets| (machine.clone(), packets)));
        unfilter(rig, machine)?;
        rig.faults.filtered.retain(|m| m != machine);
    }
    rig.timeline.end(band);
    let total: u64 = counted.iter().map(|(_, packets)| packets).sum();
    rig.timeline.prove(band, format!("nft dropped {total} packets in {} filters", counted.len()));
    Ok(counted)
}

pub(super) fn unfilter(rig: &Rig, machine: &str) -> anyhow::Result<()> {
    net::run_inside(&rig.ours, machine, "nft", &["delete", "table", "ip", "rig"]).map(|_| ())
}

pub(super) fn nft(rig: &Rig, machine: &str, table: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut command = net::inside(&rig.ours, machine, "nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("nft cannot be started")?;
    child.stdin.take().context("nft has no input")?.write_all(table.as_bytes()).context("nft does not read")?;
    let done = child.wait_with_output().context("nft cannot be waited for")?;
    if !done.status.success() {
        bail!("nft refused the filters of {machine}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// `… counter packets N bytes B drop`, one per filter.
pub(super) fn counters(listed: &str) -> Vec<u64> {
    let behind = listed.lines().filter_map(|l| l.split_once("counter packets ").map(|(_, rest)| rest));
    behind.filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_are_cut_in_both_directions() {
        let cuts = between(&["m1"], &["m2", "m3"]);
        assert_eq!(cuts, [one_way("m1", "m2"), one_way("m2", "m1"), one_way("m1", "m3"), one_way("m3", "m1")]);
    }

    #[test]
    fn counters_are_read_from_what_nft_lists() {
        let listed = "table ip rig {\n\tchain arriving {\n\t\ttype filter hook input priority filter; policy accept;\n\
            \t\tip saddr 10.77.0.1 counter packets 12 bytes 720 drop\n\
            \t\tip saddr 10.77.0.2 numgen random mod 100 < 20 counter packets 0 bytes 0 drop\n\t}\n}\n";
        assert_eq!(counters(listed), [12, 0]);
    }
}
