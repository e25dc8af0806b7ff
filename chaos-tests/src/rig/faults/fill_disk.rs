//! A master's disk is filled to the last block. Proven by a write that fails with ENOSPC.

use std::fs::{self, File};
use std::io::Write as _;

use anyhow::Context as _;

use crate::rig::outcome::Invalid;
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

const BALLAST: &str = "ballast";

#[must_use = "a full disk stays full until it is freed"]
pub struct FullDisk {
    master: String,
    band: BandId,
}

impl Rig {
    pub fn fill_disk(&mut self, master: &str) -> anyhow::Result<FullDisk> {
        let disk = self.machine(master)?.disk.clone().with_context(|| format!("{master} has no disk of its own"))?;
        let band = self.timeline.begin(format!("{master}'s disk full"));
        self.faults.full.push(master.to_owned());
        let path = disk.mount.join(BALLAST);
        let mut file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        // Large blocks first, then small ones. Not to the last byte: a master that dies of it frees room again, and byte by byte this
        // would never end.
        let mut failed = None;
        for size in [1 << 20, 64 << 10, 4096, 512] {
            let block = vec![0xA5; size];
            failed = loop {
                if let Err(error) = file.write_all(&block).and_then(|()| file.sync_data()) {
                    break error.raw_os_error();
                }
            };
        }
        match failed {
            Some(libc::ENOSPC) => {
                self.timeline.prove(band, "ENOSPC on its disk");
                Ok(FullDisk { master: master.to_owned(), band })
            }
            other => Err(Invalid(format!("filling the disk of {master} ended with {other:?}")).into()),
        }
    }
}

impl FullDisk {
    pub fn lift(self, rig: &mut Rig) -> anyhow::Result<()> {
        free(rig, &self.master)?;
        rig.faults.full.retain(|m| *m != self.master);
        rig.timeline.end(self.band);
        Ok(())
    }
}

pub(super) fn free(rig: &mut Rig, master: &str) -> anyhow::Result<()> {
    let disk = rig.machine(master)?.disk.clone().with_context(|| format!("{master} has no disk of its own"))?;
    fs::remove_file(disk.mount.join(BALLAST)).context("the ballast cannot be removed")
}
