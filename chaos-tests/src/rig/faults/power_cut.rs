//! The power of a master's machine goes: its process stops, its file system stops without writing back anything, the process is killed. What was
//! not fsynced is gone, what was is there, as on a real disk. Proven by a write that fails with EIO.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use crate::rig::kernel;
use crate::rig::outcome::Invalid;
use crate::rig::standing::Rig;
use crate::wait;

impl Rig {
    /// All of these at the same moment. Down until [`Rig::power_on`].
    pub fn cut_power(&mut self, masters: &[&str]) -> anyhow::Result<()> {
        let mut probes = vec![];
        for name in masters {
            let disk = self.machine(name)?.disk.clone().with_context(|| format!("{name} has no disk of its own"))?;
            let path = disk.mount.join("power-probe");
            let mut probe = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
            probe.write_all(b"before").context("the probe cannot be written")?;
            let root = File::open(&disk.mount).context("the disk cannot be opened")?;
            probes.push((*name, root, probe));
        }
        // The processors stop before the disks: a real one that has lost its power acknowledges nothing any more. (An fsync under way when its
        // file system is shut down may return without an error and without effect.)
        for (name, ..) in &probes {
            let machine = self.machine(name)?;
            machine.signal(Signal::STOP)?;
        }
        for (name, ..) in &probes {
            let pid = self.machine(name)?.pid().with_context(|| format!("{name} does not run"))?;
            wait::until("a stopped process", Duration::from_secs(5), Duration::from_millis(1), || {
                Ok(all_stopped(pid)?.then_some(()))
            })?;
        }
        let bands: Vec<_> = masters.iter().map(|m| self.timeline.begin(format!("{m} without power"))).collect();
        for (name, root, _) in &probes {
            kernel::cut_power(root).with_context(|| format!("the disk of {name} cannot be cut off"))?;
            self.faults.cut.push((*name).to_owned());
        }
        for ((name, root, mut probe), band) in probes.into_iter().zip(bands) {
            let machine = self.machine(name)?;
            // The process may have ended by itself already: its disk fails.
            let pid = if machine.ended()?.is_none() { machine.kill()? } else { 0 };
            machine.down = Some(band);
            let failed = probe.write_all(b"after").and_then(|()| probe.sync_all());
            drop(root);
            match failed.map_err(|e| e.raw_os_error()) {
                Err(Some(libc::EIO)) => self.timeline.prove(band, format!("EIO on its disk; pid {pid} is gone")),
                other => return Err(Invalid(format!("a write after the power cut of {name} gave {other:?}")).into()),
            }
        }
        Ok(())
    }

    /// Mounts the disk again, which replays its journal, and starts the master.
    pub fn power_on(&mut self, master: &str) -> anyhow::Result<()> {
        if !self.faults.cut.iter().any(|m| m == master) {
            bail!("{master} has power");
        }
        remount(self, master)?;
        self.faults.cut.retain(|m| m != master);
        self.start(master)
    }
}

/// Every thread is stopped, or inside a system call that it does not come back from before it is.
fn all_stopped(pid: u32) -> anyhow::Result<bool> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("there is no pid {pid}"))?;
    for thread in threads {
        let Ok(text) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
        let state = text.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        if !matches!(state, Some('T' | 'D')) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn remount(rig: &mut Rig, master: &str) -> anyhow::Result<()> {
    let machine = rig.machine(master)?;
    let disk = machine.disk.clone().with_context(|| format!("{master} has no disk of its own"))?;
    disk.unmount()?;
    disk.mount()
}
