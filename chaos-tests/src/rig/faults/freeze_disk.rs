//! A master's disk hangs: every write and fsync waits until it is thawed. Proven by one of our own that waits.

use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use anyhow::Context as _;

use crate::rig::ours::quiet;
use crate::rig::outcome::valid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

#[must_use = "a frozen disk stays frozen until it is thawed"]
pub struct FrozenDisk {
    master: String,
    band: BandId,
    /// Says when our own write came through.
    written: Receiver<bool>,
}

impl Rig {
    pub fn freeze_disk(&mut self, master: &str) -> anyhow::Result<FrozenDisk> {
        let disk = self.machine(master)?.disk.clone().with_context(|| format!("{master} has no disk of its own"))?;
        let path = disk.mount.join("freeze-probe");
        let mut probe = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let band = self.timeline.begin(format!("{master}'s disk hangs"));
        quiet("fsfreeze", &["-f", &disk.mount.display().to_string()])?.ok("fsfreeze -f")?;
        self.faults.frozen.push(master.to_owned());
        let (said, written) = channel();
        std::thread::spawn(move || {
            let done = probe.write_all(b"x").and_then(|()| probe.sync_data());
            // Nobody waits for the answer when the drill has ended.
            let _ = said.send(done.is_ok());
        });
        Ok(FrozenDisk { master: master.to_owned(), band, written })
    }
}

impl FrozenDisk {
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<()> {
        let hung = matches!(self.written.try_recv(), Err(TryRecvError::Empty));
        thaw(rig, &self.master)?;
        rig.faults.frozen.retain(|m| *m != self.master);
        rig.timeline.end(self.band);
        rig.timeline.prove(self.band, "an fsync of ours waited all the time");
        valid(hung, || format!("a write on the frozen disk of {} came through", self.master))
    }
}

pub(super) fn thaw(rig: &mut Rig, master: &str) -> anyhow::Result<()> {
    let disk = rig.machine(master)?.disk.clone().with_context(|| format!("{master} has no disk of its own"))?;
    quiet("fsfreeze", &["-u", &disk.mount.display().to_string()])?.ok("fsfreeze -u")?;
    Ok(())
}
