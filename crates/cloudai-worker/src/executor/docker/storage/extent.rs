//! How much a folder holds. Comes in: a folder that a task may write to while it is looked at. Goes out: its bytes on the disk, or that they
//! cannot be counted.
//!
//! A task may put links where folders were, between two steps of ours. So each folder is opened by its name below one that is open, never
//! through a link, and only on the same disk: the walk cannot leave. What vanishes meanwhile counts nothing.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cloudai_types::limits;

/// What the kernel counts blocks in, whatever the disk's own are.
const BLOCK_BYTES: u64 = 512;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    Bytes(u64),
    TooManyFiles,
    TooDeep,
}

impl Extent {
    /// Of two folders together.
    #[must_use]
    pub fn plus(self, other: Extent) -> Extent {
        match (self, other) {
            (Extent::Bytes(a), Extent::Bytes(b)) => Extent::Bytes(a.saturating_add(b)),
            (Extent::Bytes(_), excess) | (excess, _) => excess,
        }
    }
}

/// A folder that is being looked at, and those below it that wait for their turn.
struct Level {
    folder: File,
    waiting: Vec<OsString>,
}

/// Looks at everything below, on a thread that may wait. An error: this folder itself cannot be looked at.
pub fn of(root: &Path) -> io::Result<Extent> {
    of_at_most(root, limits::STORAGE_FILES_MAX, limits::STORAGE_DEPTH_MAX)
}

fn of_at_most(root: &Path, files_max: u64, depth_max: usize) -> io::Result<Extent> {
    let folder = open(root)?;
    let disk = folder.metadata()?.dev();
    let mut walk = Walk { disk, bytes: 0, files: 0, linked: HashSet::new() };
    let waiting = walk.count(&folder)?;
    let mut levels = vec![Level { folder, waiting }];
    while let Some(level) = levels.last_mut() {
        if walk.files > files_max {
            return Ok(Extent::TooManyFiles);
        }
        let Some(name) = level.waiting.pop() else {
            levels.pop();
            continue;
        };
        // Not a folder any more, or gone: nothing to look at.
        let Ok(folder) = open(&below(&level.folder).join(name)) else { continue };
        if folder.metadata().map(|m| m.dev()).ok() != Some(walk.disk) {
            continue;
        }
        if levels.len() > depth_max {
            return Ok(Extent::TooDeep);
        }
        let waiting = walk.count(&folder).unwrap_or_default();
        levels.push(Level { folder, waiting });
    }
    Ok(Extent::Bytes(walk.bytes))
}

struct Walk {
    disk: u64,
    bytes: u64,
    files: u64,
    /// Files with more than one name that were counted.
    linked: HashSet<u64>,
}

impl Walk {
    /// Counts what is in a folder. The folders among it.
    fn count(&mut self, folder: &File) -> io::Result<Vec<OsString>> {
        let mut folders = vec![];
        for entry in fs::read_dir(below(folder))? {
            let Ok(entry) = entry else { break };
            self.files += 1;
            if self.files > limits::STORAGE_FILES_MAX {
                break;
            }
            // Of a link itself, not of what it points to.
            let Ok(found) = entry.metadata() else { continue };
            let is_new = found.nlink() < 2 || found.is_dir() || self.linked.insert(found.ino());
            if is_new {
                self.bytes = self.bytes.saturating_add(found.blocks().saturating_mul(BLOCK_BYTES));
            }
            if found.is_dir() {
                folders.push(entry.file_name());
            }
        }
        Ok(folders)
    }
}

/// The folder itself: an error where it is a link.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)
}

/// By what is open, wherever its name has gone.
fn below(folder: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    const MIB: usize = 1 << 20;

    fn bytes(root: &Path) -> u64 {
        match of(root).unwrap() {
            Extent::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn write(path: &Path, bytes: usize) {
        fs::write(path, vec![7; bytes]).unwrap();
        // Some file systems give a file its blocks only when it is written out.
        File::open(path).unwrap().sync_all().unwrap();
    }

    #[test]
    fn files_count_by_what_they_take_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        let empty = bytes(dir.path());
        write(&inside.join("one"), MIB);
        fs::hard_link(inside.join("one"), dir.path().join("again")).unwrap();
        File::create(dir.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let full = bytes(dir.path()) - empty;
        assert!((MIB as u64..2 * MIB as u64).contains(&full), "{full}");
        assert!(of(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn links_lead_nowhere() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(&other.path().join("large"), 4 * MIB);
        for name in ["out", "self"] {
            symlink(if name == "out" { other.path() } else { dir.path() }, dir.path().join(name)).unwrap();
        }
        symlink(other.path().join("large"), dir.path().join("file")).unwrap();
        assert!(bytes(dir.path()) < MIB as u64);
        assert!(of(&dir.path().join("out")).is_err(), "nor the first step");
    }

    #[test]
    fn what_cannot_be_counted_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("1/2/3/4")).unwrap();
        assert!(matches!(of_at_most(dir.path(), 100, 4).unwrap(), Extent::Bytes(_)));
        assert_eq!(of_at_most(dir.path(), 100, 3).unwrap(), Extent::TooDeep);
        assert_eq!(of_at_most(dir.path(), 3, 100).unwrap(), Extent::TooManyFiles);
        let sum = Extent::Bytes(u64::MAX).plus(Extent::Bytes(1));
        assert_eq!((sum, sum.plus(Extent::TooDeep)), (Extent::Bytes(u64::MAX), Extent::TooDeep));
        assert_eq!(Extent::TooManyFiles.plus(Extent::Bytes(1)), Extent::TooManyFiles);
    }

    /// A folder becomes a link to a large one and a folder again, as fast as it goes: no look ever counts what is there.
    #[test]
    fn a_race_of_links_leads_nowhere_either() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(&other.path().join("large"), 4 * MIB);
        let (folder, link) = (dir.path().join("x"), dir.path().join("link"));
        symlink(other.path(), &link).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    fs::create_dir(&folder).unwrap();
                    fs::remove_dir(&folder).unwrap();
                    fs::rename(&link, &folder).unwrap();
                    fs::rename(&folder, &link).unwrap();
                }
            });
            let largest = (0..10_000).map(|_| bytes(dir.path())).max();
            // Before it is judged: a scope waits for its threads.
            done.store(true, Relaxed);
            assert!(largest < Some(MIB as u64), "{largest:?}");
        });
    }
}
