//! When the last acknowledged renewal was sent, across restarts of the agent. Comes in: each renewal. Goes out, once, at the
//! start: the renewal that still counts.
//!
//! It is written in place and never fsynced: it has to survive this process, not the machine, whose boot id it carries.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cloudai_types::Timestamp;

const BYTES: usize = 36 + 1 + 20 + 1;

pub struct LeaseFile {
    file: File,
    boot: String,
}

impl LeaseFile {
    /// `boot`: [`boot_id`].
    pub fn open(path: &Path, boot: String) -> io::Result<(LeaseFile, Option<Timestamp>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let renewed = renewal(&file, &boot)?;
        Ok((LeaseFile { file, boot }, renewed))
    }

    pub fn write(&self, renewed: Timestamp) -> io::Result<()> {
        let line = format!("{} {:020}\n", self.boot, renewed.0);
        self.file.write_all_at(line.as_bytes(), 0)
    }
}

/// What another process's file says now. `None`: nothing of this boot, or it cannot be read.
pub fn read(path: &Path, boot: &str) -> Option<Timestamp> {
    renewal(&File::open(path).ok()?, boot).ok()?
}

fn renewal(file: &File, boot: &str) -> io::Result<Option<Timestamp>> {
    let mut bytes = [0; BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(std::str::from_utf8(&bytes[..read]).ok().and_then(|text| {
        let (of_boot, ms) = text.trim_end().split_once(' ')?;
        (of_boot == boot).then(|| ms.parse().ok().map(Timestamp))?
    }))
}

/// The kernel's random id of this boot; a fixed text where it cannot be read.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_known_again_in_the_same_boot_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let (file, before) = LeaseFile::open(&path, "boot-1".into()).unwrap();
        assert_eq!(before, None);
        file.write(Timestamp(7)).unwrap();
        file.write(Timestamp(123_456)).unwrap();
        assert_eq!(LeaseFile::open(&path, "boot-1".into()).unwrap().1, Some(Timestamp(123_456)));
        assert_eq!(read(&path, "boot-1"), Some(Timestamp(123_456)), "another process sees it as well");
        assert_eq!((read(&path, "boot-2"), read(&dir.path().join("none"), "boot-1")), (None, None));
        assert_eq!(LeaseFile::open(&path, "boot-2".into()).unwrap().1, None);
        std::fs::write(&path, b"\xff\xff garbage").unwrap();
        assert_eq!(LeaseFile::open(&path, "boot-1".into()).unwrap().1, None);
    }
}
