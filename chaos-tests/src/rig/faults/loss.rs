//! A share of all packets between machines is lost, by chance. Proven by the filters' counters.

use crate::rig::faults::partition::{Cut, filter, lift};
use crate::rig::outcome::valid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

#[must_use = "loss lasts until it is lifted"]
pub struct Loss {
    at: Vec<String>,
    band: BandId,
}

impl Rig {
    /// Of every hundred packets along these cuts so many are dropped.
    pub fn lose_packets(&mut self, what: &str, cuts: &[Cut], percent: u32) -> anyhow::Result<Loss> {
        let band = self.timeline.begin(what);
        let at = filter(self, cuts, &format!("numgen random mod 100 < {percent} counter drop"))?;
        Ok(Loss { at, band })
    }
}

impl Loss {
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<u64> {
        let counted = lift(rig, &self.at, self.band)?;
        let total: u64 = counted.iter().map(|(_, packets)| packets).sum();
        valid(total > 0, || "no packet was lost".to_owned())?;
        Ok(total)
    }
}
