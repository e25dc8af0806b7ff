//! One machine's link becomes narrow: a token bucket on what it sends, and one on what it is sent. Proven by the buckets' own count of packets
//! that had to wait.

use anyhow::Context as _;

use crate::rig::net;
use crate::rig::outcome::valid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

/// What passes at once: two full packets, as on a link that really has this rate. With 16 KiB whole entries of the log passed at once: in two
/// rounds of three no packet waited.
const BURST_BYTES: &str = "3200";

#[must_use = "a narrow link lasts until it is lifted"]
pub struct SlowLink {
    machine: String,
    band: BandId,
}

impl Rig {
    /// At most so many kbit/s in each direction; what waits longer than `queue_ms` is dropped.
    pub fn slow_link(&mut self, machine: &str, kbit: u32, queue_ms: u32) -> anyhow::Result<SlowLink> {
        let band = self.timeline.begin(format!("{machine}'s link has {kbit} kbit/s"));
        let (rate, latency) = (format!("{kbit}kbit"), format!("{queue_ms}ms"));
        self.faults.shaped.push(machine.to_owned());
        for (place, device) in ends(machine) {
            let bucket = ["root", "tbf", "rate", &rate, "burst", BURST_BYTES, "latency", &latency];
            tc(self, place, &[&["qdisc", "add", "dev", &device], &bucket[..]].concat())?;
        }
        Ok(SlowLink { machine: machine.to_owned(), band })
    }
}

impl SlowLink {
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<()> {
        let (mut waited, mut said) = (0, String::new());
        for (place, device) in ends(&self.machine) {
            let shown = tc(rig, place, &["-s", "qdisc", "show", "dev", &device])?;
            waited += overlimits(&shown).context("tc shows no token bucket")?;
            said.push_str(&shown);
        }
        unshape(rig, &self.machine)?;
        rig.faults.shaped.retain(|m| *m != self.machine);
        rig.timeline.end(self.band);
        rig.timeline.prove(self.band, format!("{waited} packets had to wait"));
        valid(waited > 0, || format!("no packet to or from {} had to wait: {said}", self.machine))
    }
}

pub(super) fn unshape(rig: &Rig, machine: &str) -> anyhow::Result<()> {
    ends(machine)
        .into_iter()
        .try_for_each(|(place, device)| tc(rig, place, &["qdisc", "del", "dev", &device, "root"]).map(drop))
}

/// Where a machine's packets leave it, and where the switch sends them to it: namespace and device.
fn ends(machine: &str) -> [(&str, String); 2] {
    [(machine, "eth0".to_owned()), (net::SWITCH, net::port(machine))]
}

fn tc(rig: &Rig, place: &str, arguments: &[&str]) -> anyhow::Result<String> {
    net::run_inside(&rig.ours, place, "tc", arguments)
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
