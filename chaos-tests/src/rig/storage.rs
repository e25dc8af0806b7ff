//! One disk per master: an image file with ext4, mounted through a loop device. Comes in: a folder. Goes out: a disk that can be cut off,
//! repaired, filled and frozen like a real one. What is on it is the master's business.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::ours::quiet;

#[derive(Debug, Clone)]
pub struct Disk {
    image: PathBuf,
    /// Where it is mounted: the master's data directory.
    pub mount: PathBuf,
}

impl Disk {
    /// Makes and mounts one.
    pub fn make(dir: &Path, name: &str, mib: u32) -> anyhow::Result<Disk> {
        let disk = Disk { image: dir.join(format!("{name}.img")), mount: dir.join(name) };
        let file = File::create(&disk.image).with_context(|| format!("cannot make {}", disk.image.display()))?;
        file.set_len(u64::from(mib) << 20).context("the image cannot have this size")?;
        fs::create_dir_all(&disk.mount).with_context(|| format!("cannot make {}", disk.mount.display()))?;
        let image = disk.image.display().to_string();
        quiet("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", &image])?
            .ok("mkfs.ext4")?;
        disk.mount()?;
        Ok(disk)
    }

    pub fn mount(&self) -> anyhow::Result<()> {
        let (image, mount) = (self.image.display().to_string(), self.mount.display().to_string());
        quiet("mount", &["-o", "loop", &image, &mount])?.ok("mount -o loop")?;
        Ok(())
    }

    /// Nobody may have a file open on it.
    pub fn unmount(&self) -> anyhow::Result<()> {
        let mount = self.mount.display().to_string();
        let mut last = quiet("umount", &[&mount])?;
        for _ in 0..20 {
            if last.code == 0 {
                return Ok(());
            }
            // A process that was just killed may still be closing its files.
            std::thread::sleep(std::time::Duration::from_millis(50));
            last = quiet("umount", &[&mount])?;
        }
        last.ok("umount")?;
        Ok(())
    }

    /// Everything written so far gets to the image.
    pub fn sync(&self) -> anyhow::Result<()> {
        quiet("sync", &["-f", &self.mount.display().to_string()])?.ok("sync -f")?;
        Ok(())
    }
}
