//! The faults, one verb per file. Each records a band in the timeline, proves itself when it is lifted at the latest, and ends the run as
//! [`super::Invalid`] when it cannot: a fault that did not happen shows nothing.

pub mod delay;
pub mod fill_disk;
pub mod freeze_disk;
pub mod kill;
pub mod link;
pub mod loss;
pub mod partition;
pub mod pause;
pub mod power_cut;
pub mod slow_link;

use rustix::process::Signal;

use super::standing::Rig;

/// What has to be undone before the cluster can heal, should a drill end half-way.
#[derive(Default)]
pub struct Pending {
    /// Machines with packet filters of ours.
    pub(super) filtered: Vec<String>,
    pub(super) paused: Vec<String>,
    pub(super) shaped: Vec<String>,
    pub(super) unplugged: Vec<String>,
    /// Masters whose disk is frozen.
    pub(super) frozen: Vec<String>,
    /// Masters whose disk has lost its power.
    pub(super) cut: Vec<String>,
    /// Masters whose disk is full.
    pub(super) full: Vec<String>,
}

impl Rig {
    /// Takes back every fault and starts what is down: the heal phase. Failures are told at the end, after all was tried.
    pub fn lift_all(&mut self) -> anyhow::Result<()> {
        let pending = std::mem::take(&mut self.faults);
        let mut failed = vec![];
        let mut note = |done: anyhow::Result<()>| failed.extend(done.err());
        pending.paused.iter().for_each(|m| {
            if let Some(machine) = self.machines.get(m).filter(|m| m.pid().is_some()) {
                note(machine.signal(Signal::CONT));
            }
        });
        pending.filtered.iter().for_each(|m| note(partition::unfilter(self, m)));
        pending.shaped.iter().for_each(|m| note(slow_link::unshape(self, m)));
        pending.unplugged.iter().for_each(|m| note(link::set(self, m, true)));
        pending.frozen.iter().for_each(|m| note(freeze_disk::thaw(self, m)));
        pending.full.iter().for_each(|m| note(fill_disk::free(self, m)));
        for master in &pending.cut {
            note(power_cut::remount(self, master));
        }
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            let down = self.machine(&name).and_then(|m| {
                m.ended()?;
                Ok(m.pid().is_none())
            });
            match down {
                Ok(true) => note(self.start(&name)),
                Ok(false) => {}
                Err(error) => note(Err(error)),
            }
        }
        match failed.into_iter().next() {
            None => Ok(()),
            Some(error) => Err(error.context("a fault could not be taken back")),
        }
    }
}
