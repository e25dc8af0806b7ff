//! SIGSTOP, and SIGCONT to lift it: a process that hangs, on a machine whose network answers. Proven by the state that the kernel shows.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::rig::outcome::valid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;
use crate::wait;

/// A process that is stopped.
#[must_use = "a pause lasts until it is lifted"]
pub struct Pause {
    name: String,
    band: BandId,
}

impl Rig {
    pub fn pause(&mut self, name: &str) -> anyhow::Result<Pause> {
        let band = self.timeline.begin(format!("{name} paused"));
        let machine = self.machine(name)?;
        machine.signal(Signal::STOP)?;
        let pid = machine.pid().context("it runs: it was signalled")?;
        self.faults.paused.push(name.to_owned());
        wait::until("a stopped process", Duration::from_secs(2), Duration::from_millis(1), || {
            Ok((state(pid)? == 'T').then_some(()))
        })?;
        self.timeline.prove(band, format!("pid {pid} was in state T"));
        Ok(Pause { name: name.to_owned(), band })
    }
}

impl Pause {
    /// It was stopped all the time until now.
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<()> {
        let machine = rig.machine(&self.name)?;
        let pid = machine.pid().with_context(|| format!("{} ended while it was paused", self.name))?;
        let seen = state(pid)?;
        machine.signal(Signal::CONT)?;
        rig.timeline.end(self.band);
        rig.faults.paused.retain(|m| *m != self.name);
        valid(seen == 'T', || format!("{} was to be paused, and is in state {seen}", self.name))
    }
}

/// The letter in /proc/PID/stat behind the name in brackets.
fn state(pid: u32) -> anyhow::Result<char> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("there is no pid {pid}"))?;
    let behind = text.rsplit_once(')').map(|(_, rest)| rest.trim_start()).unwrap_or_default();
    behind.chars().next().with_context(|| format!("/proc/{pid}/stat has no state: {text}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_state_of_a_process_is_found() {
        assert!("RS".contains(super::state(std::process::id()).expect("we are there")));
    }
}
