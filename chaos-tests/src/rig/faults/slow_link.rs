//! One machine's link becomes narrow: a token bucket on what it sends. Proven by the bucket's own count of packets that had to wait.

use anyhow::Context as _;

use crate::rig::net;
use crate::rig::outcome::valid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

#[must_use = "a narrow link lasts until it is lifted"]
pub struct SlowLink {
    machine: String,
    band: BandId,
}

impl Rig {
    /// It sends at most so many kbit/s; what waits longer than `queue_ms` is dropped.
    pub fn slow_link(&mut self, machine: &str, kbit: u32, queue_ms: u32) -> anyhow::Result<SlowLink> {
        let band = self.timeline.begin(format!("{machine} sends {kbit} kbit/s"));
        let (rate, latency) = (format!("{kbit}kbit"), format!("{queue_ms}ms"));
        let bucket = ["rate", &rate, "burst", "16kb", "latency", &latency];
        tc(self, machine, &[&["qdisc", "add", "dev", "eth0", "root", "tbf"], &bucket[..]].concat())?;
        self.faults.shaped.push(machine.to_owned());
        Ok(SlowLink { machine: machine.to_owned(), band })
    }
}

impl SlowLink {
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<()> {
        let shown = tc(rig, &self.machine, &["-s", "qdisc", "show", "dev", "eth0"])?;
        unshape(rig, &self.machine)?;
        rig.faults.shaped.retain(|m| *m != self.machine);
        rig.timeline.end(self.band);
        let waited = overlimits(&shown).context("tc shows no token bucket")?;
        rig.timeline.prove(self.band, format!("{waited} packets had to wait"));
        valid(waited > 0, || format!("no packet of {} had to wait", self.machine))
    }
}

pub(super) fn unshape(rig: &Rig, machine: &str) -> anyhow::Result<()> {
    tc(rig, machine, &["qdisc", "del", "dev", "eth0", "root"]).map(|_| ())
}

fn tc(rig: &Rig, machine: &str, arguments: &[&str]) -> anyhow::Result<String> {
    net::run_inside(&rig.ours, machine, "tc", arguments)
}

fn overlimits(shown: &str) -> Option<u64> {
    shown.split_once("overlimits ")?.1.split([' ', '\n']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bucket_counts_what_waited() {
        let shown = "qdisc tbf 8001: root refcnt 3 rate 1Mbit burst 16Kb lat 400ms \n \
            Sent 9 bytes 1 pkt (dropped 0, overlimits 17 requeues 0) \n backlog 0b 0p requeues 0";
        assert_eq!(super::overlimits(shown), Some(17));
        assert_eq!(super::overlimits("qdisc noqueue"), None);
    }
}
