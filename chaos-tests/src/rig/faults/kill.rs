//! SIGKILL. Proven by the process being gone: it was waited for.

use crate::rig::standing::Rig;

impl Rig {
    /// Down until [`Rig::start`]. Returns once the process is gone.
    pub fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let timeline = self.timeline.clone();
        let machine = self.machine(name)?;
        let band = timeline.begin(format!("{name} killed"));
        let pid = machine.kill()?;
        machine.down = Some(band);
        timeline.prove(band, format!("pid {pid} is gone"));
        self.faults.paused.retain(|m| m != name);
        Ok(())
    }
}
