//! A machine's cable is pulled: the switch's port goes down. Proven by the state of the link inside the machine.

use crate::rig::net;
use crate::rig::outcome::valid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

#[must_use = "a cable stays pulled until it is lifted"]
pub struct Unplugged {
    machine: String,
    band: BandId,
}

impl Rig {
    pub fn unplug(&mut self, machine: &str) -> anyhow::Result<Unplugged> {
        let band = self.timeline.begin(format!("{machine} unplugged"));
        set(self, machine, false)?;
        self.faults.unplugged.push(machine.to_owned());
        let shown = net::ip(&["-n", &self.ours.namespace(machine), "link", "show", "dev", "eth0"])?;
        valid(shown.contains("NO-CARRIER"), || format!("{machine}'s link still has a carrier: {shown}"))?;
        self.timeline.prove(band, "eth0 has no carrier");
        Ok(Unplugged { machine: machine.to_owned(), band })
    }
}

impl Unplugged {
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<()> {
        set(rig, &self.machine, true)?;
        rig.faults.unplugged.retain(|m| *m != self.machine);
        rig.timeline.end(self.band);
        Ok(())
    }
}

pub(super) fn set(rig: &Rig, machine: &str, up: bool) -> anyhow::Result<()> {
    let state = if up { "up" } else { "down" };
    net::ip(&["-n", &net::switch(&rig.ours), "link", "set", &net::port(machine), state]).map(|_| ())
}
